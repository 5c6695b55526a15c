"""The camera process: a stored run is played by the module that a rig starts; a wrong source is one clear line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

from devices.processes import CameraProcess
from devices.settings import CameraSettings
from stream.archive_hdf5 import FrameFile, FrameWriter
from stream.camera_control import CameraControl, CameraRefused
from stream.crc import crc32c
from stream.health import ready_path
from stream.messages import Archive, NoiseModel, RunMode, RunStart, StatePoint, SweepRequest, SweepRole, SweepStart
from stream.settings import StreamSettings
from tests.stream.wire import wait_for

pytestmark = pytest.mark.timeout(120)
SWEEP = SweepStart("stored", 0, SweepRole.SINGLE, StatePoint(4, 4, 4, 97), np.linspace(2800.0, 2900, 5), 2)


@pytest.fixture
def process(tmp_path):
    path = tmp_path / "stored.h5"
    start = RunStart("stored", RunMode.LIVE, 6, 7, "<u2", NoiseModel("gain", 8.0), {}, pixel_size_um=0.25)
    with FrameWriter(path, start) as writer:
        writer.add_sweep(SWEEP)
        for number in range(10):
            frame = np.full((6, 7), number, "<u2")
            writer.append(0, *divmod(number, 5), 2800.0, frame, crc32c(frame), 0.0)
    stream = StreamSettings(str(tmp_path / "r"), str(tmp_path / "d"), ring_mib=1, archive=Archive.NONE)
    camera = CameraSettings(kind="file", source=str(path), frame_rate_hz=0.0)
    return CameraProcess(stream, camera)


def launch(process: CameraProcess, folder) -> subprocess.Popen:
    settings = folder / "camera.json"
    settings.write_text(json.dumps(asdict(process)))
    arguments = [sys.executable, "-m", "devices.camera_server", str(settings)]
    return subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)


def test_a_stored_run_is_played(process, tmp_path):
    camera = launch(process, tmp_path)
    try:
        ready = ready_path(process.stream, "camera")
        wait_for(lambda: ready.exists() or camera.poll() is not None, 60, "ready")
        with CameraControl(process.stream, timeout_s=30) as control:
            info = control.describe()
            assert (info["mode"], info["height"], info["width"], info["pixel_size_um"]) == ("REPLAY", 6, 7, 0.25)
            run = RunStart("stored", RunMode.REPLAY, 0, 0, "", NoiseModel("gain", 8.0), {})
            assert control.open_run(run).frames_path == process.camera.source
            request = SweepRequest("stored", 0, SweepRole.SINGLE, SWEEP.frequency_mhz, 2)
            with pytest.raises(CameraRefused, match="other frequencies"):
                control.arm(replace(request, passes=3))
            assert control.arm(request).state == SWEEP.state
            control.trigger("stored", 0)
            assert control.wait_sent("stored", 0, 30) == 10
        camera.terminate()
        assert camera.wait(10) == 0
        assert not ready.exists()
    finally:
        camera.kill()
        camera.communicate()


def test_a_stored_run_is_rehearsed_by_a_plan_of_the_same_frequencies(process, tmp_path):
    stream = replace(process.stream, archive=Archive.FRAMES)
    camera = launch(replace(process, stream=stream), tmp_path)
    try:
        wait_for(lambda: ready_path(stream, "camera").exists() or camera.poll() is not None, 60, "ready")
        with CameraControl(stream, timeout_s=30) as control:
            start = control.open_run(RunStart("new", RunMode.LIVE, 0, 0, "", NoiseModel("", 1.0), {}))
            assert (start.mode, start.noise.electrons_per_count) == (RunMode.REPLAY, 8.0)
            assert start.frames_path != process.camera.source
            other = SweepRequest("new", 0, SweepRole.WARMING, np.linspace(2800.0, 2901, 5), 3)
            with pytest.raises(CameraRefused, match="it has 5 from 2800 to 2900 MHz"):
                control.arm(other)
            for sweep in range(2):
                armed = control.arm(replace(other, sweep=sweep, frequency_mhz=SWEEP.frequency_mhz, load_index=7))
                assert (armed.state.temperature_k, armed.state.load_index) == (4, 7)
                assert armed.source_state["replays"]["run_uid"] == "stored"
                control.trigger("new", sweep)
                assert control.wait_sent("new", sweep, 30) == 15
            control.close_run("new", "success")
        with FrameFile(start.frames_path) as file:
            wait_for(lambda: file.count == 30, 30, "every frame on disk")
            # two stored passes, three asked for: the first comes again
            assert [int(image[0, 0]) for _, _, image in file.frames(1)] == [*range(10), *range(5)]
    finally:
        camera.kill()
        camera.communicate()


@pytest.mark.parametrize(
    ("camera", "line"),
    [
        (CameraSettings(kind="file", source="/nowhere.h5"), "cannot read the frames file /nowhere.h5"),
        (CameraSettings(kind="film"), "choose `twin`, `file`, `pva` or `dectris`"),
        (CameraSettings(kind="twin"), "no [twin] section"),
        (CameraSettings(kind="pva"), "names no PVAccess channel, such as 13SIM1:Pva1:Image"),
        (CameraSettings(kind="dectris", source="tcp://127.0.0.1:9"), "[camera.live] must have height and width"),
    ],
)
def test_a_wrong_source_is_one_clear_line(process, tmp_path, camera, line):
    ended = launch(replace(process, camera=camera), tmp_path)
    _, said = ended.communicate(timeout=60)
    assert ended.returncode == 1
    assert line in said
    assert "Traceback" not in said
