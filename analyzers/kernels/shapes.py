"""Line shapes and their derivatives as compiled functions; unit height, argument in units of the full width.

The exponential is our own polynomial: the library's differs between CPU targets in the last bit.
"""

from __future__ import annotations

import numpy as np

from analyzers.kernels.codes import GAUSSIAN, LORENTZIAN
from analyzers.kernels.compiled import inlined, kernel

LN2 = 0.6931471805599453
_POWERS = 0.5 ** np.arange(64.0)


@inlined
def exp_negative(z: float) -> float:
    """Return exp(-z) for z >= 0 (0 beyond z = 40), relative error below 1e-14."""
    if not z < 40.0:
        return 0.0
    power = int(z / LN2 + 0.5)
    r = -(z - power * LN2)
    total = 1.0 / 6227020800.0
    total = total * r + 1.0 / 479001600.0
    total = total * r + 1.0 / 39916800.0
    total = total * r + 1.0 / 3628800.0
    total = total * r + 1.0 / 362880.0
    total = total * r + 1.0 / 40320.0
    total = total * r + 1.0 / 5040.0
    total = total * r + 1.0 / 720.0
    total = total * r + 1.0 / 120.0
    total = total * r + 1.0 / 24.0
    total = total * r + 1.0 / 6.0
    total = total * r + 0.5
    total = total * r + 1.0
    total = total * r + 1.0
    return total * _POWERS[power]


@inlined
def unit_line(shape: int, mixing: float, t: float) -> tuple[float, float]:
    """Return height and derivative by t of the line at t = (f - centre) / fwhm."""
    if shape == LORENTZIAN:
        height = 1.0 / (1.0 + 4.0 * t * t)
        return height, -8.0 * t * height * height
    gauss = exp_negative(4.0 * LN2 * t * t)
    gauss_slope = -8.0 * LN2 * t * gauss
    if shape == GAUSSIAN:
        return gauss, gauss_slope
    height = 1.0 / (1.0 + 4.0 * t * t)
    slope = -8.0 * t * height * height
    return mixing * height + (1.0 - mixing) * gauss, mixing * slope + (1.0 - mixing) * gauss_slope


@inlined
def line(
    shape: int, mixing: float, offsets_mhz: np.ndarray, f: float, centre: float, fwhm: float
) -> tuple[float, float, float]:
    """Return height, derivative by centre and by fwhm of a line with hyperfine components at `offsets_mhz`."""
    height = 0.0
    by_centre = 0.0
    by_fwhm = 0.0
    inverse = 1.0 / fwhm
    for h in range(offsets_mhz.shape[0]):
        t = (f - centre - offsets_mhz[h]) * inverse
        part, slope = unit_line(shape, mixing, t)
        height += part
        by_centre -= slope * inverse
        by_fwhm -= slope * inverse * t
    share = 1.0 / offsets_mhz.shape[0]
    return height * share, by_centre * share, by_fwhm * share


@kernel
def line_profile(
    shape: int, mixing: float, offsets_mhz: np.ndarray, f: np.ndarray, centre: float, fwhm: float
) -> np.ndarray:
    """Return the line's heights (f,) at the frequencies f, MHz."""
    out = np.empty(f.shape[0])
    for i in range(f.shape[0]):
        out[i] = line(shape, mixing, offsets_mhz, f[i], centre, fwhm)[0]
    return out
