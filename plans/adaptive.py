"""Where to measure next: a pure policy over the ascending temperatures of one field warming.

Flux that has entered the sample remembers the highest temperature, so the path only ever rises: what is jumped over is
lost. The policy therefore looks at the whole remaining path. For a path T0 < T1 < ... < top the expected error of Tc,
averaged over the superconducting pixels, is the sum over its cells of (share of Tc in the cell) * (its width) / 4
(the mean distance from the middle of the cell), and every point costs the hours of its settling and sweep, each worth
`hour_price_k` (or `point_price_k` per point; the ramps cost the same on every path). The path that minimises the sum is
found by dynamic programming on a 0.5 K grid; where the density is smooth its steps are proportional to
density^(-1/2), the optimal quantiser. The first step of that path is the decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np
from numpy.typing import NDArray

from devices.wishes import Wishes
from plans.averaging import with_passes
from plans.ladder import Decision, PointSummary, TemperatureLimits
from plans.prior import with_prior
from plans.steering import NO_WISHES, is_vetoed, lifted, pinned, told

__all__ = ["Decision", "PointSummary", "TemperatureLimits", "decide", "fixed_step", "percent"]

Array = NDArray[np.float64]

GRID_K = 0.5
"""Resolution of the temperatures that are considered, K."""
ERROR_PER_WIDTH = 0.25
"""Mean distance of a Tc from the middle of its cell, in units of the cell's width."""


def decide(history: Sequence[PointSummary], limits: TemperatureLimits, wishes: Wishes = NO_WISHES) -> Decision:
    """Return the next set point of an ascending ladder.

    Parameters
    ----------
    history
        The points so far, oldest first; at least one. Only the newest point's density is used.
    limits
        What the ladder may do.
    wishes
        What people want: a pinned set point is gone to, a vetoed one is not.

    Returns
    -------
    Decision
        `next_temperature_k` is above the last set point and at most `limits.top_k`, which ends the ladder.
    """
    seen = with_prior(history, limits)
    here = history[-1].set_point_k
    decision = told(_where(seen, limits, wishes), wishes, here)
    return with_passes(pinned(decision, here, wishes, limits), seen, limits)


def _where(history: Sequence[PointSummary], limits: TemperatureLimits, wishes: Wishes) -> Decision:
    """Return the next set point, without the passes."""
    last = history[-1]
    here = last.set_point_k
    if here >= limits.top_k:
        return Decision(None, f"the ladder ends at {limits.top_k:g} K")
    if not last.valid:
        return lifted(fixed_step(here, limits, last.reason or "no analysis"), here, wishes, limits)
    if last.open_fraction <= limits.open_threshold or here >= limits.tc_max_k:
        return lifted(_stride(last, limits), here, wishes, limits)
    landscape = _Landscape.of(last, limits, wishes)
    return landscape.decision(last, limits)


def fixed_step(here_k: float, limits: TemperatureLimits, why: str) -> Decision:
    """Return the next set point of the fixed ladder, and say why it stands in for the policy."""
    step = limits.fixed_step_k
    target = here_k + step
    if target > limits.top_k - limits.min_step_k:
        target = limits.top_k
    path = [target]
    while path[-1] < limits.top_k:
        following = path[-1] + step
        path.append(limits.top_k if following > limits.top_k - limits.min_step_k else following)
    reason = f"step {target - here_k:.3g} K of the fixed ladder: {why}"
    return Decision(target, reason, fallback=True, step_k=target - here_k, path_k=tuple(path))


def _stride(last: PointSummary, limits: TemperatureLimits) -> Decision:
    """Return the next of the equal large steps that are left once no Tc is open."""
    left = limits.top_k - last.set_point_k
    count = max(1, ceil(left / limits.closed_step_k - 1e-9))
    path = (*(last.set_point_k + left * number / count for number in range(1, count)), limits.top_k)
    step = path[0] - last.set_point_k
    points = f"{count} more point{'s' if count > 1 else ''} to {limits.top_k:g} K"
    if last.open_fraction <= limits.open_threshold:
        share = percent(last.open_fraction)
        why = f"only {share} of the superconducting pixels could still lose diamagnetism above {last.set_point_k:.4g} K"
    else:
        why = f"nothing superconducts above {limits.tc_max_k:g} K"
    reason = f"step {step:.3g} K: {why}, {points}"
    return Decision(path[0], reason, step_k=step, path_k=path)


@dataclass(frozen=True)
class _Landscape:
    """Set points on a grid from the last one to the top, and the share of Tc expected below each."""

    grid_k: Array = field(repr=False)
    """(g,) set points, the last one first, the top last."""
    share: Array = field(repr=False)
    """(g,) expected share of the superconducting pixels with Tc between the last set point and the grid point."""
    vetoed: tuple[bool, ...] = field(repr=False)
    """(g,) whether a set point is vetoed."""

    @classmethod
    def of(cls, last: PointSummary, limits: TemperatureLimits, wishes: Wishes) -> _Landscape:
        """Integrate the newest point's density over set points."""
        grid = np.arange(last.set_point_k, limits.top_k, GRID_K)
        grid = np.append(grid[grid < limits.top_k - 1e-9], limits.top_k)
        vetoed = tuple(is_vetoed(float(value), wishes, limits) for value in grid)
        # The stage is not the sample: the difference at the newest point is taken for the next ones too.
        offset = last.temperature_k - last.set_point_k
        candidates = np.asarray(last.candidate_temperature_k, dtype=np.float64) - offset
        density = np.clip(np.nan_to_num(np.asarray(last.tc_density_per_k, dtype=np.float64)), 0.0, None)
        if candidates.size == 0 or candidates.size != density.size:
            return cls(grid, np.zeros(grid.size), vetoed)
        at_grid = np.interp(grid, candidates, density, left=density[0], right=0.0)
        steps = np.diff(grid) * 0.5 * (at_grid[1:] + at_grid[:-1])
        return cls(grid, np.concatenate([[0.0], np.cumsum(steps)]), vetoed)

    def decision(self, last: PointSummary, limits: TemperatureLimits) -> Decision:
        """Return the first step of the cheapest ascending path."""
        costs, following = self._solve(limits)
        reachable = self._reachable(0, limits)
        scores = np.array([self._cell_cost(0, j, limits) + costs[j] for j in reachable])
        best = int(np.argmin(scores))
        chosen = reachable[best]
        path = [float(self.grid_k[chosen])]
        node = chosen
        while node != self.grid_k.size - 1:
            node = following[node]
            path.append(float(self.grid_k[node]))
        step = path[0] - last.set_point_k
        return Decision(
            path[0],
            self._reason(last, chosen, step, len(path)),
            step_k=step,
            path_k=tuple(path),
            candidate_temperature_k=tuple(float(self.grid_k[j]) for j in reachable),
            gain=_gains(scores),
        )

    def _reason(self, last: PointSummary, chosen: int, step: float, points: int) -> str:
        share = percent(min(1.0, float(self.share[chosen])))
        return (
            f"step {step:.3g} K: {share} of the superconducting pixels are expected to lose diamagnetism between "
            f"{last.set_point_k:.4g} and {self.grid_k[chosen]:.4g} K ({percent(last.open_fraction)} "
            f"still open; {points} more point{'s' if points > 1 else ''} planned)"
        )

    def _reachable(self, start: int, limits: TemperatureLimits) -> list[int]:
        """Return the grid points one step above `start` that the limits allow; the top where nothing else is left."""
        last = self.grid_k.size - 1
        here = float(self.grid_k[start])
        left_open = start == 0 or float(self.share[-1] - self.share[start]) > limits.open_threshold
        left_open = left_open and here < limits.tc_max_k
        longest = limits.max_step_k if left_open else limits.closed_step_k
        low = int(np.searchsorted(self.grid_k, here + limits.min_step_k - 1e-9))
        high = int(np.searchsorted(self.grid_k, here + longest + 1e-9, side="right")) - 1
        if float(self.grid_k[last]) - here <= limits.min_step_k:
            return [last]
        top = float(self.grid_k[last])
        fit = [j for j in range(low, high + 1) if j == last or top - float(self.grid_k[j]) >= limits.min_step_k - 1e-9]
        fit = [j for j in fit if not self.vetoed[j]]
        return fit or [next(j for j in range(min(max(low, start + 1), last), last + 1) if not self.vetoed[j])]

    def _cell_cost(self, start: int, stop: int, limits: TemperatureLimits) -> float:
        width = float(self.grid_k[stop] - self.grid_k[start])
        return ERROR_PER_WIDTH * width * float(self.share[stop] - self.share[start]) + limits.price_k

    def _solve(self, limits: TemperatureLimits) -> tuple[Array, list[int]]:
        """Return the cost of the cheapest path to the top from each grid point, and its next point."""
        last = self.grid_k.size - 1
        costs = np.zeros(last + 1)
        following = [last] * (last + 1)
        for start in range(last - 1, -1, -1):
            options = self._reachable(start, limits)
            totals = [self._cell_cost(start, stop, limits) + float(costs[stop]) for stop in options]
            best = int(np.argmin(totals))
            costs[start], following[start] = totals[best], options[best]
        return costs, following


def percent(share: float) -> str:
    """Return a share for people: two digits, no exponent."""
    value = 100 * share
    if 0 < value < 0.1:
        return "less than 0.1 %"
    return f"{value:.0f} %" if value >= 10 else f"{value:.2g} %"


def _gains(scores: Array) -> tuple[float, ...]:
    """Return the scores scaled to 0 (dearest) ... 1 (cheapest)."""
    worst, best = float(scores.max()), float(scores.min())
    if worst - best <= 0:
        return tuple(1.0 for _ in scores)
    return tuple(float(value) for value in (worst - scores) / (worst - best))
