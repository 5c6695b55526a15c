"""What the neighbours of each pixel say: robust level and extremes, for masks found on whole maps."""

from __future__ import annotations

import numpy as np

from analyzers.kernels.codes import Array
from analyzers.kernels.compiled import kernel

REACH = 2
"""Neighbours up to this many pixels away make the level and its spread."""


@kernel
def sort_first(values: Array, count: int) -> None:
    """Sort the first `count` values in place, ascending."""
    for i in range(1, count):
        value = values[i]
        j = i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value


@kernel
def middle(values: Array, count: int) -> float:
    """Return the median of the first `count` sorted values."""
    half = count // 2
    if count % 2:
        return values[half]
    return 0.5 * (values[half - 1] + values[half])


@kernel
def gather(plane: Array, y: int, x: int, reach: int, out: Array) -> int:
    """Write the finite values around a pixel, without its own, to `out`; return how many."""
    count = 0
    for v in range(max(0, y - reach), min(plane.shape[0], y + reach + 1)):
        for u in range(max(0, x - reach), min(plane.shape[1], x + reach + 1)):
            if (v != y or u != x) and np.isfinite(plane[v, u]):
                out[count] = plane[v, u]
                count += 1
    return count


@kernel
def neighbour_levels(plane: Array, out: Array) -> None:
    """Describe the surroundings of every pixel.

    Parameters
    ----------
    plane
        (y, x) float64; values that are not finite do not count.
    out
        (4, y, x) float64: median of the neighbours, 1.4826 times their median deviation, and the second highest and
        second lowest of the eight nearest; NaN with fewer than five neighbours (three of the nearest).
    """
    values = np.empty((2 * REACH + 1) ** 2)
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            for row in range(4):
                out[row, y, x] = np.nan
            count = gather(plane, y, x, REACH, values)
            if count < 5:
                continue
            sort_first(values, count)
            level = middle(values, count)
            for i in range(count):
                values[i] = abs(values[i] - level)
            sort_first(values, count)
            out[0, y, x] = level
            out[1, y, x] = 1.4826 * middle(values, count)
            count = gather(plane, y, x, 1, values)
            if count >= 3:
                sort_first(values, count)
                out[2, y, x] = values[count - 2]
                out[3, y, x] = values[1]
