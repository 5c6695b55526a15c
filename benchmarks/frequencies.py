"""What adaptive frequencies save: sweep time to the same sigma_s, by the Cramer-Rao bound of the twin's spectra.

Lines are seen twice by coarse sweeps, in the normal state at 150 K and at the base after field-on: what diamagnetism
moves lies between. The list made from both is used at the temperatures between them. A pixel's bound is that of a fit
with four lines (centre, width and contrast free) and a baseline; hours to the same sigma_s go as frames per pass times
the variance per pass. A line is missed where a pixel's [111] line, half a width to each side, is outside the windows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.settings import TwinSettings
from devices.twin.history import FieldStep
from devices.twin.rig import TwinRig
from devices.twin.spectra import Resonances, resonances
from devices.twin.truth import truth_of
from plans.frequencies import FrequencyLimits, FrequencyPlan, LineSeen, inside, plan_frequencies

Array = NDArray[np.float64]

FULL_STEP_MHZ = 2.0067
"""Step of the full sweep: 300 points over 600 MHz."""
FIELD_GAUSS = 97.0
LOOKS_K = (150.0, 20.0)
"""Temperatures of the two coarse sweeps, K."""
BETWEEN_K = (35.0, 60.0, 75.0)
"""Temperatures at which the list is used, K."""
QUANTILES = np.linspace(0.0, 1.0, 9)
PIXELS = 300
LINES = ((0,), (1,), (2, 4, 6), (3, 5, 7))
"""Resonances of the twin behind each line of the model: [111] low and high, tilted low and high."""


def frequencies(sample: str, seed: int, limits: FrequencyLimits | None = None) -> dict[str, Any]:
    """Return ratios of sweep time to the same sigma_s, points and missed lines of one crystal."""
    chosen = FrequencyLimits() if limits is None else limits
    looks = [_spectra(sample, seed, temperature) for temperature in LOOKS_K]
    plan = plan_frequencies([seen(looks, k) for k in range(len(LINES))], chosen)
    full = np.arange(chosen.first_mhz, chosen.last_mhz, FULL_STEP_MHZ)
    listed = np.array(plan.frequency_mhz)
    between = [_spectra(sample, seed, temperature) for temperature in BETWEEN_K]
    ratio = np.concatenate(
        [listed.size * variance(lines, listed) / (full.size * variance(lines, full)) for lines in between]
    )
    low, middle, worst = np.percentile(ratio, [1.0, 50.0, 99.0])
    return {
        "time_ratio": float(middle),
        "time_ratio_worst_pixel": float(worst),
        "time_ratio_best_pixel": float(low),
        "points": int(listed.size),
        "full_points": int(full.size),
        "missed_share": max(missed(lines, plan) for lines in (*looks, *between)),
    }


def _spectra(sample: str, seed: int, temperature_k: float) -> Resonances:
    """Return the resonances of the sample's pixels as (8, n)."""
    settings = TwinSettings(sample=sample, seed=seed, height=48, width=48, pixel_size_um=2.0)
    truth = truth_of(settings)
    state = replace(
        TwinRig(settings).state(),
        sample_temperature_k=temperature_k,
        field_xyz_gauss=(0.0, 0.0, FIELD_GAUSS),
        field_steps=(FieldStep(FIELD_GAUSS, temperature_k),),
        microwave_enable=1,
        shutter=1,
    )
    found = resonances(truth, state)
    places = np.flatnonzero(truth.sample & ~truth.ruby)
    few = places[:: max(1, places.size // PIXELS)]
    return Resonances(*(plane.reshape(8, -1)[:, few] for plane in (found.centre_mhz, found.fwhm_mhz, found.contrast)))


def seen(looks: list[Resonances], index: int) -> LineSeen:
    """Return a line of the model as the coarse sweeps show it."""
    members = [(lines, m) for lines in looks for m in LINES[index]]
    centres = np.quantile(np.concatenate([lines.centre_mhz[m] for lines, m in members]).astype(np.float64), QUANTILES)
    width = float(np.median(np.concatenate([lines.fwhm_mhz[m] for lines, m in members])))
    return LineSeen(tuple(float(value) for value in centres), width, dense=index < 2)


def variance(lines: Resonances, frequency_mhz: Array) -> Array:
    """(n,) bound of the variance of the [111] half splitting per pass, in units of the noise of a frame squared."""
    columns: list[Array] = []
    for members in LINES:
        centre, width, depth = (
            np.mean([plane[m] for m in members], axis=0).astype(np.float64)
            for plane in (lines.centre_mhz, lines.fwhm_mhz, lines.contrast)
        )
        depth = np.where(np.abs(depth) < 1e-4, 1e-4, depth * len(members))
        x = 2.0 * (frequency_mhz - centre[:, None]) / width[:, None]
        shape = 1.0 / (1.0 + x * x)
        scale = depth[:, None] / width[:, None]
        columns += [4.0 * scale * x * shape**2, 2.0 * scale * x * x * shape**2, shape]
    columns.append(np.ones_like(columns[0]))
    jacobian = np.stack(columns, axis=-1)
    covariance = np.linalg.inv(np.einsum("nfi,nfj->nij", jacobian, jacobian))
    return 0.25 * (covariance[:, 0, 0] + covariance[:, 3, 3] - 2.0 * covariance[:, 0, 3])


def missed(lines: Resonances, plan: FrequencyPlan) -> float:
    """Return the share of pixels with a [111] slope outside the windows."""
    lost = 0
    for centre, width in zip(lines.centre_mhz[:2].T, lines.fwhm_mhz[:2].T, strict=True):
        ends = [float(c + sign * 0.5 * w) for c, w in zip(centre, width, strict=True) for sign in (-1, 1)]
        lost += any(not inside(end, plan.windows_mhz) for end in ends)
    return lost / lines.centre_mhz.shape[1]
