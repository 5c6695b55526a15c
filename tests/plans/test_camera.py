"""The camera as a flyer, with a real frame server: numbers, waiting for a full ring, ends that lose nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
from ophyd import EpicsSignal

from devices.camera_requests import CameraRun, CameraRunEnd, SweepPlan
from devices.epics import DeviceError
from stream.archive_hdf5 import FrameFile
from stream.camera_control import CameraControl, CameraRefused
from stream.messages import Archive, FieldHistory, SweepRole
from stream.settings import StreamSettings
from stream.writing_mark import has_writer
from tests.stream.wire import wait_for

LIST = tuple(2850.0 + i for i in range(10))


def plan(passes=2):
    return SweepPlan(SweepRole.SINGLE, LIST, passes, 0, FieldHistory.UNKNOWN)


def take(camera, passes=2):
    camera.prepare(plan(passes)).wait(20)
    camera.kickoff().wait(20)
    camera.complete().wait(60)


@pytest.fixture(autouse=True)
def light(bench_ioc):
    """A sweep in the dark is none."""
    lamps = [EpicsSignal(bench_ioc + name, name=name) for name in ("LASER:SHUTTER", "MW:ENABLE")]
    for lamp in lamps:
        lamp.wait_for_connection(timeout=20)
        lamp.put(1, wait=True)
    yield
    for lamp in lamps:
        lamp.put(0, wait=True)
        lamp.destroy()


@pytest.fixture
def camera(bench):
    return bench.rig.camera


def test_what_the_camera_knows_is_filled_in(camera):
    camera.run.set(CameraRun("run-1", {"lines": 4}, {}, "S1", "bench")).wait(20)
    assert camera.start.height == 8
    assert camera.start.noise.electrons_per_count == 8.0
    assert camera.start.mode == "SIMULATED"
    assert camera.start.frames_path.endswith(".h5")
    key = camera.describe_collect()["camera_frames"]
    assert key["external"] == "STREAM:"
    assert key["shape"] == [8, 6]
    assert "camera_frames" not in camera.read()
    camera.run.set(CameraRunEnd("success")).wait(20)
    with pytest.raises(DeviceError, match="no run is open"):
        camera.prepare(plan()).wait(20)


def test_each_frame_is_told_once(camera):
    camera.run.set(CameraRun("run-2")).wait(20)
    rows = []
    for _ in range(3):
        take(camera)
        rows += [doc for name, doc in camera.collect_asset_docs() if name == "stream_datum"]
    assert [(row["indices"]["start"], row["indices"]["stop"]) for row in rows] == [(0, 20), (20, 40), (40, 60)]
    assert list(camera.collect_asset_docs()) == []
    assert camera.sweep.get() == 2


def test_sums_are_told_as_rows_of_their_own(make_bench):
    bench = make_bench(archive=Archive.SUMS)
    camera = bench.rig.camera
    camera.run.set(CameraRun("run-2")).wait(20)
    camera.prepare(plan()).wait(20)  # given up by the next: its rows stay empty
    told = []
    for passes in (3, 1):
        take(camera, passes)
        told += list(camera.collect_asset_docs())
    path = camera.start.frames_path
    camera.run.set(CameraRunEnd("success")).wait(20)
    (resource,) = [doc for name, doc in told if name == "stream_resource"]
    data = [doc["indices"] for name, doc in told if name == "stream_datum"]
    assert [(row["start"], row["stop"]) for row in data] == [(0, 20), (20, 30)]
    assert resource["parameters"]["dataset"] == "/entry/data/sums"
    wait_for(lambda: not has_writer(Path(path)), 20, "the file closed")
    with h5py.File(path) as file:
        rows = file[resource["parameters"]["dataset"]][...]
    with FrameFile(path) as file:
        assert [sweep.sweep for sweep in file.complete_sweeps()] == [1, 2]
        sums = {sweep: np.stack([plane.pixels for plane in file.planes(sweep)]) for sweep in (1, 2)}
    assert rows.shape == (30, 8, 6)
    assert not rows[:10].any()
    assert np.array_equal(rows[10:], np.concatenate([sums[1], sums[2]]))
    assert sums[1].any()
    assert camera.frames_sent.get() == 40


def test_a_rewound_plan_arms_anew_and_starts_once(camera, bench):
    camera.run.set(CameraRun("run-3")).wait(20)
    camera.prepare(plan()).wait(20)
    camera.prepare(plan()).wait(20)
    assert camera.sweep.get() == 1
    camera.kickoff().wait(20)
    camera.kickoff().wait(20)
    camera.complete().wait(20)
    camera.complete().wait(20)
    assert camera.get_index() == 20
    assert [request.sweep for request in bench.maker.armed] == [0, 1]


def test_progress_is_watched(make_bench):
    camera = make_bench(rate_hz=100.0).rig.camera
    camera.run.set(CameraRun("run-4")).wait(20)
    camera.prepare(plan(5)).wait(20)
    camera.kickoff().wait(20)
    seen = []
    status = camera.complete()
    status.watch(lambda **step: seen.append((step["current"], step["target"], step["unit"])))
    status.wait(60)
    assert seen[-1] == (50, 50, "frames")


@pytest.fixture
def sweeping(make_bench):
    """A bench whose camera has a long sweep under way, and the status of its end."""
    bench = make_bench(rate_hz=10.0)
    camera = bench.rig.camera
    camera.run.set(CameraRun("run-5")).wait(20)
    camera.prepare(plan(20)).wait(20)
    camera.kickoff().wait(20)
    return bench, camera.complete()


def test_a_sweep_that_the_camera_ended_fails_its_status(sweeping):
    bench, status = sweeping
    with CameraControl(bench.settings) as other:
        other.abort_sweep("run-5", 0)
    with pytest.raises(DeviceError, match="of 200 frames"):
        status.wait(20)


def test_a_run_that_is_closed_around_its_sweep_fails_nobody(sweeping):
    bench, status = sweeping
    bench.rig.camera.run.set(CameraRunEnd("abort")).wait(20)
    status.wait(20)
    assert bench.run_is_closed("run-5")
    assert bench.rig.camera.get_index() < 200


def test_a_source_that_fails_to_arm_gives_its_reason(camera, bench):
    def refuse(request):
        raise RuntimeError("the shutter interlock is open")

    bench.maker.arm = refuse
    camera.run.set(CameraRun("run-6")).wait(20)
    with pytest.raises(DeviceError, match="the shutter interlock is open"):
        camera.prepare(plan()).wait(20)


def test_a_full_ring_holds_the_sweep_until_it_drains(camera, monkeypatch):
    camera.run.set(CameraRun("run-7")).wait(20)
    full = threading.Event()
    full.set()
    asked = threading.Event()
    arm = CameraControl.arm

    def busy(self, request):
        asked.set()
        if full.is_set():
            raise CameraRefused("busy", "the ring is full")
        return arm(self, request)

    monkeypatch.setattr(CameraControl, "arm", busy)
    status = camera.prepare(plan())
    assert asked.wait(10)
    assert not status.done
    full.clear()
    status.wait(20)
    assert camera.sweep.get() == 0


def test_a_camera_that_is_not_there_is_one_line(tmp_path):
    from devices.camera import Camera
    from devices.settings import CameraDeviceSettings

    stream = StreamSettings(runtime_dir=str(tmp_path), data_dir=str(tmp_path))
    camera = Camera(stream, CameraDeviceSettings(answer_timeout_s=0.3))
    try:
        with pytest.raises(DeviceError, match="check that the camera process runs"):
            camera.describe_camera()
    finally:
        camera.destroy()
