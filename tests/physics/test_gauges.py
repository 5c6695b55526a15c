"""Pressure gauges against the published tables, and their inverses."""

import numpy as np
import pytest

from physics.gauges import (
    diamond_edge_per_cm,
    diamond_edge_pressure_gpa,
    ruby_pressure_gpa,
    ruby_temperature_shift_nm,
    ruby_wavelength_nm,
)

GPA = [10, 16, 20, 21, 23, 25, 30]
R1_NM = [697.857, 699.929, 701.275, 701.607, 702.268, 702.922, 704.531]


def test_ruby2020_table():
    np.testing.assert_allclose(ruby_wavelength_nm(GPA), R1_NM, atol=6e-4)
    np.testing.assert_allclose(ruby_pressure_gpa(R1_NM), GPA, atol=2e-3)


def test_mao_scales_at_the_same_wavelengths():
    np.testing.assert_allclose(
        ruby_pressure_gpa(R1_NM, scale="mao1986"), [10.07, 16.00, 19.93, 20.90, 22.85, 24.80, 29.63], atol=0.011
    )
    np.testing.assert_allclose(
        ruby_pressure_gpa(R1_NM, scale="mao1986-nonhydrostatic"),
        [10.00, 15.83, 19.66, 20.61, 22.50, 24.38, 29.04],
        atol=0.011,
    )


@pytest.mark.parametrize("scale", ["ruby2020", "mao1986", "mao1986-nonhydrostatic", "dorogokupets2007"])
def test_scales_and_their_inverses(scale):
    pressure = np.linspace(0, 60, 13)
    wavelength = ruby_wavelength_nm(pressure, 80.0, 694.30, scale)
    np.testing.assert_allclose(ruby_pressure_gpa(wavelength, 80.0, 694.30, scale), pressure, atol=1e-10)


def test_temperature_shift_table_and_its_size_in_pressure():
    np.testing.assert_allclose(
        ruby_temperature_shift_nm([296, 250, 200, 150, 100, 80, 49, 4]),
        [0, -0.289, -0.555, -0.753, -0.866, -0.884, -0.887, -0.887],
        atol=1e-3,
    )
    wrong = ruby_pressure_gpa(ruby_wavelength_nm(21.0, 20.0), 296.0)
    assert wrong - 21.0 == pytest.approx(-2.7, abs=0.3)


def test_refusals():
    with pytest.raises(ValueError, match="unknown ruby scale 'mao'"):
        ruby_pressure_gpa(700.0, scale="mao")
    with pytest.raises(ValueError, match="from 0 to 310 K"):
        ruby_pressure_gpa(700.0, 400.0)


def test_diamond_edge_reads_1380_5_at_20_gpa():
    assert diamond_edge_per_cm(20.0) == pytest.approx(1380.5, abs=0.1)
    assert diamond_edge_pressure_gpa(diamond_edge_per_cm(27.0)) == pytest.approx(27.0)
