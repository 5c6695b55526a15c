"""What calibrations find from readings with noise, and the book that keeps them."""

from __future__ import annotations

import numpy as np
import pytest

from physics.constants import stress_set
from physics.gauges import ruby_wavelength_nm
from physics.spin import group_frequencies
from plans.calibration_book import DAY_S, Calibration, CalibrationBook
from plans.calibration_fits import (
    fit_camera,
    fit_field_direction,
    fit_powers,
    fit_ruby_zero,
    fit_thermometer,
)
from plans.cooling import require_coil
from plans.settings import PreconditionError


def near(found: tuple[float, float], true: float, sigmas: float = 4.0) -> bool:
    return abs(found[0] - true) <= sigmas * found[1]


def test_thermometers() -> None:
    rng = np.random.default_rng(1)
    stage = np.array([20.0, 60.0, 100.0, 150.0, 295.0])
    sample = stage + 0.3 - 0.002 * (stage - stage.mean()) + rng.normal(0.0, 0.01, stage.size)
    found = fit_thermometer(stage, sample)
    assert near(found["offset_k"], 0.3)
    assert near(found["offset_per_k"], -0.002)
    assert found["offset_k"][1] < 0.02
    with pytest.raises(ValueError, match="two temperatures"):
        fit_thermometer([20.0], [20.5])


def test_powers() -> None:
    rng = np.random.default_rng(2)
    power = np.array([1e-3, 3e-3, 1e-2, 3e-2])
    width = np.sqrt(10.0**2 * (1.0 + 40.0 * power)) + rng.normal(0.0, 0.05, 4)
    found = fit_powers(power, width, 20.7 + 2.0 * power + rng.normal(0.0, 0.005, 4), 0.05)
    assert near(found["fwhm_zero_mhz"], 10.0)
    assert near(found["broadening_per_mw"], 40.0)
    assert near(found["heating_k_per_mw"], 2.0)
    with pytest.raises(ValueError, match="three or more"):
        fit_powers([1.0, 2.0], [10.0, 11.0], [20.0, 20.0])


def test_ruby_with_and_without_a_lamp() -> None:
    rng = np.random.default_rng(3)
    read = ruby_wavelength_nm(0.0, 150.0, 694.31) + rng.normal(0.0, 0.004, 12)
    found, notes = fit_ruby_zero(read, 150.0)
    assert near(found["lambda_zero_nm"], 694.31)
    assert found["lambda_zero_nm"][1] < 0.004
    assert "no lamp line" in notes[0]
    lamp = 692.947 + 0.06 + rng.normal(0.0, 0.002, 12)
    moved, _ = fit_ruby_zero(read, 150.0, lamp_read_nm=lamp, lamp_true_nm=692.947)
    assert near(moved["lambda_zero_nm"], 694.25)
    loaded, _ = fit_ruby_zero(ruby_wavelength_nm(12.0, 296.0, 694.31) + rng.normal(0.0, 0.004, 12), 296.0, 12.0)
    assert near(loaded["lambda_zero_nm"], 694.31)
    with pytest.raises(ValueError, match="two or more"):
        fit_ruby_zero([np.nan, np.nan], 296.0)


def test_camera_by_photon_transfer() -> None:
    rng = np.random.default_rng(4)
    gain, offset, read = 8.0, 100.0, 20.0
    shape = np.linspace(0.5, 1.5, 400)
    dark = np.round(offset + rng.normal(0.0, read / gain, (60, 400)))
    light = [
        np.round(offset + (rng.poisson(e * shape, (60, 400)) + rng.normal(0, read, (60, 400))) / gain)
        for e in (20_000.0, 60_000.0, 150_000.0)
    ]
    found = fit_camera(
        [f.mean(axis=0) for f in light], [f.var(axis=0, ddof=1) for f in light], dark.mean(0), dark.var(0, ddof=1)
    )
    assert found["electrons_per_count"][0] == pytest.approx(gain, rel=0.02)
    assert near(found["offset_counts"], offset)
    assert found["read_noise_electrons"][0] == pytest.approx(read, rel=0.05)
    assert found["flat_spread"][0] == pytest.approx(shape.std() / shape.mean(), rel=0.02)
    with pytest.raises(ValueError, match="shutter"):
        fit_camera([dark.mean(0) - 1.0], [dark.var(0)], dark.mean(0), dark.var(0))


@pytest.mark.parametrize(("polar", "azimuth", "gauss"), [(3.0, 20.0, 97.0), (8.0, 130.0, 50.0), (2.0, -70.0, 150.0)])
def test_field_direction_from_unnamed_lines(polar: float, azimuth: float, gauss: float) -> None:
    rng = np.random.default_rng(5)
    across, along = np.sin(np.radians(polar)), np.cos(np.radians(polar))
    field = gauss * np.array([across * np.cos(np.radians(azimuth)), across * np.sin(np.radians(azimuth)), along])
    lines = group_frequencies(np.zeros(6), field, 2870.3, stress_set("barson2017"))
    lines = lines[[0, 3, 1, 2]] + rng.normal(0.0, 0.05, (4, 2))
    found = fit_field_direction(tuple(lines[:, 0]), tuple(lines[:, 1]), 0.05, azimuth + 5.0)
    assert near(found["field_gauss"], gauss)
    assert near(found["polar_deg"], polar)
    assert near(found["azimuth_deg"], azimuth)
    assert found["polar_deg"][1] < 0.1
    with pytest.raises(ValueError, match="not those of four groups"):
        fit_field_direction((2800.0, 2860.0, 2860.0, 2860.0), (2810.0, 2861.0, 2861.0, 2861.0), 0.1, 0.0)


def test_the_book_keeps_every_calibration_and_knows_which_still_counts(tmp_path) -> None:
    book = CalibrationBook(tmp_path / "rig" / "calibrations.jsonl")
    assert book.newest("coil") is None
    with pytest.raises(PreconditionError, match="there is none"):
        book.require("coil", "a zero-field cool")
    old = Calibration.made("coil", {"remanence_gauss": (0.4, 0.05), "scale": (1.0, 0.001)}, 1e9, "first")
    new = Calibration.made("coil", {"remanence_gauss": (0.1, 0.05), "scale": (1.0, 0.001)}, 2e9, "second")
    book.add(new)
    book.add(old)
    assert book.newest("coil") == new
    assert len(book.all()) == 2
    assert book.require("coil", "a zero-field cool", 2e9 + DAY_S) == new
    with pytest.raises(PreconditionError, match="younger than 7 days; the newest is 8 days old"):
        book.require("coil", "a zero-field cool", 2e9 + 8 * DAY_S)
    require_coil(Calibration.made("coil", {"remanence_gauss": (0.1, 0.05), "scale": (1, 0)}, 9e9).coil(), 0.3)
    with pytest.raises(PreconditionError, match=r"calibrate_coil found 0\.4 G"):
        require_coil(old.coil(), 0.3)
    with book.path.open("a") as file:
        file.write("{}\n")
    with pytest.raises(ValueError, match="line 3: not a calibration"):
        book.all()
    with pytest.raises(ValueError, match="there are"):
        Calibration.made("moon", {"phase": (1.0, 0.1)}, 1.0)
    with pytest.raises(ValueError, match="standard deviation"):
        Calibration("coil", {"scale": 1.0}, {}, 1.0, 1.0)
