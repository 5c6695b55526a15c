"""What calibration runs say: pure functions from readings and maps to values with standard deviations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from physics.constants import GAMMA_MHZ_PER_GAUSS
from physics.gauges import RUBY_R1_NM, ruby_pressure_gpa, ruby_temperature_shift_nm, ruby_wavelength_nm
from physics.geometry import NV_AXES

Array = NDArray[np.float64]
FIELD_RANGE_GAUSS = (2.0, 300.0)
"""Fields that a direction is looked for at, G."""
Found = dict[str, tuple[float, float]]
"""Name with its unit -> (value, standard deviation)."""


def fit_thermometer(stage_k: ArrayLike, sample_k: ArrayLike, reading_sigma_k: float = 0.01) -> Found:
    """Return how much warmer the sample is than the stage: at the mean of the temperatures, and per kelvin.

    Parameters
    ----------
    stage_k, sample_k
        (n,) readings at rest without light and microwave, K; at least two different temperatures.
    reading_sigma_k
        Standard deviation of a reading, K; larger where the offsets scatter more about the line.

    Raises
    ------
    ValueError
        Where a line cannot be drawn.
    """
    stage = np.asarray(stage_k, dtype=np.float64)
    offset = np.asarray(sample_k, dtype=np.float64) - stage
    if stage.size < 2 or stage.shape != offset.shape or np.ptp(stage) < 1.0:
        raise ValueError("the thermometers need readings at two temperatures at least 1 K apart")
    middle = float(stage.mean())
    design = np.stack([np.ones_like(stage), stage - middle], axis=-1)
    found, sigma = _line(design, offset, np.sqrt(2.0) * reading_sigma_k)
    return {
        "offset_k": (float(found[0]), float(sigma[0])),
        "offset_per_k": (float(found[1]), float(sigma[1])),
        "at_k": (middle, 0.0),
    }


def fit_powers(power: ArrayLike, fwhm_mhz: ArrayLike, sample_k: ArrayLike, width_sigma_mhz: float = 0.1) -> Found:
    """Return the width at no power, the power that broadens by sqrt(2), and the heating per power.

    fwhm^2 = fwhm_0^2 (1 + power / power_0): power broadening of a line; the sample warms in proportion to the power.

    Parameters
    ----------
    power
        (n,) powers, linear (mW), at least three.
    fwhm_mhz
        (n,) median widths of the [111] lines, MHz.
    sample_k
        (n,) temperatures at the sample, K.
    width_sigma_mhz
        Standard deviation of a width, MHz.

    Raises
    ------
    ValueError
        Where there are too few powers or the width does not rise above zero.
    """
    p, width, sample = (np.asarray(values, dtype=np.float64) for values in (power, fwhm_mhz, sample_k))
    if p.size < 3 or not p.shape == width.shape == sample.shape or np.ptp(p) <= 0:
        raise ValueError("a power series needs widths and temperatures at three or more powers")
    design = np.stack([np.ones_like(p), p], axis=-1)
    square, square_sigma = _line(design, width**2, 2.0 * float(width.mean()) * width_sigma_mhz)
    heat, heat_sigma = _line(design, sample, 0.01)
    if square[0] <= 0.0:
        raise ValueError("the widths do not go to a positive value at no power: not a power series of one line")
    rate = float(square[1] / square[0])
    rate_sigma = float(np.hypot(square_sigma[1] / square[0], rate * square_sigma[0] / square[0]))
    return {
        "fwhm_zero_mhz": (float(np.sqrt(square[0])), float(0.5 * square_sigma[0] / np.sqrt(square[0]))),
        "broadening_per_mw": (rate, rate_sigma),
        "heating_k_per_mw": (float(heat[1]), float(heat_sigma[1])),
    }


def fit_ruby_zero(
    r1_nm: ArrayLike,
    temperature_k: ArrayLike,
    pressure_gpa: float = 0.0,
    lamp_read_nm: ArrayLike | None = None,
    lamp_true_nm: float = 0.0,
) -> tuple[Found, tuple[str, ...]]:
    """Return R1 at zero pressure and 296 K on this spectrometer, and what a reader must know.

    Parameters
    ----------
    r1_nm
        (n,) R1, nm, of a ruby at a known pressure.
    temperature_k
        (n,) or scalar temperature of the ruby, K.
    pressure_gpa
        Its pressure, GPa; 0 in air.
    lamp_read_nm, lamp_true_nm
        Where the spectrometer shows a lamp's line, and where it is, nm: the scale is moved by the difference.

    Raises
    ------
    ValueError
        Where no spectrum was fitted.
    """
    cold = np.asarray(r1_nm, dtype=np.float64) - ruby_temperature_shift_nm(temperature_k)
    cold = cold[np.isfinite(cold)]
    if cold.size < 2:
        raise ValueError("lambda0 needs two or more spectra with an R1 line")
    shift, shift_sigma, notes = 0.0, 0.0, ("no lamp line: lambda0 holds for this spectrometer's own scale",)
    if lamp_read_nm is not None:
        lamp = np.asarray(lamp_read_nm, dtype=np.float64)
        shift = float(lamp.mean()) - lamp_true_nm
        shift_sigma = float(lamp.std(ddof=1) / np.sqrt(lamp.size)) if lamp.size > 1 else 0.01
        notes = (f"the scale was moved by {-shift:.4f} nm to the lamp's line at {lamp_true_nm:.4f} nm",)
    stretch = float(ruby_wavelength_nm(pressure_gpa)) / RUBY_R1_NM
    zero = (float(cold.mean()) - shift) / stretch
    sigma = float(np.hypot(cold.std(ddof=1) / np.sqrt(cold.size), shift_sigma))
    per_nm = abs(float(ruby_pressure_gpa(zero + 0.01, 296.0, zero))) / 0.01
    return {"lambda_zero_nm": (zero, sigma), "pressure_sigma_gpa": (0.0, sigma * per_nm)}, notes


def fit_camera(
    mean_counts: ArrayLike, variance_counts: ArrayLike, dark_counts: ArrayLike, dark_variance: ArrayLike
) -> Found:
    """Return gain, offset and read noise from a photon transfer curve.

    Parameters
    ----------
    mean_counts, variance_counts
        (l, ...) mean and variance over the frames of each light level, per pixel, counts; the common wander of the
        light taken out.
    dark_counts, dark_variance
        (...) the same of the dark frames.

    Raises
    ------
    ValueError
        Where the light is too little to tell.
    """
    dark = np.asarray(dark_counts, dtype=np.float64)
    floor = np.asarray(dark_variance, dtype=np.float64)
    signal = np.asarray(mean_counts, dtype=np.float64) - dark
    excess = np.asarray(variance_counts, dtype=np.float64) - floor
    usable = np.isfinite(signal) & np.isfinite(excess) & (signal > 0.0)
    levels = [
        (float(signal[i][usable[i]].sum()), float(excess[i][usable[i]].sum()), float(usable[i].sum()))
        for i in range(len(signal))
        if usable[i].any()
    ]
    if not levels:
        raise ValueError("no pixel is brighter than the dark frames: open the shutter")
    light, noise = sum(row[0] for row in levels), sum(row[1] for row in levels)
    if noise <= 0.0:
        raise ValueError("the frames scatter no more than the dark ones: more light, or more frames")
    gain = light / noise
    # The levels are independent measurements of one gain; their scatter is its uncertainty, the light's share apart.
    each = np.array([row[0] / row[1] for row in levels if row[1] > 0.0])
    scatter = float(each.std(ddof=1) / np.sqrt(each.size)) if each.size > 1 else 0.02 * gain
    read = float(np.sqrt(max(0.0, float(np.mean(floor)) - 1.0 / 12.0)))
    return {
        "electrons_per_count": (gain, max(scatter, 1e-4 * gain)),
        "offset_counts": (float(np.mean(dark)), float(np.std(dark) / np.sqrt(dark.size))),
        "read_noise_electrons": (read * gain, read * max(scatter, 1e-4 * gain) + 0.01 * read * gain),
        "flat_spread": (float(np.std(signal[-1]) / np.mean(signal[-1])), 0.0),
    }


def fit_field_direction(
    low_mhz: Sequence[float], high_mhz: Sequence[float], sigma_mhz: float, expected_azimuth_deg: float
) -> Found:
    """Return the field in the NV frame from both lines of the four groups, each with a zero-field splitting of its own.

    Holds without transverse stress (no load). The tilted lines carry no names: of the six orders, mirror
    images and rotations by 120 degrees, the one nearest to the azimuth expected counts.

    Parameters
    ----------
    low_mhz, high_mhz
        (4,) lines of [111] and of the tilted groups in any order, MHz.
    sigma_mhz
        Standard deviation of a line, MHz.
    expected_azimuth_deg
        Azimuth of the field from the projection of a tilted axis, as mounted, degrees.

    Raises
    ------
    ValueError
        Where the lines are not those of one field.
    """
    low, high = np.asarray(low_mhz, dtype=np.float64), np.asarray(high_mhz, dtype=np.float64)
    if low.shape != (4,) or high.shape != (4,) or not np.all(low < high):
        raise ValueError("the direction needs a lower and an upper line of four groups")
    along = _projections(low, high)
    if not np.isfinite(along).all():
        raise ValueError("the lines are not those of four groups in one field")
    best: tuple[float, Array] | None = None
    for order in ((1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1)):
        # The field is along the normal: every tilted group sees it from behind, with the other sign.
        seen = np.array([along[0], *(-along[i] for i in order)])
        field: Array = np.linalg.lstsq(np.asarray(NV_AXES), seen, rcond=None)[0].astype(np.float64)
        away = abs(_wrapped(np.degrees(np.arctan2(field[1], field[0])) - expected_azimuth_deg))
        if best is None or away < best[0]:
            best = (away, field)
    assert best is not None
    field = best[1]
    size, across = float(np.linalg.norm(field)), float(np.hypot(field[0], field[1]))
    # Each projection is known to sigma / (gamma sqrt 2); four of them over-determine three components by 4/3.
    one = sigma_mhz / (GAMMA_MHZ_PER_GAUSS.value * np.sqrt(2.0)) * np.sqrt(0.75)
    return {
        "field_gauss": (size, float(one)),
        "polar_deg": (float(np.degrees(np.arctan2(across, field[2]))), float(np.degrees(one / size))),
        "azimuth_deg": (
            float(np.degrees(np.arctan2(field[1], field[0]))),
            float(np.degrees(one / max(across, one))),
        ),
    }


def _projections(low: Array, high: Array) -> Array:
    """(4,) |B . n| of each group, G; NaN where no field gives these lines.

    Of one spin-1 triplet without transverse splitting, D^2 = f1^2 + f2^2 - f1 f2 - 3 (gamma B)^2 and its determinant
    gives cos^2 t. |B| is the one at which the four cos^2 sum to 4/3, as those of the four axes of diamond do.
    """
    gamma = GAMMA_MHZ_PER_GAUSS.value
    field = np.linspace(*FIELD_RANGE_GAUSS, 4001)[:, None]
    square = (gamma * field) ** 2
    total = low**2 + high**2 - low * high
    with np.errstate(invalid="ignore", divide="ignore"):
        d = np.sqrt(total - 3.0 * square)
        part = 2.0 * (low + high) * (2.0 * (low**2 + high**2) - 5.0 * low * high)
        twice = (7.0 * d**3 + part - 3.0 * d * total) / (27.0 * square * d)
        cosines = 0.5 * (1.0 + twice)
    miss = cosines.sum(axis=1) - 4.0 / 3.0
    crossed = np.flatnonzero(np.isfinite(miss[:-1]) & np.isfinite(miss[1:]) & (miss[:-1] * miss[1:] <= 0.0))
    if not crossed.size:
        return np.full(4, np.nan)
    i = int(crossed[0])
    share = miss[i] / (miss[i] - miss[i + 1])
    size = field[i, 0] + share * (field[i + 1, 0] - field[i, 0])
    cosine = cosines[i] + share * (cosines[i + 1] - cosines[i])
    return size * np.sqrt(np.clip(cosine, 0.0, 1.0))


def _wrapped(degrees: float) -> float:
    return float((degrees + 180.0) % 360.0 - 180.0)


def _line(design: Array, values: Array, sigma: float) -> tuple[Array, Array]:
    """Return least squares and standard deviations; those grow where the values scatter more than `sigma`."""
    inverse = np.linalg.inv(design.T @ design)
    found = inverse @ design.T @ values
    left = values.size - design.shape[1]
    scatter = float(np.sqrt(((values - design @ found) ** 2).sum() / left)) if left > 0 else 0.0
    return found, max(sigma, scatter) * np.sqrt(np.diag(inverse))
