"""What s is expected to be at coming temperatures, at a few points: by the laws of the onset, none preferred."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analyzers.onset import OnsetSettings, tc_grid_k
from analyzers.onset_forms import response_table

Array = NDArray[np.float64]

LEAST_OFFSET = 1e-6
"""Least standard deviation of what all temperatures share: keeps the problem regular."""


def expected_s(
    temperature_k: ArrayLike,
    s: ArrayLike,
    sigma_s: ArrayLike,
    reference_sigma: ArrayLike,
    ahead_k: ArrayLike,
    settings: OnsetSettings | None = None,
) -> tuple[Array, Array]:
    """Return mean and standard deviation of s at coming temperatures, as some points' values so far let expect it.

    The law is that of `analyzers.onset`, s = 1 + A [1 - (T/Tc)^n]^m_+ and an offset from the reference that all
    temperatures share. Amplitude and offset are integrated out, form and Tc are summed over with their probabilities:
    the band holds what is not known of any of them, but not the noise of a coming measurement.

    Parameters
    ----------
    temperature_k
        (t,) temperatures, K.
    s, sigma_s
        (p, t) field ratio of each point and its standard deviation; what is not finite is left out.
    reference_sigma
        (p,) standard deviation of the offset.
    ahead_k
        (m,) temperatures asked for, K.

    Returns
    -------
    (p, m) mean and (p, m) standard deviation; NaN for a point where nothing was measured.
    """
    chosen = OnsetSettings() if settings is None else settings
    temperature, ahead = np.asarray(temperature_k, np.float64), np.asarray(ahead_k, np.float64)
    values, sigmas = np.asarray(s, np.float64), np.asarray(sigma_s, np.float64)
    offsets = np.maximum(np.nan_to_num(np.asarray(reference_sigma, np.float64)), LEAST_OFFSET)
    grid = tc_grid_k(float(temperature.min()), chosen)
    seen, coming = (
        response_table(t, grid, chosen.forms).reshape(t.size, len(chosen.forms) * grid.size)
        for t in (temperature, ahead)
    )  # (t, e k), (m, e k)
    weight = np.log([form.weight for form in chosen.forms])[:, None] - np.maximum(0.0, grid - chosen.tc_flat_k) / 10.0
    mean, deviation = np.full((2, values.shape[0], ahead.size), np.nan)
    for point, (value, sigma, offset) in enumerate(zip(values, sigmas, offsets, strict=True)):
        good = np.isfinite(value) & (sigma > 0)
        if good.any():
            # The shared part is a parameter of its own here: what is left is a point's own noise.
            noise = np.sqrt(np.maximum(sigma[good] ** 2 - offset**2, 0.25 * sigma[good] ** 2))
            scaled = (value[good] - 1.0) / noise
            mean[point], deviation[point] = _mixture(
                seen[good], coming, scaled, noise, weight.ravel(), chosen.amplitude_sigma, offset
            )
    return mean, deviation


def _mixture(
    seen: Array, coming: Array, scaled: Array, noise: Array, log_prior: Array, amplitude_sigma: float, offset: float
) -> tuple[Array, Array]:
    """Return mean and deviation over all hypotheses (columns): each is linear in amplitude and offset."""
    across, level = seen / noise[:, None], 1.0 / noise
    a = (across**2).sum(axis=0) + 1.0 / amplitude_sigma**2
    b = across.T @ level
    c = float(level @ level) + 1.0 / offset**2
    right_a, right_c = across.T @ scaled, float(level @ scaled)
    determinant = a * c - b**2
    amplitude = (c * right_a - b * right_c) / determinant
    shift = (a * right_c - b * right_a) / determinant
    evidence = log_prior + 0.5 * (amplitude * right_a + shift * right_c) - 0.5 * np.log(determinant)
    share = np.exp(evidence - evidence.max())
    share /= share.sum()
    mean = coming * amplitude + shift
    variance = (coming**2 * c - 2.0 * coming * b + a) / determinant
    expected = mean @ share
    return 1.0 + expected, np.sqrt((variance + (mean - expected[:, None]) ** 2) @ share)
