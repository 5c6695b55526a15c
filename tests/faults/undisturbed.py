"""The maps that a run would have without any fault: made from its frames, without any process."""

from __future__ import annotations

from pathlib import Path

from analyzers.offline import OfflineRun, fit_frames_file
from stream.archive_hdf5 import FrameWriter, crc32c
from stream.maps_file import compare_planes, read_maps
from stream.paths import maps_path
from tests.analyzers import synthetic
from tests.faults.plan_process import TEMPERATURES_K


def undisturbed(folder: Path, sweeps: int) -> OfflineRun:
    """Maps of the same frames without any process."""
    maker = synthetic.SyntheticMaker()
    path = folder / "undisturbed.h5"
    with FrameWriter(path, synthetic.run_start()) as writer:
        for number in range(sweeps):
            sweep = synthetic.sweep_start(synthetic.sweep_request(number, TEMPERATURES_K[number]), maker)
            writer.add_sweep(sweep)
            for p in range(2):
                for i, frequency_mhz in enumerate(sweep.frequency_mhz):
                    frame = maker.frame(p, i)
                    writer.append(number, p, i, float(frequency_mhz), frame, crc32c(frame), 1.0)
    return fit_frames_file(path)


def assert_same_maps(data_dir, expected: OfflineRun) -> None:
    for number, maps in expected.maps.finals.items():
        stored, _ = read_maps(maps_path(data_dir, "run-1", expected.maps.version, f"sweep_{number:04d}"))
        assert compare_planes(stored, maps.planes()) == "", f"sweep {number}"
