"""The camera process's main loop: ring, recorder, leases and control around one frame maker.

Threads: the pump owns the maker and writes the ring, the recorder writes HDF5, the state publisher serves its sockets,
and this loop owns everything else. It never waits for a peer.
"""

from __future__ import annotations

import logging
import time
import uuid
from pathlib import Path
from types import TracebackType

import numpy as np
import zmq

from stream.camera_desk import CameraDesk, ended
from stream.camera_runs import CameraRuns
from stream.codec import SCHEMA_HASH, CodecError, decode, encode
from stream.dispatch import Dispatcher
from stream.frame_pump import Armed, FramePump, Made
from stream.frame_recorder import FrameRecorder
from stream.frames import FrameMaker
from stream.leases import Grant, LeaseBook
from stream.link_messages import (
    Ack,
    FinalAccepted,
    Goodbye,
    Heartbeat,
    Hello,
    LeaseGrant,
    LeaseReturn,
    Refusal,
    ReplayRequest,
    Welcome,
)
from stream.messages import Json, RunStart, RunStop, SweepAbort, SweepStart
from stream.ring import create_ring
from stream.roster import Peer, Roster
from stream.run_book import RunBook, SweepPhase, SweepRecord
from stream.settings import StreamSettings
from stream.slots import SlotLedger, SweepKey
from stream.sockets import Waker, bind, open_socket, receive, send
from stream.state import StatePublisher

VIEW_S = 0.2
"""Time between camera pictures on the state plane, s."""
HEALTH_S = 0.5
"""Time between health messages to the builder, s."""

_log = logging.getLogger(__name__)


class FrameServer:
    """Serves the frames of one maker to workers and builder.

    Parameters
    ----------
    settings
        Sockets, ring, bands and patience.
    maker
        Source of frames; its `arm` and `frame` are called from one thread of this server.
    info
        What the camera tells about itself: `pixel_size_um`, `noise` (fields of NoiseModel), `mode`, ...
    """

    def __init__(self, settings: StreamSettings, maker: FrameMaker, info: Json) -> None:
        self._settings = settings
        self._maker = maker
        self.epoch = uuid.uuid4().hex
        self._stop = False
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._waker = Waker()
        self._ring_path = str(Path(settings.runtime_dir) / "ring")
        Path(settings.runtime_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
        self._ring = create_ring(self._ring_path, settings.ring_mib, (maker.height, maker.width), maker.dtype)
        self._frames = open_socket(self._context, zmq.ROUTER)
        bind(self._frames, settings.endpoint("frames"))
        self._desk = CameraDesk(open_socket(self._context, zmq.ROUTER))
        bind(self._desk.socket, settings.endpoint("camera"))
        self._state = StatePublisher(settings, "camera")
        self._slots = SlotLedger(self._ring.slots, settings.full_policy)
        self._recorder = FrameRecorder(self._ring, self._slots, self._state.event)
        self._pump = FramePump(maker, self._ring, self._slots, self._recorder, self._waker)
        self._book = RunBook()
        self._leases = LeaseBook(maker.height, settings.bands)
        self._roster = Roster(self._frames)
        row_bytes = maker.width * np.dtype(maker.dtype).itemsize
        self._dispatch = Dispatcher(
            self._book, self._leases, self._slots, self._roster, row_bytes, settings.credit_bytes
        )
        parts = (self._book, self._slots, self._recorder, self._pump, self._desk)
        self._runs = CameraRuns(settings, maker, info, self.epoch, parts, self._announce)
        self._builder_epoch = ""
        self.malformed = 0
        self._due = dict.fromkeys(("beat", "view", "health", "progress"), 0.0)
        self._shown: tuple[SweepKey, int] | None = None
        self._rate = (time.monotonic(), 0, 0.0)

    def run(self) -> None:
        """Serve until `stop` is called."""
        poller = zmq.Poller()
        for source in (self._frames, self._desk.socket, self._waker.fd):
            poller.register(source, zmq.POLLIN)
        self._recorder.start()
        self._pump.start()
        listened = time.monotonic()
        while not self._stop:
            poller.poll(int(self._settings.heartbeat_s * 500))
            self._waker.clear()
            pause = time.monotonic() - listened
            if pause > 2 * self._settings.heartbeat_s:
                self._roster.forgive(pause)
            listened = time.monotonic()
            self._listen()
            self._desk.serve(self._runs.handle)
            self._take_news()
            self._dispatch.send()
            self._desk.news(self._runs.progress)
            self._routine()

    def stop(self) -> None:
        """Ask `run` to end; safe from a signal handler and from other threads."""
        self._stop = True
        self._waker.wake()

    def close(self) -> None:
        """End the threads, close files, sockets and ring; frames already made are on disk afterwards."""
        if self._context.closed:
            return
        for run in self._book.open_runs():
            self._runs.close_run(run.start.run_uid, "abort")
        if self._pump.is_alive():
            self._pump.finish(2.0)
        if self._recorder.is_alive():
            self._recorder.finish(2.0)
        self._state.close()
        self._frames.close()
        self._desk.socket.close()
        self._context.term()
        self._waker.close()
        Path(self._ring_path).unlink(missing_ok=True)

    def __enter__(self) -> FrameServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _listen(self) -> None:
        """Take every message that waits on the frame socket."""
        while (parts := receive(self._frames)) is not None:
            identity, rest = parts[0], parts[1:]
            try:
                message = decode(rest)
            except CodecError as error:
                self.malformed += 1
                if self.malformed < 10 or self.malformed % 1000 == 0:
                    _log.warning("refused a message: %s (%d so far)", error.reason, self.malformed)
                send(self._frames, [identity, *encode(Refusal(error.code, error.reason))])
                continue
            if isinstance(message, Hello):
                self._hello(identity, message)
                continue
            peer = self._roster.find(identity)
            if peer is None or (isinstance(message, Heartbeat | Goodbye) and message.epoch != peer.hello.epoch):
                send(self._frames, [identity, *encode(Refusal("hello", "say hello first"))])
                continue
            self._roster.touch(peer)
            self._take(peer, message)

    def _take(self, peer: Peer, message: object) -> None:
        match message:
            case Heartbeat():
                peer.stats = message.stats
            case Ack():
                self._dispatch.ack(peer, message)
            case ReplayRequest():
                self._dispatch.replay(peer, message)
            case LeaseReturn():
                self._give_up(peer, message)
            case FinalAccepted() if peer is self._roster.builder:
                self._final((message.run_uid, message.sweep), message.y0)
            case Goodbye() if peer is not self._roster.builder:
                self._lose(peer.hello.name, "said goodbye")
            case _:
                self.malformed += 1

    def _hello(self, identity: bytes, hello: Hello) -> None:
        reason = ""
        if hello.schema != SCHEMA_HASH:
            reason = f"your message set is {hello.schema}, mine is {SCHEMA_HASH}: update both to one version"
        elif hello.role not in ("worker", "builder") or identity != hello.name.encode():
            reason = "a peer is a worker or a builder and names its socket like itself"
        if reason:
            send(self._frames, [identity, *encode(Refusal("schema", reason))])
            return
        known = self._roster.find(identity)
        peer = known
        if known is None or known.hello.epoch != hello.epoch:
            if hello.name in self._roster.workers:
                self._lose(hello.name, "began again")
            peer = self._roster.admit(identity, hello)
        assert peer is not None
        welcome = Welcome("camera", self.epoch, hello.epoch, self._ring_path, self._ring.epoch)
        self._roster.send(peer, welcome)
        if peer is known:
            return
        if hello.role == "builder":
            self._meet_builder(peer)
        else:
            self._meet_worker(peer)

    def _meet_worker(self, peer: Peer) -> None:
        for run in self._book.runs.values():
            if run.stop is None:
                peer.told.add(run.start.run_uid)
                self._roster.send(peer, run.start)
        self._state.event("NO_ALARM", f"{peer.hello.name} is here")
        self._move(self._leases.join(peer.hello.name), "waited for a worker")
        self._due["health"] = 0.0

    def _meet_builder(self, peer: Peer) -> None:
        """Tell the builder everything it needs to begin anew."""
        for run in self._book.runs.values():
            peer.told.add(run.start.run_uid)
            self._roster.send(peer, run.start)
            for sweep in run.sweeps.values():
                self._dispatch.introduce(peer, sweep)
                for band in self._leases.holdings(sweep.key):
                    self._roster.send(peer, LeaseGrant(*sweep.key, band.y0, band.y1, band.lease, band.owner))
                self._roster.send(peer, sweep.progress())
            if run.stop is not None:
                self._roster.send(peer, run.stop)
        if self._builder_epoch:
            self._move(self._leases.reopen(), "the builder began again")
        self._builder_epoch = peer.hello.epoch
        self._due["health"] = 0.0

    def _lose(self, name: str, reason: str) -> None:
        """Move a worker's bands to the living."""
        if self._roster.drop(name) is None:
            return
        self._state.event("MINOR" if reason == "said goodbye" else "MAJOR", f"{name} is gone: {reason}")
        self._move(self._leases.leave(name), f"{name} {reason}")
        self._due["health"] = 0.0

    def _give_up(self, peer: Peer, message: LeaseReturn) -> None:
        grants = self._leases.give_up((message.run_uid, message.sweep), message.y0, message.lease)
        self._move(grants, f"{peer.hello.name} returned it: {message.reason}")

    def _move(self, grants: list[Grant], reason: str) -> None:
        self._dispatch.apply(grants)
        for grant in grants:
            rows = f"rows {grant.y0}-{grant.y1} of sweep {grant.key[1]}"
            self._state.event("MINOR", f"{rows} -> {grant.worker or 'wait for a worker'} ({reason})")

    def _final(self, key: SweepKey, y0: int) -> None:
        if self._leases.finish(key, y0):
            self._retire()

    def _retire(self) -> None:
        """Forget closed runs whose every band is final; the newest stays for a builder that begins again."""
        for run_uid, run in list(self._book.runs.items())[:-1]:
            keys = [sweep.key for sweep in run.sweeps.values()]
            if run.stop is None or not all(self._leases.complete(key) for key in keys):
                continue
            for key in keys:
                self._forget(key)
            del self._book.runs[run_uid]

    def _forget(self, key: SweepKey) -> None:
        self._leases.close_sweep(key)
        self._slots.close_sweep(key)
        self._dispatch.forget(key)

    def _announce(self, message: object) -> None:
        """Tell everyone of a run, a sweep or their end."""
        match message:
            case RunStart() | RunStop():
                for peer in self._roster.everyone():
                    peer.told.add(message.run_uid)
                    self._roster.send(peer, message)
                if isinstance(message, RunStop):
                    self._retire()
            case SweepStart():
                sweep = self._book.runs[message.run_uid].sweeps[message.sweep]
                for peer in self._roster.everyone():
                    self._dispatch.introduce(peer, sweep)
                self._dispatch.apply(self._leases.open_sweep(sweep.key))
            case SweepRecord():
                for peer in self._roster.everyone():
                    self._roster.send(peer, SweepAbort(*message.key, message.made))
                self._forget(message.key)
            case _:
                raise TypeError(type(message).__name__)

    def _take_news(self) -> None:
        """Take what the pump did."""
        latest: dict[SweepKey, Made] = {}
        while self._pump.news:
            news = self._pump.news.popleft()
            if isinstance(news, Armed):
                self._runs.armed(news)
            else:
                latest[news.key] = news
        for key, made in latest.items():
            self._made(key, made)

    def _made(self, key: SweepKey, made: Made) -> None:
        sweep = self._book.sweep(key)
        if sweep is None:
            return
        sweep.made = made.count
        if sweep.phase is SweepPhase.ABORTED:
            return
        if made.reason:
            sweep.phase, sweep.reason = SweepPhase.ABORTED, made.reason
            self._state.event("MAJOR", f"sweep {key[1]} ended early: {made.reason}")
            self._announce(sweep)
        elif made.ended:
            sweep.phase = SweepPhase.SENT
            self._due["progress"] = 0.0
        self._dispatch.wake(key)

    def _routine(self) -> None:
        """Do what is due: beats, deaths, health, progress, pictures."""
        settings = self._settings
        for name in self._roster.silent(settings.heartbeat_s * settings.dead_after_missed):
            self._lose(name, f"silent for {settings.heartbeat_s * settings.dead_after_missed:.1f} s")
        if self._is_due("beat", settings.heartbeat_s):
            for peer in self._roster.everyone():
                self._roster.flush(peer)
                self._roster.offer(peer, Heartbeat("camera", self.epoch))
        for name in list(self._roster.gone):
            self._lose(name, "its socket is gone")
        builder = self._roster.builder
        if builder is not None and self._is_due("progress", 0.1):
            self._tell_progress(builder)
        if builder is not None and self._is_due("health", HEALTH_S):
            for health in self._roster.health(self._bands()):
                self._roster.send(builder, health)
        if self._is_due("view", VIEW_S):
            self._show()

    def _is_due(self, what: str, interval_s: float) -> bool:
        now = time.monotonic()
        if now < self._due[what]:
            return False
        self._due[what] = now + interval_s
        return True

    def _tell_progress(self, builder: Peer) -> None:
        for run in self._book.runs.values():
            for sweep in run.sweeps.values():
                progress = sweep.progress()
                told = ("progress", sweep.key, sweep.made, ended(progress))
                if told not in builder.told:
                    builder.told.add(told)
                    self._roster.send(builder, progress)

    def _bands(self) -> dict[str, int]:
        return {name: sum(1 for _ in self._leases.owned(name)) for name in self._roster.workers}

    def _show(self) -> None:
        """Publish the newest frame and the counts."""
        sweep = self._newest()
        leases = [
            {"sweep": key[1], "y0": band.y0, "y1": band.y1, "worker": name, "lease": band.lease}
            for name in self._roster.workers
            for key, band in self._leases.owned(name)
        ]
        header: Json = {
            "state": "idle" if sweep is None else ("waiting" if self._pump.waiting else sweep.phase.value),
            "run_uid": "" if sweep is None else sweep.start.run_uid,
            "sweep": -1 if sweep is None else sweep.start.sweep,
            "frames_sent": 0 if sweep is None else sweep.made,
            "frames_total": 0 if sweep is None else sweep.total,
            "ring_fill": self._slots.pinned() / self._slots.slots,
            "rate_hz": self._measure(),
            "reassignments": self._dispatch.reassignments,
            "frames_abandoned": self._slots.abandoned,
            "malformed": self.malformed + self._desk.malformed,
            "leases": leases,
        }
        self._state.publish("camera", header)
        if sweep is not None and sweep.made and self._shown != (sweep.key, sweep.made):
            self._picture(sweep)

    def _picture(self, sweep: SweepRecord) -> None:
        self._shown = (sweep.key, sweep.made)
        slots, sequences = self._slots.lookup(sweep.key, sweep.made - 1, sweep.made)
        if slots[0] >= self._ring.slots:
            return
        slot = int(slots[0])
        frame, time_s = self._ring.pixels[slot].copy(), self._ring.time_s(slot)
        if self._ring.sequence(slot) == int(sequences[0]):
            pass_index, index = divmod(sweep.made - 1, len(sweep.start.frequency_mhz))
            header: Json = {"sweep": sweep.start.sweep, "pass_index": pass_index, "index": index, "time_s": time_s}
            self._state.publish("frame", header, {"value": frame})

    def _newest(self) -> SweepRecord | None:
        sweeps = [sweep for run in self._book.runs.values() for sweep in run.sweeps.values()]
        sending = self._book.sending()
        return sending if sending is not None else (sweeps[-1] if sweeps else None)

    def _measure(self) -> float:
        """Return the frames per second since the last call, over all runs."""
        then, count, _ = self._rate
        now, total = time.monotonic(), sum(run.frames_sent() for run in self._book.runs.values())
        rate = max(0.0, (total - count) / max(now - then, 1e-3))
        self._rate = (now, total, rate)
        return rate
