"""sigma_ZZ from two doublets at a field: the naive recipe's bias is shown, and removed."""

import numpy as np
import pytest

from analyzers.fitmap import Doublet
from analyzers.settings import AnalysisSettings
from analyzers.status import StatusCode
from analyzers.stress import (
    StressSettings,
    sigma_zz_from_111_shift,
    sigma_zz_from_two_doublets,
    stress_map,
    systematics,
)
from physics.constants import stress_set
from physics.geometry import field_along_culet_normal
from physics.spin import group_frequencies
from physics.stress import sum_rule
from physics.zero_field import zero_field_splitting_mhz

BARSON = stress_set("barson2017")
SETTINGS = StressSettings.of(AnalysisSettings(miscut_deg=3.0))


def sheared_stress(count=2000, shear_gpa=3.0, seed=2):
    rng = np.random.default_rng(seed)
    stress = np.zeros((count, 6))
    stress[:, 2] = rng.uniform(13, 25, count)
    stress[:, :2] = stress[:, 2:3] * rng.uniform(0.75, 0.95, (count, 1)) + rng.normal(0, 0.3, (count, 2))
    azimuth, tau = rng.uniform(0, 2 * np.pi, count), rng.uniform(0, shear_gpa, count)
    stress[:, 3], stress[:, 4] = tau * np.sin(azimuth), tau * np.cos(azimuth)
    stress[:, 5] = rng.normal(0, 0.2, count)
    return stress


def doublets(stress, gauss=97.0, temperature_k=150.0, miscut_deg=3.0, azimuth_deg=50.0):
    field = field_along_culet_normal(gauss, miscut_deg, azimuth_deg)
    lines = group_frequencies(stress, field, zero_field_splitting_mhz(temperature_k), BARSON)
    centre, half = lines.mean(axis=-1), 0.5 * (lines[..., 1] - lines[..., 0])
    return centre[..., 0], centre[..., 1:].mean(axis=-1), half[..., 0], half[..., 1:].mean(axis=-1)


def solve(lines, settings=SETTINGS, sigma_mhz=0.3, temperature_k=150.0):
    sigma = np.full(np.shape(lines[0]), sigma_mhz)
    return sigma_zz_from_two_doublets(
        *lines,
        centre_111_sigma_mhz=sigma,
        centre_tilt_sigma_mhz=sigma,
        half_111_sigma_mhz=sigma,
        temperature_k=temperature_k,
        settings=settings,
    )


def test_the_naive_recipe_is_wrong_by_3_7_gpa_and_the_correction_mends_it():
    stress = sheared_stress()
    lines = doublets(stress)
    d = zero_field_splitting_mhz(150.0)
    naive = sum_rule(BARSON).sigma_zz(lines[0] - d, lines[1] - d) - stress[:, 2]
    corrected = solve(lines).sigma_zz_gpa - stress[:, 2]
    assert np.median(naive) == pytest.approx(3.7, abs=0.2)
    assert np.abs(corrected).max() < 0.5
    assert np.median(np.abs(corrected)) < 0.1


def test_at_48_gauss_the_naive_bias_is_0_9_gpa():
    stress = sheared_stress(500, 0.5)
    lines = doublets(stress, gauss=48.0)
    d = zero_field_splitting_mhz(150.0)
    naive = sum_rule(BARSON).sigma_zz(lines[0] - d, lines[1] - d) - stress[:, 2]
    assert np.median(naive) == pytest.approx(0.9, abs=0.1)
    assert np.abs(solve(lines).sigma_zz_gpa - stress[:, 2]).max() < 0.1


def test_without_shear_the_inversion_is_exact():
    stress = np.array([[17.0, 17.0, 21.0, 0, 0, 0], [14.0, 14.0, 16.0, 0, 0, 0], [0.0] * 6])
    found = solve(doublets(stress, azimuth_deg=0.0))
    np.testing.assert_allclose(found.sigma_zz_gpa, stress[:, 2], atol=1e-7)
    np.testing.assert_allclose(found.in_plane_gpa, stress[:, 0], atol=1e-7)
    np.testing.assert_allclose(found.field_gauss, 97.0, atol=1e-6)
    np.testing.assert_allclose(found.half_tilt_residual_mhz, 0.0, atol=1e-6)


def test_a_screened_pixel_is_corrected_with_its_own_field():
    stress = np.tile([17.0, 17.0, 21.0, 0, 0, 0], (3, 1))
    for gauss in (0.95 * 97, 97.0, 1.05 * 97):
        lines = doublets(stress, gauss, temperature_k=20.0, azimuth_deg=0.0)
        np.testing.assert_allclose(solve(lines, temperature_k=20.0).sigma_zz_gpa, 21.0, atol=1e-7)


def test_zero_field_and_unknown_azimuth_are_harmless():
    stress = sheared_stress(200, 2.0)
    assert np.abs(solve(doublets(stress, gauss=0.0)).sigma_zz_gpa - stress[:, 2]).max() < 0.2
    along, across = (solve(doublets(stress, azimuth_deg=azimuth)).sigma_zz_gpa for azimuth in (0.0, 60.0))
    assert np.abs(along - across).max() < 0.15


def test_sigma_agrees_with_the_scatter():
    stress = np.tile([17.0, 17.5, 21.0, 0.5, 1.0, 0], (4000, 1))
    rng = np.random.default_rng(3)
    lines = [line + rng.normal(0, 0.3, 4000) for line in doublets(stress)]
    found = solve(lines)
    assert found.sigma_zz_gpa.std() == pytest.approx(np.median(found.sigma_zz_sigma_gpa), rel=0.05)
    assert found.in_plane_gpa.std() == pytest.approx(np.median(found.in_plane_sigma_gpa), rel=0.05)


def test_nan_and_nonsense_stay_in_their_pixel():
    lines = [line.copy() for line in doublets(sheared_stress(5, 1.0))]
    lines[0][1] = np.nan
    lines[2][2] = np.inf
    lines[1][3] = 1e9
    found = solve(lines)
    assert np.isfinite(found.sigma_zz_gpa[[0, 4]]).all()
    assert np.isnan(found.sigma_zz_gpa[[1, 2]]).all()
    assert np.isnan(found.sigma_zz_sigma_gpa[[1, 2]]).all()
    np.testing.assert_array_equal(solve(lines).sigma_zz_gpa, found.sigma_zz_gpa)


def test_settings_by_name_and_errors():
    lines = doublets(np.tile([17.0, 17.0, 21.0, 0, 0, 0], (2, 1)))
    chen = solve(lines, StressSettings(zero_field_splitting="chen2011", miscut_deg=3.0)).sigma_zz_gpa
    assert chen - 21.0 == pytest.approx(-0.0686 * 0.22, abs=0.003)
    with pytest.raises(ValueError, match="unknown stress set"):
        solve(lines, StressSettings(constants="nobody1999"))


def test_systematics_are_those_of_the_notes():
    lines = doublets(np.array([17.0, 17.0, 21.0, 0, 0, 0]))
    shifts = systematics(float(lines[0]), float(lines[1]), float(lines[2]), 150.0, SETTINGS)
    assert shifts["a1"] == pytest.approx(-0.07, abs=0.03)
    assert shifts["a2"] == pytest.approx(0.17, abs=0.1)
    assert abs(shifts["d0"]) == pytest.approx(0.02, abs=0.005)


def doublet(centre, half, status):
    centre = np.where(status == StatusCode.OK, centre, np.nan).astype(np.float32)
    sigma = np.full(centre.shape, 0.2, dtype=np.float32)
    return Doublet(centre, sigma, half.astype(np.float32), sigma, status.astype(np.uint8))


def test_map_keeps_the_reason_of_every_pixel_without_a_value():
    stress = sheared_stress(6, 1.0).reshape(2, 3, 6)
    lines = doublets(stress)
    status_111, status_tilt = np.zeros((2, 3)), np.zeros((2, 3))
    status_111[0, 0], status_tilt[0, 1] = StatusCode.LOW_SNR, StatusCode.CONTRAST_CROSSING
    ruby = np.zeros((2, 3), dtype=bool)
    ruby[1, 2] = True
    found = stress_map(
        doublet(lines[0], lines[2], status_111), doublet(lines[1], lines[3], status_tilt), 150.0, SETTINGS, ruby
    )
    expected = [[StatusCode.LOW_SNR, StatusCode.CONTRAST_CROSSING, 0], [0, 0, StatusCode.OCCLUDED]]
    np.testing.assert_array_equal(found.status, expected)
    np.testing.assert_array_equal(np.isnan(found.sigma_zz_gpa), np.array(expected) != 0)
    good = found.status == StatusCode.OK
    np.testing.assert_allclose(found.sigma_zz_gpa[good], stress[good][:, 2], atol=0.3)
    assert found.constants == "barson2017/1"
    assert set(found.systematics_gpa) == {"a1", "a2", "d0"}


def test_a_map_without_a_single_pixel_has_no_systematics():
    empty = doublet(np.zeros((2, 2)), np.zeros((2, 2)), np.full((2, 2), StatusCode.NOT_YET_MEASURED))
    found = stress_map(empty, empty, 150.0, SETTINGS)
    assert np.isnan(found.sigma_zz_gpa).all()
    assert found.systematics_gpa == {}


def test_the_shift_of_the_111_centre_carries_sigma_zz_to_another_temperature():
    stress = sheared_stress(50, 1.0).reshape(5, 10, 6)
    warm, cold = doublets(stress), doublets(stress * 1.03, temperature_k=20.0)
    fine = np.zeros((5, 10))
    anchor = stress_map(doublet(warm[0], warm[2], fine), doublet(warm[1], warm[3], fine), 150.0, SETTINGS)
    carried = sigma_zz_from_111_shift(cold[0], 20.0, anchor, warm[0], 150.0, SETTINGS)
    np.testing.assert_allclose(carried, 1.03 * stress[..., 2], atol=0.15)
    gone = warm[0].copy()
    gone[2, 3] = np.nan
    assert np.isnan(sigma_zz_from_111_shift(gone, 20.0, anchor, warm[0], 150.0, SETTINGS)[2, 3])
