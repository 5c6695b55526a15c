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
