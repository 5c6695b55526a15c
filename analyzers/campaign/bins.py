"""Binned means with counts and errors: the phase diagrams. A bin without pixels is NaN; nothing is extrapolated.

The error of a bin's mean is that of the blocks it is made of (three correlation lengths wide, and what they still share
with their neighbours, see `analyzers.campaign.blocks`): blocks scatter by noise and by disorder alike, so both are in
it. What all pixels of a map
share, the off-sample ratio, is added. With fewer than `FEWEST_BLOCKS` blocks the scatter says too little: the error is
NaN, the mean and the count stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analyzers.campaign.blocks import SHARED_VARIANCE

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

ONE_SIGMA = 0.8413447
"""Chance to lie below the mean plus one standard deviation."""
FEWEST_BLOCKS = 4
"""Blocks that a bin needs for an error."""


@dataclass(frozen=True)
class Binned:
    """Means over a grid of bins, of one or two coordinates."""

    edges: tuple[Array, ...]
    """Edges of the bins of each coordinate."""
    mean: Array
    """Mean of the values; NaN where a bin has none."""
    error: Array
    """Standard deviation of the mean; NaN where a bin has too few blocks."""
    scatter: Array
    """Standard deviation of the values within the bin; NaN for less than two."""
    count: Integers
    """Values."""
    blocks: Integers
    """Blocks that they come from."""
    effective: Array
    """Independent values with the same error of the mean; NaN without an error."""


def binned_mean(
    coordinates: tuple[Array, ...],
    edges: tuple[Array, ...],
    values: Array,
    block: Integers,
    sweep: Integers | None = None,
    common_sigma: Array | None = None,
) -> Binned:
    """Return the mean of the values in every bin.

    Parameters
    ----------
    coordinates
        One (n,) array per coordinate.
    edges
        Rising edges per coordinate; values at or above the last one, below the first one, or NaN belong nowhere.
    values
        (n,); NaN are left out.
    block
        (n,) number of the block of each value: values of different blocks are independent.
    sweep, common_sigma
        (n,) number of the map of each value, and the standard deviation of what its pixels share; None: nothing.

    Raises
    ------
    ValueError
        Where the edges do not rise or the arrays differ in length.
    """
    for edge in edges:
        if edge.size < 2 or not (np.diff(edge) > 0).all():
            raise ValueError("edges of bins must rise; give at least two")
    if len(coordinates) != len(edges) or any(c.shape != values.shape for c in (*coordinates, block)):
        raise ValueError("coordinates, edges, values and blocks do not belong together")
    shape = tuple(edge.size - 1 for edge in edges)
    cell, inside = _cell(coordinates, edges, np.isfinite(values))
    cell, kept, number = cell[inside], values[inside], int(np.prod(shape))
    count = np.bincount(cell, minlength=number)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(cell, kept, number) / count
        left = kept - mean[cell]
        scatter = np.sqrt(np.bincount(cell, left**2, number) / np.where(count > 1, count - 1, np.nan))
        blocks, variance = _cluster_variance(cell, block[inside], left, count)
        if sweep is not None and common_sigma is not None:
            variance = variance + _common_variance(cell, sweep[inside], common_sigma[inside], count)
        error = np.where(blocks >= FEWEST_BLOCKS, np.sqrt(variance), np.nan)
        effective = np.minimum((scatter / error) ** 2, count)
    return Binned(
        edges,
        mean=mean.reshape(shape),
        error=error.reshape(shape),
        scatter=scatter.reshape(shape),
        count=count.reshape(shape),
        blocks=blocks.reshape(shape),
        effective=effective.reshape(shape),
    )


def _cell(
    coordinates: tuple[Array, ...], edges: tuple[Array, ...], known: NDArray[np.bool_]
) -> tuple[Integers, NDArray[np.bool_]]:
    """Return the flat number of every value's bin, and which values belong to one."""
    total = np.zeros(known.shape, np.int64)
    inside = known.copy()
    for coordinate, edge in zip(coordinates, edges, strict=True):
        place = np.searchsorted(edge, np.nan_to_num(coordinate, nan=-np.inf), side="right") - 1
        inside &= (place >= 0) & (place < edge.size - 1) & np.isfinite(coordinate)
        total = total * (edge.size - 1) + np.clip(place, 0, edge.size - 2)
    return total, inside


def _cluster_variance(cell: Integers, block: Integers, left: Array, count: Integers) -> tuple[Integers, Array]:
    """Return the blocks of each bin, and the variance of its mean from leaving each block out in turn.

    Few blocks, and blocks of unequal size, scatter less about their own mean than about the true one; leaving them out
    undoes the second, Student's t for the blocks' effective number widens what is left to 68 %.
    """
    number = count.size
    key = cell * (int(block.max()) + 1 if block.size else 1) + block
    unique, member = np.unique(key, return_inverse=True)
    sums = np.bincount(member, left, unique.size).astype(np.float64)
    owner = unique // (int(block.max()) + 1 if block.size else 1)
    blocks = np.bincount(owner, minlength=number)
    sizes = np.bincount(member, minlength=unique.size).astype(np.float64)
    rest = count[owner] - sizes
    squares = np.bincount(owner, np.divide(sums, rest, out=np.zeros_like(sums), where=rest > 0) ** 2, number)
    share = 1.0 - 1.0 / np.where(blocks > 1, blocks, np.nan)
    # blocks whose pixels are few do not count for whole ones
    effective = count.astype(np.float64) ** 2 / np.bincount(owner, sizes**2, number)
    student = stats.t.ppf(ONE_SIGMA, np.maximum(effective - 1.0, 1.0)) / stats.norm.ppf(ONE_SIGMA)
    return blocks, SHARED_VARIANCE * share * squares * student**2


def _common_variance(cell: Integers, sweep: Integers, sigma: Array, count: Integers) -> Array:
    """Return the variance of each bin's mean from what the pixels of a map share."""
    number, sweeps = count.size, int(sweep.max()) + 1 if sweep.size else 1
    unique, member, shares = np.unique(cell * sweeps + sweep, return_inverse=True, return_counts=True)
    first = np.zeros(unique.size)
    first[member] = sigma
    return np.bincount(unique // sweeps, (shares * first) ** 2, number) / count.astype(np.float64) ** 2
