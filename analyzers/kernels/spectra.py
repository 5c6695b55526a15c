"""The robust path's input: mean counts of some pixels, turned into signal and weights one by one."""

from __future__ import annotations

import numpy as np

from analyzers.kernels.codes import Array, Pack
from analyzers.kernels.compiled import kernel


@kernel
def gather(flat: Array, stride: int, order: Array, passes: Array, offset: float, which: Array, out: Array) -> None:
    """Write mean counts (camera offset taken off) of the pixels `which` to `out` (pixels, n), float64."""
    for i in range(order.shape[0]):
        for j in range(which.shape[0]):
            out[j, i] = float(flat[order[i] * stride + which[j]]) / passes[i] - offset


@kernel
def load_pixel(
    values: Array,
    passes: Array,
    saturation: float,
    noise: Pack,
    spectrum: Array,
    places: Array,
    padded_signal: Array,
    frequency: Array,
) -> tuple[int, float]:
    """Turn the mean counts of one pixel into signal and weights.

    Parameters
    ----------
    values
        (n,) mean counts, ascending frequency.
    passes
        (n,) passes of each frequency, > 0.
    saturation
        Mean counts from which a value counts as saturated; 0: not tested.
    noise
        (offset, shot variance per count, read variance per pass), counts.
    spectrum, places
        (4, n) and (n,): filled with the valid points.
    padded_signal
        (n,) signal, 0 at points left out.

    Returns
    -------
    points kept (0: bad pixel), PL0 in counts.
    """
    n = values.shape[0]
    total = 0.0
    highest = -np.inf
    count = 0
    for i in range(n):
        if np.isfinite(values[i]):
            total += values[i]
            count += 1
            highest = max(highest, values[i])
    if count < 0.75 * n:
        return 0, np.nan
    reference = total / count
    if not reference > 0.0 or (saturation > 0.0 and highest >= saturation - noise[0]):
        return 0, reference
    at_top = 0
    kept = 0
    for i in range(n):
        padded_signal[i] = 0.0
        if not np.isfinite(values[i]):
            continue
        if values[i] == highest:
            at_top += 1
        signal = values[i] / reference - 1.0
        padded_signal[i] = signal
        # the pixel's mean level gives the weight: the counts themselves would pull lines by 1 / electrons, and below
        # 20 % contrast weigh less than 1 % more efficiently
        variance = (noise[1] * reference + noise[2]) / passes[i]
        spectrum[0, kept] = frequency[0, i]
        spectrum[1, kept] = frequency[1, i]
        spectrum[2, kept] = signal
        spectrum[3, kept] = reference * reference / variance
        places[kept] = i
        kept += 1
    # a dead or clipped pixel repeats its highest value; photon noise would not
    if at_top > 0.25 * n and (noise[1] * reference + noise[2]) * passes[0] > 4.0:
        return 0, reference
    return kept, reference
