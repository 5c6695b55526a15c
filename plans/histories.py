"""Field histories: zero-field cool and field warming with an adaptive ladder of temperatures.

Flux that entered once reflects the highest temperature since: every sweep of the ladder is approached from below, the
field is constant from the base temperature on, and it is held when the plan ends, however it ends.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from bluesky import plan_stubs as bps
from bluesky.utils import MsgGenerator

from devices.decision import POLICY_VERSION
from devices.rig import Rig
from plans.adaptive import decide
from plans.averaging import more_passes
from plans.cooling import cool_in_zero_field, field_off, require_coil
from plans.journal import Journal
from plans.ladder import Decision, PointSummary, TemperatureLimits
from plans.needs import Needs, require
from plans.points import Points
from plans.records import inputs_to_json, trim_history
from plans.run import run, start_metadata
from plans.settings import RunInfo, ZfcSettings
from plans.stubs import (
    light_on,
    ramp_field,
    record,
    require_field_below,
    require_sample_above,
    settle_temperature,
)
from stream.messages import AnalysisReport, FieldHistory, Severity, SweepRole

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
        yield from _Warming(rig, settings, Points(rig, about, run_uid, journal)).steps()

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


def summary_of(
    report: AnalysisReport, valid: bool, set_point_k: float, temperature_k: float, passes: int = 0
) -> PointSummary:
    """Return what the policy needs of a report; arrays and numbers only where they may be used."""
    if not valid:
        return PointSummary(
            set_point_k, temperature_k, valid=False, reason=report.reason or "the analysis is not valid"
        )
    return PointSummary(
        set_point_k,
        temperature_k,
        valid=True,
        open_fraction=float(report.open_fraction),
        tc_sigma_median_k=float(report.tc_sigma_median_k),
        fraction_changed=float(report.fraction_changed),
        s_low=float(report.s_low),
        s_high=float(report.s_high),
        sigma_s_median=float(report.sigma_s_median),
        passes=passes,
        candidate_temperature_k=tuple(float(value) for value in report.candidate_temperature_k),
        tc_density_per_k=tuple(float(value) for value in report.tc_density_per_k),
    )


@dataclass
class _Warming:
    """The steps of one zero-field cool and field warming."""

    rig: Rig
    settings: ZfcSettings
    points: Points

    @property
    def journal(self) -> Journal:
        """What viewers see."""
        return self.points.journal

    def steps(self) -> MsgGenerator[None]:
        """Everything, in order."""
        yield from self._opening_reference()
        yield from self._cool_in_zero_field()
        yield from self.journal.phase("warming", FieldHistory.ZFC_FW)
        yield from self._ladder()
        yield from self.journal.phase("", FieldHistory.ZFC_FW)

    def _opening_reference(self) -> MsgGenerator[None]:
        """Stress and reference of s in the normal state, at the field of the warming."""
        top = self.settings.limits.top_k
        yield from self.journal.phase("reference", FieldHistory.NORMAL_STATE)
        yield from light_on(self.rig, self.settings.sweep)
        yield from settle_temperature(self.rig, top)
        yield from require_sample_above(self.rig, self.settings.cooling.normal_above_k, "the opening reference")
        yield from ramp_field(self.rig, self.settings.field_gauss)
        passes = self.settings.reference_passes or self.settings.sweep.passes
        reference = SweepRole.OPENING_REFERENCE
        yield from self.points.measure(self.settings.sweep, reference, FieldHistory.NORMAL_STATE, passes)

    def _cool_in_zero_field(self) -> MsgGenerator[None]:
        """Field off in the normal state, down to the base, field on."""
        settings = self.settings
        yield from self.journal.phase("field-off", FieldHistory.NORMAL_STATE)
        yield from field_off(self.rig, settings.cooling)
        yield from self.journal.phase("cool", FieldHistory.ZFC_FW)
        yield from cool_in_zero_field(self.rig, settings.cooling, settings.sweep)
        if settings.zero_field_sweep is not None:
            yield from self.points.measure(settings.zero_field_sweep, SweepRole.SINGLE, FieldHistory.ZFC_FW)
            yield from require_field_below(self.rig, settings.remanence_gauss, "field-on")
        yield from self.journal.phase("field-on", FieldHistory.ZFC_FW)
        yield from ramp_field(self.rig, settings.field_gauss)

    def _ladder(self) -> MsgGenerator[None]:
        """Sweeps from the base to the top, each set point decided on the maps before it."""
        history: list[PointSummary] = []
        set_point = self.settings.base_temperature_k
        planned = Decision(set_point, "the base")
        while True:
            closing = set_point >= self.settings.limits.top_k
            role = SweepRole.CLOSING_REFERENCE if closing else SweepRole.WARMING
            if closing:
                yield from self.journal.phase("closing", FieldHistory.ZFC_FW)
            yield from settle_temperature(self.rig, set_point, from_below=True)
            yield from self._flag_overshoot(set_point)
            history.append((yield from self._averaged(role, set_point, planned)))
            planned = yield from self._decide(history)
            if planned.next_temperature_k is None:
                return
            set_point = planned.next_temperature_k

    def _averaged(self, role: SweepRole, set_point_k: float, planned: Decision) -> MsgGenerator[PointSummary]:
        """Take a point's sweep, and further ones until its sigma_s is reached or its passes are used up."""
        passes = planned.passes or self.settings.sweep.passes
        done = 0
        while True:
            temperature_k = yield from self.points.measure(self.settings.sweep, role, FieldHistory.ZFC_FW, passes)
            done += passes
            summary = self._summary(set_point_k, temperature_k, passes)
            passes = more_passes(summary, done, planned.sigma_s_goal, self._limits)
            if passes <= 0:
                return summary

    def _decide(self, history: list[PointSummary]) -> MsgGenerator[Decision]:
        """Decide, and record the decision with its inputs."""
        recorder: Any = self.rig.decision
        rows = trim_history(history)
        limits = self._limits
        decision = decide(rows, limits)
        following = decision.next_temperature_k
        scores = {"candidate_temperature_k": decision.candidate_temperature_k, "gain": decision.gain}
        values = {
            "next_temperature_k": rows[-1].set_point_k if following is None else following,
            "finished": int(following is None),
            "step_k": decision.step_k,
            "fallback": int(decision.fallback),
            "reason": decision.reason,
            "sweep": len(history),
            "points_planned": len(decision.path_k),
            "passes": decision.passes,
            "sigma_s_goal": decision.sigma_s_goal,
            "path_json": json.dumps(decision.path_k),
            "scores_json": json.dumps(scores),
            "inputs_json": inputs_to_json(rows, limits),
        }
        yield from bps.abs_set(recorder, values, wait=True)
        yield from record("decision", recorder)
        yield from self.journal.decision(len(history), decision)
        return decision

    def _summary(self, set_point_k: float, temperature_k: float, passes: int) -> PointSummary:
        analysis: Any = self.rig.analysis
        return summary_of(analysis.answer, bool(analysis.valid.get()), set_point_k, temperature_k, passes)

    @property
    def _limits(self) -> TemperatureLimits:
        """The ladder's limits with what the other settings know."""
        settings = self.settings
        return replace(
            settings.limits,
            tc_max_k=settings.tc_max_k,
            reference_passes=settings.reference_passes or settings.sweep.passes,
        )

    def _flag_overshoot(self, set_point_k: float) -> MsgGenerator[None]:
        """Tell people where the sample overshot: s then reflects the highest temperature, not the present one."""
        cryostat: Any = self.rig.cryostat
        overshoot = float((yield from bps.rd(cryostat.overshoot_k)))
        if overshoot > self.settings.overshoot_k and set_point_k > self.settings.base_temperature_k:
            text = (
                f"sample overshot {set_point_k:.4g} K by {overshoot:.2g} K: the point reflects the higher temperature"
            )
            self.rig.announcer.event(Severity.MINOR, text)
