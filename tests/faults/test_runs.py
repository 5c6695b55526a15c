"""Several runs, and faults in any order."""

from __future__ import annotations

import os
import random
import signal

import numpy as np
import pytest

from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl, CameraRefused
from stream.messages import RunStop
from tests.faults.flow import measure, works
from tests.stream.wire import Gathered, known_cube, run_start, sweep_request

pytestmark = pytest.mark.timeout(240)


def test_the_next_run_streams_while_the_last_one_is_still_added(rig):
    flow = rig()
    flow.camera(rate_hz=0)
    flow.worker("worker-0", "0.01")
    flow.worker("worker-1", "0.01")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        for uid in ("run-1", "run-2"):
            control.open_run(run_start(uid))
            measure(control, uid, 0, count=20)
            assert control.wait_sent(uid, 0, 60) == 80
            assert control.close_run(uid, "success").frames_sent == 80
        assert gathered.cube("run-1", 0) is None
        for uid in ("run-1", "run-2"):
            assert np.array_equal(gathered.until_cube(uid, 0), known_cube(0, 20, 4))
        assert gathered.repeated == 0


def test_sweeps_of_open_runs_alternate_each_in_cubes_of_its_own_and_a_third_run_ends_the_oldest(rig):
    flow = rig()
    flow.camera(rate_hz=0)
    victim = flow.worker("worker-0", "0.02")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        for uid in ("run-1", "run-2"):
            control.open_run(run_start(uid))
        for sweep in range(2):
            for uid in ("run-1", "run-2"):
                measure(control, uid, sweep, passes=2)
                assert control.wait_sent(uid, sweep, 60) == 20
        control.open_run(run_start("run-3"))
        with pytest.raises(CameraRefused, match="run-1 is not open"):
            control.arm(sweep_request("run-1", 2))
        # who comes now hears of the closed run last, and must make it all the same
        gathered.until(lambda: works(gathered, "worker-0"), 60, "work of the one to kill")
        assert gathered.cube("run-2", 1) is None, "all are under way at once"
        flow.worker("worker-1")
        flow.kill(victim)
        for uid in ("run-1", "run-2"):
            for sweep in range(2):
                assert np.array_equal(gathered.until_cube(uid, sweep), known_cube(sweep, 10, 2))
        stops = {event.run_uid: event.exit_status for event in gathered.events if isinstance(event, RunStop)}
        assert stops == {"run-1": "abort"}
        assert gathered.repeated == 0


@pytest.mark.parametrize("seed", [21, 34, 43])
def test_any_sequence_of_faults_gives_exact_sums(rig, seed):
    dice = random.Random(seed)
    flow = rig(dead_after_missed=5, full_policy=dice.choice(["pause", "spill"]), bands=dice.choice([1, 3, 4]))
    flow.camera(rate_hz=150)
    workers = [flow.worker(f"worker-{number}") for number in range(3)]
    frozen: set[int] = set()

    def thaw(number: int) -> None:
        os.kill(workers[number].pid, signal.SIGCONT)
        frozen.discard(number)

    def hurt() -> None:
        number = dice.randrange(3)
        if dice.random() < 0.5:
            thaw(number)
            flow.kill(workers[number])
            workers[number] = flow.worker(f"worker-{number}")
        elif number in frozen:
            thaw(number)
        else:
            os.kill(workers[number].pid, signal.SIGSTOP)
            frozen.add(number)

    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings, timeout_s=60) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run"))
        for sweep in range(4):
            measure(control, "run", sweep)
            while control.progress("run", sweep)[0] < 40:
                gathered.poll(0.05)
                if dice.random() < 0.3:
                    hurt()
        for number in list(frozen):
            thaw(number)
        for sweep in range(4):
            assert np.array_equal(gathered.until_cube("run", sweep), known_cube(sweep, 10, 4))
        assert gathered.repeated == 0
