"""With the archive in sums mode: the sums on disk take the frames' place, whoever is killed."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from analyzers.builder import warm_up
from analyzers.offline import fit_frames_file
from stream.archive_hdf5 import FrameFile
from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl
from stream.messages import Archive
from stream.replay import drive
from stream.state import StateSubscriber
from tests.analyzers.processes import Processes, Watcher, open_run, send_sweep
from tests.faults.flow import BIG, alive, measure
from tests.faults.plan_process import TEMPERATURES_K
from tests.faults.undisturbed import assert_same_maps, undisturbed
from tests.stream.wire import Gathered, free_ports, known_cube, known_frame, run_start, wait_for

pytestmark = pytest.mark.timeout(240)


def on_disk(path: Path) -> int:
    with FrameFile(path) as file:
        return file.count


def assert_sums_of_known_frames(path: Path, sweep: int, **form: int) -> int:
    """Hold that the file's sums are those of the first frames of a sweep; returns how many."""
    with FrameFile(path) as file:
        planes = list(file.planes(sweep))
        for plane in planes:
            expected = sum(known_frame(sweep, p, plane.index, **form).astype(np.uint32) for p in range(plane.frames))
            assert np.array_equal(plane.pixels, expected), plane.index
        return sum(plane.frames for plane in planes)


@pytest.mark.parametrize("policy", ["pause", "spill", "abandon"])
def test_a_worker_killed_when_frames_have_left_the_ring_is_replaced_by_sums_and_frames(rig, policy):
    flow = rig(archive="sums", full_policy=policy)
    flow.camera(rate_hz=100, **BIG)
    victim = flow.worker("worker-0")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        start = control.open_run(run_start("run-d"))
        assert start.archive is Archive.SUMS
        gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "the worker")
        measure(control, "run-d", 0, passes=7)
        gathered.until(lambda: control.progress("run-d", 0)[0] > 25, 60, "more frames than the ring holds")
        flow.kill(victim)
        flow.worker("worker-1")
        assert np.array_equal(gathered.until_cube("run-d", 0), known_cube(0, 10, 7, **BIG))
        assert control.wait_sent("run-d", 0, 60) == 70
        assert {tile.worker for tile in gathered.finals.values()} == {"worker-1"}
        # nothing but sums is on disk, and they are those of every frame
        control.close_run("run-d", "success")
        with FrameFile(start.frames_path) as file:
            cube = np.stack([plane.pixels for plane in file.planes(0)])
    assert np.array_equal(cube, known_cube(0, 10, 7, **BIG))


def test_a_builder_and_a_worker_lost_together_cost_no_bit(rig):
    """The finals are lost with both, and so is every cube: all bands are made again from the sums alone."""
    flow = rig(archive="sums")
    flow.camera(**BIG)
    victim = flow.worker("worker-0")
    with CameraControl(flow.settings) as control:
        with BuilderInbox(flow.settings) as inbox:
            gathered = Gathered(inbox)
            control.open_run(run_start("run-b"))
            measure(control, "run-b", 0)
            gathered.until_cube("run-b", 0)
        flow.kill(victim)
        flow.worker("worker-1")
        with BuilderInbox(flow.settings) as inbox:
            gathered = Gathered(inbox)
            assert np.array_equal(gathered.until_cube("run-b", 0), known_cube(0, 10, 4, **BIG))


def test_a_worker_on_another_host_takes_over_with_sums(rig):
    flow = rig(archive="sums", tcp_port=free_ports())
    flow.camera(rate_hz=100, **BIG)
    victim = flow.tcp_worker("away-0")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run-t"))
        gathered.until(lambda: alive(gathered) == {"away-0"}, 60, "the worker")
        measure(control, "run-t", 0, passes=7)
        gathered.until(lambda: control.progress("run-t", 0)[0] > 25, 60, "more frames than the ring holds")
        flow.kill(victim)
        flow.tcp_worker("away-1")
        assert np.array_equal(gathered.until_cube("run-t", 0), known_cube(0, 10, 7, **BIG))
        assert gathered.repeated == 0


def test_a_killed_camera_leaves_the_sums_of_all_it_published_and_its_successor_makes_them_whole(rig):
    flow = rig(archive="sums")
    camera = flow.camera(rate_hz=200)
    flow.worker("worker-0")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings, timeout_s=20) as control:
        gathered = Gathered(inbox)
        path = Path(control.open_run(run_start("run-p")).frames_path)
        gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "the worker")
        measure(control, "run-p", 0)
        gathered.until_cube("run-p", 0)
        measure(control, "run-p", 1, passes=400)
        sent = gathered.until(lambda: (n := control.progress("run-p", 1)[0]) > 75 and n, 60, "some of sweep 1")
        flow.kill(camera)
        before = on_disk(path)
        assert assert_sums_of_known_frames(path, 0) == 40
        assert assert_sums_of_known_frames(path, 1) == before - 40
        flow.camera(rate_hz=200)
        wait_for(lambda: not path.with_name(f"{path.name}.writing").exists(), 60, "the copy")
        # every frame that was published is in the sums, also those that only the ring had
        assert assert_sums_of_known_frames(path, 0) == 40
        assert assert_sums_of_known_frames(path, 1) >= max(sent, before - 40)
        with FrameFile(path) as file:
            assert [sweep.sweep for sweep in file.complete_sweeps()] == [0]
        control.open_run(run_start("run-q"))
        measure(control, "run-q", 0)
        assert np.array_equal(gathered.until_cube("run-q", 0), known_cube(0, 10, 4))


def test_a_full_disk_pauses_a_run_of_sums_and_no_sum_is_wrong_after_it(rig):
    flow = rig(archive="sums")
    camera = flow.camera(rate_hz=200, **BIG)
    flow.worker("worker-0")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        path = Path(control.open_run(run_start("run-f")).frames_path)
        # a write beyond this size fails in the camera process as on a full disk, in the middle of the first pass
        resource.prlimit(camera.pid, resource.RLIMIT_FSIZE, (path.stat().st_size + 1_000_000, resource.RLIM_INFINITY))
        measure(control, "run-f", 0, passes=3)
        with StateSubscriber(flow.settings, ["camera"]) as state:
            wait_for(lambda: failing(state), 60, "the alarm")
        assert control.progress("run-f", 0)[0] < 30, "the camera waits"
        resource.prlimit(camera.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert np.array_equal(gathered.until_cube("run-f", 0), known_cube(0, 10, 3, **BIG))
        wait_for(lambda: on_disk(path) == 30, 60, "every frame in a sum")
        assert assert_sums_of_known_frames(path, 0, **BIG) == 30


def failing(state: StateSubscriber) -> bool:
    state.poll(0.1)
    update = state.latest.get(("camera", "alarms"))
    alarms = [] if update is None else update.header["alarms"]
    return any(alarm["name"] == "disk" and alarm["active"] for alarm in alarms)


def test_replay_of_a_run_of_sums_gives_the_same_bits(rig):
    live = rig(archive="sums")
    live.camera()
    live.worker("worker-0")
    with BuilderInbox(live.settings) as inbox, CameraControl(live.settings) as control:
        gathered = Gathered(inbox)
        recorded = control.open_run(run_start("run-a"))
        for sweep, passes in enumerate((4, 1, 5)):
            measure(control, "run-a", sweep, passes=passes)
            gathered.until_cube("run-a", sweep)
        control.close_run("run-a", "success")
    live.close()
    again = rig(archive="none")
    again.start("replay_process", recorded.frames_path, "0")
    again.worker("worker-0")
    again.worker("worker-1")
    with (
        BuilderInbox(again.settings) as inbox,
        CameraControl(again.settings) as control,
        FrameFile(recorded.frames_path) as file,
    ):
        gathered = Gathered(inbox)
        stop = drive(control, file, {"lines": 2})
        for sweep, passes in enumerate((4, 1, 5)):
            assert np.array_equal(gathered.until_cube("run-a", sweep), known_cube(sweep, 10, passes))
        assert (stop.exit_status, stop.sweeps, stop.frames_sent) == ("success", 3, 100)


def test_a_worker_that_falls_behind_gets_sums_where_the_ring_went_on(rig):
    flow = rig(archive="sums", full_policy="spill", bands=2)
    flow.camera(rate_hz=300, **BIG)
    flow.worker("worker-0", "0.01")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run-s"))
        gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "the worker")
        measure(control, "run-s", 0, passes=9)
        assert control.wait_sent("run-s", 0, 60) == 90
        assert np.array_equal(gathered.until_cube("run-s", 0), known_cube(0, 10, 9, **BIG))


def test_live_maps_of_sums_have_the_bits_of_frames_though_a_worker_was_killed(tmp_path):
    """The ring has its least size, four frames: what the killed worker had is nowhere but in the sums."""
    warm_up()
    with Processes(tmp_path, 100.0, archive=Archive.SUMS, ring_mib=0, bands=2) as processes:
        processes.start_all(workers=1)
        with CameraControl(processes.stream, timeout_s=60) as control, Watcher(processes.stream) as watcher:
            start = open_run(control)
            send_sweep(control, 0, TEMPERATURES_K[0])
            watcher.wait(lambda w: 0 in w.reports, "report 0")
            send_sweep(control, 1, TEMPERATURES_K[1])
            watcher.wait(lambda _: control.progress("run-1", 1)[0] > 60, "some of sweep 1")
            processes.kill("worker-0")
            processes.start("worker-1")
            watcher.wait(lambda w: 1 in w.reports, "report 1")
            assert watcher.reports[1]["frames_lost"] == 0
            control.close_run("run-1", "success")
        assert_same_maps(processes.stream.data_dir, undisturbed(tmp_path, 2))
        offline = fit_frames_file(start.frames_path, threads=1)
    assert sorted(offline.maps.finals) == [0, 1]
    assert_same_maps(processes.stream.data_dir, offline)
