"""The camera process: a stored run is played by the module that a rig starts; a wrong source is one clear line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

from devices.settings import CameraProcess, CameraSettings
from stream.archive_hdf5 import FrameWriter
from stream.camera_control import CameraControl, CameraRefused
from stream.crc import crc32c
from stream.health import ready_path
from stream.messages import NoiseModel, RunMode, RunStart, StatePoint, SweepRequest, SweepRole, SweepStart
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
    stream = StreamSettings(str(tmp_path / "r"), str(tmp_path / "d"), ring_mib=1, archive_frames=False)
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


@pytest.mark.parametrize(
    ("camera", "line"),
    [
        (CameraSettings(kind="file", source="/nowhere.h5"), "cannot read the frames file /nowhere.h5"),
        (CameraSettings(kind="film"), "choose `twin` or `file`"),
        (CameraSettings(kind="twin"), "no [twin] section"),
    ],
)
def test_a_wrong_source_is_one_clear_line(process, tmp_path, camera, line):
    ended = launch(replace(process, camera=camera), tmp_path)
    _, said = ended.communicate(timeout=60)
    assert ended.returncode == 1
    assert line in said
    assert "Traceback" not in said
