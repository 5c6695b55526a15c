"""The real wide-field file: the main line in every pixel, as an independent scipy fit finds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from scipy.optimize import curve_fit

from analyzers.fitting import fit_band
from analyzers.settings import AnalysisSettings
from stream.messages import NoiseModel

FILE = Path(__file__).parents[3] / "shared" / "data" / "widefield-odmr-21x25x200.mat"

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the real measurement is not beside this checkout")


@pytest.fixture(scope="module")
def measured() -> tuple[np.ndarray, np.ndarray, NoiseModel]:
    values = scipy.io.loadmat(str(FILE), variable_names=["M", "Ftot"])
    cube = np.ascontiguousarray(np.moveaxis(values["M"], 2, 0), np.float32)
    second = np.diff(values["M"], 2, axis=2)
    gain = float(np.median(values["M"].mean(axis=2) / (second.var(axis=2) / 6)))
    return cube, values["Ftot"].ravel() * 1e3, NoiseModel("estimated", gain)


@pytest.mark.parametrize("width_mhz", [14.0, 30.0])
def test_the_main_line_is_found_in_every_pixel(measured, width_mhz: float) -> None:
    cube, frequency, noise = measured
    settings = AnalysisSettings(lines=2, doublets=((0, 1),), fwhm_start_mhz=width_mhz)
    found = fit_band(cube, np.ones(len(frequency), np.int64), frequency, noise, settings)
    strongest = np.nan_to_num(np.abs(found.contrast)).argmax(axis=0)
    main = np.take_along_axis(found.centre_mhz, strongest[None], axis=0)[0]
    sigma = np.take_along_axis(found.centre_mhz_sigma, strongest[None], axis=0)[0]
    assert np.isfinite(main).all()
    assert np.abs(main - 3222).max() < 4
    # smooth over the field of view: neighbours differ by little more than their sigmas
    assert np.median(np.abs(np.diff(main, axis=1))) < 0.5
    assert np.median(sigma) < 0.5


def main_line(cube, frequency, noise, which=slice(None)) -> tuple[np.ndarray, np.ndarray]:
    """Return centre and sigma (y, x) of the main line, MHz, from some of the frequencies."""
    settings = AnalysisSettings(lines=2, doublets=((0, 1),), fwhm_start_mhz=14.0)
    some = np.ascontiguousarray(cube[which])
    found = fit_band(some, np.ones(len(some), np.int64), frequency[which], noise, settings)
    strongest = np.nan_to_num(np.abs(found.contrast)).argmax(axis=0)[None]
    values = found.centre_mhz, found.centre_mhz_sigma
    centre, sigma = (np.take_along_axis(value, strongest, axis=0)[0] for value in values)
    return centre, sigma


def test_sigma_is_the_scatter_between_neighbouring_frequency_points(measured) -> None:
    """Even and odd points of the list are two measurements of one spectrum with noise of their own."""
    even, even_sigma = main_line(*measured, slice(0, None, 2))
    odd, odd_sigma = main_line(*measured, slice(1, None, 2))
    pull = (even - odd) / np.hypot(even_sigma, odd_sigma)
    assert np.isfinite(pull).all()
    # sigma holds the misfit of the line's shape too (chi2 is 1.3 here), which both halves share: below 1 is expected
    assert 0.7 < pull.std() < 1.1
    assert abs(np.median(pull)) < 0.2
    assert np.abs(pull).max() < 4.0
    _, sigma = main_line(*measured)
    assert np.median(even_sigma / sigma) == pytest.approx(np.sqrt(2.0), rel=0.05)


def test_the_main_line_is_smooth_in_space_without_gross_outliers(measured) -> None:
    centre, sigma = main_line(*measured)
    wide = np.pad(centre, 2, constant_values=np.nan)
    shifted = [wide[y : y + centre.shape[0], x : x + centre.shape[1]] for y in range(5) for x in range(5)]
    around = np.nanmedian(np.stack(shifted), axis=0)
    assert np.abs(centre - around).max() < 0.7  # over a field of view that itself spans 2.4 MHz
    assert np.median(np.abs(centre - around)) < 1.0 * np.median(sigma)
    assert 1.0 < np.ptp(centre) < 4.0


def test_an_independent_fit_agrees(measured) -> None:
    cube, frequency, noise = measured
    settings = AnalysisSettings(lines=1, doublets=(), fwhm_start_mhz=30.0)
    found = fit_band(cube[:, ::4, ::4], np.ones(len(frequency), np.int64), frequency, noise, settings)

    def model(f, level, slope, depth, centre, width):
        return level * (1 + slope * (f - 3180) + depth / (1 + 4 * ((f - centre) / width) ** 2))

    for y in range(found.shape[0]):
        for x in range(found.shape[1]):
            spectrum = cube[:, 4 * y, 4 * x].astype(float)
            start = [spectrum.max(), 0.0, -0.1, 3222.0, 30.0]
            best, _ = curve_fit(model, frequency, spectrum, start)
            assert abs(best[3] - 3222.0) < 4.0
            assert abs(found.centre_mhz[0, y, x] - best[3]) < 0.05
            assert abs(found.fwhm_mhz[0, y, x] - best[4]) < 0.1
