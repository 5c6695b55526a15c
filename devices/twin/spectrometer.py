"""The twin's ruby spectrometer: R1 and R2 at a pressure and temperature, photon noise, and the fit of the two lines."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from physics.gauges import ruby_pressure_gpa, ruby_wavelength_nm

Array = NDArray[np.float64]

WAVELENGTH_NM: Array = np.linspace(688.0, 712.0, 601)
"""Pixels of the spectrometer, nm."""
R2_BELOW_NM = 1.45
"""Distance of R2 below R1."""
SPLITTING_K = 41.7
"""Splitting of the two upper levels in kelvin: R2 dies out in the cold."""
WIDTH_NM = 0.75
"""FWHM of the lines under pressure."""
PEAK_COUNTS = 4000.0
"""Counts at the top of R1 at the nominal laser power."""


@dataclass(frozen=True)
class RubyReading:
    """One spectrum and what it says."""

    spectrum: Array
    """(n,) counts on `WAVELENGTH_NM`."""
    r1_nm: float
    """Fitted R1, nm; NaN where no line was found."""
    pressure_gpa: float
    """Pressure by Ruby2020 with the temperature correction, GPa; NaN where no line was found."""


def _lines(x: Array, r1: float, width: float, height: float, ratio: float, floor: float) -> Array:
    first = 1.0 / (1.0 + (2.0 * (x - r1) / width) ** 2)
    second = 1.0 / (1.0 + (2.0 * (x - r1 + R2_BELOW_NM) / width) ** 2)
    return floor + height * (first + ratio * second)


def take_spectrum(
    pressure_gpa: float, temperature_k: float, brightness: float, rng: np.random.Generator
) -> RubyReading:
    """Take and fit one spectrum.

    Parameters
    ----------
    pressure_gpa, temperature_k
        At the ruby.
    brightness
        Laser power against the nominal one; 0 with the shutter closed.
    rng
        Photon noise.
    """
    temperature = min(temperature_k, 310.0)
    r1 = float(ruby_wavelength_nm(pressure_gpa, temperature))
    ratio = 0.65 * math.exp(-SPLITTING_K / max(temperature, 1.0))
    expected = _lines(WAVELENGTH_NM, r1, WIDTH_NM, PEAK_COUNTS * brightness, ratio, 20.0)
    spectrum = rng.poisson(expected).astype(np.float64)
    found = _fit(spectrum)
    pressure = float(ruby_pressure_gpa(found, temperature)) if math.isfinite(found) else math.nan
    return RubyReading(spectrum, found, pressure)


def _fit(spectrum: Array) -> float:
    """Fit R1, nm; NaN where nothing stands above the noise."""
    top = float(spectrum.max() - np.median(spectrum))
    if top < 8.0 * math.sqrt(float(np.median(spectrum)) + 1.0):
        return math.nan
    start = (float(WAVELENGTH_NM[int(np.argmax(spectrum))]), WIDTH_NM, top, 0.3, float(np.median(spectrum)))
    try:
        values, _ = optimize.curve_fit(_lines, WAVELENGTH_NM, spectrum, start, maxfev=500)
    except RuntimeError:
        # No convergence: the spectrum is kept, the number is not.
        return math.nan
    return float(values[0])
