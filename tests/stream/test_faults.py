"""Faults between real processes: each ends in exact sums, or in a refusal with a reason."""

from __future__ import annotations

import os
import random
import signal

import numpy as np
import pytest
import zmq

from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl, CameraRefused
from stream.codec import decode, encode
from stream.link_messages import Hello, Refusal
from stream.messages import RunStart, RunStop, SweepAbort, SweepStart, Tile, WorkerHealth
from stream.state import StateSubscriber
from tests.stream.wire import Gathered, Rig, known_cube, run_start, sweep_request, wait_for

pytestmark = pytest.mark.timeout(240)
BIG = {"height": 200, "width": 256}
"""A frame of 100 KiB: a ring of 1 MiB holds ten."""


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


def works(gathered: Gathered, worker: str, sweep: int = 0) -> bool:
    return any(isinstance(e, Tile) and e.worker == worker and e.sweep == sweep for e in gathered.events)


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


def test_refusals_say_why(rig):
    flow = rig()
    flow.camera()
    with CameraControl(flow.settings, timeout_s=20) as control:
        assert control.describe()["height"] == 24
        with pytest.raises(CameraRefused, match="not open"):
            control.arm(sweep_request("nobody", 0))
        with pytest.raises(CameraRefused, match="letters, digits"):
            control.open_run(run_start("../etc"))
        control.open_run(run_start("run-r"))
        odd = sweep_request("run-r", 0)
        with pytest.raises(CameraRefused, match="the twin does not answer"):
            control.arm(type(odd)(**{**vars(odd), "load_index": 99}))
        control.arm(odd)
        with pytest.raises(CameraRefused, match="under way"):
            control.arm(sweep_request("run-r", 1))
        with pytest.raises(CameraRefused, match="not armed"):
            control.trigger("run-r", 5)
        assert control.close_run("run-r", "abort").sweeps == 1
        with pytest.raises(CameraRefused, match="closed already"):
            control.open_run(run_start("run-r"))


def test_hostile_bytes_and_strangers_are_refused_and_counted(rig):
    flow = rig()
    flow.camera()
    flow.worker("worker-0")
    context = zmq.Context()
    rng = np.random.default_rng(1)
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run-h"))
        gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "the worker")
        for name in ("frames", "results", "camera"):
            socket = context.socket(zmq.DEALER)
            socket.setsockopt(zmq.LINGER, 100)
            socket.connect(flow.settings.endpoint(name))
            for size in (0, 1, 7, 300, 70_000):
                socket.send_multipart([rng.bytes(size), rng.bytes(size)])
            socket.send_multipart([b"n", *encode(Hello("worker", "worker-0", "e", "other schema", 1))])
            socket.send_multipart(encode(Hello("worker", "worker-0", "e", "other schema", 1)))
            gathered.until(lambda s=socket: s.poll(0), 60, "a refusal")
            parts = socket.recv_multipart()
            assert isinstance(decode(parts[1:] if name == "camera" else parts), Refusal)
            socket.close()
        measure(control, "run-h", 0)
        assert np.array_equal(gathered.until_cube("run-h", 0), known_cube(0, 10, 4))
        assert inbox.malformed > 0
    with StateSubscriber(flow.settings, ["camera"]) as state:
        counts = wait_for(lambda: state.poll(0.1) is not None and state.latest.get(("camera", "camera")), 60, "counts")
        assert counts.header["malformed"] > 0
    context.term()


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
