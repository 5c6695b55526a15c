"""Frames that the camera lost: each frequency is weighed by the frames it has, and the bits are the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.band import Band
from analyzers.offline import fit_frames_file
from analyzers.pipeline import RunMaps
from analyzers.regions import regions_of
from analyzers.run_work import RunWork
from stream.archive_hdf5 import FrameWriter, crc32c
from stream.archive_sums import SumsWriter
from stream.messages import RunStop, SweepProgress
from stream.worker_link import BandFrame, BandGranted, BandLost, BandSum
from tests.analyzers import synthetic

PASSES = 3
LOST = {(0, 5), (1, 5), (2, 30), (0, 31), (1, 0), (2, 86)}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A sweep with holes: its opening, its frames, and both kinds of file."""
    folder = tmp_path_factory.mktemp("holes")
    maker = synthetic.SyntheticMaker()
    sweep = synthetic.sweep_start(synthetic.sweep_request(0, 60.0, PASSES), maker)
    frames = {
        (p, i): maker.frame(p, i) for p in range(PASSES) for i in range(len(sweep.frequency_mhz)) if (p, i) not in LOST
    }
    for kind, name in ((FrameWriter, "frames.h5"), (SumsWriter, "sums.h5")):
        with kind(folder / name, synthetic.run_start()) as writer:
            writer.add_sweep(sweep)
            for p in range(PASSES):
                for i, frequency_mhz in enumerate(sweep.frequency_mhz.tolist()):
                    if (p, i) in LOST:
                        writer.add_hole(0, p, i)
                    else:
                        writer.append(0, p, i, frequency_mhz, frames[p, i], crc32c(frames[p, i]), 1.0)
    return sweep, frames, folder


def band_of(sweep, y0: int, y1: int) -> Band:
    run = synthetic.run_start()
    grant = BandGranted(run, sweep, y0, y1, 1)
    return Band(grant, RunMaps.of(run).settings, regions_of(run), "w")


def test_live_bands_offline_frames_and_sums_have_the_same_bits_and_recover_the_truth(measured):
    sweep, frames, folder = measured
    run = RunWork(synthetic.run_start())
    run.begin(sweep)
    maps = []
    for y0, y1 in ((0, 16), (16, synthetic.HEIGHT)):
        band = band_of(sweep, y0, y1)
        for p in range(PASSES):
            for i in range(len(sweep.frequency_mhz)):
                assert not band.complete
                if (p, i) in LOST:
                    band.add(BandLost("run-1", 0, y0, 1, p, i))
                else:
                    band.add(BandFrame("run-1", 0, y0, y1, 1, p, i, frames[p, i][y0:y1]))
        assert band.complete
        tile = band.fit()
        assert (tile.final, tile.frames_added, tile.frames_lost) == (True, len(frames), len(LOST))
        maps = run.add(tile)
    (live,) = maps
    for name in ("frames.h5", "sums.h5"):
        offline = fit_frames_file(folder / name, threads=1)
        assert offline.incomplete == {}
        planes = offline.maps.finals[0].planes()
        assert planes.keys() == live.planes().keys()
        for plane, values in live.planes().items():
            assert np.array_equal(values, planes[plane], equal_nan=values.dtype.kind == "f"), (name, plane)
    assert np.nanmedian(live.fit.chi2) == pytest.approx(1.0, abs=0.15), "each frequency has the noise of its frames"
    # what is lost is counted, also where the tiles are forgotten
    total = PASSES * len(sweep.frequency_mhz)
    assert run.counts()["frames_lost"] == len(LOST)
    run.stopped, run.finished = RunStop("run-1", "success", 1, total), True
    assert run.counts() == {"frames_sent": total, "frames_added": len(frames), "frames_lost": len(LOST)}
    run.progress(SweepProgress("run-1", 0, total, total, False, len(LOST)))
    assert run.counts()["frames_lost"] == len(LOST)


def test_a_band_goes_on_from_sums_with_holes(measured):
    sweep, frames, _ = measured
    whole, resumed = band_of(sweep, 0, 8), band_of(sweep, 0, 8)
    count = len(sweep.frequency_mhz)
    for p in range(PASSES):
        for i in range(count):
            lost = (p, i) in LOST
            part = BandLost("run-1", 0, 0, 1, p, i) if lost else BandFrame("run-1", 0, 0, 8, 1, p, i, frames[p, i][:8])
            whole.add(part)
            if p == PASSES - 1:
                resumed.add(part)
        if p == PASSES - 2:
            # something stale in the cube: the sums take its place
            resumed.add(BandFrame("run-1", 0, 0, 8, 1, 0, 1, frames[0, 1][:8]))
            for i in range(count):
                added = int(whole.cube.passes_added[i])
                resumed.add(BandSum("run-1", 0, 0, 1, i, PASSES - 1, added, whole.cube.sums[i].copy()))
    assert whole.complete
    assert resumed.complete
    assert np.array_equal(whole.cube.sums, resumed.cube.sums)
    assert np.array_equal(whole.cube.passes_added, resumed.cube.passes_added)
    assert np.array_equal(whole.lost, resumed.lost)
