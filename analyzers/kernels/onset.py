"""Compiled posterior of Tc per pixel: amplitude and reference offset in closed form, exponent summed over a grid."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


@njit(cache=True, nogil=True)
def _accumulate(s: Array, sigma: Array, table: Array, sums: Array, reference: float) -> tuple[float, float, float, int]:
    """Fill `sums` (3, m) with sum w g, w g^2, w g y over the temperatures; return sum w, w y, w y^2 and the count.

    y = s - 1; `reference` is the part of sigma that all temperatures share, taken off each.
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
        row = table[i]
        for j in range(row.size):
            part = weight * row[j]
            sums[0, j] += part
            sums[1, j] += part * row[j]
            sums[2, j] += part * y
    return total, total_y, total_yy, count


@njit(cache=True, nogil=True)
def _evidence(
    sums: Array, total: float, total_y: float, reference: float, prior_amplitude: float, prior: Array, logs: Array
) -> int:
    """Fill `logs` (m,) with the log evidence of every (exponent, Tc) against no onset at all; return the best index."""
    shared = 0.0
    if reference > 0.0:
        shared = 1.0 / (total + 1.0 / (reference * reference))
    precision = 1.0 / (prior_amplitude * prior_amplitude)
    grid = prior.size
    best = 0
    for j in range(logs.size):
        gg = sums[1, j] - sums[0, j] * sums[0, j] * shared
        gy = sums[2, j] - sums[0, j] * total_y * shared
        logs[j] = 0.5 * gy * gy / (gg + precision) - 0.5 * math.log1p(gg / precision) + prior[j % grid]
        if logs[j] > logs[best]:
            best = j
    return best


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
        (t, e k) response of unit amplitude for every (exponent, Tc), Tc running fastest.
    exponents, grid, prior
        (e,) exponents, (k,) Tc in K, (k,) log prior of Tc.
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
    grid_size = grid.size
    sums = np.empty((3, table.shape[1]))
    logs = np.empty(table.shape[1])
    density = np.empty(grid_size)
    precision = 1.0 / (prior_amplitude * prior_amplitude)
    for pixel in range(s.shape[0]):
        planes[:, pixel] = math.nan
        posterior[pixel] = 0.0
        shift = reference[pixel] if math.isfinite(reference[pixel]) else 0.0
        total, total_y, total_yy, count = _accumulate(s[pixel], sigma[pixel], table, sums, shift)
        if count == 0:
            continue
        best = _evidence(sums, total, total_y, shift, prior_amplitude, prior, logs)
        density[:] = 0.0
        norm, exponent = 0.0, 0.0
        for j in range(logs.size):
            chance = math.exp(logs[j] - logs[best])
            density[j % grid_size] += chance
            norm += chance
            exponent += chance * exponents[j // grid_size]
        above = 0.0
        for k in range(grid_size):
            density[k] /= norm
            posterior[pixel, k] = density[k]
            if grid[k] > last_k:
                above += density[k]
        shared = 1.0 / (total + 1.0 / (shift * shift)) if shift > 0.0 else 0.0
        gg = sums[1, best] - sums[0, best] * sums[0, best] * shared + precision
        gy = sums[2, best] - sums[0, best] * total_y * shared
        planes[0, pixel] = _quantile(density, grid, 0.5)
        planes[1, pixel] = 0.5 * (_quantile(density, grid, 0.84) - _quantile(density, grid, 0.16))
        planes[2, pixel] = gy / gg
        planes[3, pixel] = 1.0 / math.sqrt(gg)
        planes[4, pixel] = exponent / norm
        planes[5, pixel] = abs(gy) / math.sqrt(gg)
        planes[6, pixel] = above
        planes[7, pixel] = (total_yy - total_y * total_y * shared - gy * gy / gg) / count
