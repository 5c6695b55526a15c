"""What viewers see of a plan: its phases, the points done and planned, the time left, R(T), the latest decision."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from bluesky import plan_stubs as bps
from bluesky.utils import MsgGenerator

from devices.announcer import Announcement
from devices.rig import Rig
from plans.ladder import Decision
from stream.messages import FieldHistory


class Journal:
    """Keeps count for one run and announces it; nothing here steers the plan.

    Parameters
    ----------
    rig
        Whose announcer speaks.
    run_uid
        The Bluesky run.
    phases
        (key, label) in order.
    points_planned
        Points expected at the start.
    """

    def __init__(self, rig: Rig, run_uid: str, phases: Sequence[tuple[str, str]], points_planned: int) -> None:
        self._announcer: Any = rig.announcer
        self._run_uid = run_uid
        self._phases = tuple(phases)
        self._phase = ""
        self._history = FieldHistory.UNKNOWN
        self._points_done = 0
        self._points_left = points_planned
        self._planned_k: tuple[float, ...] = ()
        self._began = time.monotonic()
        self._transport: list[tuple[float, float]] = []

    def phase(self, key: str, history: FieldHistory) -> MsgGenerator[None]:
        """Enter a phase; the empty key says that all are done."""
        self._phase, self._history = key, history
        yield from self._announce(dict(self._phases).get(key, "all phases are done"))

    def point(self, temperature_k: float, resistance_ohm: float | None) -> MsgGenerator[None]:
        """Count a point and add its resistance to R(T)."""
        self._points_done += 1
        self._points_left = max(0, self._points_left - 1)
        if resistance_ohm is not None:
            self._transport.append((temperature_k, resistance_ohm))
            columns = np.array(self._transport)
            arrays = {"temperature_k": columns[:, 0], "resistance_ohm": columns[:, 1]}
            header: dict[str, object] = {"run_uid": self._run_uid, "n": len(self._transport)}
            yield from bps.abs_set(self._announcer, Announcement("transport", header, arrays), wait=True)
        yield from self._announce()

    def decision(self, number: int, decision: Decision) -> MsgGenerator[None]:
        """Show a decision and what it leaves to do."""
        self._planned_k = decision.path_k
        self._points_left = len(decision.path_k)
        header: dict[str, object] = {
            "run_uid": self._run_uid,
            "n": number,
            "next_temperature_k": decision.next_temperature_k,
            "reason": decision.reason,
            "step_k": decision.step_k,
            "fallback": decision.fallback,
            "gain": max(decision.gain, default=0.0),
        }
        arrays = {
            "candidate_temperature_k": np.array(decision.candidate_temperature_k),
            "gain": np.array(decision.gain),
        }
        going = decision.next_temperature_k
        event = decision.reason if going is None else f"to {going:g} K: {decision.reason}"
        yield from bps.abs_set(self._announcer, Announcement("decision", header, arrays, event), wait=True)
        yield from self._announce()

    def _announce(self, event: str = "") -> MsgGenerator[None]:
        keys = [key for key, _ in self._phases]
        now = keys.index(self._phase) if self._phase in keys else len(keys)
        states = ["done" if i < now else "now" if i == now else "next" for i in range(len(keys))]
        per_point = (time.monotonic() - self._began) / max(1, self._points_done)
        header: dict[str, Any] = {
            "run_uid": self._run_uid,
            "phase": self._phase,
            "phases": [
                {"key": key, "label": label, "state": state}
                for (key, label), state in zip(self._phases, states, strict=True)
            ],
            "history": str(self._history),
            "points_done": self._points_done,
            "points_planned": self._points_done + self._points_left,
            "seconds_left": per_point * self._points_left if self._points_done else None,
            "planned_temperatures_k": list(self._planned_k),
        }
        yield from bps.abs_set(self._announcer, Announcement("plan", header, event=event), wait=True)
