"""Frames that the camera itself lost: the same counted hole for everyone, live, in the file and in the replay."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from analyzers.offline import sweep_cube
from stream.archive_hdf5 import FrameFile
from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl, CameraRefused
from stream.replay import drive
from stream.state import StateSubscriber
from tests.faults.flow import BIG, alive, measure, works
from tests.stream.wire import Gathered, free_ports, known_cube, known_frame, run_start, wait_for

pytestmark = pytest.mark.timeout(240)
LOST = ((0, 0), (0, 3), (2, 3), (4, 9), (1, 5))


def cube_with_holes(sweep: int, passes: int, **form) -> np.ndarray:
    cube = known_cube(sweep, 10, passes, **form)
    for pass_index, index in LOST:
        cube[index] -= known_frame(sweep, pass_index, index, **form)
    return cube


def assert_holes(gathered: Gathered, sweep: int) -> None:
    """Hold that every band counted the same holes."""
    tiles = [tile for key, tile in gathered.finals.items() if key[1] == sweep]
    assert {(tile.frames_added, tile.frames_lost) for tile in tiles} == {(45, 5)}
    passes = np.full(10, 5)
    for _, index in LOST:
        passes[index] -= 1
    assert all(np.array_equal(tile.spectra["passes"], passes) for tile in tiles)


@pytest.mark.parametrize("archive", ["frames", "sums"])
def test_holes_are_the_same_for_every_owner_and_in_the_replay(rig, archive):
    """Frames leave the ring, an owner on another host is killed: its successor finds the same holes."""
    flow = rig(archive=archive, tcp_port=free_ports())
    flow.camera(100, **BIG, lost=LOST)
    flow.worker("worker-0")
    victim = flow.tcp_worker("away-0")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        start = control.open_run(run_start("run-h"))
        gathered.until(lambda: len(alive(gathered)) == 2, 60, "both workers")
        measure(control, "run-h", 0, passes=5)
        gathered.until(lambda: works(gathered, "away-0"), 60, "work of the one to kill")
        gathered.until(lambda: control.progress("run-h", 0)[0] > 25, 60, "more frames than the ring holds")
        flow.kill(victim)
        assert np.array_equal(gathered.until_cube("run-h", 0), cube_with_holes(0, 5, **BIG))
        assert_holes(gathered, 0)
        progress = control.sweep_progress("run-h", 0)
        rows = {"frames": 45, "sums": 10}[archive]
        assert (progress.frames_sent, progress.frames_lost, progress.rows) == (50, 5, rows)
        with StateSubscriber(flow.settings, ["camera"]) as state:
            wait_for(lambda: shown(state, "camera").get("frames_lost") == 5, 60, "the holes on the page")
            wait_for(lambda: "camera" in [a["name"] for a in shown(state, "alarms").get("alarms", ())], 60, "the alarm")
        control.close_run("run-h", "success")
    flow.close()
    again = rig(archive="none")
    again.start("replay_process", start.frames_path, "0")
    again.worker("worker-0")
    with (
        BuilderInbox(again.settings) as inbox,
        CameraControl(again.settings) as control,
        FrameFile(start.frames_path) as file,
    ):
        assert file.holes(0) == set(LOST)
        gathered = Gathered(inbox)
        stop = drive(control, file)
        assert np.array_equal(gathered.until_cube("run-h", 0), cube_with_holes(0, 5, **BIG))
        assert_holes(gathered, 0)
        assert (stop.exit_status, stop.frames_sent) == ("success", 50)


@pytest.mark.parametrize("archive", ["frames", "sums"])
def test_a_killed_camera_s_holes_are_known_to_its_successor_also_those_that_only_the_ring_tells(rig, archive):
    lost = {(p, i) for p in range(60) for i in range(3) if (7 * p + 5 * i) % 11 == 0}
    flow = rig(archive=archive)
    camera = flow.camera(lost=sorted(lost))
    with CameraControl(flow.settings, timeout_s=20) as control:
        path = Path(control.open_run(run_start("run-k")).frames_path)
        measure(control, "run-k", 0, count=3, passes=60)
        # nobody takes the frames, and the disk is full: what comes from now on is in the ring alone
        wait_for(lambda: control.progress("run-k", 0)[0] > 20, 60, "frames")
        resource.prlimit(camera.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        assert control.wait_sent("run-k", 0, 60) == 180
        flow.kill(camera)
        flow.camera()
        wait_for(lambda: not path.with_name(f"{path.name}.writing").exists(), 60, "the copy")
    with FrameFile(path) as file:
        assert file.holes(0) == lost
        assert [sweep.sweep for sweep in file.complete_sweeps()] == [0]
        cube = sweep_cube(file, file.sweeps[0])
    expected = known_cube(0, 3, 60)
    for pass_index, index in lost:
        expected[index] -= known_frame(0, pass_index, index)
    assert np.array_equal(cube.sums, expected)


def test_a_frequency_without_any_frame_ends_its_sweep_and_the_next_one_is_whole(rig):
    flow = rig()
    flow.camera(lost=((0, 4), (1, 4), (2, 4), (3, 4)))
    flow.worker("worker-0")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        start = control.open_run(run_start("run-n"))
        measure(control, "run-n", 0, passes=4)
        with pytest.raises(CameraRefused, match="ended after 34 of 40") as refused:
            control.wait_sent("run-n", 0, 60)
        assert refused.value.status == "aborted"
        measure(control, "run-n", 1, count=4)
        assert np.array_equal(gathered.until_cube("run-n", 1), known_cube(1, 4, 4))
        assert gathered.cube("run-n", 0) is None
        with FrameFile(start.frames_path) as file:
            wait_for(lambda: [sweep.sweep for sweep in file.complete_sweeps()] == [1], 60, "sweep 1 on disk")
            assert file.frames_of(0) == 31


def shown(state: StateSubscriber, channel: str) -> dict:
    state.poll(0.1)
    update = state.latest.get(("camera", channel))
    return {} if update is None else update.header
