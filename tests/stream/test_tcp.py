"""Workers over TCP: the same sums, bit for bit, as on the camera's host, whatever dies or breaks."""

from __future__ import annotations

import contextlib
import select
import socket
import threading

import numpy as np
import pytest

from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl, CameraRefused
from stream.messages import Tile, WorkerHealth
from tests.stream.wire import Gathered, Rig, free_ports, known_cube, run_start, sweep_request, wait_for

pytestmark = pytest.mark.timeout(240)
BIG = {"height": 200, "width": 256}
"""A frame of 100 KiB: a ring of 1 MiB holds ten, and a band of it travels as a view."""


@pytest.fixture
def rig(tmp_path_factory):
    rigs: list[Rig] = []

    def make(**settings) -> Rig:
        rigs.append(Rig(tmp_path_factory.mktemp("w"), tcp_port=free_ports(), **settings))
        return rigs[-1]

    yield make
    for item in rigs:
        item.close()


def alive(gathered: Gathered) -> set[str]:
    latest = {event.worker: event for event in gathered.events if isinstance(event, WorkerHealth)}
    return {name for name, health in latest.items() if health.alive}


def measure(control: CameraControl, uid: str, sweep: int, **form) -> None:
    def armed() -> bool:
        try:
            control.arm(sweep_request(uid, sweep, **form))
        except CameraRefused as refusal:
            # the ring is full until the last frames are on disk: a plan waits, and so does this
            if refusal.status != "busy":
                raise
            return False
        return True

    wait_for(armed, 60, "room in the ring")
    control.trigger(uid, sweep)


def works(gathered: Gathered, worker: str) -> bool:
    return any(isinstance(e, Tile) and e.worker == worker for e in gathered.events)


class Cable:
    """A TCP line to a port that a test can cut: both ends see their connection end."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ended = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._every: list[socket.socket] = []
        self._frames: set[socket.socket] = set()
        self._listeners = []
        for offset in (0, 1):
            listener = socket.socket()
            listener.bind(("127.0.0.1", self._first + 1 if offset else 0))
            listener.listen()
            if not offset:
                self._first = listener.getsockname()[1]
            self._listeners.append(listener)
        self.port = self._first
        self.frames_carried = 0
        """Bytes from the frame server to its workers."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def cut(self) -> None:
        for pair in list(self._pairs):
            for end in pair:
                with contextlib.suppress(OSError):  # it ended by itself
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._ended = True
        self._thread.join(10)
        for end in [*self._listeners, *self._every]:
            end.close()

    def _run(self) -> None:
        while not self._ended:
            other = {a: b for pair in self._pairs for a, b in (pair, pair[::-1])}
            ready, _, _ = select.select([*self._listeners, *other], [], [], 0.05)
            for end in ready:
                if end in self._listeners:
                    near, _ = end.accept()
                    self._every.append(near)
                    with contextlib.suppress(ConnectionRefusedError):
                        far = socket.create_connection(("127.0.0.1", self._port + self._listeners.index(end)))
                        self._every.append(far)
                        self._pairs.append((near, far))
                        if end is self._listeners[0]:
                            self._frames.add(far)
                elif end.fileno() >= 0:
                    self._carry(end, other[end])

    def _carry(self, end: socket.socket, other: socket.socket) -> None:
        try:
            data = end.recv(1 << 16)
            other.sendall(data)
        except OSError:
            data = b""
        self.frames_carried += len(data) * (end in self._frames)
        if not data:
            self._pairs = [pair for pair in self._pairs if end not in pair]
            end.close()
            other.close()


def test_a_worker_over_tcp_and_one_on_the_host_share_a_run(rig):
    flow = rig()
    flow.camera()
    flow.worker("worker-0")
    flow.tcp_worker("away-0")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run"))
        gathered.until(lambda: alive(gathered) == {"worker-0", "away-0"}, 60, "both workers")
        for sweep in range(3):
            measure(control, "run", sweep)
            assert np.array_equal(gathered.until_cube("run", sweep), known_cube(sweep, 10, 4))
        assert gathered.repeated == 0
        assert {tile.worker for tile in gathered.finals.values()} == {"worker-0", "away-0"}


@pytest.mark.parametrize("policy", ["pause", "spill"])
def test_frames_that_left_the_ring_come_from_the_file(rig, policy):
    flow = rig(full_policy=policy)
    flow.camera(rate_hz=100, **BIG)
    victim = flow.tcp_worker("away-0")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run"))
        gathered.until(lambda: alive(gathered) == {"away-0"}, 60, "the worker")
        measure(control, "run", 0)
        gathered.until(lambda: control.progress("run", 0)[0] > 25, 60, "more frames than the ring holds")
        flow.kill(victim)
        flow.tcp_worker("away-1")
        assert np.array_equal(gathered.until_cube("run", 0), known_cube(0, 10, 4, **BIG))
        assert control.wait_sent("run", 0, 60) == 40


def test_a_killed_worker_over_tcp_changes_no_bit(rig):
    flow = rig()
    flow.camera(rate_hz=100)
    flow.worker("worker-0")
    victim = flow.tcp_worker("away-0")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run"))
        gathered.until(lambda: len(alive(gathered)) == 2, 60, "both workers")
        measure(control, "run", 0)
        gathered.until(lambda: works(gathered, "away-0"), 60, "work")
        flow.kill(victim)
        assert np.array_equal(gathered.until_cube("run", 0), known_cube(0, 10, 4))
        gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "death seen")
        assert gathered.repeated == 0


def test_a_broken_connection_is_noticed_and_made_good(rig):
    flow = rig(credit_bytes=400_000)
    flow.camera(rate_hz=150, **BIG)
    cable = Cable(flow.settings.tcp_port)
    flow.tcp_worker("away-0", port=cable.port)
    try:
        with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings, timeout_s=60) as control:
            gathered = Gathered(inbox)
            control.open_run(run_start("run"))
            gathered.until(lambda: alive(gathered) == {"away-0"}, 60, "the worker")
            for sweep in range(3):
                measure(control, "run", sweep)
                gathered.until(lambda n=sweep: control.progress("run", n)[0] > 12, 60, "frames on their way")
                cable.cut()
                assert np.array_equal(gathered.until_cube("run", sweep), known_cube(sweep, 10, 4, **BIG))
            # the last frames of a sweep may be lost with the connection: nothing after them would show the gap
            measure(control, "run", 3)
            assert control.wait_sent("run", 3, 60) == 40
            cable.cut()
            assert np.array_equal(gathered.until_cube("run", 3), known_cube(3, 10, 4, **BIG))
            assert gathered.repeated == 0
    finally:
        cable.close()


def test_traffic_is_once_the_camera(rig):
    flow = rig(dead_after_missed=100)
    flow.camera(**BIG)
    cable = Cable(flow.settings.tcp_port)
    flow.tcp_worker("away-0", port=cable.port)
    flow.tcp_worker("away-1", port=cable.port)
    try:
        with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
            gathered = Gathered(inbox)
            control.open_run(run_start("run"))
            gathered.until(lambda: len(alive(gathered)) == 2, 60, "both workers")
            before = cable.frames_carried
            measure(control, "run", 0)
            gathered.until_cube("run", 0)
            pixels = 40 * 200 * 256 * 2
            assert pixels <= cable.frames_carried - before < 1.05 * pixels
    finally:
        cable.close()


def test_strangers_names_and_roles_are_kept_apart(rig):
    flow = rig()
    flow.camera()
    flow.worker("worker-0")
    with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
        gathered = Gathered(inbox)
        control.open_run(run_start("run"))
        gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "the worker")
        # the same name over TCP is refused; the one on the host goes on undisturbed
        flow.tcp_worker("worker-0")
        flow.tcp_worker("away-0")
        gathered.until(lambda: alive(gathered) == {"worker-0", "away-0"}, 60, "the other worker")
        measure(control, "run", 0)
        assert np.array_equal(gathered.until_cube("run", 0), known_cube(0, 10, 4))
        health = [e for e in gathered.events if isinstance(e, WorkerHealth)]
        assert all(item.leases_lost == 0 for item in health)


def test_the_cable_of_these_tests_carries_bytes():
    with socket.create_server(("127.0.0.1", 0)) as server:
        cable = Cable(server.getsockname()[1])
        try:
            with socket.create_connection(("127.0.0.1", cable.port)) as end:
                far, _ = server.accept()
                with far:
                    far.sendall(b"frame")
                    assert end.recv(5) == b"frame"
                    wait_for(lambda: cable.frames_carried == 5, 10, "bytes")
                    cable.cut()
                    assert end.recv(5) == far.recv(5) == b""
        finally:
            cable.close()
