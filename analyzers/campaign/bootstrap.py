"""Hierarchical bootstrap: samples are drawn anew, of each draw its loads, of each of these its blocks.

Pixels of one block are never taken apart, so that their correlation is in the interval. A level with a single unit is
kept as it is: nothing is known of the scatter among such units, and `Interval.levels` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.campaign.rows import Units

Array = NDArray[np.float64]

DRAWS = 400
"""Draws of a bootstrap."""
CONFIDENCE = 0.68
"""Share of the draws inside an interval."""
FEWEST_DRAWS = 0.5
"""Share of the draws that must give a number; else there is no interval."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence intervals, element by element."""

    value: Array
    """(k,) the estimate from all rows."""
    low: Array
    """(k,) lower end; NaN where too few draws have a value."""
    high: Array
    """(k,) upper end."""
    draws_with_value: Array
    """(k,) share of the draws that have a value."""
    levels: tuple[str, ...]
    """Levels that were drawn anew."""
    units: tuple[int, int, int]
    """Samples, loads and blocks there are."""
    effective_blocks: float
    """Blocks that count: (sum of their sizes)^2 over the sum of squares."""


def draw_weights(units: Units, random: np.random.Generator) -> Array:
    """Return (n,) how often each row is in one draw."""
    block_of, first = np.unique(units.block, return_index=True)
    load_of, sample_of = units.load[first], units.sample[first]
    weight = np.zeros(block_of.size)
    samples = np.unique(sample_of)
    for sample in random.choice(samples, samples.size):
        loads = np.unique(load_of[sample_of == sample])
        for load in random.choice(loads, loads.size):
            members = np.flatnonzero(load_of == load)
            weight += np.bincount(random.choice(members, members.size), minlength=weight.size)
    return weight[np.searchsorted(block_of, units.block)]


def bootstrap(
    estimate: Callable[[Array], Array],
    units: Units,
    draws: int = DRAWS,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Return an estimate with its confidence intervals.

    Parameters
    ----------
    estimate
        From the weight of every row (n,) to k numbers; NaN where the rows do not tell.
    units
        Sample, load and block of every row.
    draws, seed
        Draws, and the seed of the first; draw i depends on (seed, i) only.
    confidence
        Share of the draws inside an interval.
    """
    value = np.atleast_1d(estimate(np.ones(units.block.size)))
    found = np.stack(
        [np.atleast_1d(estimate(draw_weights(units, np.random.default_rng([seed, number])))) for number in range(draws)]
    )
    known = np.isfinite(found).mean(axis=0)
    enough = known >= FEWEST_DRAWS
    ends = np.full((2, value.size), np.nan)
    tails = 0.5 * (1.0 - confidence), 0.5 * (1.0 + confidence)
    if enough.any():
        ends[:, enough] = np.nanquantile(found[:, enough], tails, axis=0)
    counts = [np.unique(level).size for level in (units.sample, units.load, units.block)]
    loads_each = [np.unique(units.load[units.sample == sample]).size for sample in np.unique(units.sample)]
    drawn = (
        ("sample", counts[0] > 1),
        ("load", max(loads_each, default=0) > 1),
        ("block", counts[2] > 1),
    )
    size = np.unique(units.block, return_counts=True)[1].astype(np.float64)
    return Interval(
        value=value,
        low=ends[0],
        high=ends[1],
        draws_with_value=known,
        levels=tuple(name for name, there in drawn if there),
        units=(counts[0], counts[1], counts[2]),
        effective_blocks=float(size.sum() ** 2 / (size**2).sum()) if size.size else 0.0,
    )
