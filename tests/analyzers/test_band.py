"""A band in a worker: what it claims before, during and after the passes of a sweep."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.band import Band
from analyzers.fitmap import FitMap
from analyzers.fitting import model_spectrum
from analyzers.regions import regions_of
from analyzers.settings import AnalysisSettings
from analyzers.status import StatusCode
from stream.messages import NoiseModel, RunMode, RunStart, StatePoint, SweepRole, SweepStart, Tile
from stream.worker_link import BandFrame, BandGranted

SETTINGS = AnalysisSettings()
FREQUENCY_MHZ = np.linspace(2800.0, 3460.0, 120)
CENTRE_MHZ, FWHM_MHZ, CONTRAST = [2857.0, 3100.0, 3285.0, 3401.0], [14.0] * 4, [-0.015, -0.008, -0.008, -0.015]
PASSES = 2


def grant() -> BandGranted:
    noise = NoiseModel("gain", electrons_per_count=8.0)
    run = RunStart("run", RunMode.SIMULATED, 2, 3, "<u2", noise, SETTINGS.to_json())
    state = StatePoint(20.0, 20.0, 20.0, 97.0)
    return BandGranted(run, SweepStart("run", 0, SweepRole.WARMING, state, FREQUENCY_MHZ, PASSES), 0, 2, 1)


@pytest.fixture
def frames() -> np.ndarray:
    shape = model_spectrum(FREQUENCY_MHZ, CENTRE_MHZ, FWHM_MHZ, CONTRAST, SETTINGS, 0.0)
    counts = np.random.default_rng(1).poisson(320_000 * (1 + shape)[:, None, None], (PASSES, FREQUENCY_MHZ.size, 2, 3))
    return np.round(counts / 8).astype("<u2")


def add(band: Band, frames: np.ndarray, pass_index: int, first: int, last: int) -> Tile:
    for index in range(first, last):
        band.add(BandFrame("run", 0, 0, 2, 1, pass_index, index, frames[pass_index, index]))
    return band.fit()


def test_nothing_is_claimed_before_the_first_pass_is_whole(frames: np.ndarray) -> None:
    band = Band(grant(), SETTINGS, regions_of(grant().run), "worker-0")
    # all but the upper [111] line: three dips, which a fit of four lines would number wrongly
    early = FitMap.from_planes(add(band, frames, 0, 0, 100).planes, SETTINGS.doublets)
    assert (early.status == StatusCode.NOT_YET_MEASURED).all()
    assert np.isnan(early.centre_mhz).all()
    whole = add(band, frames, 0, 100, 120)
    assert not whole.final
    provisional = FitMap.from_planes(whole.planes, SETTINGS.doublets)
    assert (provisional.doublet_status[0] == StatusCode.OK).all()
    final = add(band, frames, 1, 0, 120)
    assert final.final
    fit = FitMap.from_planes(final.planes, SETTINGS.doublets)
    pulls = (fit.centre_mhz - np.array(CENTRE_MHZ)[:, None, None]) / fit.centre_mhz_sigma
    assert np.nanmax(np.abs(pulls)) < 5.0
