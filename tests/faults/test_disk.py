"""The disk is full, or the file is taken: the run waits or is refused, and nothing already written is lost."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stream.archive_hdf5 import FrameFile
from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl, CameraRefused
from stream.paths import frames_path
from stream.state import StateSubscriber
from tests.faults.flow import BIG, alive, measure
from tests.stream.wire import Gathered, known_cube, known_frame, run_start, sweep_request, wait_for

pytestmark = pytest.mark.timeout(240)
FREE = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def alarm(state: StateSubscriber, name: str) -> dict | None:
    state.poll(0.1)
    update = state.latest.get(("camera", "alarms"))
    rows = [] if update is None else update.header["alarms"]
    return next((row for row in rows if row["name"] == name), None)


def test_a_full_disk_pauses_the_run_says_so_and_loses_nothing(rig):
    flow = rig()
    camera = flow.camera(rate_hz=100, **BIG)
    flow.worker("worker-0")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        path = Path(control.open_run(run_start("run-f")).frames_path)
        gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "the worker")
        measure(control, "run-f", 0)
        gathered.until(lambda: control.progress("run-f", 0)[0] > 8, 60, "frames")
        # a write beyond this size fails in the camera process as on a full disk
        resource.prlimit(camera.pid, resource.RLIMIT_FSIZE, (path.stat().st_size, FREE[1]))
        with StateSubscriber(flow.settings, ["camera"]) as state:
            held = wait_for(lambda: (row := alarm(state, "disk")) and row["active"] and row, 60, "the alarm")
            assert held["severity"] == "MAJOR"
            assert "cannot be written" in held["text"]
            # the ring holds ten frames: the camera waits
            wait_for(lambda: (row := alarm(state, "ring")) and row["active"], 60, "the pause")
            sent, total = control.progress("run-f", 0)
            assert sent < total
            resource.prlimit(camera.pid, resource.RLIMIT_FSIZE, FREE)
            assert np.array_equal(gathered.until_cube("run-f", 0), known_cube(0, 10, 4, **BIG))
            latched = wait_for(lambda: (row := alarm(state, "disk")) and not row["active"] and row, 60, "its end")
            assert latched["count"] >= 1, "it stays to be seen after it ended"
        control.close_run("run-f", "success")
        with FrameFile(path) as file:
            wait_for(lambda: file.count == total, 60, "every frame on disk")
            assert [(p, i) for p, i, _ in file.frames(0)] == [divmod(n, 10) for n in range(total)]
            assert all(np.array_equal(image, known_frame(0, p, i, **BIG)) for p, i, image in file.frames(0))


def test_a_sweep_that_would_not_fit_is_refused_with_the_numbers(rig):
    flow = rig()
    flow.camera(**BIG)
    with CameraControl(flow.settings) as control:
        control.open_run(run_start("run-b"))
        with pytest.raises(CameraRefused, match="MiB left and the sweep needs"):
            control.arm(sweep_request("run-b", 0, count=1000, passes=1000))
        control.arm(sweep_request("run-b", 0))


HOLDER = """
import sys, h5py
file = h5py.File(sys.argv[1], "w")
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_file_that_somebody_else_holds_is_refused_and_the_next_run_works(rig):
    flow = rig()
    flow.camera(rate_hz=0)
    flow.worker("worker-0")
    path = frames_path(flow.settings.data_dir, "run-l")
    path.parent.mkdir(parents=True, exist_ok=True)
    pipe = subprocess.PIPE
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=pipe, stdout=pipe, text=True)
    try:
        assert holder.stdout.readline().strip() == "held"
        with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
            gathered = Gathered(inbox)
            with pytest.raises(CameraRefused, match="cannot make the frames file") as refused:
                control.open_run(run_start("run-l"))
            assert refused.value.status == "refused"
            assert list(path.parent.iterdir()) == [path]
            control.open_run(run_start("run-m"))
            measure(control, "run-m", 0)
            assert np.array_equal(gathered.until_cube("run-m", 0), known_cube(0, 10, 4))
    finally:
        holder.communicate("go\n", timeout=20)
