"""What the policy of temperatures is told, what it may do, and what it answers: plain values that go into documents."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class TemperatureLimits:
    """What the ladder may do."""

    top_k: float = 150.0
    """Last set point, in the normal state, K."""
    min_step_k: float = 2.0
    """Smallest step, K."""
    max_step_k: float = 8.0
    """Largest step while any Tc is open, K."""
    closed_step_k: float = 35.0
    """Largest step once nothing is open, K."""
    fixed_step_k: float = 4.0
    """Step of the fixed ladder that stands in when the analysis is silent, K."""
    tc_max_k: float = 150.0
    """Nothing superconducts above this: there the steps may be large whatever the maps say, K."""
    open_threshold: float = 0.02
    """Share of the superconducting pixels below which nothing counts as open."""
    point_price_k: float = 0.06
    """A further point is worth taking where it lowers the mean expected error of Tc by this much, K."""
    passes_min: int = 0
    """Fewest passes of a sweep of the ladder; used where `passes_max` is not 0."""
    passes_max: int = 0
    """Most passes at one temperature; 0 leaves every sweep as its settings say."""
    tc_goal_k: float = 0.5
    """Uncertainty of Tc that the averaging aims at, K."""
    reference_passes: int = 0
    """Passes of the opening reference, whose noise all temperatures share; 0 where it adds none."""
    hour_price_k: float = 0.0
    """What an hour is worth: a further point is taken where it lowers the mean expected error of Tc by this much per
    hour that it costs, K/h; 0 takes `point_price_k` whatever a point costs."""
    settle_h: float = 0.0
    """How long the cryostat takes to settle at a point, beyond its ramp, h; the plan measures it."""
    pass_h: float = 0.0
    """How long one pass takes, h; the plan measures it."""
    prior_tc_k: tuple[float, ...] = ()
    """Temperatures of `prior_weight`, ascending, K; empty: nothing is known beforehand."""
    prior_weight: tuple[float, ...] = ()
    """How likely Tc is there beforehand, against an even spread; positive everywhere: nothing is excluded."""

    def __post_init__(self) -> None:
        """Refuse limits that contradict each other."""
        if not 0 < self.min_step_k <= self.max_step_k <= self.closed_step_k:
            raise ValueError("steps must satisfy 0 < min_step_k <= max_step_k <= closed_step_k")
        if self.fixed_step_k <= 0 or self.point_price_k <= 0:
            raise ValueError("fixed_step_k and point_price_k must be positive")
        if self.passes_max and not 1 <= self.passes_min <= self.passes_max:
            raise ValueError("passes must satisfy 1 <= passes_min <= passes_max")
        if not 0 < self.tc_goal_k < inf or self.reference_passes < 0:
            raise ValueError("tc_goal_k must be positive and reference_passes not negative")
        if min(self.hour_price_k, self.settle_h, self.pass_h) < 0.0:
            raise ValueError("hour_price_k, settle_h and pass_h must not be negative")
        if len(self.prior_tc_k) != len(self.prior_weight) or any(not 0 < weight < inf for weight in self.prior_weight):
            raise ValueError("prior_weight needs a positive weight for each of prior_tc_k")

    @property
    def price_k(self) -> float:
        """What one further point costs, in K of the mean expected error of Tc."""
        hours = self.settle_h + max(1, self.passes_min) * self.pass_h
        return self.hour_price_k * hours if self.hour_price_k and hours else self.point_price_k


@dataclass(frozen=True)
class PointSummary:
    """What one point of the ladder told, as far as a decision needs it."""

    set_point_k: float
    """Set point of the cryostat, K."""
    temperature_k: float
    """Temperature at the sample, K."""
    valid: bool
    """False where the analysis gave nothing to decide on."""
    reason: str = ""
    """Why not."""
    open_fraction: float = 1.0
    """Share of the superconducting pixels whose Tc is still open."""
    tc_sigma_median_k: float = 0.0
    """Median uncertainty of Tc, K."""
    fraction_changed: float = 0.0
    """Share of the sample's resolution elements with s != 1."""
    s_low: float = 1.0
    """1st percentile of s over the sample."""
    s_high: float = 1.0
    """99th percentile of s over the sample."""
    sigma_s_median: float = 0.0
    """Median standard deviation of s over the sample; 0 where not known."""
    passes: int = 0
    """Passes that it took; 0 where not known."""
    candidate_temperature_k: tuple[float, ...] = ()
    """Candidate sample temperatures, K; kept for the newest point only."""
    tc_density_per_k: tuple[float, ...] = ()
    """Expected share of the superconducting pixels with Tc there, per K."""


@dataclass(frozen=True)
class Decision:
    """Where to go next, and why."""

    next_temperature_k: float | None
    """Next set point, K; None at the end of the ladder."""
    reason: str
    """One sentence with numbers, for people."""
    fallback: bool = False
    """True where the fixed ladder stood in for the analysis."""
    step_k: float = 0.0
    """The step, K."""
    path_k: tuple[float, ...] = ()
    """Set points expected from here to the top, the next one first, K."""
    candidate_temperature_k: tuple[float, ...] = ()
    """Set points that were weighed, K."""
    gain: tuple[float, ...] = ()
    """Their scores, 0 for the worst and 1 for the best."""
    passes: int = 0
    """Passes to take there; 0 leaves them as the sweep's settings say."""
    sigma_s_goal: float = 0.0
    """Median sigma_s, without the reference's part, that the passes aim at; 0 where there is no goal."""
