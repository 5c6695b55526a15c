"""Report and products of a warming whose truth is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from analyzers.fitmap import FitMap
from analyzers.pipeline import RunMaps
from analyzers.products import PRODUCT_DESCRIPTIONS, PRODUCT_UNITS, make_products
from analyzers.report import make_report
from analyzers.status import StatusCode
from analyzers.tc import tc_of
from stream.messages import FieldHistory, StatePoint, SweepRole, SweepStart
from tests.analyzers import synthetic

SIGMA_MHZ = 0.05
LADDER_K = (20.0, 40.0, 55.0, 65.0, 72.0, 76.0, 80.0, 84.0, 90.0, 150.0)


def _sweep(number: int, role: SweepRole, temperature_k: float) -> SweepStart:
    state = StatePoint(temperature_k, temperature_k, temperature_k, 97.0, FieldHistory.ZFC_FW)
    return SweepStart("run-1", number, role, state, synthetic.FREQUENCY_MHZ, 2)


def _fit(temperature_k: float, seed: int) -> FitMap:
    """Return the fit that a camera without any trouble would give."""
    shape = (synthetic.HEIGHT, synthetic.WIDTH)
    noise = SIGMA_MHZ * np.random.default_rng(seed).standard_normal((4, *shape))
    centre = np.broadcast_to(np.reshape(synthetic.CENTRES, (4, 1, 1)), (4, *shape)) + noise
    shift = 272.0 * (synthetic.true_s(temperature_k) - 1.0)
    centre[0] -= shift
    centre[3] += shift
    empty = FitMap.empty(4, ((0, 3), (1, 2)), *shape)
    good = {name: np.zeros_like(getattr(empty, name)) for name in ("line_status", "doublet_status", "status")}
    return dataclasses.replace(
        empty,
        centre_mhz=centre.astype(np.float32),
        centre_mhz_sigma=np.full((4, *shape), SIGMA_MHZ, np.float32),
        pair_correlation=np.zeros((2, *shape), np.float32),
        **good,
    )


@pytest.fixture(scope="module")
def run():
    maps = RunMaps.of(synthetic.run_start())
    maps.add(_sweep(0, SweepRole.OPENING_REFERENCE, 150.0), _fit(150.0, 0))
    for number, temperature in enumerate(LADDER_K, start=1):
        role = SweepRole.CLOSING_REFERENCE if temperature == 150.0 else SweepRole.WARMING
        maps.add(_sweep(number, role, temperature), _fit(temperature, number))
    return maps


def test_report_of_the_coldest_point(run):
    report = make_report(run, run.finals[1], tc_of(run, last_sweep=1))
    changed = (synthetic.suppression() > 0) & run.regions.judged
    assert report.valid
    assert report.fraction_changed == pytest.approx(changed.sum() / run.regions.judged.sum(), abs=0.02)
    assert report.s_low == pytest.approx(0.94, abs=0.002)
    assert report.s_median == pytest.approx(1.0, abs=0.001)
    assert report.coverage == 1.0
    assert report.sigma_zz_mean_gpa != 0.0
    assert report.candidate_temperature_k.min() > 20.0
    assert report.tc_density_per_k.sum() > 0
    assert report.open_fraction > 0.9


def test_report_closes_once_tc_is_passed(run):
    report = make_report(run, run.finals[9], tc_of(run, last_sweep=9))
    assert report.open_fraction < 0.05
    assert report.fraction_changed == 0.0
    assert 0 < report.tc_sigma_median_k < 4


def test_report_without_s_is_not_valid_and_all_numbers_are_finite(run):
    single = RunMaps.of(synthetic.run_start())
    (maps,) = single.add(_sweep(0, SweepRole.SINGLE, 300.0), _fit(150.0, 1))
    report = make_report(single, maps, tc_of(single))
    assert not report.valid
    assert "reference" in report.reason
    numbers = [
        getattr(report, f.name) for f in dataclasses.fields(report) if isinstance(getattr(report, f.name), float)
    ]
    assert np.isfinite(numbers).all()


def test_report_of_the_reference_is_valid_with_s_of_one(run):
    report = make_report(run, run.finals[0], None)
    assert report.valid
    assert report.s_median == 1.0


def test_hardly_resolved_is_not_valid():
    run = RunMaps.of(synthetic.run_start())
    fit = _fit(150.0, 1)
    fit.doublet_status[:] = StatusCode.LOW_SNR
    (maps,) = run.add(_sweep(0, SweepRole.OPENING_REFERENCE, 150.0), fit)
    report = make_report(run, maps, None)
    assert not report.valid
    assert "resolved" in report.reason


def test_products(run):
    products = make_products(run)
    assert products is not None
    assert set(products.planes) <= set(PRODUCT_UNITS)
    assert set(PRODUCT_UNITS) == set(PRODUCT_DESCRIPTIONS)
    changed = (synthetic.suppression() > 0) & run.regions.judged
    tc = products.planes["tc_k"]
    assert np.isfinite(tc[changed]).mean() > 0.9
    assert np.nanmedian(np.abs(tc[changed] - synthetic.TC_K)) < 3.0
    assert np.isfinite(tc[run.regions.judged & ~changed]).mean() < 0.05
    assert not np.isfinite(tc[~run.regions.judged]).any()
    assert products.planes["s"].shape == (10, synthetic.HEIGHT, synthetic.WIDTH)
    assert products.attributes["closure_systematic"] < 3e-4
    assert np.isfinite(products.planes["sigma_zz_gpa"][changed]).all()


def test_the_outlook_of_every_point_is_kept(run):
    products = make_products(run)
    assert products is not None
    candidates = products.planes["onset_candidate_k"]
    information = products.planes["onset_information_bits"]
    assert information.shape == (len(LADDER_K) - 1, candidates.size)
    for row, last in zip(information, LADDER_K[:-1], strict=True):
        assert np.array_equal(np.isfinite(row), candidates > last)
    early = information[3]  # after 65 K, Tc being 80 K
    near = (candidates > 70) & (candidates < 85)
    assert np.nanmax(early[near]) > 3 * np.nanmax(early[candidates > 110])
    assert products.planes["onset_tc_density_per_k"][8][candidates > 95].sum() < 0.05


def _drifting(closing_shift, seed=0, drop=()):
    """Return a warming whose E changes by `closing_shift` (y, x), relative, once between opening and closing."""
    maps = RunMaps.of(synthetic.run_start())
    for number, temperature in enumerate((150.0, 20.0, 60.0, 150.0)):
        role = {0: SweepRole.OPENING_REFERENCE, 3: SweepRole.CLOSING_REFERENCE}.get(number, SweepRole.WARMING)
        fit = _fit(temperature, seed + number)
        if number:
            fit.centre_mhz[0] -= 272.0 * closing_shift
            fit.centre_mhz[3] += 272.0 * closing_shift
        for pixel in drop:
            if role in (SweepRole.OPENING_REFERENCE, SweepRole.CLOSING_REFERENCE)[: 1 + (pixel[0] < 14)]:
                fit.doublet_status[0][pixel] = StatusCode.LOW_SNR
        maps.add(_sweep(number, role, temperature), fit)
    return maps


def test_both_references_lower_the_noise_of_s():
    pulls, gains = [], []
    for seed in (10, 20, 30, 40):
        run = _drifting(np.zeros((synthetic.HEIGHT, synthetic.WIDTH)), seed)
        products = make_products(run)
        assert products is not None
        judged = run.regions.judged
        error = (products.planes["s"][1] - synthetic.true_s(60.0))[judged]
        one_sided = (run.finals[2].ratio.s - synthetic.true_s(60.0))[judged]
        pulls.append(error / products.planes["sigma_s"][1][judged])
        gains.append(np.std(error) / np.std(one_sided))
        assert "opening and closing" in products.attributes["reference"]
        assert products.attributes["reference_pixels"]["BOTH"] == judged.size
        assert (products.planes["s_reference"] == 3).all()
    assert np.mean(gains) == pytest.approx(np.sqrt(0.75), abs=0.05)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.08)


def test_drift_between_the_references_enters_sigma_s():
    drift = 2e-3 * np.random.default_rng(5).standard_normal((synthetic.HEIGHT, synthetic.WIDTH))
    run = _drifting(drift)
    products = make_products(run)
    assert products is not None
    judged = run.regions.judged
    assert products.attributes["closure_systematic"] == pytest.approx(2e-3, rel=0.25)
    error = (products.planes["s"][1] - synthetic.true_s(60.0))[judged]
    sigma = products.planes["sigma_s"][1][judged]
    assert 0.62 < (np.abs(error) < sigma).mean() < 0.76
    noise = run.finals[2].ratio.sigma_s[judged]
    assert (np.abs(error) < noise).mean() < 0.3
    systematic = products.planes["sigma_s_systematic"][judged]
    np.testing.assert_allclose(systematic, products.attributes["closure_systematic"] / 2, rtol=1e-5)
    assert (products.planes["sigma_s_reference"][1][judged] > systematic * 0.9).all()


def test_a_pixel_with_one_reference_says_which():
    run = _drifting(np.zeros((synthetic.HEIGHT, synthetic.WIDTH)), drop=((12, 18), (15, 18)))
    products = make_products(run)
    assert products is not None
    assert products.planes["s_reference"][12, 18] == 0
    assert run.finals[2].ratio.status[15, 18] == StatusCode.NO_REFERENCE
    assert products.planes["s_reference"][15, 18] == 2
    assert np.isfinite(products.planes["s"][1, 15, 18])
    assert np.isnan(products.planes["s"][1, 12, 18])


def test_without_a_closing_reference_the_fallback_is_named():
    run = RunMaps.of(synthetic.run_start())
    run.add(_sweep(0, SweepRole.OPENING_REFERENCE, 150.0), _fit(150.0, 0))
    run.add(_sweep(1, SweepRole.WARMING, 20.0), _fit(20.0, 1))
    products = make_products(run)
    assert products is not None
    assert "opening reference alone" in products.attributes["reference"]
    assert "closure" not in products.planes
    assert np.array_equal(products.planes["s"][0], run.finals[1].ratio.s, equal_nan=True)
    assert not products.planes["sigma_s_systematic"].any()


def test_a_warming_that_begins_in_the_normal_state_has_no_tc():
    run = RunMaps.of(synthetic.run_start())
    run.add(_sweep(0, SweepRole.OPENING_REFERENCE, 150.0), _fit(150.0, 0))
    (maps,) = run.add(_sweep(1, SweepRole.WARMING, 150.0), _fit(150.0, 1))
    assert tc_of(run) is None
    assert make_report(run, maps, None).valid
    products = make_products(run)
    assert products is not None
    assert "tc_k" not in products.planes


def test_a_single_sweep_has_no_products():
    run = RunMaps.of(synthetic.run_start())
    run.add(_sweep(0, SweepRole.SINGLE, 300.0), _fit(150.0, 1))
    assert make_products(run) is None
