"""Workers killed, frozen, absent or slow: the sums are exact."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl
from stream.messages import WorkerHealth
from tests.faults.flow import alive, measure, works
from tests.stream.wire import Gathered, known_cube, run_start

pytestmark = pytest.mark.timeout(240)


def test_a_killed_worker_changes_no_bit(rig):
    flow = rig()
    flow.camera(rate_hz=100)
    victim = flow.worker("worker-0")
    flow.worker("worker-1")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run-k"))
        gathered.until(lambda: len(alive(gathered)) == 2, 60, "both workers")
        measure(control, "run-k", 0)
        gathered.until(lambda: works(gathered, "worker-0"), 60, "work")
        flow.kill(victim)
        assert np.array_equal(gathered.until_cube("run-k", 0), known_cube(0, 10, 4))
        gathered.until(lambda: alive(gathered) == {"worker-1"}, 60, "death seen")
        assert {tile.worker for tile in gathered.finals.values()} == {"worker-1"}
        assert gathered.repeated == 0


def test_a_frozen_worker_is_replaced_refused_and_taken_back(rig):
    flow = rig(dead_after_missed=8)
    flow.camera(rate_hz=60)
    zombie = flow.worker("worker-0")
    flow.worker("worker-1")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run-z"))
        gathered.until(lambda: len(alive(gathered)) == 2, 60, "both workers")
        measure(control, "run-z", 0)
        gathered.until(lambda: works(gathered, "worker-0"), 60, "work of the one to freeze")
        os.kill(zombie.pid, signal.SIGSTOP)
        gathered.until(lambda: alive(gathered) == {"worker-1"}, 60, "freeze seen")
        os.kill(zombie.pid, signal.SIGCONT)
        assert np.array_equal(gathered.until_cube("run-z", 0), known_cube(0, 10, 4))
        gathered.until(lambda: len(alive(gathered)) == 2, 60, "zombie taken back")
        measure(control, "run-z", 1)
        assert np.array_equal(gathered.until_cube("run-z", 1), known_cube(1, 10, 4))
        assert gathered.repeated == 0
        health = [e for e in gathered.events if isinstance(e, WorkerHealth) and e.worker == "worker-0"][-1]
        assert health.leases_lost == 2


def test_bands_wait_for_a_worker_when_none_is_alive(rig):
    flow = rig()
    flow.camera(rate_hz=200)
    only = flow.worker("worker-0")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run-w"))
        gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "the worker")
        measure(control, "run-w", 0)
        gathered.until(lambda: works(gathered, "worker-0"), 60, "work")
        flow.kill(only)
        gathered.until(lambda: not alive(gathered), 60, "death seen")
        assert control.wait_sent("run-w", 0, 60) == 40
        measure(control, "run-w", 1)
        flow.worker("worker-7")
        for sweep in (0, 1):
            assert np.array_equal(gathered.until_cube("run-w", sweep), known_cube(sweep, 10, 4))


def test_a_slow_worker_loses_bands_and_the_sums_are_exact(rig):
    flow = rig(slow_after_s=0.4, credit_bytes=1)
    flow.camera(rate_hz=400)
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        flow.worker("worker-0", "0.02")
        flow.worker("worker-1")
        control.open_run(run_start("run-l"))
        gathered.until(lambda: len(alive(gathered)) == 2, 60, "both workers")
        for sweep in range(2):
            measure(control, "run-l", sweep, passes=30)
            assert np.array_equal(gathered.until_cube("run-l", sweep, 120), known_cube(sweep, 10, 30))
        assert gathered.repeated == 0
        assert alive(gathered) == {"worker-0", "worker-1"}
        lost = [e.leases_lost for e in gathered.events if isinstance(e, WorkerHealth) and e.worker == "worker-0"]
        assert lost[-1] > 0
        rows = {key[1:]: tile.worker for key, tile in gathered.finals.items()}
        assert [rows[0, y0] for y0 in (0, 6, 12, 18)].count("worker-1") > 2
        # the next sweep is dealt by what was learnt
        assert [rows[1, y0] for y0 in (0, 6, 12, 18)].count("worker-1") > 2


def test_a_worker_that_lives_and_never_adds_loses_every_band(rig):
    flow = rig(slow_after_s=0.4, credit_bytes=1)
    flow.camera(rate_hz=400)
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        flow.worker("worker-0", "1000")
        flow.worker("worker-1")
        control.open_run(run_start("run-s"))
        gathered.until(lambda: len(alive(gathered)) == 2, 60, "both workers")
        measure(control, "run-s", 0)
        assert np.array_equal(gathered.until_cube("run-s", 0), known_cube(0, 10, 4))
        assert {tile.worker for tile in gathered.finals.values()} == {"worker-1"}
        assert alive(gathered) == {"worker-0", "worker-1"}
