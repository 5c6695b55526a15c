"""Spectra of the twin: eight resonances per pixel by exact diagonalisation, and the noise-free frames of a list.

PL(f) = background + centres(x, y) baseline(f) [1 - sum over groups and lines of C L((f - f0)/Gamma)], blurred by the
optics frame by frame: a pixel's spectrum is a mixture of its surroundings, as in a real microscope. A view that drifts
with the temperature is moved as a whole, frame by frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from devices.twin.optics import blur_px, brightness, shift_px, temperature_factor
from devices.twin.state import TwinState
from devices.twin.truth import Truth
from physics.constants import stress_set
from physics.geometry import NV_FRAMES, miscut_rotation, rotate_stress
from physics.spin import group_frequencies, transition_strengths
from physics.stress import group_shifts
from physics.zero_field import zero_field_splitting_mhz

Array = NDArray[np.float64]
Array32 = NDArray[np.float32]

STRESS_CONSTANTS = "barson2017"
"""Stress set of the twin's sensor."""
ZERO_FIELD_MODEL = "cambria2023"
"""D(T) of the twin's sensor."""
NOMINAL_POWER_DBM = -20.0
"""Source power that half-saturates the [111] lines in the middle of the view, dBm."""
WIRE_DISTANCE_UM = 200.0
"""Distance of the microwave wire from the middle of the view, um; its near field falls as 1/r."""
STRENGTH_LIMITS = (0.45, 1.3)
"""Limits of a line's strength against that of a [111] line: the drive is never quite linear nor quite uniform."""
CENTRE_MHZ = 3130.0
"""Middle of the baseline, MHz."""


@dataclass(frozen=True)
class Resonances:
    """The eight resonances of every pixel; order: group 0 ([111]) low, high, then the tilted groups."""

    centre_mhz: Array32
    """(8, y, x) frequencies, MHz."""
    fwhm_mhz: Array32
    """(8, y, x) widths, MHz."""
    contrast: Array32
    """(8, y, x) depths as fractions; negative where the line is bright."""


def resonances(truth: Truth, state: TwinState) -> Resonances:
    """Return the resonances at a state."""
    settings = truth.settings
    rotation = miscut_rotation(settings.miscut_deg, settings.miscut_azimuth_deg)
    stress_culet = truth.stress_at(state.sample_temperature_k, state.pressure_drift_gpa)
    stress = rotate_stress(stress_culet, rotation)
    field = truth.field_gauss(state.field_steps, state.field_xyz_gauss) @ rotation.T
    d_mhz = zero_field_splitting_mhz(min(state.sample_temperature_k, 500.0), ZERO_FIELD_MODEL)
    frequency = group_frequencies(stress, field, d_mhz, stress_set(STRESS_CONSTANTS))
    centre = np.moveaxis(frequency.reshape(*truth.sample.shape, 8), -1, 0)
    strength = _strengths(stress, field, float(d_mhz))
    near_field = (WIRE_DISTANCE_UM / (WIRE_DISTANCE_UM + truth.x_um)) ** 2
    drive = 10.0 ** ((state.microwave_power_dbm - NOMINAL_POWER_DBM) / 10.0) * near_field
    saturation = strength[:, None, None] * drive * (1.0 if state.microwave_enable else 0.0)
    width = settings.linewidth_mhz * np.sqrt(1.0 + saturation)
    width[2:] *= settings.tilted_broadening
    contrast = _full_contrast(truth, stress_culet, state.sample_temperature_k) * saturation / (1.0 + saturation)
    return Resonances(*(np.ascontiguousarray(a, dtype=np.float32) for a in (centre, width, contrast)))


def _strengths(stress: Array, field: Array, d_mhz: float) -> Array:
    """(8,) line strengths at the mean stress and field, against a [111] line driven across its axis."""
    drive = np.array([math.cos(0.7), math.sin(0.7), 0.35])
    drive /= np.linalg.norm(drive)
    shifts = group_shifts(stress.mean(axis=(0, 1)), stress_set(STRESS_CONSTANTS))
    mean_field = field.mean(axis=(0, 1))
    strength = np.empty(8)
    for group in range(4):
        frame = NV_FRAMES[group]
        pi_x, pi_y, pi_z = (float(v) for v in shifts[group])
        low, high = transition_strengths(d_mhz + pi_z, pi_x, pi_y, frame @ mean_field, frame @ drive)
        strength[2 * group : 2 * group + 2] = 2.0 * low, 2.0 * high
    return np.clip(strength, *STRENGTH_LIMITS)


def _full_contrast(truth: Truth, stress: Array, temperature_k: float) -> Array:
    """(8, y, x) contrast at full saturation: stress along [111] helps, stress across a tilted axis inverts lines."""
    settings = truth.settings
    dip = float(np.random.default_rng([settings.seed, 8]).uniform(30.0, 55.0))
    collapse = temperature_factor(temperature_k, dip, 0.15)
    uniaxial = stress[..., 2] - 0.5 * (stress[..., 0] + stress[..., 1])
    across = 8.0 / 9.0 * uniaxial + 0.5 * np.hypot(stress[..., 3], stress[..., 4])
    contrast = np.empty((8, *truth.sample.shape))
    contrast[:2] = settings.contrast_111 * (1.0 + 0.01 * uniaxial)
    contrast[2:] = settings.contrast_tilted * (1.0 - (across / settings.contrast_crossing_gpa) ** 2)
    return contrast * collapse


def baseline(truth: Truth, frequency_mhz: Array) -> Array:
    """(f,) transfer of the microwave line seen as a slope and a ripple of the brightness; none at 0 MHz: off."""
    phase = float(np.random.default_rng([truth.settings.seed, 9]).uniform(0.0, 2.0 * math.pi))
    offset = frequency_mhz - CENTRE_MHZ
    transfer = 1.0 + truth.settings.ripple * (0.004 * offset + np.sin(2.0 * math.pi * offset / 230.0 + phase))
    return np.where(frequency_mhz == 0.0, 1.0, transfer)


@njit(cache=True, nogil=True)
def _fill(
    frequency: Array32,
    base: Array32,
    centre: Array32,
    scale: Array32,
    contrast: Array32,
    light: Array32,
    background: Array32,
    out: Array32,
) -> None:
    """Fill out (f, n) from the lines (8, n): scale is 2/FWHM."""
    one = np.float32(1.0)
    for f in range(frequency.size):
        row = out[f]
        for n in range(row.size):
            row[n] = base[f]
        for line in range(centre.shape[0]):
            c, w, d = centre[line], scale[line], contrast[line]
            for n in range(row.size):
                x = (frequency[f] - c[n]) * w[n]
                row[n] -= d[n] / (one + x * x)
        for n in range(row.size):
            row[n] = background[n] + light[n] * row[n]


def expected_frames(truth: Truth, state: TwinState, frequency_mhz: Array) -> Array32:
    """Return (f, y, x) mean photo-electrons of each frame of a list, MHz, without noise."""
    lines = resonances(truth, state)
    light = brightness(truth, state)
    shape, temperature = truth.sample.shape, state.sample_temperature_k
    frames = np.empty((frequency_mhz.size, shape[0] * shape[1]), dtype=np.float32)
    _fill(
        frequency_mhz.astype(np.float32),
        baseline(truth, frequency_mhz).astype(np.float32),
        lines.centre_mhz.reshape(8, -1),
        (2.0 / lines.fwhm_mhz).reshape(8, -1),
        lines.contrast.reshape(8, -1),
        light.centres.astype(np.float32).ravel(),
        light.background.astype(np.float32).ravel(),
        frames,
    )
    frames = frames.reshape(-1, *shape)
    for axis in (1, 2):
        frames = ndimage.gaussian_filter1d(frames, blur_px(truth, temperature), axis=axis, mode="nearest")
    shift = shift_px(truth, temperature)
    if any(shift):
        frames = ndimage.shift(frames, (0.0, *shift), order=3, mode="nearest")
    return np.ascontiguousarray(frames, dtype=np.float32)
