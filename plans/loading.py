"""Loads one after the other: the rule of `plans.pressure` driving the membrane, or a person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from bluesky import plan_stubs as bps
from bluesky.utils import MsgGenerator

from devices.rig import Rig
from plans.cooling import field_off
from plans.needs import Needs, require
from plans.pressure import LoadDecision, LoadLimits, LoadSummary, decide_load
from plans.settings import CoolingSettings, PreconditionError
from plans.stubs import read_now, settle_temperature
from stream.messages import Severity

Measure = Callable[[dict[str, Any]], MsgGenerator[LoadSummary]]
"""Measures one load and says what its maps say; gets metadata for its runs."""


@dataclass(frozen=True)
class LoadingSettings:
    """How the cell is loaded."""

    limits: LoadLimits = field(default_factory=LoadLimits)
    """What loading may do."""
    gpa_per_bar: float = 0.5
    """Rise of the mean sigma_ZZ per membrane pressure: the largest seen, so that a step falls short at worst."""
    loading_temperature_k: float = 295.0
    """Where the cell is loaded, K: near room temperature."""
    cooling: CoolingSettings = field(default_factory=CoolingSettings)
    """What counts as the normal state: the field goes off there before the cell is loaded."""

    def __post_init__(self) -> None:
        """Refuse a membrane that does nothing and loading in the cold."""
        if self.gpa_per_bar <= 0:
            raise ValueError("gpa_per_bar must be positive")
        if self.loading_temperature_k < self.cooling.normal_above_k:
            raise ValueError("the cell is loaded in the normal state")


def pressure_ladder(rig: Rig, settings: LoadingSettings, measure: Measure) -> MsgGenerator[tuple[LoadSummary, ...]]:
    """Measure, decide, load, and again until the rule ends; returns what each load said.

    A rig without a membrane is loaded by hand: the plan pauses, says to which load, and goes on at the resume.

    Raises
    ------
    DeviceError, LimitError
        Before anything moves, where the rig cannot do it.
    PreconditionError
        Where a load that a person set is not above the last one, or the sample is not normal when the field goes off.
    """
    needs = Needs(("cryostat", "magnet"), temperatures_k=(settings.loading_temperature_k,), fields_gauss=(0.0,))
    require(rig, needs)
    limits = replace(settings.limits, by_hand=settings.limits.by_hand or rig.pressure is None)
    history: list[LoadSummary] = []
    reason = "the first load"
    while True:
        found = yield from measure({"load_number": len(history), "load_reason": reason})
        if history and found.load_gpa <= history[-1].load_gpa:
            raise PreconditionError(
                f"the load is {found.load_gpa:.3g} GPa, not above the last one, {history[-1].load_gpa:.3g} GPa"
            )
        history.append(found)
        decision = decide_load(history, limits)
        rig.announcer.event(Severity.NO_ALARM, decision.reason)
        if decision.next_load_gpa is None:
            return tuple(history)
        reason = decision.reason
        yield from _make_ready(rig, settings)
        yield from _load(rig, settings, history, decision)


def _make_ready(rig: Rig, settings: LoadingSettings) -> MsgGenerator[None]:
    """Warm to where the cell is loaded, with the field off."""
    yield from settle_temperature(rig, settings.loading_temperature_k)
    yield from field_off(rig, settings.cooling)


def _load(
    rig: Rig, settings: LoadingSettings, history: list[LoadSummary], decision: LoadDecision
) -> MsgGenerator[None]:
    membrane: Any = rig.pressure
    target = decision.next_load_gpa
    if decision.ask_person or membrane is None or target is None:
        text = f"load the cell to {target:g} GPa by hand, then RE.resume()"
        rig.announcer.event(Severity.MAJOR, text)
        yield from bps.checkpoint()
        yield from bps.pause()
        return
    now = yield from read_now(membrane.membrane_bar_rbv)
    step_bar = (target - history[-1].load_gpa) / settings.gpa_per_bar
    yield from bps.mv(membrane, now + step_bar)
    yield from bps.checkpoint()
