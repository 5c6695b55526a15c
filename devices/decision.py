"""The plan's decisions as a device: what was decided, why and on which inputs, read into the stream `decision`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ophyd import Component, Device, Kind, Signal
from ophyd.status import Status

POLICY_VERSION = "quantiser-3"
"""Name of the policy; a change in what it decides changes it."""


class DecisionRecord(Device):
    """Soft device; `set(mapping)` writes signals by name, `read()` puts them into an event."""

    next_temperature_k = Component(Signal, value=0.0, kind=Kind.hinted)
    finished = Component(Signal, value=0, kind=Kind.normal)
    step_k = Component(Signal, value=0.0, kind=Kind.hinted)
    fallback = Component(Signal, value=0, kind=Kind.normal)
    reason = Component(Signal, value="", kind=Kind.normal)
    sweep = Component(Signal, value=-1, kind=Kind.normal)
    points_planned = Component(Signal, value=0, kind=Kind.normal)
    passes = Component(Signal, value=0, kind=Kind.normal)
    sigma_s_goal = Component(Signal, value=0.0, kind=Kind.normal)
    path_json = Component(Signal, value="[]", kind=Kind.normal)
    scores_json = Component(Signal, value="{}", kind=Kind.normal)
    inputs_json = Component(Signal, value="{}", kind=Kind.normal)
    frequencies_json = Component(Signal, value="[]", kind=Kind.normal)
    policy = Component(Signal, value=POLICY_VERSION, kind=Kind.normal)

    def __init__(self, *, name: str = "decision", **kwargs: Any) -> None:
        super().__init__("", name=name, **kwargs)

    def set(self, values: Mapping[str, Any]) -> Status:
        """Write the signals named in `values`."""
        for key, value in values.items():
            getattr(self, key).put(value)
        status = Status(self)
        status.set_finished()
        return status
