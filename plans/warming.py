"""The steps of a zero-field cool and field warming: references, cool, ladder, and what is decided on the way."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bluesky import plan_stubs as bps
from bluesky.utils import MsgGenerator

from devices.rig import Rig
from plans.adaptive import decide
from plans.again import again_decision, second_warming
from plans.averaging import more_passes
from plans.cooling import Resistance, cool_in_zero_field, field_off
from plans.journal import Journal
from plans.ladder import Decision, PointSummary, TemperatureLimits
from plans.points import Points
from plans.prior import both, from_load, from_transport
from plans.records import inputs_to_json, trim_history
from plans.settings import SweepSettings, ZfcSettings
from plans.stubs import (
    light_on,
    ramp_field,
    record,
    require_field_below,
    require_sample_above,
    settle_temperature,
)
from plans.windows import Windows
from stream.messages import AnalysisReport, FieldHistory, Severity, SweepRole


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
class Warming:
    """The steps of one zero-field cool and field warming; a second one follows where the settings allow and it pays."""

    rig: Rig
    settings: ZfcSettings
    points: Points
    history: list[PointSummary] = field(default_factory=list[PointSummary])
    """Points of the warming under way."""
    resistance: Resistance = ()
    """R(T) of the cool-down."""
    decided: int = 0
    """Decisions so far."""
    settles_s: list[float] = field(default_factory=list[float])
    """How long each move took, s."""
    pass_s: float = 0.0
    """How long the newest pass took, s."""

    def __post_init__(self) -> None:
        """Begin with the whole list of frequencies."""
        self.windows = Windows(self.settings.sweep, self.settings.frequencies)

    @property
    def journal(self) -> Journal:
        """What viewers see."""
        return self.points.journal

    def steps(self) -> MsgGenerator[None]:
        """Everything, in order."""
        yield from self._opening_reference()
        yield from self._cool_in_zero_field()
        yield from self.journal.phase("warming", FieldHistory.ZFC_FW)
        try:
            yield from self._ladder()
        finally:
            self.rig.control.leave()
        if self.settings.warmings > 1:
            yield from self._again()
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
        self._look()

    def _cool_in_zero_field(self) -> MsgGenerator[None]:
        """Field off in the normal state, down to the base, field on."""
        settings = self.settings
        yield from self.journal.phase("field-off", FieldHistory.NORMAL_STATE)
        yield from field_off(self.rig, settings.cooling)
        yield from self.journal.phase("cool", FieldHistory.ZFC_FW)
        self.resistance = yield from cool_in_zero_field(self.rig, settings.cooling, settings.sweep)
        if settings.zero_field_sweep is not None:
            yield from self.points.measure(settings.zero_field_sweep, SweepRole.SINGLE, FieldHistory.ZFC_FW)
            yield from require_field_below(self.rig, settings.remanence_gauss, "field-on")
        yield from self.journal.phase("field-on", FieldHistory.ZFC_FW)
        yield from ramp_field(self.rig, settings.field_gauss)

    def go_on(self, points: Sequence[PointSummary]) -> MsgGenerator[None]:
        """Go on with a ladder whose session died, from the point after those that it had."""
        self.history = list(points)
        yield from self._ladder(decide(points, self._limits) if points else None)

    def _ladder(self, planned: Decision | None = None) -> MsgGenerator[None]:
        """Sweeps from the base (or what is planned) to the top, each set point decided on the maps before it."""
        planned = planned or Decision(self.settings.base_temperature_k, "the base")
        while planned.next_temperature_k is not None:
            set_point, limits = planned.next_temperature_k, self.settings.limits
            self.rig.control.climb(set_point, limits.top_k, limits.min_step_k)
            yield from self._point(set_point, planned)
            planned = yield from self._decide()

    def _again(self) -> MsgGenerator[None]:
        """Where it pays, cool once more without a field and warm through set points that the first warming left out."""
        first, limits = tuple(self.history), self._limits
        set_points_k = second_warming(first, limits)
        if not set_points_k:
            return
        self.rig.announcer.event(Severity.NO_ALARM, again_decision(set_points_k, 0).reason)
        yield from self._cool_in_zero_field()
        yield from self.journal.phase("warming", FieldHistory.ZFC_FW)
        for number, value in enumerate(set_points_k):
            decision = again_decision(set_points_k, number)
            yield from self._record(decision, inputs_to_json(first, limits, number))
            yield from self._point(value, decision)

    def _point(self, set_point_k: float, planned: Decision) -> MsgGenerator[None]:
        """Go to a set point from below and measure there."""
        closing = set_point_k >= self.settings.limits.top_k
        role = SweepRole.CLOSING_REFERENCE if closing else SweepRole.WARMING
        if closing:
            yield from self.journal.phase("closing", FieldHistory.ZFC_FW)
        begin = time.monotonic()
        yield from settle_temperature(self.rig, set_point_k, from_below=True)
        self.settles_s.append(time.monotonic() - begin)
        yield from self._flag_overshoot(set_point_k)
        self.history.append((yield from self._averaged(role, set_point_k, planned)))

    def _averaged(self, role: SweepRole, set_point_k: float, planned: Decision) -> MsgGenerator[PointSummary]:
        """Take a point's sweep, and further ones until its sigma_s, its passes or its time are reached."""
        passes = planned.passes or self.settings.sweep.passes
        done, begin = 0, time.monotonic()
        while True:
            started = time.monotonic()
            sweep = self._sweep(role)
            temperature_k = yield from self.points.measure(sweep, role, FieldHistory.ZFC_FW, passes)
            self.pass_s = (time.monotonic() - started) / passes
            self._look()
            done += passes
            summary = self._summary(set_point_k, temperature_k, passes)
            left_s = self.settings.averaging_max_s - (time.monotonic() - begin)
            passes = more_passes(summary, done, planned.sigma_s_goal, self._limits)
            passes = min(passes, int(left_s / max(self.pass_s, 1e-3))) if left_s < 1e9 else passes
            if passes <= 0:
                return summary

    def _sweep(self, role: SweepRole) -> SweepSettings:
        """Return how the next sweep is taken; references look at the whole range."""
        return self.settings.sweep if role is SweepRole.CLOSING_REFERENCE else self.windows.sweep

    def _look(self) -> None:
        """Take the lines of the newest map into the choice of frequencies; tell people where it changes."""
        analysis: Any = self.rig.analysis
        said = self.windows.look(analysis.answer, bool(analysis.valid.get()))
        if said:
            self.rig.announcer.event(Severity.NO_ALARM, said)

    def _decide(self) -> MsgGenerator[Decision]:
        """Decide, and record the decision with its inputs."""
        rows, limits, wishes = trim_history(self.history), self._limits, self.rig.control.wishes
        decision = decide(rows, limits, wishes)
        yield from self._record(decision, inputs_to_json(rows, limits, wishes=wishes))
        return decision

    def _record(self, decision: Decision, inputs_json: str) -> MsgGenerator[None]:
        recorder: Any = self.rig.decision
        self.decided += 1
        following = decision.next_temperature_k
        scores = {"candidate_temperature_k": decision.candidate_temperature_k, "gain": decision.gain}
        values = {
            "next_temperature_k": self.history[-1].set_point_k if following is None else following,
            "finished": int(following is None),
            "step_k": decision.step_k,
            "fallback": int(decision.fallback),
            "reason": decision.reason,
            "sweep": len(self.history),
            "points_planned": len(decision.path_k),
            "passes": decision.passes,
            "sigma_s_goal": decision.sigma_s_goal,
            "path_json": json.dumps(decision.path_k),
            "scores_json": json.dumps(scores),
            "inputs_json": inputs_json,
            "frequencies_json": json.dumps(self.windows.sweep.frequency_mhz),
        }
        yield from bps.abs_set(recorder, values, wait=True)
        yield from record("decision", recorder)
        yield from self.journal.decision(self.decided, decision)

    def _summary(self, set_point_k: float, temperature_k: float, passes: int) -> PointSummary:
        analysis: Any = self.rig.analysis
        return summary_of(analysis.answer, bool(analysis.valid.get()), set_point_k, temperature_k, passes)

    @property
    def _limits(self) -> TemperatureLimits:
        """The ladder's limits with what the other settings and the run so far know."""
        settings = self.settings
        prior = from_load(settings.previous_tc_k, settings.previous_density_per_k)
        if settings.transport_prior and self.resistance:
            temperature_k, ohm = zip(*self.resistance, strict=True)
            prior = both(prior, from_transport(temperature_k, ohm, settings.tc_max_k))
        return replace(
            settings.limits,
            tc_max_k=settings.tc_max_k,
            reference_passes=settings.reference_passes or settings.sweep.passes,
            settle_h=min(self.settles_s, default=0.0) / 3600.0,
            pass_h=self.pass_s / 3600.0,
            prior_tc_k=prior[0],
            prior_weight=prior[1],
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
