"""Whether and where to warm a second time: what one ascending path could not see ahead; a pure rule.

While a warming is under way each report says which share of the Tc is still ahead. Afterwards the differences tell how
many lie in each of its cells. A second warming, after a new zero-field cool, goes to the middles of the cells that hide
most, and the estimator takes the points of both together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from plans.ladder import Decision, PointSummary, TemperatureLimits

ERROR_PER_WIDTH = 0.25
"""Mean distance of a Tc from the middle of its cell, in units of the cell's width."""


def second_warming(history: Sequence[PointSummary], limits: TemperatureLimits) -> tuple[float, ...]:
    """Return ascending set points of a second warming, the top last; empty where none is worth its hours.

    Parameters
    ----------
    history
        The points of the first warming, oldest first, each with the density of Tc reported there.
    limits
        What the ladder may do; `tc_goal_k` is the uncertainty of Tc that is enough.
    """
    seen = [row for row in history if row.valid]
    if len(seen) < 3 or seen[-1].tc_sigma_median_k <= limits.tc_goal_k:
        return ()
    middles = [
        0.5 * (low.set_point_k + high.set_point_k)
        for low, high in pairwise(seen)
        if _hidden(low, high) > limits.price_k and high.set_point_k - low.set_point_k >= 2.0 * limits.min_step_k
    ]
    return (*middles, limits.top_k) if middles else ()


def again_decision(set_points_k: Sequence[float], number: int) -> Decision:
    """Return the decision to go to a set point of a second warming; to its end where there is none of that number."""
    left = tuple(set_points_k[number:])
    if not left:
        return Decision(None, "the second warming ends")
    listed = ", ".join(f"{value:.4g}" for value in set_points_k)
    return Decision(left[0], f"a second warming, through {listed} K: the first could not see ahead", path_k=left)


def still_ahead(row: PointSummary) -> float:
    """Return the share of the superconducting pixels whose Tc was expected above a point when it had been measured."""
    x, y = np.asarray(row.candidate_temperature_k, dtype=float), np.asarray(row.tc_density_per_k, dtype=float)
    return float(np.trapezoid(np.nan_to_num(y), x)) if x.size > 1 and x.size == y.size else row.open_fraction


def _hidden(low: PointSummary, high: PointSummary) -> float:
    """Return what halving a cell takes off the mean expected error of Tc, K."""
    share = max(0.0, still_ahead(low) - still_ahead(high))
    return 0.5 * ERROR_PER_WIDTH * (high.set_point_k - low.set_point_k) * share
