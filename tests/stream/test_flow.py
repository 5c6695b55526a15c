"""Frames through real processes: sums are exact whatever happens to workers, builder and ring."""

from __future__ import annotations

import numpy as np
import pytest

from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl
from stream.messages import RunStop, WorkerHealth
from tests.stream.wire import Gathered, Rig, known_cube, run_start, sweep_request

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def rig(tmp_path_factory):
    rigs: list[Rig] = []

    def make(**settings) -> Rig:
        rigs.append(Rig(tmp_path_factory.mktemp("w"), **settings))
        return rigs[-1]

    yield make
    for item in rigs:
        item.close()


def alive(gathered: Gathered) -> set[str]:
    latest = {event.worker: event for event in gathered.events if isinstance(event, WorkerHealth)}
    return {name for name, health in latest.items() if health.alive}


def measure(control: CameraControl, uid: str, sweep: int, **form) -> None:
    control.arm(sweep_request(uid, sweep, **form))
    control.trigger(uid, sweep)


def test_two_workers_make_the_exact_sums(rig):
    flow = rig()
    flow.camera()
    flow.worker("worker-0")
    flow.worker("worker-1")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        start = control.open_run(run_start("run-a"))
        assert (start.height, start.width, start.dtype, start.pixel_size_um) == (24, 16, "<u2", 0.5)
        assert start.noise.electrons_per_count == 8.0
        gathered.until(lambda: alive(gathered) == {"worker-0", "worker-1"}, 60, "both workers")
        for sweep in range(3):
            measure(control, "run-a", sweep)
            assert control.wait_sent("run-a", sweep, 60) == 40
            assert np.array_equal(gathered.until_cube("run-a", sweep), known_cube(sweep, 10, 4))
        stop = control.close_run("run-a", "success")
        assert (stop.sweeps, stop.frames_sent) == (3, 120)
        gathered.until(lambda: any(isinstance(e, RunStop) for e in gathered.events), 60, "run stop")
        assert gathered.repeated == 0
        assert {tile.worker for tile in gathered.finals.values()} == {"worker-0", "worker-1"}
        assert inbox.frames_sent("run-a", 2) == 40
