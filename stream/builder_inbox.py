"""The map builder's inbox: what the frame server announces and the tiles that count."""

from __future__ import annotations

import logging
import time
import uuid
from collections import deque
from types import TracebackType

import zmq

from stream.codec import SCHEMA_HASH, CodecError, decode, encode
from stream.doors import Door, open_doors
from stream.leases import band_step, split_rows
from stream.link_messages import (
    FinalAccepted,
    Goodbye,
    Heartbeat,
    Hello,
    LeaseGrant,
    Refusal,
    SpectrumAnswer,
    SpectrumAsk,
    Welcome,
)
from stream.messages import (
    RunStart,
    RunStop,
    SpectrumReply,
    SpectrumRequest,
    SweepAbort,
    SweepProgress,
    SweepStart,
    Tile,
    WorkerHealth,
)
from stream.sessions import Heard, Session
from stream.settings import StreamSettings
from stream.slots import SweepKey
from stream.sockets import BULK_BYTES, Sent, open_socket, receive, send
from stream.tiles import TileLedger, Verdict, fits

BuilderEvent = RunStart | RunStop | SweepStart | SweepProgress | SweepAbort | Tile | WorkerHealth | SpectrumReply
MAX_PARKED = 256
"""Tiles that wait for their sweep to be announced; the oldest are dropped (finals are sent again)."""
MAX_WORKERS = 512
"""Workers that are known at once."""
KEEP_RUNS = 4
"""Runs whose leases and revisions are remembered, and those that are not whole."""
MAX_RUNS = 16
"""Runs that are remembered at most."""

_log = logging.getLogger(__name__)


class BuilderInbox:
    """Everything the builder hears, in an order it can trust: run, sweep, then tiles; each final exactly once.

    Parameters
    ----------
    settings
        Where the sockets are.
    """

    def __init__(self, settings: StreamSettings) -> None:
        self.epoch = uuid.uuid4().hex
        self._settings = settings
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._frames = open_socket(self._context, zmq.DEALER, identity=b"builder", max_bytes=BULK_BYTES)
        self._frames.connect(settings.endpoint("frames"))
        self._doors = open_doors(self._context, settings, "results", BULK_BYTES)
        self._poller = zmq.Poller()
        self._poller.register(self._frames, zmq.POLLIN)
        for door in self._doors:
            self._poller.register(door.socket, zmq.POLLIN)
        self._session = Session("builder", "builder")
        self._server_epoch = ""
        self._runs: dict[str, RunStart] = {}
        self._stopped: set[str] = set()
        self._progress: dict[SweepKey, SweepProgress] = {}
        self._out: deque[FinalAccepted] = deque()
        self._workers: dict[bytes, tuple[Door, str]] = {}
        self._parked: deque[Tile] = deque(maxlen=MAX_PARKED)
        self._events: list[BuilderEvent] = []
        self._token = 0
        self.tiles = TileLedger()
        self.malformed = 0

    def poll(self, timeout_s: float) -> list[BuilderEvent]:
        """Return what happened, in order; empty after `timeout_s` without news."""
        until = time.monotonic() + timeout_s
        while True:
            self._speak()
            self._listen_frames()
            self._listen_results()
            self._speak()
            left = until - time.monotonic()
            if self._events or left <= 0:
                events, self._events = self._events, []
                return events
            self._poller.poll(int(1000 * min(left, self._settings.heartbeat_s)) + 1)

    def ask(self, worker: str, request: SpectrumRequest) -> bool:
        """Ask a worker for a spectrum; its SpectrumReply comes out of `poll`. False where the worker is not there."""
        known = self._workers.get(worker.encode())
        if known is None:
            return False
        self._token += 1
        return send(known[0].socket, [worker.encode(), *encode(SpectrumAsk(self._token, request))]) is Sent.OK

    def owner(self, run_uid: str, sweep: int, row: int) -> str:
        """Return the worker whose newest tile or lease covers the camera row; empty where nobody's does."""
        return self.tiles.owner((run_uid, sweep), row)

    def frames_sent(self, run_uid: str, sweep: int) -> int:
        """Return how many frames of the sweep the camera published, as far as is known."""
        progress = self._progress.get((run_uid, sweep))
        return 0 if progress is None else progress.frames_sent

    def numbers(self) -> dict[str, float | dict[str, float]]:
        """Return the inbox's metrics (`stream.metrics.KINDS`)."""
        return {
            "tiles": {verdict.value: float(count) for verdict, count in self.tiles.counts.items()},
            "messages_refused": self.malformed,
            "queue_messages": len(self._parked) + len(self._out),
        }

    def close(self) -> None:
        """Close the sockets."""
        if self._context.closed:
            return
        if self._session.welcome is not None:
            send(self._frames, encode(Goodbye("builder", self._session.epoch)))
        self._frames.close()
        for door in self._doors:
            door.close()
        self._context.term()

    def __enter__(self) -> BuilderInbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _speak(self) -> None:
        due = self._session.due(self._settings.heartbeat_s, {})
        if due is not None:
            send(self._frames, encode(due))
        while self._session.welcome is not None and self._out:
            if send(self._frames, encode(self._out[0])) is not Sent.OK:
                return
            self._out.popleft()

    def _listen_frames(self) -> None:
        while (parts := receive(self._frames)) is not None:
            try:
                message = decode(parts)
            except CodecError as error:
                self._count_malformed(error)
                continue
            heard = self._session.hear(message)
            if heard is Heard.BEGUN:
                self._begin(message)
            elif heard is Heard.OURS:
                self._take(message)

    def _begin(self, welcome: Welcome) -> None:
        """Start a session with the frame server: another one than before means that its open runs are over."""
        if welcome.epoch != self._server_epoch:
            for run_uid in [uid for uid in self._runs if uid not in self._stopped]:
                sweeps = [key for key in self._progress if key[0] == run_uid]
                sent = sum(self._progress[key].frames_sent for key in sweeps)
                self._stop(RunStop(run_uid, "abort", len(sweeps), sent))
            self._server_epoch = welcome.epoch
        self._out.extend(FinalAccepted(*key, y0, lease) for key, y0, lease in self.tiles.finals())

    def _take(self, message: object) -> None:
        match message:
            case RunStart() if message.run_uid not in self._runs:
                self._runs[message.run_uid] = message
                self._forget_old()
                self._events.append(message)
            case RunStop() if message.run_uid in self._runs:
                self._stop(message)
            case SweepStart():
                self._open(message)
            case LeaseGrant():
                self.tiles.grant((message.run_uid, message.sweep), message.y0, message.lease, message.worker)
            case SweepProgress():
                self._progress[message.run_uid, message.sweep] = message
                self._events.append(message)
            case SweepAbort():
                self.tiles.close_sweep((message.run_uid, message.sweep))
                self._events.append(message)
            case WorkerHealth():
                self._events.append(message)
            case _:
                pass

    def _stop(self, stop: RunStop) -> None:
        if stop.run_uid not in self._stopped:
            self._stopped.add(stop.run_uid)
            self._events.append(stop)

    def _open(self, start: SweepStart) -> None:
        key, run = (start.run_uid, start.sweep), self._runs.get(start.run_uid)
        if run is None or self.tiles.known(key):
            return
        rows = split_rows(run.height, self._settings.bands, band_step(run))
        self.tiles.open_sweep(key, start.passes * len(start.frequency_mhz), rows)
        self._events.append(start)
        parked, self._parked = self._parked, deque(maxlen=MAX_PARKED)
        for tile in parked:
            self._offer(tile)

    def _forget_old(self) -> None:
        """Forget the oldest runs that are over: those with finals to come only where there are far too many."""
        for old in list(self._runs)[:-KEEP_RUNS]:
            if old in self._stopped and (self.tiles.whole(old) or len(self._runs) > MAX_RUNS):
                del self._runs[old]
                self.tiles.close_run(old)
                for key in [key for key in self._progress if key[0] == old]:
                    del self._progress[key]

    def _listen_results(self) -> None:
        for door in self._doors:
            self._listen(door)

    def _listen(self, door: Door) -> None:
        while (parts := receive(door.socket)) is not None:
            try:
                message = decode(parts[1:])
            except CodecError as error:
                self._count_malformed(error)
                send(door.socket, [parts[0], *encode(Refusal(error.code, error.reason))])
                continue
            if isinstance(message, Hello):
                self._hello(door, parts[0], message)
            elif self._stranger(door, parts[0], message):
                send(door.socket, [parts[0], *encode(Refusal("hello", "say hello first"))])
            else:
                self._take_result(parts[0], message)

    def _hello(self, door: Door, identity: bytes, hello: Hello) -> None:
        if hello.schema != SCHEMA_HASH or hello.role != "worker" or identity != hello.name.encode():
            send(door.socket, [identity, *encode(Refusal("schema", f"the builder's message set is {SCHEMA_HASH}"))])
            return
        self._workers.pop(identity, None)
        self._workers[identity] = (door, hello.epoch)
        if len(self._workers) > MAX_WORKERS:
            # whoever is forgotten here and lives is told to say hello again
            del self._workers[next(iter(self._workers))]
        send(door.socket, [identity, *encode(Welcome("builder", self.epoch, hello.epoch))])

    def _stranger(self, door: Door, identity: bytes, message: object) -> bool:
        """Tell whether the sender has not said hello, or not this time, or not through this door."""
        known = self._workers.get(identity)
        if known is None or known[0] is not door:
            return True
        return isinstance(message, Heartbeat | Goodbye) and message.epoch != known[1]

    def _take_result(self, identity: bytes, message: object) -> None:
        match message:
            case Tile() if message.worker.encode() == identity:
                self._offer(message)
            case SpectrumAnswer():
                self._events.append(message.reply)
            case Goodbye():
                self._workers.pop(identity, None)
            case Heartbeat():
                pass
            case _:
                self.malformed += 1

    def _offer(self, tile: Tile) -> None:
        run = self._runs.get(tile.run_uid)
        if run is not None and not fits(tile, run):
            self._count_malformed(CodecError("malformed", f"a tile of {tile.worker[:40]} has not its band's form"))
            return
        verdict = self.tiles.offer(tile)
        if verdict is Verdict.ACCEPTED:
            self._events.append(tile)
        elif verdict is Verdict.UNKNOWN:
            self._parked.append(tile)
        if tile.final and verdict in (Verdict.ACCEPTED, Verdict.DUPLICATE):
            accepted = FinalAccepted(tile.run_uid, tile.sweep, tile.y0, tile.lease)
            known = self._workers.get(tile.worker.encode())
            if known is not None:
                send(known[0].socket, [tile.worker.encode(), *encode(accepted)])
            self._out.append(accepted)

    def _count_malformed(self, error: CodecError) -> None:
        self.malformed += 1
        if self.malformed < 10 or self.malformed % 1000 == 0:
            _log.warning("refused a message: %s (%d so far)", error.reason, self.malformed)
