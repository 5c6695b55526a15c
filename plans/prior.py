"""What is known of Tc before the maps say it: R(T) of the cool-down and the Tc of the previous load; pure rules.

Both are shapes over temperature that are mixed with an even spread, so that no region is ever excluded: transport sees
one current path, and shows nothing where the superconducting parts do not join.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plans.ladder import PointSummary, TemperatureLimits

Array = NDArray[np.float64]
Prior = tuple[tuple[float, ...], tuple[float, ...]]
"""Temperatures (K) and weights against an even spread."""

GRID_K = 2.0
"""Step of the temperatures, K."""
EVEN_SHARE = 0.5
"""Share of the even spread in the mixture."""
SPREAD_TRANSPORT_K = 8.0
"""How far local Tc may lie from what the current path shows, K."""
SPREAD_LOAD_K = 10.0
"""How far Tc may move from load to load, K."""
SMALLEST_DROP = 0.05
"""Share of the resistance whose loss is a sign of superconductivity."""
NOTHING: Prior = ((), ())
"""No prior."""


def from_transport(temperature_k: ArrayLike, resistance_ohm: ArrayLike, tc_max_k: float) -> Prior:
    """Return what R(T) says: Tc where R falls faster than it does in the normal state; nothing where it never does.

    Parameters
    ----------
    temperature_k, resistance_ohm
        (n,) of the cool-down, any order.
    tc_max_k
        Above this the sample is normal: the slope there is that of the normal state.
    """
    t, r = np.asarray(temperature_k, dtype=np.float64), np.asarray(resistance_ohm, dtype=np.float64)
    usable = np.isfinite(t) & np.isfinite(r)
    order = np.argsort(t[usable])
    t, r = t[usable][order], r[usable][order]
    normal = t > tc_max_k
    if np.count_nonzero(normal) < 3 or np.count_nonzero(~normal) < 3 or np.ptp(t[normal]) < GRID_K:
        return NOTHING
    line = np.polyfit(t[normal], r[normal], 1)
    missing = np.clip(np.polyval(line, t) - r, 0.0, None)
    scatter = float(np.std(r[normal] - np.polyval(line, t[normal])))
    if missing.max() < max(SMALLEST_DROP * abs(float(r[normal].mean())), 5.0 * scatter):
        return NOTHING
    # What is missing grows towards the cold; where it grows, Tc lie.
    grid = np.arange(t[0], tc_max_k + 0.5 * GRID_K, GRID_K)
    grown = np.clip(-np.gradient(np.interp(grid, t, missing), grid), 0.0, None)
    # The normal slope itself makes up a part of it once R is low: only what exceeds it counts.
    grown = np.where(grown > abs(float(line[0])), grown, 0.0)
    return _mixed(grid, grown, SPREAD_TRANSPORT_K)


def from_load(tc_k: ArrayLike, density_per_k: ArrayLike) -> Prior:
    """Return what the previous load says: its spread of Tc, widened."""
    t, density = np.asarray(tc_k, dtype=np.float64), np.asarray(density_per_k, dtype=np.float64)
    if t.size < 3 or t.shape != density.shape or np.ptp(t) < GRID_K:
        return NOTHING
    grid = np.arange(t[0], t[-1] + 0.5 * GRID_K, GRID_K)
    return _mixed(grid, np.clip(np.nan_to_num(np.interp(grid, t, density)), 0.0, None), SPREAD_LOAD_K)


def both(one: Prior, other: Prior) -> Prior:
    """Return the product of two priors; where one says nothing, the other."""
    if not one[0] or not other[0]:
        return one if one[0] else other
    weight = np.interp(one[0], *other) * np.asarray(one[1])
    return one[0], tuple(float(value) for value in weight)


def with_prior(history: Sequence[PointSummary], limits: TemperatureLimits) -> Sequence[PointSummary]:
    """Return the points with the newest one's density weighted by the prior; the share that is open stays."""
    if not limits.prior_tc_k or not history:
        return history
    last = history[-1]
    candidates = np.asarray(last.candidate_temperature_k, dtype=np.float64)
    density = np.clip(np.nan_to_num(np.asarray(last.tc_density_per_k, dtype=np.float64)), 0.0, None)
    if not last.valid or candidates.size < 2 or candidates.size != density.size:
        return history
    weighted = density * np.interp(candidates, limits.prior_tc_k, limits.prior_weight)
    total = float(np.trapezoid(weighted, candidates))
    if total <= 0.0:
        return history
    scaled = weighted * float(np.trapezoid(density, candidates)) / total
    return (*history[:-1], replace(last, tc_density_per_k=tuple(float(value) for value in scaled)))


def _mixed(grid: Array, shape: Array, spread_k: float) -> Prior:
    """Return the shape, widened, and an even spread, half and half; weight 1 is what an even spread has."""
    if shape.sum() <= 0.0:
        return NOTHING
    away = (grid[:, None] - grid) / spread_k
    wide = np.exp(-0.5 * away**2) @ shape
    weight = EVEN_SHARE + (1.0 - EVEN_SHARE) * wide / wide.mean()
    return tuple(float(value) for value in grid), tuple(float(value) for value in weight)
