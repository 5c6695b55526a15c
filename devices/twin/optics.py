"""What the camera sees without microwaves: illumination, fringes, reflection, shadows of leads and ruby."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.twin.faults import ANVIL_BRIGHTNESS
from devices.twin.state import TwinState
from devices.twin.truth import REFERENCE_TEMPERATURE_K, Truth

Array = NDArray[np.float64]

NOMINAL_LASER_MW = 100.0
"""Laser power that `electrons_per_frame` refers to, mW."""
BEAM_SIGMA_UM = 90.0
"""Standard deviation of the laser spot, um."""
FRINGE_UM = 14.0
"""Period of the fringes between culet and sample, um."""
SAMPLE_REFLECTION = 1.05
"""Brightness over the sample against the medium."""
LEAD_SHADOW = 0.75
"""Brightness over a lead."""
RUBY_SHADOW = 0.45
"""NV brightness over the ruby; its own light comes on top, without contrast."""
RUBY_LIGHT = 0.6
"""Light of the ruby against the mean NV brightness."""


@dataclass(frozen=True)
class Brightness:
    """Photo-electrons per frame and pixel, (y, x)."""

    centres: Array
    """From NV centres: carries the resonances."""
    background: Array
    """From everything else."""


def temperature_factor(temperature_k: float, dip_k: float, depth: float) -> float:
    """Mild dip of brightness or contrast around one temperature."""
    return 1.0 - depth * math.exp(-(((temperature_k - dip_k) / 18.0) ** 2))


def brightness(truth: Truth, state: TwinState) -> Brightness:
    """Return the light at a state; dark where the shutter is closed."""
    settings, x, y = truth.settings, truth.x_um, truth.y_um
    rng = np.random.default_rng([settings.seed, 7])
    beam_x, beam_y = rng.uniform(-6.0, 6.0, 2)
    angle, phase, dip = rng.uniform(0.0, math.pi), rng.uniform(0.0, 2.0 * math.pi), rng.uniform(35.0, 60.0)
    beam = np.exp(-((x - beam_x) ** 2 + (y - beam_y) ** 2) / (2.0 * BEAM_SIGMA_UM**2))
    bow = 0.006 * (x**2 + y**2) / FRINGE_UM
    fringe = np.cos(2.0 * math.pi * (x * math.cos(angle) + y * math.sin(angle)) / FRINGE_UM + bow + phase)
    light = beam * (1.0 + settings.fringe_depth * fringe)
    light = light * np.where(truth.sample, SAMPLE_REFLECTION, 1.0)
    light = light / light.mean()
    shaded = light * np.where(truth.leads, LEAD_SHADOW, 1.0) * np.where(truth.ruby, RUBY_SHADOW, 1.0)
    ruby = np.where(truth.ruby, RUBY_LIGHT, 0.0) + 0.02
    scale = settings.electrons_per_frame * (state.laser_power_mw / NOMINAL_LASER_MW if state.shutter else 0.0)
    scale *= temperature_factor(state.sample_temperature_k, dip, 0.06)
    if state.anvil_failed:
        shaded = ANVIL_BRIGHTNESS * shaded
    return Brightness(scale * shaded, scale * ruby)


def shift_px(truth: Truth, temperature_k: float) -> tuple[float, float]:
    """Return how far the view has walked since 150 K, (down, right) in pixels: the cold finger shrinks."""
    settings = truth.settings
    angle = float(np.random.default_rng([settings.seed, 31]).uniform(0.0, 2.0 * math.pi))
    walk = settings.view_drift_um / settings.pixel_size_um * (REFERENCE_TEMPERATURE_K - temperature_k) / 130.0
    return walk * math.sin(angle), walk * math.cos(angle)


def blur_px(truth: Truth, temperature_k: float) -> float:
    """Return the standard deviation of the blur, pixels: the focus walks with the temperature as well."""
    defocus = truth.settings.focus_drift * (REFERENCE_TEMPERATURE_K - temperature_k) / 130.0
    return truth.psf_sigma_px * math.hypot(1.0, defocus)
