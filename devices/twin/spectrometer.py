"""The twin's ruby spectrometer: R1 and R2 at a pressure and temperature, with photon noise, and what the fit says."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.ruby_lines import SPLITTING_START_NM, RubyLines, fit_ruby_lines, ruby_lines_model, ruby_pressures
from physics.gauges import ruby_wavelength_nm

Array = NDArray[np.float64]

WAVELENGTH_NM: Array = np.linspace(688.0, 712.0, 601)
"""Pixels of the spectrometer, nm."""
LEVELS_K = 41.7
"""Splitting of the two upper levels in kelvin: R2 dies out in the cold."""
WIDTH_NM = 0.75
"""FWHM of the lines under pressure."""
PEAK_COUNTS = 4000.0
"""Counts at the top of R1 at the nominal laser power."""
BACKGROUND = 20.0
"""Counts beside the lines."""
HOTTEST_K = 310.0
"""Highest temperature of the ruby correction."""


@dataclass(frozen=True)
class RubyReading:
    """One spectrum and what it says."""

    spectrum: Array
    """(n,) counts on `WAVELENGTH_NM`."""
    lines: RubyLines
    """Fitted lines; NaN where none was found."""
    pressure_gpa: float
    """Pressure by Ruby2020 with the temperature correction, GPa; NaN where no line was found."""

    @property
    def r1_nm(self) -> float:
        """Fitted R1, nm."""
        return self.lines.r1_nm


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
    temperature = min(temperature_k, HOTTEST_K)
    r1 = float(ruby_wavelength_nm(pressure_gpa, temperature))
    ratio = 0.65 * math.exp(-LEVELS_K / max(temperature, 1.0))
    height = PEAK_COUNTS * brightness
    expected = ruby_lines_model(WAVELENGTH_NM, r1, SPLITTING_START_NM, WIDTH_NM, height, ratio, BACKGROUND, 0.0)
    spectrum = rng.poisson(expected).astype(np.float64)
    lines = fit_ruby_lines(WAVELENGTH_NM, spectrum)
    return RubyReading(spectrum, lines, ruby_pressures(lines, temperature).ruby2020_gpa)
