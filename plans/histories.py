"""Field histories: zero-field cool and field warming with an adaptive ladder of temperatures.

Flux that entered once reflects the highest temperature since: every sweep of the ladder is approached from below, the
field is constant from the base temperature on, and it is held when the plan ends, however it ends.
"""

from __future__ import annotations

from typing import Any

from bluesky.utils import MsgGenerator

from devices.decision import POLICY_VERSION
from devices.rig import Rig
from plans.cooling import require_coil
from plans.journal import Journal
from plans.needs import Needs, require
from plans.points import Points
from plans.run import run, start_metadata
from plans.settings import RunInfo, ZfcSettings
from plans.warming import Warming
from stream.messages import FieldHistory

PHASES = (
    ("reference", "Opening reference"),
    ("field-off", "Field off"),
    ("cool", "Zero-field cool"),
    ("field-on", "Field on"),
    ("warming", "Field warming"),
    ("closing", "Closing reference"),
)
"""Phases of `zfc_field_warming`: key, label."""


def zfc_field_warming(
    rig: Rig, settings: ZfcSettings, info: RunInfo | None = None, *, md: dict[str, Any] | None = None
) -> MsgGenerator[str]:
    """Run the whole history: opening reference, zero-field cool, field on, adaptive warming, closing reference.

    Parameters
    ----------
    rig
        The connected rig; needs camera, cryostat and magnet. Transport is read at each point where it is there.
    settings
        Field, temperatures, sweep and limits of the ladder.
    info
        What the run is about.
    md
        Further metadata for the start document.

    Returns
    -------
    str
        The run's uid.

    Raises
    ------
    DeviceError, LimitError
        Before anything moves, where the rig cannot do it.
    PreconditionError
        Where the sample is too cold or the field not off for a zero-field cool.
    """
    about = info or RunInfo()
    require(rig, zfc_needs(settings))
    require_coil(settings.coil, settings.remanence_gauss)
    protocol = {"field_history": str(FieldHistory.ZFC_FW), "policy": POLICY_VERSION}
    metadata = start_metadata(rig, "zfc_field_warming", settings, about, {**protocol, **(md or {})})

    def body(run_uid: str) -> MsgGenerator[None]:
        journal = Journal(rig, run_uid, PHASES, 20)
        yield from Warming(rig, settings, Points(rig, about, run_uid, journal)).steps()

    return (yield from run(rig, body, about, metadata))


def zfc_needs(settings: ZfcSettings) -> Needs:
    """Return what `zfc_field_warming` needs of the rig."""
    sweeps = (settings.sweep,) if settings.zero_field_sweep is None else (settings.sweep, settings.zero_field_sweep)
    return Needs(
        devices=("cryostat", "magnet"),
        temperatures_k=(settings.base_temperature_k, settings.limits.top_k),
        fields_gauss=(0.0, settings.field_gauss),
        sweeps=sweeps,
    )
