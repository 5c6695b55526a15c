"""The coil from its calibration: scale and remanence out of half splittings at several set fields."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import ArrayLike, NDArray

from physics.constants import GAMMA_MHZ_PER_GAUSS
from plans.settings import CoilCalibration

Array = NDArray[np.float64]


def fit_coil(
    set_field_gauss: ArrayLike, half_splitting_mhz: ArrayLike, sigma_mhz: ArrayLike = 0.3, time_s: float | None = None
) -> CoilCalibration:
    """Return scale and remanence from half splittings of [111] at several set fields.

    E^2 = E_perp^2 + gamma^2 (k H + b)^2 is a parabola in H for every pixel: gamma^2 k^2 and 2 gamma^2 k b are its
    coefficients, whatever the pixel's E_perp. Weighted means over the pixels; b = slope / (2 gamma^2 k).

    Parameters
    ----------
    set_field_gauss
        (f,) set fields, G; at least four.
    half_splitting_mhz
        (f, ...) half splittings, MHz; pixels with a NaN do not count.
    sigma_mhz
        Their standard deviation, broadcast, MHz.
    time_s
        When it was measured, seconds since the epoch; now where None.

    Raises
    ------
    ValueError
        Where the shapes do not agree or no pixel is complete.
    """
    field = np.asarray(set_field_gauss, dtype=np.float64)
    e = np.asarray(half_splitting_mhz, dtype=np.float64)
    if field.ndim != 1 or field.size < 4 or e.shape[:1] != field.shape:
        raise ValueError("half_splitting_mhz needs one map for each of at least four fields")
    sigma = np.broadcast_to(np.asarray(sigma_mhz, dtype=np.float64), e.shape).reshape(field.size, -1)
    e = e.reshape(field.size, -1)
    whole = np.isfinite(e).all(axis=0) & (e > 0).all(axis=0) & (sigma > 0).all(axis=0)
    if not whole.any():
        raise ValueError("no pixel has a half splitting at every field")
    e, sigma = e[:, whole].T, sigma[:, whole].T
    pixels, information = _parabolas(field, e, sigma)
    # Each pixel's slope and curvature count with their own covariance: E_perp is free in each.
    total = np.linalg.inv(information.sum(axis=0))
    slope, curvature = total @ np.einsum("nij,nj->i", information, pixels)
    if curvature <= 0.0:
        raise ValueError("the splitting does not rise with the field on both sides: not a [111] doublet")
    gamma = GAMMA_MHZ_PER_GAUSS.value
    scale = float(np.sqrt(curvature) / gamma)
    remanence = float(slope / (2.0 * gamma**2 * scale))
    by_curvature = -remanence / (2.0 * curvature)
    by_slope = 1.0 / (2.0 * gamma**2 * scale)
    gradient = np.array([by_slope, by_curvature])
    return CoilCalibration(
        remanence_gauss=remanence,
        remanence_sigma_gauss=float(np.sqrt(gradient @ total @ gradient)),
        scale=scale,
        scale_sigma=float(0.5 * scale * np.sqrt(total[1, 1]) / curvature),
        time_s=time.time() if time_s is None else time_s,
    )


def _parabolas(field: Array, e: Array, sigma: Array) -> tuple[Array, Array]:
    """Return (n, 2) slope and curvature of E^2 against the field of each pixel, and (n, 2, 2) their information."""
    design = np.stack([np.ones_like(field), field, field**2], axis=-1)
    weight = 1.0 / (2.0 * e * sigma) ** 2
    covariance = np.linalg.inv(np.einsum("nf,fi,fj->nij", weight, design, design))
    found = np.einsum("nij,nj->ni", covariance, np.einsum("nf,fi,nf->ni", weight, design, e**2))
    return found[:, 1:], np.linalg.inv(covariance[:, 1:, 1:])
