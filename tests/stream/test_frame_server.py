"""The frame server, spoken to by hand-made peers: what the protocol page promises."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import zmq

from stream.camera_control import CameraControl, CameraRefused
from stream.codec import SCHEMA_HASH, decode, encode
from stream.frame_server import FrameServer
from stream.link_messages import (
    Ack,
    FinalAccepted,
    FramesReady,
    Goodbye,
    Heartbeat,
    Hello,
    LeaseGrant,
    LeaseReturn,
    LeaseRevoke,
    Refusal,
    ReplayRequest,
    Welcome,
)
from stream.messages import Archive, RunStart, RunStop, SweepAbort, SweepStart, WorkerHealth
from stream.settings import StreamSettings
from stream.state import StateSubscriber
from tests.stream.wire import HEIGHT, WIDTH, KnownMaker, run_start, sweep_request, wait_for

pytestmark = pytest.mark.timeout(120)
BAND_BYTES = HEIGHT // 2 * WIDTH * 2


class HandMade:
    """A peer that says exactly what the test wants."""

    def __init__(self, settings: StreamSettings, name: str, role: str = "worker") -> None:
        self.name, self.role, self.epoch = name, role, f"{name}-1"
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IDENTITY, name.encode())
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(settings.endpoint("frames"))
        self.heard: list[object] = []

    def say(self, message: object) -> None:
        self.socket.send_multipart([bytes(part) for part in encode(message)])

    def hello(self, **changes) -> HandMade:
        self.say(replace(Hello(self.role, self.name, self.epoch, SCHEMA_HASH, 1), **changes))
        return self

    def listen(self, wait_s: float = 0.0) -> None:
        until = time.monotonic() + wait_s
        while self.socket.poll(max(0, int(1000 * (until - time.monotonic())))):
            self.heard.append(decode(self.socket.recv_multipart()))

    def all(self, kind):
        self.listen()
        return [message for message in self.heard if isinstance(message, kind)]

    def until(self, kind, count: int = 1):
        """Messages of a kind once there are `count`; lives meanwhile."""

        def enough():
            self.say(Heartbeat(self.name, self.epoch))
            found = self.all(kind)
            return found if len(found) >= count else None

        return wait_for(enough, 60, f"{count} {kind.__name__}")

    def close(self) -> None:
        self.socket.close()
        self.context.term()


@pytest.fixture
def make(tmp_path):
    """Start a frame server in a thread; yields a maker of (settings, control, peer factory)."""
    ends = []

    def start(maker=None, **settings):
        chosen = {"ring_mib": 1, "bands": 2, "dead_after_missed": 600, "credit_bytes": 4 * BAND_BYTES, **settings}
        stream = StreamSettings(str(tmp_path / "r"), str(tmp_path / "d"), **chosen)
        server = FrameServer(stream, maker or KnownMaker(), {"mode": "SIMULATED"})
        thread = threading.Thread(target=server.run)
        thread.start()
        control = CameraControl(stream, timeout_s=60)
        ends.extend([control.close, server.close, lambda: (server.stop(), thread.join(30))])

        def peer(name, role="worker"):
            made = HandMade(stream, name, role)
            ends.insert(0, made.close)
            return made

        return stream, control, peer

    yield start
    for end in reversed(ends):
        end()


def begin(control, uid: str = "run", passes: int = 4, sweep: int = 0) -> None:
    if sweep == 0:
        control.open_run(run_start(uid))
    control.arm(sweep_request(uid, sweep, passes=passes))
    control.trigger(uid, sweep)


def given(worker: HandMade, lease: int) -> list[int]:
    return [
        number
        for ready in worker.all(FramesReady)
        if ready.lease == lease
        for number in range(ready.first, ready.first + len(ready.slots))
    ]


def test_a_peer_learns_run_sweep_and_lease_before_frames(make):
    _, control, peer = make()
    worker = peer("worker-0").hello()
    begin(control)
    worker.until(FramesReady, 2)
    kinds = [type(message) for message in worker.heard if not isinstance(message, Heartbeat)]
    assert kinds[:3] == [Welcome, RunStart, SweepStart]
    assert kinds.index(LeaseGrant) < kinds.index(FramesReady)
    welcome = worker.all(Welcome)[0]
    assert (welcome.hello_epoch, welcome.source) == ("worker-0-1", "camera")


def test_credits_bound_what_is_in_flight_and_acks_are_cumulative(make):
    _, control, peer = make(credit_bytes=1)
    worker = peer("worker-0").hello()
    begin(control)
    assert control.wait_sent("run", 0, 60) == 40
    grants = worker.until(LeaseGrant, 2)
    worker.until(FramesReady, 2)
    worker.listen(0.3)
    # two whole frames at least, whatever the setting: four bands of one frame each
    assert sum(len(given(worker, grant.lease)) for grant in grants) == 4
    first = next(grant for grant in grants if given(worker, grant.lease))
    seen = len(given(worker, first.lease))
    worker.say(Ack("run", 0, first.y0, first.lease, seen))
    wait_for(lambda: sum(len(given(worker, grant.lease)) for grant in grants) == 4 + seen, 60, "credit given back")
    for wrong in (seen - 1, 10_000):
        worker.say(Ack("run", 0, first.y0, first.lease, wrong))
    worker.say(Ack("run", 0, first.y0, first.lease + 100, seen + 1))
    worker.listen(0.3)
    assert sum(len(given(worker, grant.lease)) for grant in grants) == 4 + seen


def test_missed_frames_are_sent_again(make):
    _, control, peer = make(credit_bytes=1_000_000)
    worker = peer("worker-0").hello()
    begin(control)
    grants = worker.until(LeaseGrant, 2)
    wait_for(lambda: len(given(worker, grants[0].lease)) == 40, 60, "all frames")
    worker.say(ReplayRequest("run", 0, grants[0].y0, grants[0].lease, 17))
    wait_for(lambda: len(given(worker, grants[0].lease)) == 40 + 23, 60, "replay")
    assert sorted(given(worker, grants[0].lease))[-1] == 39


def test_a_band_given_back_gets_a_higher_lease_and_all_frames_again(make):
    _, control, peer = make(credit_bytes=1_000_000)
    worker = peer("worker-0").hello()
    begin(control)
    grant = worker.until(LeaseGrant, 2)[0]
    worker.until(FramesReady)
    worker.say(LeaseReturn("run", 0, grant.y0, grant.lease + 50, "not mine"))
    worker.say(LeaseReturn("run", 0, grant.y0, grant.lease, "torn"))
    again = worker.until(LeaseGrant, 3)[2]
    assert (again.y0, again.worker) == (grant.y0, "worker-0")
    assert again.lease > max(item.lease for item in worker.all(LeaseGrant)[:2])
    assert worker.until(LeaseRevoke)[0].lease == grant.lease
    wait_for(lambda: given(worker, again.lease) == list(range(40)), 60, "all frames under the new lease")


def test_a_goodbye_moves_the_bands_at_once_and_a_silence_after_a_while(make):
    _, control, peer = make(dead_after_missed=5)
    first, second = peer("worker-0").hello(), peer("worker-1").hello()
    wait_for(lambda: first.all(Welcome) and second.all(Welcome), 60, "welcome")
    begin(control)
    wait_for(lambda: first.until(LeaseGrant) and second.until(LeaseGrant), 60, "grants")
    first.say(Goodbye("worker-0", first.epoch))
    grants = second.until(LeaseGrant, 2)
    assert {grant.worker for grant in grants} == {"worker-1"}
    assert len({grant.y0 for grant in grants}) == 2
    # from here on the second says nothing: its bands wait for whoever comes
    third = peer("worker-2").hello()
    assert {grant.y0 for grant in third.until(LeaseGrant, 2)} == {0, 12}
    second.say(Heartbeat("worker-1", second.epoch))
    assert wait_for(lambda: second.all(Refusal), 60, "refusal")[0].code == "hello"


def test_the_same_hello_twice_is_no_news_and_a_new_one_begins_again(make):
    _, control, peer = make()
    worker = peer("worker-0").hello().hello()
    worker.until(Welcome, 2)
    begin(control)
    grants = worker.until(LeaseGrant, 2)
    worker.epoch = "worker-0-2"
    worker.hello()
    again = worker.until(LeaseGrant, 4)[2:]
    assert min(grant.lease for grant in again) > max(grant.lease for grant in grants)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"schema": "0" * 16}, "schema"), ({"role": "spy"}, "refused"), ({"name": "somebody"}, "refused")],
)
def test_a_wrong_hello_is_refused_in_words(make, changes, code):
    _, _, peer = make()
    worker = peer("worker-0").hello(**changes)
    refusal = wait_for(lambda: worker.all(Refusal), 60, "refusal")[0]
    assert refusal.code == code
    assert refusal.reason
    assert not worker.all(Welcome)


def test_a_worker_may_not_be_named_builder(make):
    _, _, peer = make()
    worker = peer("builder").hello()
    assert wait_for(lambda: worker.all(Refusal), 60, "refusal")[0].code == "refused"


def test_strangers_are_told_to_say_hello(make):
    _, _, peer = make()
    worker = peer("worker-0")
    worker.say(Heartbeat("worker-0", "old"))
    assert wait_for(lambda: worker.all(Refusal), 60, "refusal")[0].code == "hello"


def test_only_the_builder_can_call_a_band_final(make):
    _, control, peer = make()
    worker, builder = peer("worker-0").hello(), peer("builder", "builder").hello()
    wait_for(lambda: builder.all(Welcome) and worker.all(Welcome), 60, "welcome")
    begin(control)
    grants = worker.until(LeaseGrant, 2)
    worker.say(FinalAccepted("run", 0, 0, grants[0].lease))
    worker.say(Goodbye("worker-0", worker.epoch))
    other = peer("worker-1").hello()
    assert len(other.until(LeaseGrant, 2)) == 2
    for grant in other.all(LeaseGrant):
        builder.say(FinalAccepted("run", 0, grant.y0, grant.lease))
    control.close_run("run", "success")
    builder.until(RunStop)
    builder.until(WorkerHealth)
    other.say(Goodbye("worker-1", other.epoch))
    last = peer("worker-2").hello()
    last.until(Welcome)
    last.listen(0.3)
    assert last.all(LeaseGrant) == []


def test_old_runs_are_forgotten_once_their_maps_are_final(make):
    _, control, peer = make(archive=Archive.NONE)
    worker, builder = peer("worker-0").hello(), peer("builder", "builder").hello()
    wait_for(lambda: builder.all(Welcome) and worker.all(Welcome), 60, "welcome")
    for number in range(4):
        uid = f"run-{number}"
        begin(control, uid, passes=1)
        for grant in worker.until(LeaseGrant, 2 * number + 2)[2 * number :]:
            builder.say(FinalAccepted(uid, 0, grant.y0, grant.lease))
        control.wait_sent(uid, 0, 60)
        control.close_run(uid, "success")
        builder.until(RunStop, number + 1)
    again = peer("builder", "builder")
    again.epoch = "second"

    def newest_only():
        again.hello()
        starts = again.all(RunStart)
        return starts and starts[-1].run_uid == "run-3" and len({start.run_uid for start in starts}) == 1

    wait_for(newest_only, 60, "one run left")


def test_an_aborted_sweep_gives_its_credits_back(make):
    _, control, peer = make(KnownMaker(rate_hz=20), credit_bytes=1)
    worker = peer("worker-0").hello()
    begin(control)
    grants = worker.until(LeaseGrant, 2)
    wait_for(lambda: sum(len(given(worker, grant.lease)) for grant in grants) == 4, 60, "credits used up")
    control.abort_sweep("run", 0)
    worker.until(SweepAbort)
    begin(control, passes=1, sweep=1)

    def next_one():
        worker.say(Heartbeat("worker-0", worker.epoch))
        return any(ready.sweep == 1 for ready in worker.all(FramesReady))

    wait_for(next_one, 60, "frames of the next sweep")


def test_a_final_band_of_a_dead_worker_does_not_keep_the_ring_full(make):
    """A worker killed between its final tile and its last acknowledgement: nobody acknowledges for it."""
    # a ring of 1 MiB has just the 10 frames of the first sweep
    _, control, peer = make(KnownMaker(height=224, width=224))
    worker, builder = peer("worker-0").hello(), peer("builder", "builder").hello()
    wait_for(lambda: builder.all(Welcome) and worker.all(Welcome), 60, "welcome")
    begin(control, passes=1)
    first, second = worker.until(LeaseGrant, 2)
    assert control.wait_sent("run", 0, 60) == 10
    builder.say(FinalAccepted("run", 0, first.y0, first.lease))  # before it is known that it died, ...
    wait_for(lambda: builder.until(WorkerHealth)[-1].bands == 1, 60, "one band is final")
    worker.say(Goodbye("worker-0", worker.epoch))
    builder.until(LeaseGrant, 3)
    builder.say(FinalAccepted("run", 0, second.y0, second.lease))  # ... and after it
    builder.hello().until(Welcome, 2)
    worker.epoch = "worker-0-2"
    worker.hello().until(Welcome, 2)

    def armed():
        with contextlib.suppress(CameraRefused):  # until the frames are on disk, too
            return control.arm(sweep_request("run", 1))

    wait_for(armed, 60, "room for the next sweep")


def test_sums_need_no_archive_when_the_ring_keeps_the_frames(make):
    _, control, peer = make(archive=Archive.NONE, credit_bytes=1_000_000)
    worker = peer("worker-0").hello()
    start = control.open_run(run_start("run"))
    assert start.frames_path == ""
    control.arm(sweep_request("run", 0))
    control.trigger("run", 0)
    grant = worker.until(LeaseGrant, 2)[0]
    wait_for(lambda: len(given(worker, grant.lease)) == 40, 60, "all frames")
    assert not any((np.asarray(ready.slots) > 2**31).any() for ready in worker.all(FramesReady))


class Bright(KnownMaker):
    """Counts that overflow 32 bits in the second pass."""

    dtype = "<u4"

    def frame(self, pass_index, index):
        return np.full((self.height, self.width), 3_000_000_000, self.dtype)


class Light(Bright):
    dtype = "<f4"


def test_sums_that_would_not_be_exact_are_refused_or_end_the_sweep_with_the_reason(make):
    stream, control, _ = make(Bright(), archive=Archive.SUMS)
    begin(control, passes=2)
    wait_for(lambda: control.sweep_progress("run", 0).aborted, 60, "its end")
    with StateSubscriber(stream, ["camera"]) as state:
        wait_for(lambda: "use fewer passes, or archive = frames" in events_of(state), 20, "the reason")
    begin(control, passes=1, sweep=1)
    assert control.wait_sent("run", 1, 60) == 10


def test_float_frames_of_several_passes_are_refused_where_sums_are_kept(make):
    _, control, _ = make(Light(), archive=Archive.SUMS)
    control.open_run(run_start("run"))
    with pytest.raises(CameraRefused, match="float frames cannot be summed exactly: take one pass, or set archive"):
        control.arm(sweep_request("run", 0, passes=2))
    control.arm(sweep_request("run", 1, passes=1))


def events_of(state: StateSubscriber) -> str:
    state.poll(0.1)
    update = state.latest.get(("camera", "events"))
    return "" if update is None else str(update.header["events"])


def test_the_server_ends_within_two_seconds_whatever_it_does(make, tmp_path):
    stream = StreamSettings(str(tmp_path / "r2"), str(tmp_path / "d2"), ring_mib=1)
    server = FrameServer(stream, KnownMaker(rate_hz=5), {})
    thread = threading.Thread(target=server.run)
    thread.start()
    with CameraControl(stream, timeout_s=60) as control:
        begin(control)
    began = time.monotonic()
    server.stop()
    thread.join(30)
    server.close()
    assert time.monotonic() - began < 4
    assert not (tmp_path / "r2" / "ring").exists()
