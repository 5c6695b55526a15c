"""Fits recover the truth, say how well they know it, and depend on the pixel's own spectrum alone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from analyzers.engine import fit_flat, flat_view
from analyzers.fitmap import UNITS, FitMap
from analyzers.fitting import DESCRIPTIONS, fit_band, fit_image, fit_spectrum, model_spectrum
from analyzers.plan import make_plan
from analyzers.settings import AnalysisSettings
from analyzers.status import StatusCode, describe
from stream.messages import NoiseModel

if TYPE_CHECKING:
    from types import ModuleType

SETTINGS = AnalysisSettings()


def _load(name: str) -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(f"tests_analyzers_{name}", Path(__file__).parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


spectra = _load("spectra")
FREQUENCY_MHZ = spectra.FREQUENCY_MHZ


@pytest.fixture(scope="module")
def truth():
    return spectra.four_lines(32, 41)


@pytest.fixture(scope="module")
def fitted(truth) -> FitMap:
    return fit_band(truth.sums, truth.passes, FREQUENCY_MHZ, truth.noise, SETTINGS)


def _same(first: FitMap, second: FitMap) -> None:
    mine, other = first.to_planes(), second.to_planes()
    for name, plane in mine.items():
        assert np.array_equal(plane, other[name], equal_nan=plane.dtype.kind == "f"), name


def test_four_lines_are_recovered_with_calibrated_sigmas(truth, fitted: FitMap) -> None:
    assert (fitted.status == StatusCode.OK).all()
    pull = (fitted.centre_mhz - truth.centre_mhz) / fitted.centre_mhz_sigma
    assert 0.64 < float((np.abs(pull) < 1).mean()) < 0.72
    assert np.abs(pull).max() < 6
    assert abs(float(pull.mean())) < 0.08
    width_pull = (fitted.fwhm_mhz - truth.fwhm_mhz) / fitted.fwhm_mhz_sigma
    assert 0.9 < float(width_pull.std()) < 1.1
    depth_pull = (fitted.contrast - truth.contrast) / fitted.contrast_sigma
    assert 0.9 < float(depth_pull.std()) < 1.1
    assert abs(float(np.median(fitted.chi2)) - 1) < 0.05
    assert np.allclose(fitted.baseline, spectra.COUNTS, rtol=1e-3)
    assert np.allclose(fitted.slope, 2e-3 / 300, atol=4e-6)


def test_doublets_carry_centre_half_splitting_and_their_sigmas(truth, fitted: FitMap) -> None:
    outer = fitted.doublet(0)
    error = outer.half_splitting_mhz - (truth.centre_mhz[3] - truth.centre_mhz[0]) / 2
    assert 0.9 < float((error / outer.half_splitting_sigma_mhz).std()) < 1.1
    centre_error = outer.centre_mhz - (truth.centre_mhz[3] + truth.centre_mhz[0]) / 2
    assert 0.9 < float((centre_error / outer.centre_mhz_sigma).std()) < 1.1
    assert (fitted.doublet(1).status == StatusCode.OK).all()


def test_any_partition_gives_the_same_bits(truth, fitted: FitMap) -> None:
    for edges in ([0, 32], [0, 1, 2, 32], [0, 7, 13, 31, 32], list(range(0, 33, 4))):
        bands = [
            fit_band(truth.sums[:, low:high], truth.passes, FREQUENCY_MHZ, truth.noise, SETTINGS)
            for low, high in pairwise(edges)
        ]
        _same(FitMap.concat(bands), fitted)


@pytest.mark.parametrize("width", [1, 3, 15, 16, 17, 31])
def test_any_block_composition_gives_the_same_bits(truth, fitted: FitMap, width: int) -> None:
    part = fit_band(truth.sums[:, 3:5, 5 : 5 + width], truth.passes, FREQUENCY_MHZ, truth.noise, SETTINGS)
    assert np.array_equal(part.centre_mhz, fitted.centre_mhz[:, 3:5, 5 : 5 + width])
    assert np.array_equal(part.centre_mhz_sigma, fitted.centre_mhz_sigma[:, 3:5, 5 : 5 + width])


def test_strides_and_order_of_the_list_do_not_matter(truth, fitted: FitMap) -> None:
    wide = np.zeros((len(FREQUENCY_MHZ), 64, 90), np.uint32)
    wide[:, ::2, 3:85:2] = truth.sums
    _same(fit_band(wide[:, ::2, 3:85:2], truth.passes, FREQUENCY_MHZ, truth.noise, SETTINGS), fitted)
    shuffle = np.random.default_rng(5).permutation(len(FREQUENCY_MHZ))
    _same(fit_band(truth.sums[shuffle], truth.passes, FREQUENCY_MHZ[shuffle], truth.noise, SETTINGS), fitted)


def test_threads_give_the_same_bits(truth, fitted: FitMap) -> None:
    for threads in (1, 2, 5):
        _same(fit_image(truth.sums, truth.passes, FREQUENCY_MHZ, truth.noise, SETTINGS, threads), fitted)


def test_fast_path_agrees_with_the_robust_one(truth, fitted: FitMap) -> None:
    plan = make_plan(truth.passes, FREQUENCY_MHZ, len(FREQUENCY_MHZ), truth.noise, SETTINGS, provisional=False)
    assert plan is not None
    flat, stride = flat_view(truth.sums)
    pixels = 8 * 41
    robust = fit_flat(plan, flat, stride, pixels, fast=False)
    part = fitted.rows(0, 8)
    shift = (robust["centre_mhz"] - part.centre_mhz.reshape(4, pixels)) / part.centre_mhz_sigma.reshape(4, pixels)
    assert np.sqrt((shift**2).mean()) < 0.01
    assert np.abs(shift).max() < 0.1
    assert np.allclose(robust["centre_mhz_sigma"], part.centre_mhz_sigma.reshape(4, pixels), rtol=0.04)
    assert np.allclose(robust["pair_correlation"], part.pair_correlation.reshape(2, pixels), atol=1e-3)


def test_bad_pixels_are_flagged_and_poison_nobody(truth, fitted: FitMap) -> None:
    values = (truth.sums / spectra.PASSES).astype(np.float32)
    ones = np.ones(len(FREQUENCY_MHZ), np.int64)
    noise = NoiseModel("gain", spectra.GAIN * spectra.PASSES)
    clean = fit_band(values[:, :2], ones, FREQUENCY_MHZ, noise, SETTINGS)
    values[:, 0, 3] = np.nan
    values[:, 0, 4] = 0.0
    values[:, 0, 5] = 65_535.0
    values[10, 0, 6] = np.nan
    values[5, 0, 7] = np.inf
    spoiled = fit_band(values[:, :2], ones, FREQUENCY_MHZ, noise, SETTINGS)
    assert spoiled.status[0, 3:6].tolist() == [StatusCode.BAD_FRAME] * 3
    assert np.isnan(spoiled.centre_mhz[:, 0, 3:6]).all()
    assert spoiled.status[0, 6:8].tolist() == [StatusCode.OK] * 2
    keep = np.ones(clean.shape, bool)
    keep[0, 3:8] = False
    for name, plane in clean.to_planes().items():
        assert np.array_equal(plane[..., keep], spoiled.to_planes()[name][..., keep]), name


def test_saturated_pixels_are_flagged(truth) -> None:
    import dataclasses

    settings = dataclasses.replace(SETTINGS, saturation_counts=spectra.COUNTS * 1.001)
    found = fit_band(truth.sums[:, :1], truth.passes, FREQUENCY_MHZ, truth.noise, settings)
    assert (found.status == StatusCode.BAD_FRAME).all()


def test_vanishing_inner_lines_leave_the_outer_pair_usable() -> None:
    truth = spectra.four_lines(6, 16, inner=0.0)
    found = fit_band(truth.sums, truth.passes, FREQUENCY_MHZ, truth.noise, SETTINGS)
    assert (found.doublet_status[0] == StatusCode.OK).mean() > 0.95
    assert (found.doublet_status[1] != StatusCode.OK).all()
    assert (found.doublet_status[1] == StatusCode.CONTRAST_CROSSING).mean() > 0.9
    assert (found.status != StatusCode.OK).all()
    outer = found.doublet(0)
    error = outer.half_splitting_mhz - (truth.centre_mhz[3] - truth.centre_mhz[0]) / 2
    assert np.nanstd(error / outer.half_splitting_sigma_mhz) < 1.2
    assert np.isnan(found.centre_mhz[1:3]).all()


def test_frequencies_not_yet_measured_are_left_out(truth) -> None:
    passes = truth.passes.copy()
    passes[::3] = 0
    found = fit_band(truth.sums[:, :4], passes, FREQUENCY_MHZ, truth.noise, SETTINGS)
    assert (found.doublet_status[0] == StatusCode.OK).mean() > 0.95
    passes[10:] = 0
    none = fit_band(truth.sums[:, :4], passes, FREQUENCY_MHZ, truth.noise, SETTINGS)
    assert (none.status == StatusCode.NOT_YET_MEASURED).all()
    assert np.isnan(none.centre_mhz).all()


def test_uneven_passes_are_weighted(truth) -> None:
    uneven = truth.passes.copy()
    sums = truth.sums[:, :8].copy()
    uneven[::2] = 1
    random = np.random.default_rng(3)
    mean = truth.sums[::2, :8] / spectra.PASSES
    # one pass instead of six: more noise
    extra = random.normal(0, np.sqrt(mean / spectra.GAIN * (1 - 1 / spectra.PASSES)))
    sums[::2] = np.round(mean + extra).astype(np.uint32)
    found = fit_band(sums, uneven, FREQUENCY_MHZ, truth.noise, SETTINGS)
    pull = (found.centre_mhz - truth.centre_mhz[:, :8]) / found.centre_mhz_sigma
    assert 0.9 < float(np.nanstd(pull)) < 1.12
    assert abs(float(np.nanmedian(found.chi2)) - 1) < 0.06


def test_a_warm_start_finds_the_same_within_a_fraction_of_sigma(truth, fitted: FitMap) -> None:
    warm = fit_band(truth.sums, truth.passes, FREQUENCY_MHZ, truth.noise, SETTINGS, start=fitted)
    shift = (warm.centre_mhz - fitted.centre_mhz) / fitted.centre_mhz_sigma
    assert (warm.status == StatusCode.OK).all()
    assert np.abs(shift).max() < 0.15


def test_wrong_shapes_are_refused(truth) -> None:
    with pytest.raises(ValueError, match="must agree"):
        fit_band(truth.sums, truth.passes[:-1], FREQUENCY_MHZ, truth.noise, SETTINGS)
    with pytest.raises(ValueError, match="finite"):
        fit_band(truth.sums, truth.passes, np.where(FREQUENCY_MHZ > 3400, np.nan, FREQUENCY_MHZ), truth.noise, SETTINGS)


def test_fit_map_planes_round_trip(fitted: FitMap) -> None:
    planes = fitted.to_planes()
    assert set(planes) == set(UNITS) == set(DESCRIPTIONS)
    _same(FitMap.from_planes(planes, SETTINGS.doublets), fitted)
    _same(FitMap.concat([fitted.rows(0, 5), fitted.rows(5, 32)]), fitted)
    assert all(describe(code) for code in StatusCode)


def test_one_spectrum_and_its_model() -> None:
    random = np.random.default_rng(2)
    settings = AnalysisSettings(lines=2, doublets=((0, 1),))
    frequency = np.linspace(2800.0, 2950.0, 151)
    exact = model_spectrum(frequency, [2850.0, 2900.0], [12.0, 14.0], [-0.01, 0.008], settings, slope=1e-5)
    sigma = np.where(frequency < 2870, 2e-4, 4e-4)
    found = fit_spectrum(frequency, exact + sigma * random.standard_normal(151), sigma, settings)
    assert found.lines.status[0, 0] == StatusCode.OK
    assert np.allclose(found.lines.centre_mhz[:, 0, 0], [2850, 2900], atol=5 * found.lines.centre_mhz_sigma[:, 0, 0])
    assert found.lines.contrast[1, 0, 0] > 0
    assert np.abs(found.model - exact).max() < 4e-4
    assert 0.7 < float(found.lines.chi2[0, 0]) < 1.3
