"""The camera process dies, or ends a sweep early."""

from __future__ import annotations

import numpy as np
import pytest

from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl, CameraRefused
from stream.messages import RunStop, SweepAbort
from tests.faults.flow import alive, measure, works
from tests.stream.wire import Gathered, known_cube, run_start

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
