"""Drift of the view between sweeps: found in the light of the two, undone on maps, never on frames.

Where the light is bright and dark (fringes, ruby, leads) does not depend on s; the sample, where s moves, is left out
where enough of the view remains. Phase correlation (scikit-image) finds the shift to a twentieth of a pixel, a least
squares step in the light itself refines it and says how well it is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from analyzers.fitmap import Doublet
from analyzers.status import StatusCode

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

BACKGROUND_PX = 8.0
"""Structure much wider than this is illumination, which does not move with the sample."""
UPSAMPLING = 20
"""Steps per pixel of the phase correlation."""
ROUNDS = 12
"""Most steps of the refinement."""
SMALLEST_SHARE = 0.3
"""Share of the view that must be left for a region to be left out."""
DECIMALS = 4
"""Shifts are rounded to this many decimals, px: far below their error, far above what processors differ by."""


@dataclass(frozen=True)
class Drift:
    """How far the view has moved since the reference."""

    shift_px: tuple[float, float]
    """(rows, columns): what was at (y, x) in the reference is at (y, x) + shift now."""
    sigma_px: tuple[float, float]
    """Standard deviations of the two."""
    residual: float
    """Scatter of the light's logarithm that the shift leaves."""
    pixels: int
    """Pixels that were compared."""


def find_drift(reference: NDArray[np.floating], light: NDArray[np.floating], moving: Mask) -> Drift:
    """Return the drift between two views.

    Parameters
    ----------
    reference, light
        (y, x) light off the lines in the reference and now; NaN where unknown.
    moving
        (y, x) pixels whose values may change by themselves: not compared where enough others are left.
    """
    known = np.isfinite(reference) & np.isfinite(light) & (reference > 0) & (light > 0)
    if np.count_nonzero(known & ~moving) >= SMALLEST_SHARE * known.size:
        known &= ~moving
    first, second = structure(reference, known), structure(light, known)
    usable = known & _inside(known.shape)
    window = np.outer(np.hanning(first.shape[0] + 2)[1:-1], np.hanning(first.shape[1] + 2)[1:-1]) * usable
    shift, _, _ = phase_cross_correlation(first * window, second * window, upsample_factor=UPSAMPLING)
    return _refined(first, second, usable, -np.asarray(shift, dtype=np.float64))


def _inside(shape: tuple[int, ...]) -> Mask:
    """Return the pixels far enough from the edges for their background to be known on all sides."""
    mask = np.zeros(shape, np.bool_)
    rows, columns = (min(int(1.5 * BACKGROUND_PX), length // 6) for length in shape)
    mask[rows : shape[0] - rows, columns : shape[1] - columns] = True
    return mask


def structure(light: NDArray[np.floating], known: Mask) -> Array:
    """Return the fine structure of the light's logarithm, 0 where it is not known."""
    values = np.log(np.where(known, light, 1.0).astype(np.float64))
    wide = ndimage.gaussian_filter(np.where(known, values, 0.0), BACKGROUND_PX)
    share = ndimage.gaussian_filter(known.astype(np.float64), BACKGROUND_PX)
    return np.where(known, values - wide / np.maximum(share, 1e-6), 0.0)


def _refined(first: Array, second: Array, usable: Mask, shift: Array) -> Drift:
    """Refine a shift by least squares in shift, gain and offset; outliers beyond four scatters are left out."""
    inverse, scatter, kept = np.full((4, 4), np.inf), float("nan"), usable
    for _ in range(ROUNDS):
        moved = ndimage.shift(second, -shift, order=3, mode="nearest")
        seen = ndimage.shift(usable.astype(np.float64), -shift, order=1, mode="constant") > 0.999
        slopes = np.gradient(moved)
        kept = usable & seen
        residual = first - moved
        middle = np.median(residual[kept]) if kept.any() else 0.0
        scatter = 1.4826 * float(np.median(np.abs(residual[kept] - middle))) if kept.any() else float("nan")
        kept &= np.abs(residual - middle) <= 4.0 * scatter
        if np.count_nonzero(kept) < 32:
            break
        design = np.stack([slopes[0][kept], slopes[1][kept], moved[kept], np.ones(np.count_nonzero(kept))], axis=1)
        normal = design.T @ design
        if np.linalg.cond(normal) > 1e12:
            break
        step = np.linalg.solve(normal, design.T @ residual[kept])
        left = residual[kept] - design @ step
        inverse = np.linalg.inv(normal) * float(left @ left) / max(1, left.size - 4)
        scatter = float(np.sqrt(np.mean(left**2)))
        shift = shift + np.clip(step[:2], -1.0, 1.0)
        if np.abs(step[:2]).max() < 1e-4:
            break
    sigma = np.sqrt(np.diag(inverse)[:2])
    rows, columns = (round(float(value), DECIMALS) for value in shift)
    return Drift((rows, columns), (float(sigma[0]), float(sigma[1])), scatter, int(np.count_nonzero(kept)))


def at_reference(doublet: Doublet, drift: Drift) -> Doublet:
    """Return a doublet's maps on the pixels of the reference.

    Values are interpolated between the four pixels around; what one of them lacks is missing. The error of the shift
    times the local gradient is added to every sigma.
    """
    status = _status(doublet.status, drift)
    good = status == StatusCode.OK

    def moved(values: NDArray[np.float32], sigma: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        value = _interpolated(values.astype(np.float64), drift, square=False)
        noise = _interpolated(sigma.astype(np.float64) ** 2, drift, square=True)
        total = np.sqrt(noise + _gradient_error(value, drift) ** 2)
        return tuple(np.where(good, plane, np.nan).astype(np.float32) for plane in (value, total))

    centre, centre_sigma = moved(doublet.centre_mhz, doublet.centre_mhz_sigma)
    half, half_sigma = moved(doublet.half_splitting_mhz, doublet.half_splitting_sigma_mhz)
    return replace(
        doublet,
        centre_mhz=centre,
        centre_mhz_sigma=centre_sigma,
        half_splitting_mhz=half,
        half_splitting_sigma_mhz=half_sigma,
        status=status,
    )


def _corners(drift: Drift) -> list[tuple[int, int, float]]:
    """Return (row, column, weight) of the four pixels around a shifted one; those without weight are left out."""
    (row, row_share), (column, column_share) = (divmod(value, 1.0) for value in drift.shift_px)
    corners = [
        (
            int(row) + dy,
            int(column) + dx,
            (row_share if dy else 1 - row_share) * (column_share if dx else 1 - column_share),
        )
        for dy in (0, 1)
        for dx in (0, 1)
    ]
    return [corner for corner in corners if corner[2] > 1e-9]


def _look(plane: NDArray[Any], rows: int, columns: int, missing: float) -> NDArray[Any]:
    """Return the plane as seen `rows`, `columns` further on; `missing` beyond its edge."""
    height, width = plane.shape
    out = np.full(plane.shape, missing, plane.dtype)
    y0, y1 = max(0, -rows), min(height, height - rows)
    x0, x1 = max(0, -columns), min(width, width - columns)
    if y0 < y1 and x0 < x1:
        out[y0:y1, x0:x1] = plane[y0 + rows : y1 + rows, x0 + columns : x1 + columns]
    return out


def _interpolated(plane: Array, drift: Drift, square: bool) -> Array:
    """Return the weighted sum over the four pixels around; with squared weights for variances."""
    total = np.zeros(plane.shape)
    for rows, columns, weight in _corners(drift):
        total += _look(plane, rows, columns, np.nan) * (weight**2 if square else weight)
    return total


def _status(status: NDArray[np.uint8], drift: Drift) -> NDArray[np.uint8]:
    """Return OK where all four pixels are, else the reason of the one with the most weight that is not."""
    out = np.zeros(status.shape, np.uint8)
    for rows, columns, _ in sorted(_corners(drift), key=lambda corner: corner[2]):
        seen = _look(status, rows, columns, StatusCode.NOT_YET_MEASURED)
        out = np.where(seen == StatusCode.OK, out, seen)
    return out.astype(np.uint8)


def _gradient_error(value: Array, drift: Drift) -> Array:
    """Return the error that the shift's uncertainty makes of the smoothed local gradient."""
    known = np.isfinite(value)
    share = ndimage.gaussian_filter(known.astype(np.float64), 1.0)
    smooth = ndimage.gaussian_filter(np.where(known, value, 0.0), 1.0) / np.maximum(share, 1e-6)
    rows, columns = np.gradient(np.where(share > 0.3, smooth, np.nan))
    return np.hypot(np.nan_to_num(rows) * drift.sigma_px[0], np.nan_to_num(columns) * drift.sigma_px[1])
