"""Maps from frames on disk and in memory, without any process."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from analyzers.fitmap import FitMap
from analyzers.offline import fit_frames_file, fit_measurement, maps_of_measurement, save, single_maps
from analyzers.settings import AnalysisSettings
from stream.archive_hdf5 import FrameWriter, crc32c
from stream.maps_file import MapsDiffer, compare_planes, read_maps
from tests.analyzers import synthetic

TEMPERATURES_K = (150.0, 20.0, 60.0)


def write_frames(path, temperatures_k=TEMPERATURES_K, drop=None, reverse=False) -> None:
    """Write a run of synthetic sweeps; `drop` = (sweep, pass, index) is left out."""
    maker = synthetic.SyntheticMaker()
    with FrameWriter(path, synthetic.run_start()) as writer:
        for number, temperature in enumerate(temperatures_k):
            sweep = synthetic.sweep_start(synthetic.sweep_request(number, temperature), maker)
            writer.add_sweep(sweep)
            keys = [(p, i) for p in range(sweep.passes) for i in range(sweep.frequency_mhz.size)]
            for pass_index, index in reversed(keys) if reverse else keys:
                if (number, pass_index, index) == drop:
                    continue
                frame = maker.frame(pass_index, index)
                frequency = float(sweep.frequency_mhz[index])
                writer.append(number, pass_index, index, frequency, frame, crc32c(frame), 0.0)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    path = tmp_path_factory.mktemp("frames") / "run-1.h5"
    write_frames(path)
    return path


@pytest.fixture(scope="module")
def fitted(frames):
    return fit_frames_file(frames, threads=1)


def test_s_is_found(fitted):
    maps = fitted.maps.finals[1]
    assert maps.ratio is not None
    inside = (synthetic.suppression() > 0) & fitted.maps.regions.judged
    truth = synthetic.true_s(20.0)
    pull = (maps.ratio.s - truth)[inside] / maps.ratio.sigma_s[inside]
    assert np.isfinite(pull).mean() > 0.95
    assert abs(np.nanmedian(maps.ratio.s[inside]) - truth[inside].mean()) < 0.002
    assert np.nanstd(pull) < 1.5
    assert not fitted.incomplete


def test_threads_and_the_order_of_frames_change_no_bit(fitted, tmp_path):
    path = tmp_path / "reversed.h5"
    write_frames(path, reverse=True)
    again = fit_frames_file(path, threads=3)
    for number, maps in fitted.maps.finals.items():
        assert compare_planes(maps.planes(), again.maps.finals[number].planes()) == ""


def test_a_sweep_that_lacks_a_frame_has_no_maps_and_is_counted(tmp_path):
    path = tmp_path / "hole.h5"
    write_frames(path, drop=(1, 0, 3))
    run = fit_frames_file(path, threads=1)
    assert run.incomplete == {1: 1}
    assert sorted(run.maps.finals) == [0, 2]


def test_saved_maps_are_read_back_and_never_overwritten(fitted, frames, tmp_path):
    paths = save(fitted, tmp_path)
    assert [path.name for path in paths] == ["sweep_0000.h5", "sweep_0001.h5", "sweep_0002.h5", "products.h5"]
    planes, attributes = read_maps(paths[1])
    assert compare_planes(planes, fitted.maps.finals[1].planes()) == ""
    assert attributes["temperature_k"] == 20.0
    assert attributes["reference_sweep"] == 0
    assert save(fitted, tmp_path) == paths
    changed = fitted.maps.finals[1]
    other = changed.fit.chi2.copy()
    other[0, 0] += 1
    fitted.maps.finals[1] = dataclasses.replace(changed, fit=dataclasses.replace(changed.fit, chi2=other))
    try:
        with pytest.raises(MapsDiffer, match="chi2"):
            save(fitted, tmp_path)
    finally:
        fitted.maps.finals[1] = changed


def test_other_settings_make_another_version(frames, fitted):
    other = fit_frames_file(frames, AnalysisSettings(baseline="constant"), threads=1)
    assert other.maps.version != fitted.maps.version


def test_a_measurement_in_memory_is_one_sweep():
    maker = synthetic.SyntheticMaker()
    sweep = synthetic.sweep_start(synthetic.sweep_request(0, 150.0, passes=1), maker)
    frames = np.stack([maker.frame(0, i) for i in range(sweep.frequency_mhz.size)])
    settings = AnalysisSettings()
    fit = fit_measurement(frames, sweep.frequency_mhz, synthetic.NOISE, settings, threads=1)
    maps = single_maps(maps_of_measurement(frames, sweep.frequency_mhz, synthetic.NOISE, settings, threads=2))
    assert isinstance(fit, FitMap)
    assert compare_planes(fit.to_planes(), maps.fit.to_planes()) == ""
    assert maps.ratio is None
    assert "no complete reference" in maps.ratio_reason


def test_one_pass_of_floats_is_taken_as_it_is():
    maker = synthetic.SyntheticMaker()
    sweep = synthetic.sweep_start(synthetic.sweep_request(0, 150.0, passes=1), maker)
    counts = np.stack([maker.frame(0, i) for i in range(sweep.frequency_mhz.size)])
    settings = AnalysisSettings()
    as_integers = fit_measurement(counts, sweep.frequency_mhz, synthetic.NOISE, settings, threads=1)
    as_floats = fit_measurement(counts.astype("<f4"), sweep.frequency_mhz, synthetic.NOISE, settings, threads=1)
    assert compare_planes(as_integers.to_planes(), as_floats.to_planes()) == ""
