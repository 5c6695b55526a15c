"""An ingested measurement is a run like any other, whole or not at all."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import numpy as np
import pytest

from stream.archive_hdf5 import FrameFile, FrameWriter
from stream.archive_tiled import DocumentArchive
from stream.catalog import catalog
from stream.document_log import read_documents
from stream.ingest import IngestError, IngestOptions, Measurement, read_measurement
from stream.ingest_run import IngestRun, ingest_run
from stream.measured_state import MeasuredState, measured_state
from stream.messages import FieldHistory, NoiseModel, RunMode, SweepRequest, SweepRole
from stream.paths import documents_path, frames_path
from stream.replay import ReplayMaker

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "widefield-odmr-21x25x200.mat"
FRAMES = np.random.default_rng(3).random((12, 4, 5), dtype="f4") * 1000
MEASUREMENT = Measurement(
    FRAMES,
    np.linspace(3080.0, 3279.0, 12),
    NoiseModel("estimated", 14.6, accumulations=30),
    ["the axis order is a guess"],
)
RUN = IngestRun(
    {"lines": 2}, sample="S0", source="m.mat", measured=MeasuredState(295.0, 80.0, 0.5), state_notes=("said",)
)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_frames_file_and_log(tmp_path):
    uid = ingest_run(MEASUREMENT, tmp_path, RUN)
    assert files(tmp_path) == [f"documents/{uid}.jsonl", f"frames/{uid}.h5"]
    with FrameFile(frames_path(tmp_path, uid)) as file:
        start, (sweep,) = file.start, file.complete_sweeps()
        assert (start.run_uid, start.mode, start.height, start.width, start.dtype) == (uid, RunMode.LIVE, 4, 5, "<f4")
        assert (start.noise, start.analysis, start.sample) == (MEASUREMENT.noise, {"lines": 2}, "S0")
        assert start.pixel_size_um == 0.5
        assert start.frames_path == str(file.path)
        assert (sweep.role, sweep.passes, sweep.state.temperature_k) == (SweepRole.SINGLE, 1, 295.0)
        assert (sweep.state.field_gauss, sweep.state.history) == (80.0, FieldHistory.UNKNOWN)
        assert sweep.frequency_mhz.tobytes() == MEASUREMENT.frequency_mhz.tobytes()
        assert np.array_equal(np.stack([frame for _, _, frame in file.frames(0)]), FRAMES)
    documents = dict(read_documents(documents_path(tmp_path, uid)))
    assert documents["start"]["plan_name"] == "ingest"
    assert documents["start"]["analysis"] == {"lines": 2}
    assert documents["start"]["noise"]["source"] == "estimated"
    assert documents["start"]["ingest"] == {"source": "m.mat", "notes": ["the axis order is a guess", "said"]}
    assert documents["stop"]["exit_status"] == "success"
    assert documents["stop"]["num_events"] == {"frames": 0, "primary": 1}


def test_what_nobody_says_of_the_state_is_assumed_and_said():
    state, notes = measured_state(field_gauss=97.0)
    assert state == MeasuredState(300.0, 97.0, 1.0)
    assert notes == [
        "temperature not in the file: 300 K assumed; give --temperature-k",
        "pixel size not in the file: 1 um assumed; give --pixel-size-um",
    ]
    assert measured_state(4.2, 97.0, 0.5)[1] == []


def test_it_can_be_replayed(tmp_path):
    uid = ingest_run(MEASUREMENT, tmp_path, RUN)
    maker = ReplayMaker(frames_path(tmp_path, uid))
    assert (maker.height, maker.width, maker.dtype) == (4, 5, "<f4")
    maker.close()


@pytest.mark.skipif(not REAL.exists(), reason=f"the real measurement is not at {REAL}")
def test_the_real_file_replays_as_it_was_read(tmp_path):
    measurement = read_measurement(REAL, IngestOptions("M", "Ftot", "GHz", accumulations=30))
    uid = ingest_run(measurement, tmp_path, RUN)
    path = frames_path(tmp_path, uid)
    with FrameFile(path) as file:
        (sweep,) = file.complete_sweeps()
    maker = ReplayMaker(path)
    maker.arm(SweepRequest(uid, 0, sweep.role, sweep.frequency_mhz, sweep.passes))
    frames = np.stack([maker.frame(0, i) for i in range(200)])
    maker.close()
    assert frames.tobytes() == measurement.frames.tobytes()
    assert sweep.frequency_mhz.tobytes() == measurement.frequency_mhz.tobytes()


def test_in_tiled_like_any_other(tiled_server):
    with catalog(tiled_server.uri) as client:
        uid = ingest_run(MEASUREMENT, tiled_server.data_dir, RUN, client)
        run = client["raw"][uid]
        assert run.metadata["start"]["sample"] == "S0"
        assert np.array_equal(run["frames"]["camera_frames"].read(), FRAMES)
        assert run["primary"]["temperature_k"].read().tolist() == [295.0]
        assert [name for name, _ in run.documents()][-1] == "stop"
        assert documents_path(tiled_server.data_dir, uid).with_suffix(".archived").exists()


def test_without_tiled_the_next_session_sends_it(tiled_server):
    uid = ingest_run(MEASUREMENT, tiled_server.data_dir, RUN)
    with DocumentArchive(tiled_server.settings, tiled_server.uri), catalog(tiled_server.uri) as client:
        mark = documents_path(tiled_server.data_dir, uid).with_suffix(".archived")
        _wait_for(mark)
        assert np.array_equal(client["raw"][uid]["frames"]["camera_frames"][3], FRAMES[3])


def _wait_for(path, timeout_s=60.0):
    until = time.monotonic() + timeout_s
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    append = FrameWriter.append

    def full(self, sweep, pass_index, index, *rest):
        if index == 7:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, sweep, pass_index, index, *rest)

    monkeypatch.setattr(FrameWriter, "append", full)
    with pytest.raises(IngestError, match=r"No space left.*is the disk full") as caught:
        ingest_run(MEASUREMENT, tmp_path, RUN)
    assert "\n" not in str(caught.value)
    assert files(tmp_path) == []


def test_a_log_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "documents").write_text("in the way")
    with pytest.raises(IngestError, match="cannot be written"):
        ingest_run(MEASUREMENT, tmp_path, RUN)
    assert files(tmp_path) == ["documents"]


def test_settings_that_are_no_json_leave_nothing(tmp_path):
    with pytest.raises((TypeError, ValueError)):
        ingest_run(MEASUREMENT, tmp_path, IngestRun({"x": object()}))
    assert files(tmp_path) == []
