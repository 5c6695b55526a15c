"""The camera process dies, or ends a sweep early."""

from __future__ import annotations

import resource
from pathlib import Path

import h5py
import numpy as np
import pytest

from stream.archive_hdf5 import FrameFile
from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl, CameraRefused
from stream.messages import RunStop, SweepAbort
from stream.state import StateSubscriber
from tests.faults.flow import alive, measure, works
from tests.stream.wire import Gathered, known_cube, known_frame, run_start, wait_for

pytestmark = pytest.mark.timeout(240)


def test_a_killed_camera_ends_its_run_and_the_next_run_works(rig):
    flow = rig()
    camera = flow.camera(rate_hz=100)
    flow.worker("worker-0")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings, timeout_s=20) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run-c"))
        gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "the worker")
        measure(control, "run-c", 0)
        gathered.until(lambda: works(gathered, "worker-0"), 60, "work")
        flow.kill(camera)
        flow.camera(rate_hz=200)
        stops = gathered.until(lambda: [e for e in gathered.events if isinstance(e, RunStop)], 60, "run closed")
        assert (stops[0].run_uid, stops[0].exit_status) == ("run-c", "abort")
        with pytest.raises(CameraRefused) as refused:
            control.wait_sent("run-c", 0, 60)
        assert refused.value.status == "unknown"
        control.open_run(run_start("run-d"))
        measure(control, "run-d", 0)
        assert np.array_equal(gathered.until_cube("run-d", 0), known_cube(0, 10, 4))


def test_an_aborted_sweep_is_dropped_and_the_next_one_is_whole(rig):
    flow = rig()
    flow.camera(rate_hz=50)
    flow.worker("worker-0")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run-x"))
        gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "the worker")
        measure(control, "run-x", 0)
        gathered.until(lambda: works(gathered, "worker-0"), 60, "work")
        control.abort_sweep("run-x", 0)
        with pytest.raises(CameraRefused, match="ended after") as refused:
            control.wait_sent("run-x", 0, 60)
        assert refused.value.status == "aborted"
        gathered.until(lambda: any(isinstance(e, SweepAbort) for e in gathered.events), 60, "abort told")
        measure(control, "run-x", 1)
        assert np.array_equal(gathered.until_cube("run-x", 1), known_cube(1, 10, 4))
        assert gathered.cube("run-x", 0) is None


def test_a_killed_camera_s_file_is_made_whole_by_its_successor(rig):
    flow = rig(full_policy="pause")
    camera = flow.camera(rate_hz=200)
    flow.worker("worker-0")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings, timeout_s=20) as control:
        gathered = Gathered(inbox)
        path = Path(control.open_run(run_start("run-p")).frames_path)
        gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "the worker")
        measure(control, "run-p", 0)
        assert np.array_equal(gathered.until_cube("run-p", 0), known_cube(0, 10, 4))
        wait_for(lambda: on_disk(path) == 40, 60, "sweep 0 on disk")
        measure(control, "run-p", 1, passes=40)
        wait_for(lambda: on_disk(path) > 40, 60, "the beginning of sweep 1 on disk")
        # from now on the disk is full: frames are published, and only the ring has them
        resource.prlimit(camera.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        full = control.progress("run-p", 1)[0]
        sent = gathered.until(lambda: (n := control.progress("run-p", 1)[0]) > full + 40 and n, 60, "more of sweep 1")
        flow.kill(camera)
        assert on_disk(path) < 40 + sent
        flow.camera(rate_hz=200)
        wait_for(lambda: not path.with_name(f"{path.name}.writing").exists(), 60, "the copy")
        with h5py.File(path) as plain:
            rows = len(plain["entry/data/frames"])
        with FrameFile(path) as file:
            assert rows >= 40 + sent
            assert [(p, i) for p, i, _ in file.frames(1)] == [divmod(n, 10) for n in range(rows - 40)]
            for sweep in (0, 1):
                assert all(np.array_equal(image, known_frame(sweep, p, i)) for p, i, image in file.frames(sweep))
        with StateSubscriber(flow.settings, ["camera"]) as state:
            wait_for(lambda: "from the ring" in texts(state), 60, "that it is said")
        control.open_run(run_start("run-q"))
        measure(control, "run-q", 0)
        assert np.array_equal(gathered.until_cube("run-q", 0), known_cube(0, 10, 4))
        # nothing is written over what a run has on disk
        with pytest.raises(CameraRefused, match="cannot make the frames file"):
            control.open_run(run_start("run-p"))


def on_disk(path: Path) -> int:
    with FrameFile(path) as file:
        return file.count


def texts(state: StateSubscriber) -> str:
    state.poll(0.1)
    update = state.latest.get(("camera", "events"))
    return "" if update is None else str(update.header["events"])
