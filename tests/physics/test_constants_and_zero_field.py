"""Constants by name, derived couplings, D(T) against the published tables."""

import numpy as np
import pytest

from physics.constants import GAMMA_MHZ_PER_GAUSS, stress_set
from physics.zero_field import zero_field_splitting_mhz

KELVIN = [9, 20, 50, 80, 103, 126, 150, 200, 250, 300]


def test_gamma_links_97_gauss_to_543_7_mhz_between_the_111_lines():
    assert 2 * GAMMA_MHZ_PER_GAUSS.value * 97 == pytest.approx(543.7, abs=0.05)


def test_barson_couplings_in_the_nv_frame():
    barson = stress_set("barson2017")
    assert barson.axial_in_plane == pytest.approx(8.56)
    assert barson.axial_along == pytest.approx(-2.54)
    assert barson.transverse_in_plane == pytest.approx(-1.20)
    assert barson.transverse_shear == pytest.approx(-5.73, abs=0.005)
    assert barson.label == "barson2017/1"


def test_hsieh_set_gives_back_the_published_nv_frame_couplings():
    hsieh = stress_set("hsieh2019")
    assert hsieh.axial_in_plane == pytest.approx(8.6)
    assert hsieh.axial_along == pytest.approx(-2.5)
    assert hsieh.transverse_in_plane == pytest.approx(-1.95)
    assert hsieh.transverse_shear == pytest.approx(-4.50)
    assert (hsieh.b.value, hsieh.c.value) == (pytest.approx(-1.47, abs=0.005), pytest.approx(3.42, abs=0.005))


def test_swapping_the_sets_moves_the_shear_by_27_per_cent():
    # The same transverse shift reads as 1.27 times the shear with the smaller coupling.
    ratio = stress_set("hsieh2019").transverse_shear / stress_set("barson2017").transverse_shear
    assert ratio == pytest.approx(0.785, abs=0.005)


def test_unknown_names_are_refused_with_the_names_known():
    with pytest.raises(ValueError, match="known: barson2017, hsieh2019"):
        stress_set("barson")
    with pytest.raises(ValueError, match="known: cambria2023, chen2011"):
        zero_field_splitting_mhz(100.0, "toyli2012")


def test_d_of_temperature_agrees_with_the_tables():
    chen = [2877.68, 2877.65, 2877.64, 2877.61, 2877.52, 2877.34, 2877.01, 2875.79, 2873.65, 2870.37]
    cambria = [2877.38, 2877.38, 2877.38, 2877.37, 2877.31, 2877.13, 2876.79, 2875.45, 2873.24, 2870.17]
    np.testing.assert_allclose(zero_field_splitting_mhz(KELVIN, "chen2011"), chen, atol=0.011)
    np.testing.assert_allclose(zero_field_splitting_mhz(KELVIN), cambria, atol=0.011)


def test_d_is_finite_at_zero_and_refused_outside_its_range():
    assert zero_field_splitting_mhz(0.0) == pytest.approx(2877.38)
    with pytest.raises(ValueError, match="holds from 0 to 300 K"):
        zero_field_splitting_mhz(320.0, "chen2011")
    with pytest.raises(ValueError, match="holds from 0 to 500 K"):
        zero_field_splitting_mhz([100.0, np.nan])
