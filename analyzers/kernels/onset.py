"""Compiled posterior of Tc per pixel: amplitude and reference offset in closed form, exponent summed over a grid."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


@njit(cache=True, nogil=True)
def _accumulate(
    s: Array, sigma: Array, table: Array, first: NDArray[np.int64], sums: Array, reference: float
) -> tuple[float, float, float, int]:
    """Fill `sums` (3, e, k) with sum w g, w g^2, w g y over the temperatures; return sum w, w y, w y^2 and the count.

    y = s - 1; `reference` is the part of sigma that all temperatures share, taken off each; `first` (t,) is the
    first Tc of the grid with any response at the temperature.
    """
    sums[:] = 0.0
    total, total_y, total_yy, count = 0.0, 0.0, 0.0, 0
    for i in range(s.size):
        y = s[i] - 1.0
        variance = sigma[i] * sigma[i]
        # What all temperatures share is modelled apart; at least a quarter of the variance is the point's own.
        variance = max(variance - reference * reference, 0.25 * variance)
        if not (math.isfinite(y) and math.isfinite(variance) and variance > 0.0):
            continue
        weight = 1.0 / variance
        total += weight
        total_y += weight * y
        total_yy += weight * y * y
        count += 1
        for e in range(table.shape[1]):
            row = table[i, e]
            for k in range(first[i], row.size):
                part = weight * row[k]
                sums[0, e, k] += part
                sums[1, e, k] += part * row[k]
                sums[2, e, k] += part * y
    return total, total_y, total_yy, count


@njit(cache=True, nogil=True)
def _weigh(sums: Array, shared: float, total_y: float, precision: float, prior: Array, gain: Array) -> tuple[int, int]:
    """Take the offset off `sums` in place and fill `gain` (e, k): half the chi2 won plus log prior; return the best.

    Afterwards sums[1] is the information on the amplitude and sums[2] that times the amplitude, prior included.
    """
    best_e, best_k = 0, 0
    for e in range(gain.shape[0]):
        for k in range(gain.shape[1]):
            gg = sums[1, e, k] - sums[0, e, k] * sums[0, e, k] * shared + precision
            gy = sums[2, e, k] - sums[0, e, k] * total_y * shared
            sums[1, e, k] = gg
            sums[2, e, k] = gy
            gain[e, k] = 0.5 * gy * gy / gg + prior[e, k]
            if gain[e, k] > gain[best_e, best_k]:
                best_e, best_k = e, k
    return best_e, best_k


@njit(cache=True, nogil=True)
def _normalised(
    information: Array, gain: Array, best: float, precision: float, exponents: Array, density: Array
) -> float:
    """Fill `density` (k,) with the posterior of Tc, amplitude integrated, exponents summed; return mean n."""
    density[:] = 0.0
    norm, exponent = 0.0, 0.0
    for e in range(gain.shape[0]):
        for k in range(gain.shape[1]):
            if gain[e, k] > best - 40.0:
                chance = math.exp(gain[e, k] - best) * math.sqrt(precision / information[e, k])
                density[k] += chance
                norm += chance
                exponent += chance * exponents[e]
    for k in range(density.size):
        density[k] /= norm
    return exponent / norm


@njit(cache=True, nogil=True)
def _quantile(posterior: Array, grid: Array, share: float) -> float:
    """Temperature below which `share` of the posterior lies; each grid value stands for a bin of its spacing."""
    step = grid[1] - grid[0]
    below = 0.0
    for k in range(grid.size):
        if below + posterior[k] >= share:
            return grid[k] - 0.5 * step + step * (share - below) / posterior[k]
        below += posterior[k]
    return grid[grid.size - 1] + 0.5 * step


@njit(cache=True, nogil=True)
def onset_posteriors(
    s: Array,
    sigma: Array,
    reference: Array,
    table: Array,
    first: NDArray[np.int64],
    exponents: Array,
    grid: Array,
    prior: Array,
    prior_amplitude: float,
    last_k: float,
    planes: Array,
    posterior: NDArray[np.float32],
) -> None:
    """Fill `planes` (8, n) and `posterior` (n, k), pixel by pixel in order.

    Parameters
    ----------
    s, sigma
        (n, t) field ratio and its standard deviation; a point with a NaN or a sigma of 0 does not count.
    reference
        (n,) part of sigma that all temperatures of a pixel share (noise of its reference), 0 where none.
    table
        (t, e, k) response of unit amplitude for every form and Tc.
    first
        (t,) index of the first Tc with any response at the temperature.
    exponents, grid, prior
        (e,) exponent of each form, (k,) Tc in K, (e, k) log prior of form and Tc.
    prior_amplitude
        Standard deviation of the amplitude's zero-mean normal prior.
    last_k
        Highest temperature so far, K.
    planes
        (8, n): median Tc, half the central 68 % of Tc, amplitude and its sigma at the best (exponent, Tc), mean
        exponent, significance |amplitude|/sigma there, probability of Tc > last_k, chi2 per point there; NaN: no data.
    posterior
        (n, k) probability of each Tc given that there is an onset.
    """
    sums = np.empty((3, exponents.size, grid.size))
    gain = np.empty((exponents.size, grid.size))
    density = np.empty(grid.size)
    precision = 1.0 / (prior_amplitude * prior_amplitude)
    for pixel in range(s.shape[0]):
        planes[:, pixel] = math.nan
        posterior[pixel] = 0.0
        offset = reference[pixel] if math.isfinite(reference[pixel]) else 0.0
        total, total_y, total_yy, count = _accumulate(s[pixel], sigma[pixel], table, first, sums, offset)
        if count == 0:
            continue
        shared = 1.0 / (total + 1.0 / (offset * offset)) if offset > 0.0 else 0.0
        e, k = _weigh(sums, shared, total_y, precision, prior, gain)
        gg, gy = sums[1, e, k], sums[2, e, k]
        mean_exponent = _normalised(sums[1], gain, gain[e, k], precision, exponents, density)
        above = 0.0
        for j in range(grid.size):
            posterior[pixel, j] = density[j]
            if grid[j] > last_k:
                above += density[j]
        planes[0, pixel] = _quantile(density, grid, 0.5)
        planes[1, pixel] = 0.5 * (_quantile(density, grid, 0.84) - _quantile(density, grid, 0.16))
        planes[2, pixel] = gy / gg
        planes[3, pixel] = 1.0 / math.sqrt(gg)
        planes[4, pixel] = mean_exponent
        planes[5, pixel] = abs(gy) / math.sqrt(gg)
        planes[6, pixel] = above
        planes[7, pixel] = (total_yy - total_y * total_y * shared - gy * gy / gg) / count
