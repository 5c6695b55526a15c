"""The two ruby lines of a fluorescence spectrum, fitted together, and the pressure they say on more than one scale.

In the cold R2 dies out and the lines shift by themselves: both are fitted always, and no pressure is given without a
temperature. Left out, the correction is 2.4 GPa at 20 K.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physics.gauges import RUBY_R1_NM, ruby_pressure_gpa

Array = NDArray[np.float64]

SPLITTING_NM = (1.1, 1.9)
"""Limits of the distance of R2 below R1: 1.4 nm, and a little more under stress."""
SPLITTING_START_NM = 1.45
"""Where the fit begins."""
WIDTH_NM = (0.05, 4.0)
"""Limits of the FWHM of either line."""
FEWEST_POINTS = 12
"""Shortest spectrum that is fitted."""
SMALLEST_SIGNAL = 8.0
"""Height over the standard deviation of the background below which there is no line."""
R2_SEEN = 3.0
"""Height of R2 over its standard deviation below which R2 is not reported."""
LARGEST_TEMPERATURE_K = 310.0
"""Highest temperature of the correction."""


@dataclass(frozen=True)
class RubyLines:
    """Both lines of one spectrum; NaN where there is none."""

    r1_nm: float = math.nan
    """Centre of R1, nm."""
    r1_sigma_nm: float = math.nan
    """Its standard deviation, nm."""
    r2_nm: float = math.nan
    """Centre of R2, nm; NaN where R2 does not stand out, as in the cold."""
    fwhm_nm: float = math.nan
    """Width of either line, nm."""
    ratio: float = math.nan
    """Height of R2 over that of R1."""


@dataclass(frozen=True)
class RubyPressures:
    """What one R1 line says on each scale, GPa; NaN where it cannot be said."""

    ruby2020_gpa: float
    """Shen et al. 2020."""
    mao_gpa: float
    """Mao, Xu and Bell 1986, quasi-hydrostatic."""
    sigma_gpa: float
    """Standard deviation by the fit alone."""


def ruby_lines_model(
    x: Array, r1: float, splitting: float, width: float, height: float, ratio: float, floor: float, slope: float
) -> Array:
    """Return two Lorentzian lines of one width on a straight background, at wavelengths in nm."""
    first = 1.0 / (1.0 + (2.0 * (x - r1) / width) ** 2)
    second = 1.0 / (1.0 + (2.0 * (x - r1 + splitting) / width) ** 2)
    return floor + slope * (x - x[0]) + height * (first + ratio * second)


def fit_ruby_lines(wavelength_nm: Array, counts: Array) -> RubyLines:
    """Fit R1 and R2.

    Parameters
    ----------
    wavelength_nm
        (n,) rising wavelengths, nm.
    counts
        (n,) counts.

    Returns
    -------
    NaN throughout where the arrays are no spectrum, nothing stands above the background, or the fit does not converge.
    """
    # Loaded at the first spectrum: a plan's process starts faster without.
    from scipy import optimize

    x, y = np.asarray(wavelength_nm, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or x.size < FEWEST_POINTS or not np.all(np.isfinite(y)):
        return RubyLines()
    floor = float(np.percentile(y, 20))
    top = float(y.max()) - floor
    # Counts are Poisson; a background taken off before leaves less scatter than its level says, hence the second term.
    scatter = max(math.sqrt(max(floor, 1.0)), 1.48 * float(np.median(np.abs(np.diff(y)))) / math.sqrt(2.0))
    if top < SMALLEST_SIGNAL * scatter:
        return RubyLines()
    peak = float(x[int(np.argmax(y))])
    width = float(np.clip(np.count_nonzero(y > floor + 0.5 * top) * np.median(np.diff(x)), 0.1, 2.0))
    start = (peak, SPLITTING_START_NM, width, top, 0.3, floor, 0.0)
    low = (float(x[0]), SPLITTING_NM[0], WIDTH_NM[0], 0.0, 0.0, -np.inf, -np.inf)
    high = (float(x[-1]), SPLITTING_NM[1], WIDTH_NM[1], np.inf, 3.0, np.inf, np.inf)
    weights = np.sqrt(np.maximum(y, 1.0))
    try:
        found, covariance = optimize.curve_fit(
            ruby_lines_model, x, y, start, sigma=weights, absolute_sigma=False, bounds=(low, high), maxfev=2000
        )
    except (RuntimeError, ValueError):
        # No convergence, or a start outside the limits: the spectrum is kept, the number is not.
        return RubyLines()
    sigma = np.sqrt(np.diag(covariance))
    seen = found[4] > R2_SEEN * sigma[4]
    return RubyLines(
        r1_nm=float(found[0]),
        r1_sigma_nm=float(sigma[0]),
        r2_nm=float(found[0] - found[1]) if seen else math.nan,
        fwhm_nm=float(found[2]),
        ratio=float(found[4]),
    )


def ruby_pressures(lines: RubyLines, temperature_k: float, r1_zero_nm: float = RUBY_R1_NM) -> RubyPressures:
    """Return the pressure at a temperature on every scale.

    Parameters
    ----------
    lines
        The fitted lines.
    temperature_k
        Temperature of the ruby, K; up to 310 K.
    r1_zero_nm
        R1 at zero pressure and 296 K on the same spectrometer, nm.
    """
    if not (math.isfinite(lines.r1_nm) and 0.0 < temperature_k <= LARGEST_TEMPERATURE_K):
        return RubyPressures(math.nan, math.nan, math.nan)
    at = (lines.r1_nm, lines.r1_nm + 0.01)
    first, second = (float(v) for v in ruby_pressure_gpa(at, temperature_k, r1_zero_nm))
    mao = float(ruby_pressure_gpa(lines.r1_nm, temperature_k, r1_zero_nm, "mao1986"))
    return RubyPressures(first, mao, lines.r1_sigma_nm * (second - first) / 0.01)
