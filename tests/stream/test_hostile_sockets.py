"""Hostile and insane bytes at the real sockets: refused and counted, and nobody else notices."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
from dataclasses import replace

import numpy as np
import psutil
import pytest
import zmq

from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl
from stream.codec import SCHEMA_HASH, decode, encode
from stream.link_messages import (
    Ack,
    BandPixels,
    BandSums,
    CloseRun,
    FinalAccepted,
    Goodbye,
    Heartbeat,
    Hello,
    LeaseReturn,
    Refusal,
    ReplayRequest,
    SpectrumAnswer,
    Welcome,
)
from stream.messages import SpectrumReply, Tile, WorkerHealth
from stream.state import StateSubscriber
from tests.stream.mutator import Mutator
from tests.stream.wire import Gathered, Rig, free_ports, known_cube, run_start, sweep_request, wait_for

pytestmark = pytest.mark.timeout(240)
MIB = 1 << 20
GREETING = b"\xff" + b"\0" * 8 + b"\x7f\x03\x00NULL" + b"\0" * 16 + b"\0" * 32
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"


@pytest.fixture
def rig(tmp_path_factory):
    made = Rig(tmp_path_factory.mktemp("w"), tcp_port=free_ports(), dead_after_missed=40)
    yield made
    made.close()


def alive(gathered: Gathered) -> set[str]:
    latest = {event.worker: event for event in gathered.events if isinstance(event, WorkerHealth)}
    return {name for name, health in latest.items() if health.alive}


def undisturbed(gathered: Gathered, workers: set[str]) -> None:
    """Hold that the legitimate workers kept their bands and made every final."""
    health = [event for event in gathered.events if isinstance(event, WorkerHealth) and event.worker in workers]
    assert all(item.leases_lost == 0 for item in health)
    assert {tile.worker for tile in gathered.finals.values()} <= workers
    assert gathered.repeated == 0


def camera_counts(settings, enough) -> dict:
    with StateSubscriber(settings, ["camera"]) as state:

        def header():
            state.poll(0.1)
            update = state.latest.get(("camera", "camera"))
            return update.header if update is not None and enough(update.header) else None

        return wait_for(header, 60, "counts of the camera")


class Peer:
    """Somebody who says what the test wants, over TCP."""

    def __init__(self, context: zmq.Context, endpoint: str, name: str) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.IDENTITY, name.encode())
        self.socket.connect(endpoint)
        self.heard: list[object] = []

    def say(self, *messages: object) -> None:
        for message in messages:
            parts = message if isinstance(message, list) else [bytes(part) for part in encode(message)]
            self.socket.send_multipart(parts)

    def listen(self) -> list[object]:
        while self.socket.poll(0):
            self.heard.append(decode(self.socket.recv_multipart()))
        return self.heard


def insane(uid: str) -> list[object]:
    """Well-formed messages that make no sense: each keeps to its schema."""
    tile = Tile(uid, 0, 0, 6, 1, 1, True, 40, "evil", {"cube": np.zeros((10, 6, 16), "u4")}, {})
    nans = np.full(3, np.nan, "f4")
    return [
        Ack("nobody", 0, 0, 1, 5),
        Ack(uid, 7, 0, 1, 5),
        *(Ack(uid, 0, y0, lease, 2**31 - 1) for y0 in (0, 6, 65_536) for lease in (0, 1, 2**32 - 1)),
        *(ReplayRequest(uid, 0, y0, lease, first) for y0 in (0, 7) for lease in (1, 2) for first in (0, 2**31 - 1)),
        *(LeaseReturn(uid, 0, y0, lease, "x" * 100_000) for y0 in (0, 6) for lease in (0, 1, 2)),
        FinalAccepted(uid, 0, 0, 1),
        Heartbeat("worker-0", "another epoch", {"fits_per_s": 1e308, "deep": [[[[[]]]]]}),
        BandPixels(uid, 0, 0, 1, 2**31 - 1, (np.zeros((1, 1), "f8"),)),
        BandSums(uid, 0, 0, 1, 2**31 - 1, np.full(9, 2**32 - 1, "u4"), np.zeros(0, "u4"), (np.zeros((1, 1), "f8"),)),
        replace(tile, frames_added=0, frames_lost=40),
        replace(tile, frames_lost=2**40),
        replace(tile, sweep=9),
        replace(tile, run_uid="nobody"),
        replace(tile, y0=60_000, y1=65_536),
        replace(tile, y0=6, y1=0),
        replace(tile, frames_added=2**40),
        replace(tile, worker="worker-0"),
        replace(tile, planes={}, final=False, frames_added=1),
        replace(tile, planes={"cube": np.zeros((2,), "f8")}),
        replace(tile, planes={"cube": np.full((10, 6, 15), np.nan)}),
        SpectrumAnswer(2**63 - 1, SpectrumReply(uid, 0, 0, 1, 0, 1, np.full(3, 7.26e9), nans, nans, nans, {}, "OK")),
        CloseRun(uid, "success"),
    ]


@contextlib.contextmanager
def flow_of(rig: Rig, workers: tuple[str, ...] = ("worker-0", "away-0"), rate_hz: float = 60):
    """A run under way with legitimate workers, one on the host and one over TCP."""
    camera = rig.camera(rate_hz=rate_hz)
    rig.worker("worker-0")
    rig.tcp_worker("away-0")
    with (
        BuilderInbox(rig.settings) as inbox,
        CameraControl(rig.settings, timeout_s=60) as control,
    ):
        gathered = Gathered(inbox)
        control.open_run(run_start("run"))
        gathered.until(lambda: alive(gathered) == set(workers), 60, "both workers")
        control.arm(sweep_request("run", 0))
        yield gathered, control, camera


def test_insane_messages_of_strangers_and_of_a_peer_change_nothing(rig):
    context = zmq.Context()
    try:
        with flow_of(rig) as (gathered, control, _):
            evil = {name: Peer(context, rig.settings.tcp_endpoint(name), "evil") for name in ("frames", "results")}
            # as a stranger first
            control.trigger("run", 0)
            for peer in evil.values():
                peer.say(*insane("run"))
            gathered.until(lambda: all(Refusal in map(type, peer.listen()) for peer in evil.values()), 60, "refusals")
            for peer in evil.values():
                peer.say(
                    Hello("builder", "builder", "e", SCHEMA_HASH, 1),
                    Hello("worker", "worker-0", "e", SCHEMA_HASH, 1),
                    Hello("worker", "x" * 100_000, "e", SCHEMA_HASH, 1),
                    Hello("emperor", "evil", "e", SCHEMA_HASH, 1),
                )
            # then as a worker that was taken in, who owns no band of this sweep
            for peer in evil.values():
                peer.say(Hello("worker", "evil", "e", SCHEMA_HASH, 1))
            gathered.until(lambda: all(Welcome in map(type, peer.listen()) for peer in evil.values()), 60, "welcome")
            for peer in evil.values():
                peer.say(*insane("run"))
                for parts in Mutator(3).messages(500):
                    if parts:
                        peer.say(parts)
                peer.say(Goodbye("evil", "e"))
            assert np.array_equal(gathered.until_cube("run", 0), known_cube(0, 10, 4))
            undisturbed(gathered, {"worker-0", "away-0"})
            assert gathered.inbox.malformed > 100
            told = camera_counts(rig.settings, lambda header: header["malformed"] > 100)
            assert told["refused"] > 20
            gathered.until(lambda: "evil" not in alive(gathered), 60, "evil is gone")
            control.arm(sweep_request("run", 1))
            control.trigger("run", 1)
            assert np.array_equal(gathered.until_cube("run", 1), known_cube(1, 10, 4))
    finally:
        context.destroy(linger=0)


def garbage(dice: random.Random, kind: int) -> bytes:
    """What a port scanner, a browser, a broken or a hostile program sends."""
    frame = b"\x00" + bytes([20]) + dice.randbytes(20)
    return (
        b"",
        dice.randbytes(dice.randrange(1, 4000)),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        GREETING[: dice.randrange(64)],
        GREETING + dice.randbytes(200),
        GREETING + READY + frame * 20,
        GREETING + READY + b"\x02" + struct.pack(">Q", 2**62) + b"x",
        GREETING + READY + b"\x03" + struct.pack(">Q", 100_000) + dice.randbytes(100_000) + frame,
        GREETING + READY + b"\x01\x00" * 3000,
        b"\x16\x03\x01" + dice.randbytes(300),
    )[kind]


def rss(pid: int) -> int:
    return psutil.Process(pid).memory_info().rss


def test_a_thousand_garbage_connections_disturb_nobody(rig):
    dice = random.Random(5)
    with flow_of(rig) as (gathered, control, camera):
        before = rss(camera.pid), rss(os.getpid())
        control.trigger("run", 0)
        held: list[socket.socket] = []
        try:
            for number in range(1000):
                end = socket.create_connection(("127.0.0.1", rig.settings.tcp_port + number % 2), timeout=10)
                held.append(end)
                with contextlib.suppress(OSError):  # refused half-way
                    end.sendall(garbage(dice, number // 2 % 10))
                if number % 3:
                    held.pop().close()
                if number % 50 == 0:
                    gathered.poll(0.01)
            assert np.array_equal(gathered.until_cube("run", 0), known_cube(0, 10, 4))
            control.arm(sweep_request("run", 1))
            control.trigger("run", 1)
            assert np.array_equal(gathered.until_cube("run", 1), known_cube(1, 10, 4))
        finally:
            for end in held:
                end.close()
        undisturbed(gathered, {"worker-0", "away-0"})
        assert alive(gathered) == {"worker-0", "away-0"}
        assert rss(camera.pid) - before[0] < 64 * MIB
        assert rss(os.getpid()) - before[1] < 64 * MIB
        assert camera.poll() is None


@pytest.mark.parametrize("door", ["host", "tcp"])
@pytest.mark.parametrize("what", ["proto", "schema"])
def test_another_version_is_refused_in_words_on_both_sides(rig, tmp_path, door, what):
    schema = "your message set is 0123456789abcdef, mine is"
    server_says, worker_says = {
        "proto": (
            "peer speaks protocol 2, this program speaks 1",
            "peer speaks protocol 1, this program speaks 2",
        ),
        "schema": (schema, schema),
    }[what]
    rig.log = tmp_path / "log"
    rig.camera()
    if door == "host":
        rig.start("other_version", "future", what)
    else:
        away = replace(rig.settings, connect=f"tcp://127.0.0.1:{rig.settings.tcp_port}", tcp_port=0)
        rig.start("other_version", "future", what, settings=rig.write("away.json", away))

    def said(text: str) -> bool:
        return text in rig.log.read_text()

    wait_for(lambda: said(f": {server_says}"), 60, "the server's reason")
    wait_for(lambda: said(f": {worker_says}"), 60, "the worker's reason")
    # a worker of this version is welcome meanwhile
    rig.worker("worker-0")
    with BuilderInbox(rig.settings) as inbox:
        gathered = Gathered(inbox)
        gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "the worker of this version")


def test_the_corpus_is_well_formed():
    assert all(type(decode([bytes(part) for part in encode(message)])) is type(message) for message in insane("run"))
