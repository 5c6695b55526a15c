"""Fixed ladders on a world: the fewest hours to an error, with the step and the averaging time tuned for that world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.warming import BASE_K, TOP_K, Warming, World

Array = NDArray[np.float64]

LADDER_POINTS = (11, 13, 16, 20, 25, 32)
"""Sizes of ladders tried: steps of 13 to 4 K."""
TWO_KELVIN_POINTS = 66
"""Size of the 2 K ladder."""
AVERAGING_H = tuple(2.0**power / 60.0 for power in range(9))
"""Averaging times tried, 1 to 256 minutes; between them errors are interpolated."""
RESOLVED = 0.9
"""Share of the pixels that must be resolved."""
DRAWS = (1, 2)
"""Noise draws of a ladder; their mean error counts."""


@dataclass(frozen=True)
class Frontier:
    """Hours and errors of ladders of one world."""

    points: Array
    """(p,) sizes."""
    hours: Array
    """(p, t) hours."""
    error_k: Array
    """(p, t) error of Tc; infinite where too few pixels are resolved."""

    @classmethod
    def of(cls, values: dict[str, Any]) -> Frontier:
        """Return the frontier that `values` came from."""
        return cls(*(np.array(values[key], dtype=np.float64) for key in ("points", "hours", "error_k")))

    def values(self) -> dict[str, Any]:
        """Return it as plain lists, for JSON."""
        return {"points": self.points.tolist(), "hours": self.hours.tolist(), "error_k": self.error_k.tolist()}

    def hours_to(self, error_k: float) -> float:
        """Return the fewest hours of a ladder with at most this error; infinite where none reaches it."""
        return min(_crossing(h, e, error_k) for h, e in zip(self.hours, self.error_k, strict=True))


def _crossing(hours: Array, error_k: Array, goal_k: float) -> float:
    """Return the hours at which errors that fall with averaging cross a goal: log-log between neighbours."""
    best = np.minimum.accumulate(error_k)
    there = np.flatnonzero(best <= goal_k)
    if there.size == 0:
        return float("inf")
    i = int(there[0])
    if i == 0 or not np.isfinite(best[i - 1]):
        return float(hours[i])
    part = np.log(best[i - 1] / goal_k) / np.log(best[i - 1] / best[i])
    return float(np.exp((1.0 - part) * np.log(hours[i - 1]) + part * np.log(hours[i])))


def ladder(world: World, points: int, averaging_h: float, draw: int) -> Warming:
    """Run an equidistant ladder whose reference is averaged as long as each point."""
    run = Warming(world, draw, averaging_h)
    for temperature in np.linspace(BASE_K, TOP_K, points):
        run.measure(float(temperature), averaging_h)
    return run


def frontier(
    world: World, sizes: tuple[int, ...] = LADDER_POINTS, averaging_h: tuple[float, ...] = AVERAGING_H
) -> Frontier:
    """Return hours and errors of ladders of some sizes and averaging times."""
    hours = np.empty((len(sizes), len(averaging_h)))
    error = np.empty_like(hours)
    for i, size in enumerate(sizes):
        for j, averaging in enumerate(averaging_h):
            runs = [ladder(world, size, averaging, draw) for draw in DRAWS]
            errors = np.array([run.error() for run in runs]).mean(axis=0)
            hours[i, j], error[i, j] = runs[0].hours, errors[0] if errors[1] >= RESOLVED else np.inf
    return Frontier(np.array(sizes, dtype=np.float64), hours, error)
