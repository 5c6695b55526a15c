"""Which frequencies to measure: dense on the slopes of the lines that were seen, sparse elsewhere; a pure rule.

After a coarse sweep over the whole range each line is known by where its centres lie over the region. Frames teach
about s only on the slopes of the [111] lines, so those get windows that reach over every centre seen, its slopes, and
as far as lines may move; inside, points lie closer where more pixels have their slopes (spacing as density^(-1/2): of
all spacings with that many points the one with the least mean variance). Lines that only carry sigma_ZZ get sparse
points, and what is left of the range guard points, so that no line can hide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GRID_MHZ = 0.25
"""Resolution of the frequencies that are considered, MHz."""


@dataclass(frozen=True)
class LineSeen:
    """One line over the region of interest, as the coarse sweep or the last map shows it."""

    centre_mhz: tuple[float, ...]
    """Quantiles of its centre over the region at equal steps from the lowest to the highest, MHz; at least two."""
    fwhm_mhz: float
    """Median width, MHz."""
    dense: bool = True
    """True where s hangs on it; false where it only carries sigma_ZZ."""

    def __post_init__(self) -> None:
        """Refuse a line without a range or width."""
        centres = np.asarray(self.centre_mhz, dtype=np.float64)
        if centres.size < 2 or not np.isfinite(centres).all() or np.any(np.diff(centres) < 0):
            raise ValueError("centre_mhz must hold at least two ascending, finite quantiles")
        if not 0 < self.fwhm_mhz < np.inf:
            raise ValueError("fwhm_mhz must be positive")


@dataclass(frozen=True)
class FrequencyLimits:
    """What the list may do."""

    first_mhz: float = 2800.0
    """Lowest frequency of the coarse sweep, MHz."""
    last_mhz: float = 3460.0
    """Highest, MHz."""
    drift_mhz: float = 3.0
    """How far lines may move before the next look at all of them, MHz."""
    reach: float = 0.8
    """How far a window reaches beyond the outermost centre, in widths: both slopes are inside."""
    points_per_width: float = 8.0
    """Mean density of points in the windows: per line width."""
    sparse_per_width: float = 0.5
    """Density of points over lines that carry sigma_ZZ only, per line width."""
    guard_per_width: float = 0.5
    """Density of points where no line was seen, per width of the narrowest line."""

    def __post_init__(self) -> None:
        """Refuse an empty range and densities that are not positive."""
        if not self.first_mhz < self.last_mhz:
            raise ValueError("first_mhz must be below last_mhz")
        if min(self.points_per_width, self.sparse_per_width, self.guard_per_width) <= 0 or self.reach < 0.5:
            raise ValueError("densities must be positive and reach at least half a width")
        if self.drift_mhz < 0:
            raise ValueError("drift_mhz must not be negative")


@dataclass(frozen=True)
class FrequencyPlan:
    """A list of frequencies and why it is so."""

    frequency_mhz: tuple[float, ...]
    """Ascending, MHz."""
    windows_mhz: tuple[tuple[float, float], ...]
    """Where s is measured, MHz."""
    reason: str
    """One sentence with numbers, for people."""


def plan_frequencies(lines: Sequence[LineSeen], limits: FrequencyLimits) -> FrequencyPlan:
    """Return the list for the lines seen; without any dense line it covers the whole range evenly.

    Parameters
    ----------
    lines
        The lines seen, in any order.
    limits
        Range and densities.
    """
    dense = [line for line in lines if line.dense]
    narrowest = min((line.fwhm_mhz for line in lines), default=10.0)
    if not dense:
        step = narrowest / limits.points_per_width
        return FrequencyPlan(_even(limits.first_mhz, limits.last_mhz, step), (), "no line to follow: the whole range")
    windows = merged([window_of(line, limits) for line in dense])
    chosen: list[float] = []
    for low, high in windows:
        chosen += _spread(low, high, dense, limits)
    for line in lines:
        if not line.dense:
            low, high = window_of(line, limits)
            chosen += [
                value
                for value in _even(low, high, line.fwhm_mhz / limits.sparse_per_width)
                if not inside(value, windows)
            ]
    found = _guarded(sorted(chosen), limits, narrowest / limits.guard_per_width)
    share = sum(inside(value, windows) for value in found) / len(found)
    spans = " and ".join(f"{low:.0f} to {high:.0f}" for low, high in windows)
    text = f"{len(found)} frequencies, {100 * share:.0f} % of them at {spans} MHz where the lines were seen"
    return FrequencyPlan(tuple(found), windows, text)


def window_of(line: LineSeen, limits: FrequencyLimits) -> tuple[float, float]:
    """Return where a line can be, slopes and movement included, cut to the range, MHz."""
    margin = limits.reach * line.fwhm_mhz + limits.drift_mhz
    low, high = line.centre_mhz[0] - margin, line.centre_mhz[-1] + margin
    return min(max(low, limits.first_mhz), limits.last_mhz), max(min(high, limits.last_mhz), limits.first_mhz)


def merged(windows: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return windows in order, those that touch as one."""
    rows: list[tuple[float, float]] = []
    for low, high in sorted(windows):
        if rows and low <= rows[-1][1]:
            rows[-1] = (rows[-1][0], max(rows[-1][1], high))
        else:
            rows.append((low, high))
    return tuple(rows)


def inside(value: float, windows: Sequence[tuple[float, float]]) -> bool:
    """Return whether a frequency lies in a window."""
    return any(low <= value <= high for low, high in windows)


def strays(lines: Sequence[LineSeen], plan: FrequencyPlan, limits: FrequencyLimits) -> tuple[LineSeen, ...]:
    """Return the dense lines whose slopes have left the windows: the list must be made anew."""
    half = 0.5
    return tuple(
        line
        for line in lines
        if line.dense
        and not (
            inside(max(line.centre_mhz[0] - half * line.fwhm_mhz, limits.first_mhz), plan.windows_mhz)
            and inside(min(line.centre_mhz[-1] + half * line.fwhm_mhz, limits.last_mhz), plan.windows_mhz)
        )
    )


def _spread(low: float, high: float, lines: Sequence[LineSeen], limits: FrequencyLimits) -> list[float]:
    """Return points in a window, spaced as the density of slopes^(-1/2), never wider than half a width."""
    if high - low < GRID_MHZ:
        return [low]
    grid = np.linspace(low, high, int(np.ceil((high - low) / GRID_MHZ)) + 1)
    step = float(grid[1] - grid[0])
    weight = np.zeros(grid.size)
    narrowest = np.inf
    for line in lines:
        if line.centre_mhz[0] <= high and line.centre_mhz[-1] >= low:
            weight += _slopes(grid, line)
            narrowest = min(narrowest, line.fwhm_mhz)
    density = np.sqrt(np.maximum(weight, 0.0))
    density /= max(float(density.mean()), 1e-12)
    # Half a width apart at most: a line that moved to the edge of its window is still sampled on both slopes.
    per_mhz = np.maximum(limits.points_per_width * density, 2.0) / narrowest
    total = np.concatenate([[0.0], np.cumsum(0.5 * (per_mhz[1:] + per_mhz[:-1]) * step)])
    count = max(2, int(np.ceil(total[-1])) + 1)
    return [float(value) for value in np.interp(np.linspace(0.0, total[-1], count), total, grid)]


def _slopes(grid: Array, line: LineSeen) -> Array:
    """(g,) information on the centre of a Lorentzian, averaged over the centres seen."""
    centres = np.interp(np.linspace(0, 1, 41), np.linspace(0, 1, len(line.centre_mhz)), line.centre_mhz)
    x = 2.0 * (grid[:, None] - centres) / line.fwhm_mhz
    return ((x / (1.0 + x * x) ** 2) ** 2).mean(axis=1)


def _even(low: float, high: float, step: float) -> tuple[float, ...]:
    count = max(2, int(np.ceil((high - low) / step)) + 1)
    return tuple(float(value) for value in np.linspace(low, high, count))


def _guarded(chosen: Sequence[float], limits: FrequencyLimits, widest: float) -> list[float]:
    """Return the points, rounded and without repeats, and guards in every gap wider than `widest`."""
    rows = [limits.first_mhz, *chosen, limits.last_mhz]
    found: set[float] = set()
    for low, high in pairwise(rows):
        found.update(np.round(_even(low, high, widest) if high - low > widest else (low, high), 3).tolist())
    return sorted(found)
