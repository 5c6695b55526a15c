"""How far neighbouring pixels say the same, and blocks of at least that size: what counts as independent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

FEWEST_PAIRS = 32
"""A lag with fewer pairs of pixels is not used."""
BLOCK_LENGTHS = 3.0
"""Edge of a block in correlation lengths."""
SHARED_VARIANCE = 1.5
"""True variance of a mean over that of blocks taken as independent: for a covariance exp(-(r/L)^2) a block of edge 3 L
holds (erf(3) - (1 - e^-9) / (3 sqrt(pi)))^2 = 0.66 of the covariance around its pixels, the rest is with neighbours."""


def correlation_length_um(residual: Array, mask: Mask, pixel_um: float) -> float:
    """Return the correlation length of a field, um.

    The larger of two: the distance at which the autocovariance has fallen to 1/e, and the length L of an exponential
    exp(-r/L) with the same integral over the plane up to the first zero, 2 pi L^2 (a short rim on a long wave has a
    short 1/e and a long integral). White noise of the pixels is not part of it: the value at distance 0 is extrapolated
    from the next two. A field that is all noise has one pixel; one that stays correlated over the whole mask has half
    of the mask's extent.

    Parameters
    ----------
    residual
        (y, x) what is left of the field once what is meant to be compared is taken off.
    mask
        (y, x) pixels that count; those without a value are left out.
    """
    known = mask & np.isfinite(residual)
    if np.count_nonzero(known) < FEWEST_PAIRS:
        return pixel_um
    values = np.where(known, residual - residual[known].mean(), 0.0)
    lags, covariance = _radial(values, known)
    start = float(np.clip(2.0 * covariance[1] - covariance[2], covariance[1], covariance[0])) if lags.size > 2 else 0.0
    if lags.size < 3 or start <= 0 or covariance[1] <= 2.0 * covariance[0] / np.sqrt(np.count_nonzero(known)):
        return pixel_um
    negative = np.flatnonzero(covariance <= 0)
    inside = slice(1, int(negative[0]) if negative.size else None)
    integral = pixel_um * float(np.sqrt(np.sum(covariance[inside] * lags[inside]) / start))
    below = np.flatnonzero(covariance[1:] <= start / np.e) + 1
    if below.size == 0:
        return 0.5 * pixel_um * float(lags[-1])
    last = int(below[0])
    high, low = (start if last == 1 else covariance[last - 1]), covariance[last]
    share = (high - start / np.e) / (high - low) if high > low else 0.0
    return max(pixel_um, integral, pixel_um * float(lags[last] - 1 + share))


def padded_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return at least twice a plane's shape, in lengths that transform fast: nothing wraps around."""
    height, width = (int(fft.next_fast_len(2 * length, real=True) or 2 * length) for length in shape)
    return height, width


def _radial(values: Array, known: Mask) -> tuple[NDArray[np.int64], Array]:
    """Return the whole distances in pixels, and the mean product of pairs at each."""
    shape = padded_shape(values.shape)

    def paired(plane: Array) -> Array:
        spectrum = np.asarray(fft.rfft2(plane, s=shape))
        return np.asarray(fft.irfft2(np.abs(spectrum) ** 2, s=shape), dtype=np.float64)

    products, pairs = paired(values), paired(known.astype(np.float64))
    rows, columns = (np.minimum(np.arange(n), n - np.arange(n)) for n in shape)
    distance = np.rint(np.hypot(rows[:, None], columns[None, :])).astype(np.int64)
    longest = int(max(np.ptp(axis) for axis in np.nonzero(known)) + 1)
    inside = (distance < longest) & (pairs > 0.5)
    counts = np.bincount(distance[inside], pairs[inside], longest)
    sums = np.bincount(distance[inside], products[inside], longest)
    enough = int(np.argmin(counts >= FEWEST_PAIRS)) if (counts < FEWEST_PAIRS).any() else longest
    return np.arange(enough), sums[:enough] / counts[:enough]


def block_labels(shape: tuple[int, int], pixel_um: float, length_um: float) -> NDArray[np.int64]:
    """Return (y, x) the number of the square block that each pixel belongs to."""
    edge = max(1, round(BLOCK_LENGTHS * length_um / pixel_um))
    rows, columns = np.indices(shape)
    return (rows // edge) * (shape[1] // edge + 1) + columns // edge


def trend_residual(field: Array, mask: Mask, covariates: tuple[Array, ...]) -> Array:
    """Return (y, x) what a quadratic in each covariate leaves of a field; NaN outside the mask and where unknown."""
    known = mask & np.isfinite(field)
    used = [plane for plane in covariates if np.isfinite(plane[mask]).sum() > 0.5 * np.count_nonzero(mask)]
    for plane in used:
        known &= np.isfinite(plane)
    out = np.full(field.shape, np.nan)
    if np.count_nonzero(known) <= 1 + 2 * len(used):
        return out
    columns = [np.ones(np.count_nonzero(known))]
    for plane in used:
        values = plane[known] - plane[known].mean()
        columns += [values, values**2]
    design = np.stack(columns, axis=1)
    out[known] = field[known] - design @ np.linalg.lstsq(design, field[known], rcond=None)[0]
    return out
