"""Which load comes next: a pure rule, only ever upward, dense where superconductivity may first appear.

Pressure cannot be taken back, so the step that crosses the onset fixes the bracket for ever: wherever the onset may lie
in reach, steps are at most the bracket asked for. Where it cannot yet lie is known from the stress maps: the highest
local sigma_ZZ so far against the stress at which the material is expected to superconduct (earlier samples and loads,
literature). That expectation is broad and never excludes: beyond it steps stay fine until something is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import erf, inf, isfinite, sqrt

SMALLEST_STEP_GPA = 0.05
"""Smallest step that a membrane or a ruby resolves, GPa."""


@dataclass(frozen=True)
class LoadLimits:
    """What loading may do."""

    maximum_gpa: float = 28.0
    """The rig's highest mean sigma_ZZ, GPa."""
    bracket_gpa: float = 0.5
    """Width of the bracket asked for, GPa."""
    largest_step_gpa: float = 4.0
    """Largest step, GPa."""
    step_above_gpa: float = 2.0
    """Step once the onset is known, GPa; 0 ends there."""
    expected_local_gpa: float = 17.2
    """Local sigma_ZZ at which superconductivity is expected to appear, GPa."""
    expected_sigma_gpa: float = 0.35
    """Its standard deviation, GPa."""
    risk: float = 0.01
    """Chance of jumping over the onset that a step larger than the bracket may take."""
    seen_fraction: float = 0.004
    """Share of resolution elements with s != 1 from which superconductivity counts as seen."""
    by_hand: bool = False
    """True where a person loads the cell: the plan then stops and asks."""

    def __post_init__(self) -> None:
        """Refuse limits that contradict each other."""
        if not 0 < self.bracket_gpa <= self.largest_step_gpa < inf:
            raise ValueError("steps must satisfy 0 < bracket_gpa <= largest_step_gpa")
        if self.bracket_gpa < SMALLEST_STEP_GPA or 0 != self.step_above_gpa < SMALLEST_STEP_GPA:
            raise ValueError(f"steps must be at least {SMALLEST_STEP_GPA:g} GPa; step_above_gpa 0 ends at the onset")
        if not (0 < self.risk < 1 and self.expected_sigma_gpa > 0):
            raise ValueError("risk must be between 0 and 1, expected_sigma_gpa positive")


@dataclass(frozen=True)
class LoadSummary:
    """What the maps of one load said."""

    load_gpa: float
    """Mean sigma_ZZ over the sample, GPa."""
    highest_gpa: float
    """Highest local sigma_ZZ (99th percentile), GPa."""
    fraction_changed: float
    """Share of resolution elements with s != 1 at the base temperature."""
    valid: bool = True
    """False where the analysis gave nothing to decide on."""


@dataclass(frozen=True)
class LoadDecision:
    """Which load comes next, and why."""

    next_load_gpa: float | None
    """Mean sigma_ZZ, GPa; None where loading has ended."""
    reason: str
    """One sentence with numbers, for people."""
    bracket_gpa: tuple[float, float] | None = None
    """Highest load without and lowest with superconductivity; None before it was seen."""
    ask_person: bool = False
    """True where a person must load the cell."""


def decide_load(history: Sequence[LoadSummary], limits: LoadLimits) -> LoadDecision:
    """Return the next load.

    Parameters
    ----------
    history
        The loads so far, in order; at least one.
    limits
        What loading may do.

    Returns
    -------
    LoadDecision
        `next_load_gpa` is above every load so far and at most `limits.maximum_gpa`.
    """
    here = max(row.load_gpa for row in history)
    bracket = bracket_of(history, limits)
    if here >= limits.maximum_gpa:
        return LoadDecision(None, f"the rig's maximum, {limits.maximum_gpa:g} GPa, is reached", bracket)
    if bracket is not None:
        if limits.step_above_gpa <= 0:
            return LoadDecision(None, f"superconductivity first seen between {_span(bracket)}", bracket)
        step, why = limits.step_above_gpa, f"superconductivity first seen between {_span(bracket)}"
    else:
        step, why = _step_before(history, here, limits)
    target = min(here + step, limits.maximum_gpa)
    return LoadDecision(target, f"step {target - here:.3g} GPa: {why}", bracket, limits.by_hand)


def bracket_of(history: Sequence[LoadSummary], limits: LoadLimits) -> tuple[float, float] | None:
    """Return the highest load without and the lowest with superconductivity; None before it was seen."""
    valid = [row for row in history if row.valid]
    with_it = [row.load_gpa for row in valid if row.fraction_changed >= limits.seen_fraction]
    if not with_it:
        return None
    first = min(with_it)
    return max((row.load_gpa for row in valid if row.load_gpa < first), default=0.0), first


def chance_below(load_gpa: float, last: LoadSummary, limits: LoadLimits) -> float:
    """Return the chance that superconductivity appears between the last load and another, nothing seen so far."""
    seen = _cdf(last.highest_gpa, limits)
    if seen > 1.0 - limits.risk:
        return 1.0  # beyond what was expected: it may appear anywhere
    return (_cdf(last.highest_gpa + load_gpa - last.load_gpa, limits) - seen) / (1.0 - seen)


def _step_before(history: Sequence[LoadSummary], here: float, limits: LoadLimits) -> tuple[float, str]:
    """Return the largest step whose risk of jumping over the onset is small, never below the bracket."""
    last = history[-1]
    if not last.valid or not isfinite(last.highest_gpa):
        return limits.bracket_gpa, "no stress map to look ahead with"
    step = limits.bracket_gpa
    while (
        step + limits.bracket_gpa <= limits.largest_step_gpa
        and chance_below(here + step + limits.bracket_gpa, last, limits) <= limits.risk
    ):
        step += limits.bracket_gpa
    chance = chance_below(here + step, last, limits)
    return step, (
        f"nothing seen up to a local {last.highest_gpa:.3g} GPa, the chance that it appears in the step is "
        f"{100 * chance:.2g} %"
    )


def _cdf(local_gpa: float, limits: LoadLimits) -> float:
    return 0.5 * (1.0 + erf((local_gpa - limits.expected_local_gpa) / (sqrt(2.0) * limits.expected_sigma_gpa)))


def _span(bracket: tuple[float, float]) -> str:
    return f"{bracket[0]:.4g} and {bracket[1]:.4g} GPa"
