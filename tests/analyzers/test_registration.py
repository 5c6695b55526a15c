"""Drift between sweeps: known shifts are found and undone, their error is in sigma, and s is not mistaken for it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from analyzers.fitmap import Doublet
from analyzers.registration import at_reference, find_drift
from analyzers.status import StatusCode

SHAPE = (96, 96)
SHIFTS = [(0.0, 0.0), (0.37, -0.81), (-2.6, 1.25), (4.4, 3.3)]


def _scene(shift, seed=0, noise=1e-3, change=0.0):
    """Return the light of a speckled view that has moved by `shift`; `change` brightens the middle by itself."""
    generator = np.random.default_rng(42)
    wide = ndimage.gaussian_filter(generator.standard_normal((140, 140)), 1.5)
    moved = ndimage.shift(wide / wide.std(), shift, order=5, mode="nearest")[22:118, 22:118]
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    light = 3e4 * np.exp(-((y - 48.0) ** 2 + (x - 48.0) ** 2) / 5e3) * (1 + 0.05 * moved)
    light[30:66, 30:66] *= 1 + change * np.sin(x[30:66, 30:66] / 2.0)
    return light * (1 + noise * np.random.default_rng(seed).standard_normal(SHAPE))


def _sample():
    mask = np.zeros(SHAPE, bool)
    mask[28:68, 28:68] = True
    return mask


@pytest.mark.parametrize("shift", SHIFTS)
def test_known_shifts_are_found_within_their_error(shift):
    reference = _scene((0.0, 0.0), seed=1)
    for seed in (2, 3, 4):
        found = find_drift(reference, _scene(shift, seed), np.zeros(SHAPE, bool))
        error = np.array(found.shift_px) - shift
        assert np.abs(error).max() < 0.02
        assert (np.abs(error) < 5 * np.array(found.sigma_px) + 0.004).all()
        assert 0 < max(found.sigma_px) < 0.02


def test_what_changes_by_itself_does_not_pull_the_shift():
    reference, shift = _scene((0.0, 0.0), seed=1), (0.6, -1.3)
    found = find_drift(reference, _scene(shift, 2, change=0.1), _sample())
    assert np.abs(np.array(found.shift_px) - shift).max() < 0.03
    assert found.pixels < 0.85 * reference.size


def test_unknown_pixels_are_left_out_and_bits_repeat():
    reference, now = _scene((0.0, 0.0), seed=1), _scene((1.4, 0.3), 2)
    now[40:44, 10:20] = np.nan
    reference[::17, ::13] = np.nan
    found = find_drift(reference, now, np.zeros(SHAPE, bool))
    assert np.abs(np.array(found.shift_px) - (1.4, 0.3)).max() < 0.03
    assert found == find_drift(reference, now, np.zeros(SHAPE, bool))


def _doublet(shift, seed, sigma=0.05, slope=0.4):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    half = 272.0 + slope * (x - shift[1]) + 2.0 * np.sin((y - shift[0]) / 9.0)
    noise = sigma * np.random.default_rng(seed).standard_normal(SHAPE)
    plane = np.full(SHAPE, sigma, np.float32)
    return Doublet(
        np.full(SHAPE, 3129.0, np.float32), plane, (half + noise).astype(np.float32), plane, np.zeros(SHAPE, np.uint8)
    )


@pytest.mark.parametrize("shift", SHIFTS[1:])
def test_maps_are_moved_back_with_calibrated_sigma(shift):
    drift = find_drift(_scene((0.0, 0.0), seed=1), _scene(shift, 2), np.zeros(SHAPE, bool))
    found, truth = at_reference(_doublet(shift, 3), drift), _doublet((0.0, 0.0), 0, sigma=0.0)
    good = found.status == StatusCode.OK
    assert good.mean() > 0.88
    pull = (found.half_splitting_mhz - truth.half_splitting_mhz)[good] / found.half_splitting_sigma_mhz[good]
    assert 0.8 < np.sqrt(np.mean(pull**2)) < 1.25
    wrong = (_doublet(shift, 3).half_splitting_mhz - truth.half_splitting_mhz)[good]
    assert np.sqrt(np.mean(wrong**2)) > 3 * np.sqrt(np.mean((pull * found.half_splitting_sigma_mhz[good]) ** 2))


def test_the_error_of_the_shift_counts_where_the_map_is_steep():
    noisy = find_drift(_scene((0.0, 0.0), 1, noise=0.02), _scene((0.5, 0.5), 2, noise=0.02), np.zeros(SHAPE, bool))
    steep, flat = (at_reference(_doublet((0.5, 0.5), 3, slope=slope), noisy) for slope in (30.0, 0.0))
    inside = (slice(10, 80), slice(10, 80))
    added = np.sqrt(steep.half_splitting_sigma_mhz[inside] ** 2 - flat.half_splitting_sigma_mhz[inside] ** 2)
    assert np.median(added) == pytest.approx(30.0 * noisy.sigma_px[1], rel=0.1)


def test_pixels_that_left_the_view_or_touch_an_unresolved_one_are_missing():
    doublet = _doublet((0.0, 0.0), 1)
    doublet.status[50, 50] = StatusCode.LOW_SNR
    drift = find_drift(_scene((0.0, 0.0), 1), _scene((2.5, 0.5), 2), np.zeros(SHAPE, bool))
    found = at_reference(doublet, drift)
    assert (found.status[-2:] == StatusCode.NOT_YET_MEASURED).all()
    touched = np.argwhere(found.status == StatusCode.LOW_SNR)
    assert len(touched) == 4
    assert np.isnan(found.half_splitting_mhz[found.status != StatusCode.OK]).all()
