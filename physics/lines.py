"""Line shapes of unit height and their derivatives, compiled: what a resonance looks like, not how it is fitted.

Every function takes the distance from the centre and the full width at half maximum, both in MHz, and is a scalar
function for use inside compiled loops (and, through numba's broadcasting in the caller, outside them).
The derivative functions return (value, d/d offset, d/d fwhm[, d/d mixing]).
"""

from __future__ import annotations

import math

from numba import njit

_FOUR_LN2 = 4.0 * math.log(2.0)


@njit(cache=True, nogil=True)
def lorentzian(offset_mhz: float, fwhm_mhz: float) -> float:
    """Lorentzian of unit height."""
    x = 2.0 * offset_mhz / fwhm_mhz
    return 1.0 / (1.0 + x * x)


@njit(cache=True, nogil=True)
def lorentzian_derivatives(offset_mhz: float, fwhm_mhz: float) -> tuple[float, float, float]:
    """Lorentzian of unit height, its slope along the offset (1/MHz) and along the width (1/MHz)."""
    x = 2.0 * offset_mhz / fwhm_mhz
    value = 1.0 / (1.0 + x * x)
    common = 4.0 * x * value * value / fwhm_mhz
    return value, -common, 0.5 * common * x


@njit(cache=True, nogil=True)
def gaussian(offset_mhz: float, fwhm_mhz: float) -> float:
    """Gaussian of unit height."""
    x = offset_mhz / fwhm_mhz
    return math.exp(-_FOUR_LN2 * x * x)


@njit(cache=True, nogil=True)
def gaussian_derivatives(offset_mhz: float, fwhm_mhz: float) -> tuple[float, float, float]:
    """Gaussian of unit height, its slope along the offset (1/MHz) and along the width (1/MHz)."""
    x = offset_mhz / fwhm_mhz
    value = math.exp(-_FOUR_LN2 * x * x)
    common = 2.0 * _FOUR_LN2 * x * value / fwhm_mhz
    return value, -common, common * x


@njit(cache=True, nogil=True)
def pseudo_voigt(offset_mhz: float, fwhm_mhz: float, mixing: float) -> float:
    """Pseudo-Voigt of unit height: `mixing` times the Lorentzian plus (1 - mixing) times the Gaussian of that width."""
    return mixing * lorentzian(offset_mhz, fwhm_mhz) + (1.0 - mixing) * gaussian(offset_mhz, fwhm_mhz)


@njit(cache=True, nogil=True)
def pseudo_voigt_derivatives(offset_mhz: float, fwhm_mhz: float, mixing: float) -> tuple[float, float, float, float]:
    """Pseudo-Voigt of unit height and its slopes along offset (1/MHz), width (1/MHz) and mixing."""
    lv, lo, lw = lorentzian_derivatives(offset_mhz, fwhm_mhz)
    gv, go, gw = gaussian_derivatives(offset_mhz, fwhm_mhz)
    rest = 1.0 - mixing
    return mixing * lv + rest * gv, mixing * lo + rest * go, mixing * lw + rest * gw, lv - gv
