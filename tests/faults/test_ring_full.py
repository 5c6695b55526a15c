"""A full ring: the camera waits, frames leave to disk, or holes are counted."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl, CameraRefused
from stream.state import StateSubscriber
from tests.faults.flow import BIG, alive, measure
from tests.stream.wire import Gathered, known_cube, run_start, sweep_request, wait_for

pytestmark = pytest.mark.timeout(240)


def test_a_full_ring_pauses_the_camera_and_loses_nothing(rig):
    flow = rig()
    flow.camera(**BIG)
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run-f"))
        measure(control, "run-f", 0)
        with pytest.raises(TimeoutError, match="of 40 frames"):
            control.wait_sent("run-f", 0, 1.0)
        sent, total = control.progress("run-f", 0)
        assert 4 <= sent < total
        with pytest.raises(CameraRefused, match="under way") as refused:
            control.arm(sweep_request("run-f", 1))
        assert refused.value.status == "busy"
        flow.worker("worker-0")
        assert control.wait_sent("run-f", 0, 60) == total
        assert np.array_equal(gathered.until_cube("run-f", 0), known_cube(0, 10, 4, **BIG))


def test_frames_that_left_the_ring_are_read_from_the_file(rig):
    flow = rig()
    flow.camera(rate_hz=100, **BIG)
    victim = flow.worker("worker-0")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run-d"))
        gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "the worker")
        measure(control, "run-d", 0)
        gathered.until(lambda: control.progress("run-d", 0)[0] > 25, 60, "more frames than the ring holds")
        flow.kill(victim)
        flow.worker("worker-1")
        assert np.array_equal(gathered.until_cube("run-d", 0), known_cube(0, 10, 4, **BIG))
        assert control.wait_sent("run-d", 0, 60) == 40


def test_policy_spill_never_stops_the_camera(rig):
    flow = rig(full_policy="spill")
    flow.camera(rate_hz=300, **BIG)
    flow.worker("worker-0", "0.01")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run-s"))
        gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "the worker")
        measure(control, "run-s", 0)
        assert control.wait_sent("run-s", 0, 60) == 40
        assert np.array_equal(gathered.until_cube("run-s", 0), known_cube(0, 10, 4, **BIG))


def test_policy_abandon_counts_and_shows_the_hole(rig):
    flow = rig(full_policy="abandon", archive="none", dead_after_missed=600)
    flow.camera(rate_hz=300, **BIG)
    worker = flow.worker("worker-0")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run-h"))
        gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "the worker")
        os.kill(worker.pid, signal.SIGSTOP)
        measure(control, "run-h", 0)
        assert control.wait_sent("run-h", 0, 60) == 40, "the camera never waits"
        os.kill(worker.pid, signal.SIGCONT)
        with StateSubscriber(flow.settings, ["camera"]) as state:
            shown = wait_for(lambda: latest(state, "camera").get("frames_abandoned"), 60, "the holes")
            assert 0 < shown <= 40
            # other alarms, such as the silent worker's, may be told first
            alarm = wait_for(lambda: alarm_of(latest(state, "alarms"), "holes"), 60, "the alarm")
            assert alarm["severity"] == "MAJOR"
        # what is lost is never called whole; the next sweep is
        measure(control, "run-h", 1, count=4, passes=2)
        assert np.array_equal(gathered.until_cube("run-h", 1), known_cube(1, 4, 2, **BIG))
        assert gathered.cube("run-h", 0) is None


def latest(state: StateSubscriber, channel: str) -> dict:
    state.poll(0.1)
    update = state.latest.get(("camera", channel))
    return {} if update is None else update.header


def alarm_of(header: dict, name: str) -> dict | None:
    return next((row for row in header.get("alarms", ()) if row["name"] == name), None)
