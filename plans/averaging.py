"""How long to average at the next temperature: a pure rule from the maps so far to the sigma_s worth reaching there.

A Tc is seen on the slope below it, where s - 1 changes by about amplitude * n / Tc per K, and against the level above
it. Averaging is therefore worth its hours where many Tc are near, little at the base (the amplitude is soon known) and
some above every Tc, where all points together fix the common reference. With hours proportional to 1/sigma_s^2 an
optimal design (amplitude, exponent, Tc and offset unknown) gives a point hours about as the share of Tc in its reach,
so its sigma_s goes as share^(-1/2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, isfinite, sqrt

import numpy as np

from plans.ladder import Decision, PointSummary, TemperatureLimits

REACH_BELOW_K = 12.0
"""A point sees the Tc above it with a weight that falls by 1/e over this distance, K."""
LEVEL_SHARE = 0.08
"""Weight of a Tc that lies below the point: it sees its level from there."""
SLOPE_K = 24.0
"""Tc / n of the law, K: s - 1 changes by amplitude / `SLOPE_K` per K below Tc."""
TYPICAL_OVER_EXTREME = 0.76
"""Median |s - 1| of the superconducting pixels over the 1st percentile of the sample's."""
PERCENTILE_SIGMAS = 2.3
"""By how many sigma noise moves a 1st percentile outward."""
SMALLEST_SHARE = 0.02
"""Share of Tc that every point is worth at least."""
TOLERANCE = 1.25
"""Passes are added where a point needs this many times those that it has: less is not worth another sweep."""


def with_passes(decision: Decision, history: Sequence[PointSummary], limits: TemperatureLimits) -> Decision:
    """Return a decision with the passes to take at its set point.

    Parameters
    ----------
    decision
        Where to go.
    history
        The points so far, oldest first. Of the newest the density is used, of all the amplitude and the noise per pass.
    limits
        What the ladder may do; `passes_max` 0 leaves the decision as it is.
    """
    target = decision.next_temperature_k
    if target is None or limits.passes_max == 0:
        return decision
    seen = [row for row in history if row.valid and row.sigma_s_median > 0 and row.passes > 0]
    if not seen or not history[-1].valid:
        return _told(decision, limits.passes_min, 0.0, "the fewest, for no noise is known")
    goal = sigma_goal(seen, target, limits)
    if goal <= 0.0:
        return _told(decision, limits.passes_max, 0.0, "the most, for nothing stands out yet")
    passes = min(limits.passes_max, max(limits.passes_min, passes_to(goal, seen[-1], limits)))
    reach = noise_per_pass(seen[-1], limits) / sqrt(passes)
    return _told(decision, passes, goal, f"for sigma_s {goal:.2g} ({reach:.2g} expected)")


def _told(decision: Decision, passes: int, goal: float, why: str) -> Decision:
    text = f"{decision.reason}; {passes} pass{'es' if passes > 1 else ''}, {why}"
    return replace(decision, passes=passes, sigma_s_goal=goal, reason=text)


def sigma_goal(seen: Sequence[PointSummary], target_k: float, limits: TemperatureLimits) -> float:
    """Return the sigma_s worth reaching at a set point; 0 where no amplitude stands out yet."""
    share = max(SMALLEST_SHARE, share_near(seen[-1], target_k))
    return amplitude_of(seen) / SLOPE_K * limits.tc_goal_k / sqrt(share)


def noise_per_pass(row: PointSummary, limits: TemperatureLimits) -> float:
    """Return sigma_s of one pass without the reference's part, from a point that was measured."""
    shared = 1.0 / limits.reference_passes if limits.reference_passes else 0.0
    return row.sigma_s_median / sqrt(1.0 / row.passes + shared)


def passes_to(goal: float, row: PointSummary, limits: TemperatureLimits) -> int:
    """Return how many passes reach a sigma_s, from the noise of a point that was measured."""
    return ceil((noise_per_pass(row, limits) / goal) ** 2 - 1e-9)


def more_passes(row: PointSummary, done: int, goal: float, limits: TemperatureLimits) -> int:
    """Return how many passes a point still lacks; 0 where its goal is reached or the passes are used up.

    Parameters
    ----------
    row
        The newest sweep at the point.
    done
        Passes taken at the point so far.
    goal
        sigma_s aimed at; 0 for none.
    limits
        What the ladder may do.
    """
    if goal <= 0.0 or not row.valid or row.sigma_s_median <= 0.0 or row.passes <= 0:
        return 0
    wanted = min(limits.passes_max, passes_to(goal, row, limits))
    return wanted - done if wanted > TOLERANCE * done else 0


def amplitude_of(history: Sequence[PointSummary]) -> float:
    """Return the typical |s - 1| far below Tc: the largest seen so far, free of what noise adds to an extreme."""
    found = 0.0
    for row in history:
        extreme = max(1.0 - row.s_low, row.s_high - 1.0)
        noise = PERCENTILE_SIGMAS * row.sigma_s_median
        if isfinite(extreme) and extreme > noise:
            found = max(found, TYPICAL_OVER_EXTREME * sqrt(extreme**2 - noise**2))
    return found


def share_near(last: PointSummary, temperature_k: float) -> float:
    """Return the share of the superconducting pixels whose Tc is in reach of a point, from the newest density."""
    candidates = np.asarray(last.candidate_temperature_k, dtype=np.float64)
    density = np.clip(np.nan_to_num(np.asarray(last.tc_density_per_k, dtype=np.float64)), 0.0, None)
    if candidates.size < 2 or candidates.size != density.size:
        return 1.0
    ahead = candidates - temperature_k
    still_open = float(np.trapezoid(np.where(ahead >= 0.0, density, 0.0), candidates))
    on_slope = float(np.trapezoid(np.where(ahead >= 0.0, density * np.exp(-ahead / REACH_BELOW_K), 0.0), candidates))
    return min(1.0, on_slope + LEVEL_SHARE * max(0.0, 1.0 - still_open))
