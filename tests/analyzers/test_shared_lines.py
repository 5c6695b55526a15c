"""Lines that share a width or a depth: one value for the group, calibrated sigmas, the same bits for any cut."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from analyzers.fitting import fit_band, fit_image
from analyzers.settings import AnalysisSettings
from stream.maps_file import compare_planes
from stream.messages import NoiseModel

FREQUENCY_MHZ = np.linspace(2800.0, 2940.0, 141)
PASSES = np.ones(FREQUENCY_MHZ.size, np.int64)
NOISE = NoiseModel("gain", 1.0)
FREE = AnalysisSettings(lines=2, doublets=((0, 1),), baseline="constant", fwhm_start_mhz=10.0)
PIXELS = 30, 40
FWHM_MHZ, CONTRAST = 9.0, 0.015


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(3)
    half = 15.0 + rng.uniform(-3, 3, PIXELS)
    light = np.ones((FREQUENCY_MHZ.size, *PIXELS))
    for sign in (-1, 1):
        light -= CONTRAST / (1 + 4 * ((FREQUENCY_MHZ[:, None, None] - 2870.0 - sign * half) / FWHM_MHZ) ** 2)
    return half, rng.poisson(light * (6.0 / CONTRAST) ** 2).astype(np.uint32)


def _fit(sums, threads: int = 1, **shared: str):
    settings = dataclasses.replace(FREE, **shared)
    return fit_image(sums, PASSES, FREQUENCY_MHZ, NOISE, settings, threads)


@pytest.mark.parametrize("over", ["doublet", "all"])
def test_shared_lines_have_one_value_nearer_to_the_truth_and_calibrated(truth, over: str) -> None:
    half, sums = truth
    free, tied = _fit(sums), _fit(sums, shared_fwhm=over, shared_contrast=over)
    ok = tied.status == 0
    assert ok.mean() > 0.99
    assert np.array_equal(tied.fwhm_mhz[0], tied.fwhm_mhz[1], equal_nan=True)
    assert np.allclose(tied.contrast[0], tied.contrast[1], rtol=1e-5, equal_nan=True)
    for name, true in (("fwhm_mhz", FWHM_MHZ), ("contrast", -CONTRAST)):
        before, after = ((getattr(fit, name)[0] - true)[ok] for fit in (free, tied))
        assert after.std() < 0.8 * before.std()
        pull = after / getattr(tied, f"{name}_sigma")[0][ok]
        assert 0.9 < pull.std() < 1.1
    doublet = tied.doublet(0)
    pull = ((doublet.half_splitting_mhz - half) / doublet.half_splitting_sigma_mhz)[ok]
    assert 0.63 < np.mean(np.abs(pull) < 1) < 0.73
    assert abs(np.median(tied.chi2) - 1.0) < 0.03


def test_a_width_alone_may_be_shared(truth) -> None:
    tied = _fit(truth[1], shared_fwhm="doublet")
    assert np.array_equal(tied.fwhm_mhz[0], tied.fwhm_mhz[1], equal_nan=True)
    assert not np.array_equal(tied.contrast[0], tied.contrast[1], equal_nan=True)


def test_a_dip_and_a_peak_keep_their_own_depths(truth) -> None:
    light = np.ones((FREQUENCY_MHZ.size, 1, 8))
    for sign in (-1, 1):
        light += sign * 0.02 / (1 + 4 * ((FREQUENCY_MHZ[:, None, None] - 2870.0 - sign * 20) / FWHM_MHZ) ** 2)
    sums = np.random.default_rng(1).poisson(light * (30 / 0.02) ** 2).astype(np.uint32)
    settings = dataclasses.replace(FREE, shared_fwhm="all", shared_contrast="all")
    found = fit_band(sums, PASSES, FREQUENCY_MHZ, NOISE, settings)
    assert np.allclose(found.contrast[:, 0, 0], [-0.02, 0.02], atol=0.002)


def test_threads_and_bands_change_no_bit(truth) -> None:
    shared = {"shared_fwhm": "doublet", "shared_contrast": "doublet"}
    one, two = _fit(truth[1], 1, **shared), _fit(truth[1], 2, **shared)
    assert compare_planes(one.to_planes(), two.to_planes()) == ""


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="shared_fwhm = 'both': allowed are none, doublet, all"):
        AnalysisSettings(shared_fwhm="both")
