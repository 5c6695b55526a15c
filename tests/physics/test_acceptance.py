"""What the sensor's physics must give, from laboratory notes: fields of a disk, bounds, labelled lines, ambiguities."""

import re
from pathlib import Path

import numpy as np
import pytest

from physics.constants import stress_set
from physics.geometry import miscut_rotation, rotate_stress
from physics.spin import group_frequencies
from physics.stress import group_shifts

TESTS = Path(__file__).parents[1]
ACCEPTANCE = [
    ("1 formulas of both frames to 1e-12", "physics/test_stress_shifts.py",
     "test_crystal_frame_and_nv_frame_forms_agree_to_1e_12"),
    ("1 sum rule", "physics/test_stress_shifts.py",
     "test_sum_rule_and_closed_form_of_the_axial_shifts"),
    ("1 closed form of |B|", "physics/test_spin.py",
     "test_field_and_effective_splitting_closed_forms_hold_for_any_direction"),
    ("1 Meissner disk", "devices/twin/test_screening.py",
     "test_a_meissner_disk_has_the_moment_and_the_shielding_of_the_closed_form"),
    ("1 bound within 2 %", "physics/test_acceptance.py",
     "test_the_analytic_bound_of_a_centre_is_the_numeric_one_within_2_per_cent"),
    ("2 coefficients of sigma_ZZ", "physics/test_stress_shifts.py",
     "test_sum_rule_coefficients_of_barsons_constants"),
    ("3 +3.7 GPa, 0.5 GPa, 0.1 GPa", "analyzers/test_joint.py",
     "test_naive_recipe_field_correction_and_joint_fit_on_the_same_frames"),
    ("3 crossing contrast is NaN", "analyzers/test_joint.py",
     "test_a_tilted_contrast_that_crosses_zero_is_nan_with_its_reason"),
    ("4 tau at the bound, B = 0 and 97 G", "analyzers/test_joint.py",
     "test_near_zero_and_97_gauss_give_tau_at_the_bound_where_it_is_reported"),
    ("4 tau at the bound, all fields", "analyzers/test_joint.py",
     "test_tau_is_at_the_bound_where_it_is_reported"),
    ("4 labelled lines", "physics/test_acceptance.py",
     "test_labelled_lines_with_1_mhz_errors_give_tau_to_0_1_gpa"),
    ("4 azimuth", "physics/test_acceptance.py",
     "test_six_stresses_give_the_same_sorted_lines_at_a_field_exactly_along_111"),
    ("4 constants", "physics/test_acceptance.py",
     "test_shear_read_with_the_other_constants_is_27_per_cent_off"),
    ("5 efficiency, coverage, wrong lines", "analyzers/test_fitting_robustness.py",
     "test_sigmas_reach_the_cramer_rao_bound_and_are_calibrated"),
    ("5 NaN with a reason", "analyzers/test_fitting_robustness.py",
     "test_wrong_and_unflagged_is_rare"),
    ("6 s by its definition", "analyzers/test_maps_pipeline.py",
     "test_s_is_the_ratio_over_the_far_ratio"),
    ("6 closure", "analyzers/test_maps_products.py",
     "test_drift_between_the_references_enters_sigma_s"),
    ("6 sigma_s", "analyzers/test_maps_pipeline.py",
     "test_sigma_s_is_the_scatter"),
    ("6 significance of either sign", "analyzers/test_significance.py",
     "test_either_sign_is_found_at_its_share"),
    ("6 the paper's P(s < 0.97)", "analyzers/test_significance.py",
     "test_probability_below_the_papers_limit"),
    ("7 counts, errors, no extrapolation", "analyzers/campaign/test_statistics.py",
     "test_bins_count_and_never_extrapolate"),
    ("7 the boundary is not extrapolated", "analyzers/campaign/test_twin_truth.py",
     "test_nothing_is_extrapolated"),
    ("7 correlation length in errors", "analyzers/campaign/test_statistics.py",
     "test_errors_of_binned_means_cover_the_truth_in_correlated_fields"),
]  # fmt: skip
"""Each demand on physics and analysis, numbered as in the notes, and its test. Item 4's swap of constants is 0.785 as
derived from the sets, not 0.735. Item 7's spline in three dimensions is not made, so that nothing needs its mark."""

BARSON = stress_set("barson2017")
D_MHZ = 2876.8
ALONG = np.array([0.0, 0.0, 97.0])


def lorentzian_sigma(contrast, fwhm, step, electrons):
    return np.sqrt(2.0 * fwhm * step / (np.pi * electrons)) / contrast


def gaussian_sigma(contrast, fwhm, step, electrons):
    return np.sqrt(0.4792 * fwhm * step / electrons) / contrast


@pytest.mark.parametrize(
    ("height", "bound"),
    [
        (lambda x: 1.0 / (1.0 + 4.0 * x * x), lorentzian_sigma),
        (lambda x: np.exp(-4.0 * np.log(2.0) * x * x), gaussian_sigma),
    ],
)
def test_the_analytic_bound_of_a_centre_is_the_numeric_one_within_2_per_cent(height, bound):
    contrast, fwhm, step, electrons = 0.005, 18.0, 0.5, 6e6
    f = np.arange(-600.0, 600.0, step)

    def spectrum(centre, width, depth, level):
        return level * (1.0 - depth * height((f - centre) / width))

    at = np.array([0.3, fwhm, contrast, 1.0])
    columns = []
    for k, change in enumerate((1e-4, 1e-4, 1e-7, 1e-6)):
        move = np.zeros(4)
        move[k] = change
        columns.append((spectrum(*(at + move)) - spectrum(*(at - move))) / (2.0 * change))
    slopes = np.stack(columns, axis=1)
    covariance = np.linalg.inv(slopes.T @ slopes * electrons)
    assert np.sqrt(covariance[0, 0]) == pytest.approx(bound(contrast, fwhm, step, electrons), rel=0.02)


def sheared(count, seed=3):
    rng = np.random.default_rng(seed)
    stress = np.zeros((count, 6))
    stress[:, 2] = rng.uniform(17.0, 23.0, count)
    stress[:, :2] = 0.85 * stress[:, 2:3] + rng.normal(0.0, 0.2, (count, 2))
    azimuth, tau = rng.uniform(0.0, 2.0 * np.pi, count), rng.uniform(0.5, 2.5, count)
    stress[:, 3], stress[:, 4] = tau * np.sin(azimuth), tau * np.cos(azimuth)
    stress[:, 5] = rng.normal(0.0, 0.2, count)
    return stress


def lines_of(stress, fields, constants=BARSON):
    rotation = miscut_rotation(3.0, 20.0)
    six = rotate_stress(stress, rotation)
    return np.stack([group_frequencies(six, rotation @ field, D_MHZ, constants) for field in fields], axis=-3)


def from_labelled_lines(measured, fields, sigma_mhz=1.0, constants=BARSON):
    """Gauss-Newton on labelled lines, from a stress without shear in some direction: no start knows the answer."""
    best, lowest = np.zeros(6), np.inf
    for azimuth in np.arange(6) * np.pi / 3.0:
        stress = np.array([17.0, 17.0, 20.0, 1.5 * np.sin(azimuth), 1.5 * np.cos(azimuth), 0.0])
        for _ in range(25):
            miss = (measured - lines_of(stress, fields, constants)).ravel() / sigma_mhz
            steps = [lines_of(stress + 1e-4 * e, fields, constants) for e in np.eye(6)]
            base = lines_of(stress, fields, constants)
            slopes = np.stack([(step - base).ravel() / 1e-4 for step in steps], axis=1) / sigma_mhz
            change = np.linalg.lstsq(slopes, miss, rcond=None)[0]
            stress = stress + change * min(1.0, 2.0 / np.abs(change).max())
        chi2 = float(np.sum((measured - lines_of(stress, fields, constants)) ** 2))
        if chi2 < lowest:
            best, lowest = stress, chi2
    return best


def test_labelled_lines_with_1_mhz_errors_give_tau_to_0_1_gpa():
    rng = np.random.default_rng(4)
    fields = [np.zeros(3), ALONG]
    truth = sheared(25)
    found = np.array(
        [from_labelled_lines(lines_of(stress, fields) + rng.normal(0.0, 1.0, (2, 4, 2)), fields) for stress in truth]
    )
    tau = np.hypot(found[:, 3], found[:, 4]) - np.hypot(truth[:, 3], truth[:, 4])
    assert np.sqrt((tau**2).mean()) < 0.1
    assert np.sqrt(((found - truth)[:, 2] ** 2).mean()) < 0.1


def test_six_stresses_give_the_same_sorted_lines_at_a_field_exactly_along_111():
    stress = np.array([18.0, 17.5, 21.0, 0.9, 1.1, 0.2])
    lines = group_frequencies(stress, ALONG, D_MHZ, BARSON)
    answers = []
    for mirror in (1.0, -1.0):
        for turn in range(3):
            c, s = np.cos(2 * np.pi * turn / 3), np.sin(2 * np.pi * turn / 3)
            other = rotate_stress(stress, np.array([[c, -s * mirror, 0.0], [s, c * mirror, 0.0], [0.0, 0.0, 1.0]]))
            there = group_frequencies(other, ALONG, D_MHZ, BARSON)
            np.testing.assert_allclose(np.sort(there[1:], axis=0), np.sort(lines[1:], axis=0), atol=1e-7)
            np.testing.assert_allclose(there[0], lines[0], atol=1e-7)
            assert other[2] == pytest.approx(stress[2])
            assert np.hypot(other[3], other[4]) == pytest.approx(np.hypot(stress[3], stress[4]))
            answers.append(round(np.degrees(np.arctan2(other[3], other[4])), 3))
    assert len(set(answers)) == 6


def test_shear_read_with_the_other_constants_is_27_per_cent_off():
    """The transverse shift of one shear alone: a sensor of one set read with the other."""
    hsieh = stress_set("hsieh2019")
    shear = np.array([0.0, 0.0, 0.0, 0.0, 2.0, 0.0])
    shifts = [np.hypot(*group_shifts(shear, one)[0, :2]) for one in (hsieh, BARSON)]
    assert shifts[0] / shifts[1] == pytest.approx(4.50 / 5.73, rel=0.005)


def test_at_97_gauss_alone_the_shear_hardly_moves_any_mean_centre():
    """Why one field cannot give tau: 2 GPa of it is worth a megahertz on [111] and on the mean of the tilted groups."""
    plain = np.array([17.5, 17.5, 21.0, 0.0, 0.0, 0.0])
    tau = plain + np.array([0.0, 0.0, 0.0, 0.0, 2.0, 0.0])
    with_shear, without = (group_frequencies(s, ALONG, D_MHZ, BARSON) for s in (tau, plain))
    half = 0.5 * (with_shear[0, 1] - with_shear[0, 0] - without[0, 1] + without[0, 0])
    assert abs(half) < 1.5
    near = [group_frequencies(s, np.zeros(3), D_MHZ, BARSON)[0] for s in (tau, plain)]
    assert 0.5 * np.ptp(near[0]) == pytest.approx(22.9, abs=0.2)
    assert np.ptp(near[1]) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("demand", "file", "name"), ACCEPTANCE)
def test_every_demand_has_its_test(demand, file, name):
    assert re.search(rf"^def {name}\(", (TESTS / file).read_text(), re.MULTILINE), demand
