"""The twin's sample against the seed paper's numbers."""

from __future__ import annotations

import numpy as np
import pytest

from devices.settings import TwinSettings
from devices.twin.history import FieldStep
from devices.twin.order import superfluid_fraction
from devices.twin.samples import draw_crystal
from devices.twin.truth import truth_of

S1 = TwinSettings()


def median_tc(truth):
    tc = truth.tc_local_k[truth.sample]
    return float(np.percentile(tc[tc > 20], 90))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_s1_at_21_gpa_is_an_annulus_of_suppression_with_rims(seed):
    truth = truth_of(TwinSettings(seed=seed))
    s = truth.noise_free_s(20.0)
    annulus = truth.sample & (truth.tc_local_k > 20.0)
    assert np.median(s[annulus]) == pytest.approx(0.955, abs=0.006)
    assert s[~truth.sample].max() == pytest.approx(1.05, abs=0.01)
    assert np.mean(np.abs(s[annulus] - 1.0) > 0.01) > 0.85
    assert truth.hole.sum() > 50
    assert abs(s[truth.hole].mean() - 1.0) < 0.005
    assert np.mean(np.abs(s[truth.hole] - 1.0) < 0.015) > 0.95


def test_the_dome_is_80_k_at_21_gpa_and_65_k_at_25_gpa_without_shear():
    truth = truth_of(S1)
    x, y = np.zeros(1), np.zeros(1)
    for sigma, kelvin in ((21.0, 80.0), (25.0, 65.0), (17.0, 20.0), (15.0, 0.0)):
        ideal = truth.crystal.tc_local_k(np.array([sigma]), np.zeros(1), x, y) / truth.crystal.quality(x, y)
        # What is left is the chemistry of the place.
        assert ideal[0] == pytest.approx(kelvin, rel=0.015)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_s1_at_25_gpa_is_weaker_smaller_and_gone_above_about_65_k(seed):
    best, high = (truth_of(TwinSettings(seed=seed), load) for load in (21.0, 25.0))
    for truth, low, top in ((best, 75.0, 80.0), (high, 60.0, 65.5)):
        typical = truth.sample & (np.abs(truth.sigma_zz_gpa - truth.load_gpa) < 0.3) & (truth.tau_gpa < 0.7)
        assert low < np.median(truth.tc_local_k[typical]) < top
    assert 78.0 < best.tc_local_k.max() <= 80.0
    dark = [np.count_nonzero(truth.sample & (truth.noise_free_s(20.0) < 0.97)) for truth in (best, high)]
    assert dark[1] < 0.95 * dark[0]


def test_tc_follows_the_load():
    assert 74.0 < median_tc(truth_of(S1, 21.0)) <= 80.0
    assert truth_of(S1, 25.0).tc_local_k.max() < truth_of(S1, 21.0).tc_local_k.max()
    assert truth_of(S1, 25.0).hole.sum() > truth_of(S1, 21.0).hole.sum()


@pytest.mark.parametrize("load_gpa", [5.0, 10.0, 15.0])
@pytest.mark.parametrize("sample", ["S1", "S2", "S3"])
def test_nothing_superconducts_up_to_15_gpa(sample, load_gpa):
    truth = truth_of(TwinSettings(sample=sample), load_gpa)
    assert np.abs(truth.noise_free_s(20.0) - 1.0).max() < 1e-9
    assert not truth.field_gauss((FieldStep(-150.0, 20.0),), (0.0, 0.0, 0.0)).any()


def test_the_first_pocket_at_16_gpa_lies_above_17_gpa():
    truth = truth_of(S1, 16.0)
    inside = truth.sigma_zz_gpa[truth.sample]
    assert inside.min() == pytest.approx(13.2, abs=0.6)
    assert inside.max() == pytest.approx(17.8, abs=0.5)
    cold = truth.tc_local_k > 20.0
    assert cold.any()
    assert truth.sigma_zz_gpa[cold].min() > 17.0


def test_the_mean_stress_is_the_load_and_the_pressure_drifts_on_cooling():
    truth = truth_of(S1)
    assert truth.sigma_zz_gpa[truth.sample].mean() == pytest.approx(21.0, abs=0.1)
    rise = truth.stress_at(20.0)[..., 2] - truth.sigma_zz_gpa
    assert np.median(rise[truth.sample]) == pytest.approx(S1.pressure_drift_gpa, rel=0.05)


def test_superconductivity_avoids_shear():
    truth = truth_of(S1)
    assert np.all(truth.tc_local_k[truth.hole] == 0.0)
    assert truth.tau_gpa[truth.sample].max() == pytest.approx(2.5, abs=0.2)


def test_everything_is_normal_above_the_highest_tc():
    truth = truth_of(S1)
    np.testing.assert_array_equal(truth.noise_free_s(110.0), 1.0)
    apparent, local = truth.tc_apparent_k(), truth.tc_local_k
    strong = truth.sample & (local > 50.0) & (np.abs(truth.noise_free_s(20.0) - 1.0) > 0.02)
    assert np.median(np.abs(apparent - local)[strong]) < 6.0


def test_s2_and_s3_are_weaker_and_s3_is_striped():
    deep = {name: truth_of(TwinSettings(sample=name)).noise_free_s(20.0).min() for name in ("S1", "S2", "S3")}
    assert deep["S1"] < deep["S2"] < 0.985
    assert 0.97 < deep["S3"] < 0.985
    striped = truth_of(TwinSettings(sample="S3"))
    ratio = striped.crystal.la_ni(striped.x_um, striped.y_um)
    assert np.all(striped.tc_local_k[ratio < 1.2] < 1.0)
    assert 50.0 < striped.tc_local_k.max() < 66.0


def test_every_scalar_of_the_truth_is_there_per_pixel():
    truth = truth_of(TwinSettings(sample="S3"))
    assert truth.shear_gpa.shape == (96, 96, 2)
    np.testing.assert_allclose(np.hypot(*np.moveaxis(truth.shear_gpa, -1, 0)), truth.tau_gpa)
    assert 0.83 < np.median(truth.in_plane_gpa / truth.sigma_zz_gpa) < 0.87
    assert np.nanmin(truth.la_ni) < 1.1
    assert np.nanmax(truth.la_ni) == pytest.approx(1.5, abs=0.05)
    assert np.all(np.isnan(truth.la_ni[~truth.sample]))
    assert truth.thickness_um[truth.sample].mean() == pytest.approx(10.0, rel=0.1)
    assert not truth.thickness_um[~truth.sample].any()


def test_curves_are_drawn_per_seed_from_forms_that_no_analysis_assumes():
    crystals = [draw_crystal("S1", seed) for seed in range(1, 41)]
    forms = {crystal.form for crystal in crystals}
    assert forms == {"power", "d-wave"}
    middle = [float(crystal.exponent(np.zeros(1), np.zeros(1))[0]) for crystal in crystals]
    assert 1.0 <= min(middle) < 2.0 < 3.0 < max(middle) <= 4.0
    saturation = [crystal.saturation_gauss for crystal in crystals]
    assert max(saturation) - min(saturation) > 100.0


def test_a_d_wave_curve_falls_from_the_start_and_ends_at_tc():
    t = np.array([0.0, 0.1, 0.2, 0.5, 0.9, 1.0, 1.5])
    fraction = superfluid_fraction("d-wave", t, np.ones(t.size))
    # 2 ln 2 / 2.14 of the linear law, the gap being 2.14 k Tc.
    assert 1.0 - fraction[1] == pytest.approx(2.0 * np.log(2.0) / 2.14 * 0.1, rel=0.02)
    assert np.all(np.diff(fraction[:6]) < 0.0)
    assert not fraction[5:].any()
    assert superfluid_fraction("power", t, np.full(t.size, 4.0))[1] > 0.999


def test_pinned_currents_have_a_limit_that_falls_towards_tc():
    truth = truth_of(S1)
    strong = truth.sample & (truth.tc_local_k > 70.0)
    for temperature, least, most in ((20.0, 0.98, 1.02), (72.0, 0.3, 0.95)):
        parts = [
            np.abs(truth.answer_gauss((FieldStep(gauss, temperature),))[..., 2] / gauss)[strong].mean()
            for gauss in (10.0, 300.0)
        ]
        assert least < parts[1] / parts[0] < most


def test_a_coherent_film_shields_its_hole():
    local, film = truth_of(S1), truth_of(TwinSettings(response="coherent"))
    hole = local.hole
    assert 1.0 - film.noise_free_s(20.0)[hole].mean() > 0.03
    assert abs(local.noise_free_s(20.0)[hole].mean() - 1.0) < 0.005


def test_the_sample_is_the_same_for_every_camera():
    coarse = truth_of(S1)
    fine = truth_of(TwinSettings(height=192, width=192, pixel_size_um=0.5))
    binned = fine.sigma_zz_gpa.reshape(96, 2, 96, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(binned, coarse.sigma_zz_gpa, atol=0.02)
    inside = coarse.sample & (coarse.crystal.radius(coarse.x_um, coarse.y_um) < 0.9)
    s_fine = fine.noise_free_s(20.0).reshape(96, 2, 96, 2).mean(axis=(1, 3))
    assert np.median(np.abs(s_fine - coarse.noise_free_s(20.0))[inside]) < 0.003


def test_a_seed_is_a_crystal():
    np.testing.assert_array_equal(truth_of(S1).stress_gpa, truth_of(TwinSettings(seed=1)).stress_gpa)
    assert not np.allclose(truth_of(S1).stress_gpa, truth_of(TwinSettings(seed=2)).stress_gpa)


def test_regions_outline_the_masks():
    truth = truth_of(S1)
    regions = truth.regions()
    assert set(regions) == {"sample", "ruby", "leads", "points"}
    assert set(regions["points"]) == {"suppressed", "enhanced", "hole", "outside"}
    outline = np.array(regions["sample"])
    np.testing.assert_allclose(truth.crystal.radius(outline[:, 0], outline[:, 1]), 1.0, atol=1e-3)
    x, y = regions["points"]["hole"]
    row, column = np.argmin(np.abs(truth.y_um[:, 0] - y)), np.argmin(np.abs(truth.x_um[0] - x))
    assert truth.hole[row, column]
    assert truth.far.sum() > 300


def test_bad_settings_are_one_clear_line():
    with pytest.raises(ValueError, match="unknown sample 'S9'"):
        truth_of(TwinSettings(sample="S9"))
    with pytest.raises(ValueError, match="unknown response"):
        truth_of(TwinSettings(response="magic"))
    with pytest.raises(ValueError, match="outside 0 to 30 GPa"):
        truth_of(S1, 60.0)


def test_the_benchmark_sample_is_the_same_everywhere_and_at_every_load():
    for load_gpa in (10.0, 25.0):
        truth = truth_of(TwinSettings(sample="BSCCO"), load_gpa)
        assert set(np.unique(truth.tc_local_k[truth.sample])) == {85.0}
        assert np.ptp(truth.thickness_um[truth.sample]) == 0.0
    assert truth.noise_free_s(20.0).min() < 0.97
    assert np.allclose(truth.noise_free_s(110.0), 1.0)
