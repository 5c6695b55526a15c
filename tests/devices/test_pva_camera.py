"""areaDetector cameras over PVAccess: pvapy's simulator, and one that is started and stopped over Channel Access."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from devices.processes import CameraProcess
from devices.pva_source import PvaSource
from devices.settings import CameraSettings, CryostatSettings, DevicesSettings, LiveSettings, MagnetSettings
from stream.archive_hdf5 import FrameFile
from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl, CameraRefused
from stream.health import ready_path
from stream.live_frames import SourceLost
from stream.messages import FieldHistory, RunMode, SweepRequest
from stream.settings import dump_settings
from tests.devices.area_detector import PREFIX
from tests.stream.wire import Gathered, Rig, known_cube, known_frame, run_start, sweep_request, wait_for

pytestmark = pytest.mark.timeout(180)
SHAPE = (24, 16)
SIMULATOR = Path(sys.executable).with_name("pvapy-ad-sim-server")


def free_port(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def environment():
    """EPICS on loopback and on ports of its own."""
    server, search, access = (
        str(free_port(kind)) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_STREAM)
    )
    here = dict.fromkeys(("EPICS_PVA_ADDR_LIST", "EPICS_CA_ADDR_LIST", "EPICS_PVAS_INTF_ADDR_LIST"), "127.0.0.1")
    here |= dict.fromkeys(("EPICS_CAS_INTF_ADDR_LIST", "EPICS_CAS_BEACON_ADDR_LIST"), "127.0.0.1")
    here |= dict.fromkeys(("EPICS_PVA_AUTO_ADDR_LIST", "EPICS_CA_AUTO_ADDR_LIST"), "NO")
    here |= dict.fromkeys(("EPICS_PVAS_AUTO_BEACON_ADDR_LIST", "EPICS_CAS_AUTO_BEACON_ADDR_LIST"), "NO")
    here |= {"EPICS_PVA_SERVER_PORT": server, "EPICS_PVAS_SERVER_PORT": server}
    here |= {"EPICS_PVA_BROADCAST_PORT": search, "EPICS_PVAS_BROADCAST_PORT": search}
    here |= {"EPICS_CA_SERVER_PORT": access, "EPICS_CAS_SERVER_PORT": access, "PVXS_QSRV_ENABLE": "NO"}
    return {**os.environ, **here}


class Site(Rig):
    """A rig whose camera process is the one of the rig file."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__(folder)
        self.environment = environment

    def serve(self, camera: CameraSettings, devices: DevicesSettings) -> subprocess.Popen:
        path = self.folder / "camera.json"
        dump_settings(CameraProcess(self.settings, camera, devices=devices), path)
        with (self.folder / "camera.log").open("wb") as log:
            command = [sys.executable, "-m", "devices.camera_server", str(path)]
            process = subprocess.Popen(command, env=self.environment, stderr=log)
        self.processes.append(process)
        ready = ready_path(self.settings, "camera")
        wait_for(lambda: ready.exists() or process.poll() is not None, 60, "the camera")
        assert process.poll() is None, (self.folder / "camera.log").read_text()
        return process

    def epics_put(self, name: str, value: float) -> None:
        code = "import epics, sys; sys.exit(epics.caput(sys.argv[1], float(sys.argv[2]), wait=True) != 1)"
        subprocess.run([sys.executable, "-c", code, name, str(value)], env=self.environment, check=True, timeout=60)


@pytest.fixture
def site(tmp_path, environment):
    rig = Site(tmp_path, environment)
    yield rig
    rig.close()


def test_frames_of_pvapys_simulator_reach_the_maps_and_the_file(site):
    """The camera runs by itself: whatever frame comes first is the first, and none is missing after it."""
    images = np.stack([known_frame(0, 0, index, *SHAPE) for index in range(50)])
    np.save(site.folder / "images.npy", images)
    channel = "SIM:Image"
    command = [str(SIMULATOR), "-if", str(site.folder / "images.npy"), "-fps", "200", "-cn", channel, "-dc"]
    command += ["-std", "2", "-shd", "0", "-rp", "0", "-rt", "600"]
    simulator = subprocess.Popen(command, env=site.environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        site.serve(CameraSettings(kind="pva", source=channel, pixel_size_um=0.4), DevicesSettings())
        site.worker("worker-0")
        with BuilderInbox(site.settings) as inbox, CameraControl(site.settings) as control:
            gathered = Gathered(inbox)
            start = control.open_run(run_start("run-p"))
            assert (start.height, start.width, start.dtype, start.mode) == (*SHAPE, "<u2", RunMode.LIVE)
            assert start.pixel_size_um == 0.4
            sweep = control.arm(sweep_request("run-p", 0))
            assert sweep.state.temperature_k == 295.0, "that of the rig file: there is no thermometer"
            assert sweep.source_state["source"] == channel
            control.trigger("run-p", 0)
            assert control.wait_sent("run-p", 0, 60) == 40
            cube = gathered.until_cube("run-p", 0)
            control.close_run("run-p", "success")
        with FrameFile(start.frames_path) as file:
            wait_for(lambda: file.count == 40, 30, "every frame on disk")
            frames = [frame for _, _, frame in file.frames(0)]
        first = next(k for k in range(50) if np.array_equal(frames[0], images[k]))
        assert all(np.array_equal(frame, images[(first + n) % 50]) for n, frame in enumerate(frames))
        sums = [sum(frames[p * 10 + i].astype(np.uint32) for p in range(4)) for i in range(10)]
        assert np.array_equal(cube, np.stack(sums))
    finally:
        os.killpg(simulator.pid, signal.SIGKILL)
        simulator.wait(10)


@contextlib.contextmanager
def area_detector(site: Site, rate_hz: int = 200):
    command = [sys.executable, "-m", "tests.devices.area_detector", *map(str, SHAPE), "10", str(rate_hz)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=site.environment, stdin=pipe, stdout=pipe, text=True)
    try:
        assert any(line.strip() == "up" for line in process.stdout), "it has ended"
        yield process
    finally:
        process.kill()
        process.communicate()


LIVE = LiveSettings(acquire=f"{PREFIX}:ACQUIRE", images=f"{PREFIX}:NUM", frame_timeout_s=20.0)
CAMERA = CameraSettings(kind="pva", source=f"{PREFIX}:IMAGE", live=LIVE)
DEVICES = DevicesSettings(prefix=f"{PREFIX}:", magnet=MagnetSettings(), cryostat=CryostatSettings())


def test_each_sweep_is_one_acquisition_and_a_lost_frame_is_a_counted_hole(site):
    with area_detector(site):
        site.serve(CAMERA, DEVICES)
        site.worker("worker-0")
        with BuilderInbox(site.settings) as inbox, CameraControl(site.settings) as control:
            gathered = Gathered(inbox)
            control.open_run(run_start("run-a"))
            request = replace(sweep_request("run-a", 0), history=FieldHistory.FC, load_index=3)
            state = control.arm(request).state
            assert (state.temperature_k, state.stage_temperature_k, state.field_gauss) == (20.5, 19.5, 97.25)
            assert (state.history, state.load_index) == (FieldHistory.FC, 3)
            control.trigger("run-a", 0)
            assert np.array_equal(gathered.until_cube("run-a", 0), known_cube(0, 10, 4, *SHAPE))
            # warmer and back again, then another field: the warmest of the new field is what holds now
            for kelvin in (60.0, 20.5):
                site.epics_put(f"{PREFIX}:CRYO:SAMPLE_K_RBV", kelvin)
            site.epics_put(f"{PREFIX}:DROP", 17)
            state = control.arm(sweep_request("run-a", 1)).state
            assert (state.temperature_k, state.temperature_max_since_field_k) == (20.5, 60.0)
            control.trigger("run-a", 1)
            assert control.wait_sent("run-a", 1, 60) == 40
            whole, lost = known_cube(0, 10, 4, *SHAPE), known_frame(0, 1, 7, *SHAPE)
            whole[7] -= lost
            assert np.array_equal(gathered.until_cube("run-a", 1), whole)
            progress = control.sweep_progress("run-a", 1)
            assert (progress.frames_lost, progress.rows) == (1, 39)
            # one that was the only one of its frequency ends the sweep: there is no map without it
            control.arm(sweep_request("run-a", 3, count=40, passes=1))
            control.trigger("run-a", 3)
            with pytest.raises(CameraRefused, match="ended after 17 of 40 frames"):
                control.wait_sent("run-a", 3, 60)
            site.epics_put(f"{PREFIX}:DROP", -1)
            site.epics_put(f"{PREFIX}:MAG:FIELD_Z_GAUSS_RBV", 50.0)
            state = control.arm(sweep_request("run-a", 2)).state
            assert (state.field_gauss, state.temperature_max_since_field_k) == (50.0, 20.5)
            control.trigger("run-a", 2)
            assert np.array_equal(gathered.until_cube("run-a", 2), known_cube(0, 10, 4, *SHAPE))
    log = (site.folder / "camera.log").read_text()
    assert "frame 17 of 40 (1 in all) were lost before they came here" in log
    assert "was lost by the camera" in log


def test_a_camera_that_goes_away_ends_the_sweep_and_comes_back(site):
    with area_detector(site, rate_hz=50) as detector:
        site.serve(CAMERA, DevicesSettings())
        site.worker("worker-0")
        with CameraControl(site.settings, timeout_s=30) as control:
            control.open_run(run_start("run-g"))
            control.arm(sweep_request("run-g", 0))
            control.trigger("run-g", 0)
            wait_for(lambda: control.progress("run-g", 0)[0] > 3, 60, "frames")
            detector.kill()
            with pytest.raises(CameraRefused, match="ended after"):
                control.wait_sent("run-g", 0, 60)
            with pytest.raises(CameraRefused, match="AD:IMAGE is not there"):
                control.arm(sweep_request("run-g", 1))
    with area_detector(site, rate_hz=50), CameraControl(site.settings, timeout_s=30) as control:
        # the image that the channel holds when it is back is not taken for a frame
        wait_for(lambda: armed(control, sweep_request("run-g", 2)), 120, "the camera back")
        control.trigger("run-g", 2)
        assert control.wait_sent("run-g", 2, 60) == 40
        # an abort does not wait for a frame that does not come
        site.epics_put(f"{PREFIX}:DROP", 0)
        control.arm(sweep_request("run-g", 3, count=1, passes=1))
        control.trigger("run-g", 3)
        control.abort_sweep("run-g", 3)
        site.epics_put(f"{PREFIX}:DROP", -1)
        control.arm(sweep_request("run-g", 4))
        control.trigger("run-g", 4)
        assert control.wait_sent("run-g", 4, 60) == 40
        start = control.open_run(run_start("run-g"))
    with FrameFile(start.frames_path) as file:
        wait_for(lambda: file.frames_of(4) == 40, 30, "every frame on disk")
        for sweep in (2, 4):
            assert all(np.array_equal(image, known_frame(0, p, i, *SHAPE)) for p, i, image in file.frames(sweep))


def armed(control: CameraControl, request: SweepRequest) -> bool:
    try:
        control.arm(request)
    except CameraRefused:
        return False
    return True


def test_a_channel_that_nobody_serves_and_a_missing_package_are_said(environment, monkeypatch):
    for name, value in environment.items():
        if name.startswith("EPICS_PVA"):
            monkeypatch.setenv(name, value)
    with pytest.raises(SourceLost, match=r"NOBODY:IMAGE gives no image within 0.5 s: the channel is not there"):
        PvaSource("NOBODY:IMAGE", timeout_s=0.5)
    monkeypatch.setitem(sys.modules, "p4p.client.thread", None)
    with pytest.raises(
        SourceLost, match=r"needs the package p4p: .venv/bin/pip install -c constraints.txt -e '.\[pva\]'"
    ):
        PvaSource("NOBODY:IMAGE")
