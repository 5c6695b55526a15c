"""The builder dies and begins again: every final once more, also those whose maker is gone."""

from __future__ import annotations

import numpy as np
import pytest

from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl
from stream.messages import RunStart, SweepStart, Tile
from tests.faults.flow import alive, measure
from tests.stream.wire import Gathered, known_cube, run_start

pytestmark = pytest.mark.timeout(240)


def test_a_builder_that_begins_again_gets_every_final_again(rig):
    flow = rig()
    flow.camera(rate_hz=200)
    first = flow.worker("worker-0")
    flow.worker("worker-1")
    with CameraControl(flow.settings) as control:
        with BuilderInbox(flow.settings) as inbox:
            gathered = Gathered(inbox)
            control.open_run(run_start("run-b"))
            gathered.until(lambda: len(alive(gathered)) == 2, 60, "both workers")
            measure(control, "run-b", 0)
            gathered.until_cube("run-b", 0)
            measure(control, "run-b", 1)
        # nobody listens now, and one worker takes its finals into the grave
        assert control.wait_sent("run-b", 1, 60) == 40
        flow.kill(first)
        with BuilderInbox(flow.settings) as inbox:
            gathered = Gathered(inbox)
            for sweep in (0, 1):
                assert np.array_equal(gathered.until_cube("run-b", sweep), known_cube(sweep, 10, 4))
            kinds = [type(e) for e in gathered.events if isinstance(e, RunStart | SweepStart | Tile)]
            assert kinds[0] is RunStart
            assert kinds.index(SweepStart) < kinds.index(Tile)
            measure(control, "run-b", 2)
            assert np.array_equal(gathered.until_cube("run-b", 2), known_cube(2, 10, 4))
            assert gathered.repeated == 0
            assert {tile.worker for tile in gathered.finals.values()} == {"worker-1"}
