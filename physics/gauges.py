"""Pressure gauges: the ruby R1 line by several published scales, its temperature correction, the diamond Raman edge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

RUBY_R1_NM = 694.25
"""R1 wavelength at zero pressure and 296 K that Ruby2020 was calibrated with, nm; a spectrometer has its own."""

DIAMOND_EDGE_PER_CM = 1334.0
"""Raman edge of the culet at zero pressure, 1/cm (Akahama and Kawamura 2006)."""


@dataclass(frozen=True)
class RubyScale:
    """A published pressure scale of the ruby R1 line."""

    name: str
    """Name under which settings and records refer to the scale."""
    maximum_gpa: float
    """Highest pressure it holds at, GPa."""
    reference: str
    """Where it was published."""
    pressure: Callable[[Array], Array]
    """Pressure in GPa of x = lambda/lambda0 - 1."""
    shift: Callable[[Array], Array]
    """x = lambda/lambda0 - 1 of the pressure in GPa: the inverse."""


def _quadratic(name: str, a_gpa: float, k: float, maximum_gpa: float, reference: str) -> RubyScale:
    """Scale of the form P = A x (1 + k x)."""

    def pressure(x: Array) -> Array:
        return a_gpa * x * (1.0 + k * x)

    def shift(pressure_gpa: Array) -> Array:
        y = pressure_gpa / a_gpa
        # The root without cancellation near zero pressure.
        return 2.0 * y / (1.0 + np.sqrt(1.0 + 4.0 * k * y))

    return RubyScale(name, maximum_gpa, reference, pressure, shift)


def _power(name: str, a_gpa: float, b: float, maximum_gpa: float, reference: str) -> RubyScale:
    """Scale of the form P = (A/B) [(1 + x)^B - 1]."""

    def pressure(x: Array) -> Array:
        return a_gpa / b * np.expm1(b * np.log1p(x))

    def shift(pressure_gpa: Array) -> Array:
        return np.expm1(np.log1p(pressure_gpa * b / a_gpa) / b)

    return RubyScale(name, maximum_gpa, reference, pressure, shift)


_SCALES = {
    scale.name: scale
    for scale in (
        _quadratic("ruby2020", 1870.0, 5.63, 150.0, "Shen et al., High Press. Res. 40, 299 (2020)"),
        _power("mao1986", 1904.0, 7.665, 110.0, "Mao, Xu, Bell, JGR 91, 4673 (1986), quasi-hydrostatic"),
        _power("mao1986-nonhydrostatic", 1904.0, 5.0, 110.0, "Mao, Xu, Bell, JGR 91, 4673 (1986), B = 5"),
        _quadratic("dorogokupets2007", 1884.0, 5.5, 150.0, "Dorogokupets and Oganov, PRB 75, 024115 (2007)"),
    )
}

DEFAULT_RUBY_SCALE = "ruby2020"
"""Name of the scale used where settings name none."""


def ruby_scale(name: str = DEFAULT_RUBY_SCALE) -> RubyScale:
    """Ruby scale by name.

    Raises
    ------
    ValueError
        When no scale has that name; the message lists those that exist.
    """
    try:
        return _SCALES[name]
    except KeyError:
        raise ValueError(f"unknown ruby scale {name!r}; known: {', '.join(sorted(_SCALES))}") from None


def ruby_temperature_shift_nm(temperature_k: ArrayLike) -> Array:
    """Shift of R1 from its wavelength at 296 K by temperature alone, nm (Datchi et al. 2007, below about 300 K).

    Constant below 50 K. Leaving it out at 20 K reads 2.4 (at 0 GPa) to 2.7 GPa (at 21 GPa) too low.

    Raises
    ------
    ValueError
        When a temperature is negative or above 310 K, where the polynomial was not measured.
    """
    temperature = np.asarray(temperature_k, dtype=np.float64)
    if not np.all((temperature >= 0.0) & (temperature <= 310.0)):
        raise ValueError("the ruby temperature correction holds from 0 to 310 K")
    t = temperature - 296.0
    return np.where(temperature < 50.0, -0.887, 0.00664 * t + 6.76e-6 * t**2 - 2.33e-8 * t**3)


def ruby_pressure_gpa(
    r1_nm: ArrayLike, temperature_k: ArrayLike = 296.0, r1_zero_nm: float = RUBY_R1_NM, scale: str = DEFAULT_RUBY_SCALE
) -> Array:
    """Pressure from the R1 wavelength.

    Parameters
    ----------
    r1_nm
        Wavelength of R1, nm, any shape.
    temperature_k
        Temperature of the ruby, K.
    r1_zero_nm
        R1 at zero pressure and 296 K on the same spectrometer, nm.
    scale
        Name of the scale.

    Returns
    -------
    Pressure in GPa; NaN where `r1_nm` is not finite.

    Raises
    ------
    ValueError
        Unknown scale, or a temperature outside the range of the correction.
    """
    wavelength = np.asarray(r1_nm, dtype=np.float64) - ruby_temperature_shift_nm(temperature_k)
    return ruby_scale(scale).pressure(wavelength / r1_zero_nm - 1.0)


def ruby_wavelength_nm(
    pressure_gpa: ArrayLike,
    temperature_k: ArrayLike = 296.0,
    r1_zero_nm: float = RUBY_R1_NM,
    scale: str = DEFAULT_RUBY_SCALE,
) -> Array:
    """R1 wavelength in nm at a pressure and temperature: the inverse of `ruby_pressure_gpa`."""
    x = ruby_scale(scale).shift(np.asarray(pressure_gpa, dtype=np.float64))
    return r1_zero_nm * (1.0 + x) + ruby_temperature_shift_nm(temperature_k)


def diamond_edge_pressure_gpa(edge_per_cm: ArrayLike, edge_zero_per_cm: float = DIAMOND_EDGE_PER_CM) -> Array:
    """Stress along the culet normal, GPa, from the Raman edge of the anvil, 1/cm (Akahama and Kawamura 2006)."""
    x = np.asarray(edge_per_cm, dtype=np.float64) / edge_zero_per_cm - 1.0
    return 547.0 * x * (1.0 + 0.5 * (3.75 - 1.0) * x)


def diamond_edge_per_cm(pressure_gpa: ArrayLike, edge_zero_per_cm: float = DIAMOND_EDGE_PER_CM) -> Array:
    """Raman edge of the anvil, 1/cm, at a stress along the culet normal: the inverse of `diamond_edge_pressure_gpa`."""
    y = np.asarray(pressure_gpa, dtype=np.float64) / 547.0
    k = 0.5 * (3.75 - 1.0)
    return edge_zero_per_cm * (1.0 + 2.0 * y / (1.0 + np.sqrt(1.0 + 4.0 * k * y)))
