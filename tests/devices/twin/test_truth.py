"""The twin's sample against the seed paper's numbers."""

from __future__ import annotations

import numpy as np
import pytest

from devices.settings import TwinSettings
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
    assert np.median(s[annulus]) == pytest.approx(0.955, abs=0.01)
    assert s[~truth.sample].max() == pytest.approx(1.04, abs=0.015)
    assert np.mean(np.abs(s[annulus] - 1.0) > 0.01) > 0.85
    assert truth.hole.sum() > 50
    assert abs(s[truth.hole].mean() - 1.0) < 0.005
    assert np.mean(np.abs(s[truth.hole] - 1.0) < 0.015) > 0.95


def test_tc_follows_the_load():
    assert 74.0 < median_tc(truth_of(S1, 21.0)) <= 80.0
    assert truth_of(S1, 25.0).tc_local_k.max() < truth_of(S1, 21.0).tc_local_k.max()
    assert truth_of(S1, 25.0).hole.sum() > truth_of(S1, 21.0).hole.sum()


def test_nothing_superconducts_at_15_gpa():
    for sample in ("S1", "S2", "S3"):
        truth = truth_of(TwinSettings(sample=sample), 15.0)
        assert np.abs(truth.noise_free_s(20.0) - 1.0).max() < 1e-9


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
