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


def test_an_independent_fit_agrees(measured) -> None:
    cube, frequency, noise = measured
    settings = AnalysisSettings(lines=1, doublets=(), fwhm_start_mhz=30.0)
    found = fit_band(cube[:, ::5, ::6], np.ones(len(frequency), np.int64), frequency, noise, settings)

    def model(f, level, slope, depth, centre, width):
        return level * (1 + slope * (f - 3180) + depth / (1 + 4 * ((f - centre) / width) ** 2))

    for y in range(found.shape[0]):
        for x in range(found.shape[1]):
            spectrum = cube[:, 5 * y, 6 * x].astype(float)
            start = [spectrum.max(), 0.0, -0.1, 3222.0, 30.0]
            best, _ = curve_fit(model, frequency, spectrum, start)
            assert abs(found.centre_mhz[0, y, x] - best[3]) < 0.05
            assert abs(found.fwhm_mhz[0, y, x] - best[4]) < 0.1
