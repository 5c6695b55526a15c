"""The joint fit on frames of the twin: unbiased, at the Cramer-Rao bound, honest where fields do not tell."""

import dataclasses

import numpy as np
import pytest

from analyzers.fitting import fit_image
from analyzers.joint import JointSweep, joint_map
from analyzers.joint_map import DESCRIPTIONS, UNITS
from analyzers.settings import AnalysisSettings
from analyzers.status import StatusCode
from analyzers.stress import StressSettings, stress_map
from benchmarks.joint_scene import ACROSS, ALONG, KNOWN, NOISE, NONE, bounds, state, sweeps, twin_of
from devices.twin.spectra import resonances
from devices.twin.truth import truth_of
from physics.constants import stress_set
from physics.stress import sum_rule
from physics.zero_field import zero_field_splitting_mhz

TWIN = twin_of()
SET = (NONE, ALONG, ACROSS)


@pytest.fixture(scope="module")
def truth():
    return truth_of(TWIN)


@pytest.fixture(scope="module")
def measured():
    return dict(zip(SET, sweeps(TWIN, SET), strict=True))


@pytest.fixture(scope="module")
def full(measured, truth):
    return joint_map([measured[field] for field in SET], NOISE, KNOWN, truth.ruby)


@pytest.fixture(scope="module")
def single(measured, truth):
    return joint_map([measured[ALONG]], NOISE, KNOWN, truth.ruby)


def errors(found, name, true, unit="_gpa"):
    value, sigma = found[name + unit].astype(float), found[f"{name}_sigma{unit}"].astype(float)
    usable = np.isfinite(value)
    return (value - true)[usable], sigma[usable]


def pixels(usable, count=25):
    places = np.argwhere(usable)
    return places[:: max(1, len(places) // count)]


def test_sigma_zz_is_at_the_bound_below_0_1_gpa_with_honest_sigmas(full, truth):
    error, sigma = errors(full, "sigma_zz", truth.sigma_zz_gpa)
    assert error.size > 0.9 * (~truth.ruby).sum()
    bound = np.median([one.sigma_zz_gpa for one in bounds(TWIN, SET, pixels(~truth.ruby))])
    assert np.sqrt((error**2).mean()) < 1.15 * bound
    assert np.sqrt((error**2).mean()) < 0.1
    assert (error / sigma).std() == pytest.approx(1.0, abs=0.15)
    assert np.median(sigma) == pytest.approx(bound, rel=0.15)
    assert np.abs(error / sigma).max() < 6.0


def test_in_plane_stress_and_field_ratio_are_found_with_their_sigmas(full, truth):
    error, sigma = errors(full, "in_plane", truth.stress_gpa[..., :2].mean(axis=-1))
    assert (error / sigma).std() < 1.3
    error, sigma = errors(full, "field_ratio", 1.0, "")
    assert (error / sigma).std() == pytest.approx(1.0, abs=0.15)
    assert np.median(sigma) < 2e-3


def test_tau_is_at_the_bound_where_it_is_reported(full, truth):
    error, sigma = errors(full, "tau", truth.tau_gpa)
    assert error.size > 0.8 * (~truth.ruby).sum()
    usable = np.isfinite(full["tau_gpa"])
    bound = [one.tau_gpa for one in bounds(TWIN, SET, pixels(usable))]
    assert np.sqrt((error**2).mean()) < 1.15 * np.sqrt(np.mean(np.square(bound)))
    assert (error / sigma).std() < 1.25
    assert np.mean(np.abs(error) > 5.0 * sigma) < 0.01


def test_near_zero_and_97_gauss_give_tau_at_the_bound_where_it_is_reported(measured, truth):
    """Most pixels are refused: exchanged groups explain these two fields as well."""
    two = (NONE, ALONG)
    found = joint_map([measured[field] for field in two], NOISE, KNOWN, truth.ruby)
    error, sigma = errors(found, "tau", truth.tau_gpa)
    assert error.size > 0.15 * (~truth.ruby).sum()
    bound = [one.tau_gpa for one in bounds(TWIN, two, pixels(np.isfinite(found["tau_gpa"])))]
    assert np.sqrt((error**2).mean()) < 1.15 * np.sqrt(np.mean(np.square(bound)))
    assert np.mean(np.abs(error) > 5.0 * sigma) < 0.01
    refused = np.isnan(found["tau_gpa"]) & ~truth.ruby
    assert (found["tau_status"][refused] == StatusCode.NOT_IDENTIFIABLE).mean() > 0.9
    error, sigma = errors(found, "sigma_zz", truth.sigma_zz_gpa)
    bound = np.median([one.sigma_zz_gpa for one in bounds(TWIN, two, pixels(~truth.ruby))])
    assert np.sqrt((error**2).mean()) < 1.15 * bound


def test_the_azimuth_of_tau_is_reported_only_where_no_swap_of_groups_explains_the_spectra_as_well(full, truth):
    true = np.degrees(np.arctan2(truth.stress_gpa[..., 3], truth.stress_gpa[..., 4]))
    error, sigma = errors(full, "tau_azimuth", true, "_deg")
    error = (error + 180.0) % 360.0 - 180.0
    assert error.size > 50
    assert np.mean(np.abs(error) > 5.0 * sigma) < 0.02


def test_one_field_gives_sigma_zz_with_an_honest_sigma_and_refuses_tau(single, truth):
    error, sigma = errors(single, "sigma_zz", truth.sigma_zz_gpa)
    assert error.size > 0.9 * (~truth.ruby).sum()
    assert 0.6 < np.sqrt(((error / sigma) ** 2).mean()) < 1.15
    assert np.sqrt((error**2).mean()) < 0.2
    assert np.isnan(single["tau_gpa"]).all()
    assert np.isin(single["tau_status"], [StatusCode.NOT_IDENTIFIABLE, StatusCode.OCCLUDED]).all()
    assert "97 G" in single.no_tau_because
    assert np.isnan(single["tau_azimuth_deg"]).all()


def test_naive_recipe_field_correction_and_joint_fit_on_the_same_frames(measured, single, full, truth):
    sweep = measured[ALONG]
    fit = fit_image(sweep.sums, sweep.passes_added, sweep.frequency_mhz, NOISE, AnalysisSettings(), 1)
    along, tilted = fit.doublet(0), fit.doublet(1)
    d = float(zero_field_splitting_mhz(150.0))
    naive = sum_rule(stress_set()).sigma_zz(along.centre_mhz - d, tilted.centre_mhz - d)
    seen = np.isfinite(naive) & ~truth.ruby
    assert np.median((naive - truth.sigma_111_gpa)[seen]) == pytest.approx(3.7, abs=0.4)
    corrected = stress_map(along, tilted, 150.0, StressSettings(miscut_deg=3.0), truth.ruby)
    usable = np.isfinite(corrected.sigma_zz_gpa)
    assert abs(np.median((corrected.sigma_zz_gpa - truth.sigma_111_gpa)[usable])) < 0.5
    assert abs(np.median(errors(single, "sigma_zz", truth.sigma_zz_gpa)[0])) < 0.1
    assert abs(np.median(errors(full, "sigma_zz", truth.sigma_zz_gpa)[0])) < 0.03


def test_a_tilted_contrast_that_crosses_zero_is_nan_with_its_reason():
    twin = twin_of(24, contrast_crossing_gpa=3.3)
    sample = truth_of(twin)
    found = joint_map(sweeps(twin, SET), NOISE, KNOWN, sample.ruby)
    crossing = found["status"] == StatusCode.CONTRAST_CROSSING
    assert crossing.sum() > 20
    assert np.isnan(found["sigma_zz_gpa"][crossing]).all()
    assert np.isfinite(found["field_ratio"][crossing]).all()
    contrast = found["contrast_tilted"]
    true = resonances(sample, state(ALONG)).contrast[2:].mean(axis=0)
    assert np.abs(true[crossing]).max() < 1.2e-3
    assert (contrast > 1e-3).any()
    error, sigma = errors(found, "sigma_zz", sample.sigma_zz_gpa)
    assert error.size > 50
    assert np.mean(np.abs(error) > 5.0 * sigma) < 0.02


def test_threads_and_order_of_the_list_change_no_bit(measured):
    cut = [cut_of(measured[field]) for field in SET]
    one = joint_map(cut, NOISE, KNOWN, threads=1)
    two = joint_map(cut, NOISE, KNOWN, threads=2)
    backwards = joint_map([turned(sweep) for sweep in cut], NOISE, KNOWN, threads=2)
    for name in UNITS:
        np.testing.assert_array_equal(one[name], two[name])
        np.testing.assert_array_equal(one[name], backwards[name])


def cut_of(sweep, rows=slice(0, 13), columns=slice(0, 13)):
    return dataclasses.replace(sweep, sums=np.ascontiguousarray(sweep.sums[:, rows, columns]))


def turned(sweep):
    return dataclasses.replace(sweep, sums=sweep.sums[::-1], frequency_mhz=sweep.frequency_mhz[::-1])


def test_bad_pixels_keep_to_themselves(measured):
    cut = cut_of(measured[ALONG])
    fine = joint_map([cut], NOISE, KNOWN)
    broken = cut.sums.copy()
    broken[:, 5, 5] = 0
    broken[40, 2, 2] = 60_000 * 6
    found = joint_map([dataclasses.replace(cut, sums=broken)], NOISE, KNOWN)
    assert found["status"][5, 5] == StatusCode.BAD_FRAME
    assert np.isnan(found["sigma_zz_gpa"][5, 5])
    assert found["status"][2, 2] != StatusCode.OK
    others = np.ones((13, 13), dtype=bool)
    others[5, 5] = others[2, 2] = False
    np.testing.assert_array_equal(found["sigma_zz_gpa"][others], fine["sigma_zz_gpa"][others])


def test_flat_spectra_give_nothing():
    rng = np.random.default_rng(1)
    frequency = np.linspace(2800.0, 3460.0, 120)
    flat = (rng.poisson(6 * 320_000.0, (120, 6, 6)) / 8.0 + 600.0).astype(np.uint32)
    found = joint_map([JointSweep(flat, np.full(120, 6), frequency, ALONG, 150.0)], NOISE, KNOWN)
    assert np.isnan(found["sigma_zz_gpa"]).all()
    assert (found["status"] != StatusCode.OK).all()
    assert found.systematics_gpa == {}


def test_systematics_are_those_of_the_notes_and_tau_carries_b_and_c(full):
    shifts = full.systematics_gpa["sigma_zz"]
    assert shifts["a1"] == pytest.approx(-0.07, abs=0.03)
    assert shifts["a2"] == pytest.approx(0.1, abs=0.1)
    assert shifts["d0"] == pytest.approx(-0.021, abs=0.005)
    assert abs(full.systematics_gpa["tau"]["b"]) > 10 * abs(full.systematics_gpa["tau"]["d0"])
    assert full.constants == "barson2017/1"


def test_the_other_constants_give_another_tau(measured):
    cut = [cut_of(measured[field], slice(8, 21), slice(8, 21)) for field in SET]
    barson = joint_map(cut, NOISE, KNOWN)
    hsieh = joint_map(cut, NOISE, dataclasses.replace(KNOWN, constants="hsieh2019"))
    assert hsieh.constants == "hsieh2019/1"
    both = np.isfinite(barson["tau_gpa"]) & np.isfinite(hsieh["tau_gpa"])
    assert np.median(hsieh["tau_gpa"][both] / barson["tau_gpa"][both]) > 1.05


def test_consistency_is_one_where_the_model_holds_and_large_where_a_line_is_moved(full, measured):
    assert np.nanmedian(full["consistency"]) == pytest.approx(1.0, abs=0.25)
    wrong = dataclasses.replace(KNOWN, miscut_azimuth_deg=200.0)
    cut = [cut_of(measured[field]) for field in SET]
    assert np.nanmedian(joint_map(cut, NOISE, wrong)["consistency"]) > 3.0


def test_every_plane_is_documented(full):
    assert set(full.planes) == set(UNITS) == set(DESCRIPTIONS)
    assert {plane.dtype.name for plane in full.planes.values()} == {"float32", "uint8"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"field_gauss": NONE}, "cannot be told apart"),
        ({"temperature_k": 900.0}, "500 K"),
        ({"frequency_mhz": np.linspace(2800, 3400, 119)}, "must agree"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_one_line(measured, change, words):
    with pytest.raises(ValueError, match=words):
        joint_map([dataclasses.replace(measured[ALONG], **change)], NOISE, KNOWN)
