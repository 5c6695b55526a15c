"""The thread behind a worker's link: it alone touches the sockets, so heartbeats go on while a fit runs."""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import threading
import time
from collections import deque

import zmq

from stream.codec import CodecError, decode, encode
from stream.doors import connect_options
from stream.link_messages import FinalAccepted, Goodbye, LeaseReturn, SpectrumAnswer, SpectrumAsk
from stream.messages import Json
from stream.outbox import TileOutbox
from stream.sessions import REFUSED_S, Heard, Session
from stream.settings import StreamSettings
from stream.sockets import (
    BULK_BYTES,
    Fate,
    Listener,
    Sent,
    Waker,
    connection_fates,
    open_socket,
    receive,
    receive_views,
    send,
    watch_connection,
)

BUILDER_BEAT_S = 0.5
"""Time between heartbeats to the builder, s."""
MAX_ASKS = 256
"""Questions of the builder that wait; more are dropped."""

_log = logging.getLogger(__name__)


class SessionEnded:
    """The frame server no longer knows us: every lease is void."""


class WorkerIo(threading.Thread):
    """Sockets of one worker.

    Attributes
    ----------
    inbox : queue.Queue
        Messages of the frame server in order, `Welcome` where a session begins, `SessionEnded` where it ends.
    asks : deque
        Questions of the builder.
    """

    def __init__(self, settings: StreamSettings, worker: str) -> None:
        super().__init__(name=f"link-{worker}", daemon=True)
        self._worker = worker
        self._beat_s = settings.heartbeat_s
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        identity = worker.encode()
        self._frames = open_socket(self._context, zmq.DEALER, identity=identity, max_bytes=BULK_BYTES)
        self._results = open_socket(self._context, zmq.DEALER, identity=identity, max_bytes=BULK_BYTES, high_water=200)
        self._watch = watch_connection(self._frames) if settings.connect else None
        for socket, name in ((self._frames, "frames"), (self._results, "results")):
            if settings.connect:
                connect_options(socket, settings)
            socket.connect(settings.worker_endpoint(name))
        self._server = Session("worker", worker)
        self._builder = Session("worker", worker)
        self._waker = Waker()
        self._out: deque[object] = deque()
        self._answers: deque[SpectrumAnswer] = deque()
        self._ended = False
        self._refused = False
        self._again_at = math.inf
        self._settings = settings
        self._rehello = threading.Event()
        # not a SimpleQueue: its get() blocks for ever where a signal is handled across the end of the timeout
        self.inbox: queue.Queue[object] = queue.Queue()
        self.asks: deque[SpectrumAsk] = deque(maxlen=MAX_ASKS)
        self.tiles = TileOutbox()
        self.stats: Json = {}
        self.malformed = 0

    def post(self, *messages: object, now: bool = True) -> None:
        """Send messages to the frame server, in order; those that may wait go with the next beat or message."""
        self._out.extend(messages)
        if now:
            self._waker.wake()

    def answer(self, answer: SpectrumAnswer) -> None:
        """Send an answer to the builder."""
        self._answers.append(answer)
        self._waker.wake()

    def wake(self) -> None:
        """Look at the tiles now."""
        self._waker.wake()

    def say_hello_again(self) -> None:
        """Give up the session with the frame server and begin a new one."""
        self._rehello.set()
        self._waker.wake()

    def finish(self) -> None:
        """Say goodbye, end the thread, close the sockets."""
        if self._ended:
            return
        self._ended = True
        self._waker.wake()
        self.join()
        self._waker.close()

    def run(self) -> None:
        """Work until `finish`."""
        watch = () if self._watch is None else (self._watch,)
        listener = Listener(self._waker, self._frames, self._results, *watch)
        while not self._ended:
            ready = listener.wait(self._patience_ms())
            if self._watch in ready or time.monotonic() >= self._again_at:
                self._look_at_connection()
            if self._rehello.is_set():
                self._rehello.clear()
                self._server.restart()
                self._end_session()
            if self._frames in ready:
                self._listen_frames()
            if self._results in ready:
                self._listen_results()
            self._speak()
        self._farewell()

    def _patience_ms(self) -> int:
        """Return how long nothing is due."""
        ends = (self._server.next_s, self._builder.next_s, self._again_at, time.monotonic() + self._beat_s)
        return max(1, math.ceil((min(ends) - time.monotonic()) * 1000))

    def _look_at_connection(self) -> None:
        """Over TCP: begin anew where the connection broke, say so where it is not admitted."""
        fates = set[Fate]() if self._watch is None else connection_fates(self._watch)
        if Fate.BROKEN in fates and self._server.welcome is not None:
            # what was on its way is lost on both sides: leases, frames and acknowledgements begin anew
            _log.warning("the connection to the frame server broke")
            self._rehello.set()
        if Fate.REFUSED in fates and self._again_at == math.inf:
            self._again_at = time.monotonic() + REFUSED_S
            if not self._refused:
                self._refused = True
                _log.error("refused by the frame server's host: it does not admit this host's key, or is not the one")
        if time.monotonic() >= self._again_at:
            self._again_at = math.inf
            self._connect_again()

    def _connect_again(self) -> None:
        """Try again: ZeroMQ itself gives up for good after a refusal, but a person may have admitted the key."""
        for socket, name in ((self._frames, "frames"), (self._results, "results")):
            endpoint = self._settings.worker_endpoint(name)
            with contextlib.suppress(zmq.ZMQError):  # it is gone already
                socket.disconnect(endpoint)
            socket.connect(endpoint)

    def _speak(self) -> None:
        due = self._server.due(self._beat_s, self.stats)
        if due is not None:
            send(self._frames, encode(due))
        while self._server.welcome is not None and self._out:
            if send(self._frames, encode(self._out[0])) is not Sent.OK:
                break
            self._out.popleft()
        due = self._builder.due(BUILDER_BEAT_S, {})
        if due is not None:
            send(self._results, encode(due))
        if self._builder.welcome is not None:
            self._send_results()

    def _send_results(self) -> None:
        while self._answers and send(self._results, encode(self._answers[0])) is Sent.OK:
            self._answers.popleft()
        for key, parts, final in self.tiles.due():
            if send(self._results, parts) is not Sent.OK:
                return
            self.tiles.sent(key, parts, final)

    def _listen_frames(self) -> None:
        while (message := self._next(self._frames)) is not None:
            match self._server.hear(message):
                case Heard.BEGUN | Heard.OURS:
                    self.inbox.put(message)
                case Heard.ENDED:
                    self._end_session()
                case Heard.NOTHING:
                    pass

    def _listen_results(self) -> None:
        while (message := self._next(self._results)) is not None:
            heard = self._builder.hear(message)
            if heard is Heard.BEGUN:
                for (key, y0), lease in self.tiles.again():
                    self._out.append(LeaseReturn(*key, y0, lease, "the builder began again and the final is not kept"))
            elif heard is Heard.OURS and isinstance(message, FinalAccepted):
                self.tiles.accepted(message)
            elif heard is Heard.OURS and isinstance(message, SpectrumAsk):
                self.asks.append(message)

    def _end_session(self) -> None:
        self._out.clear()
        self.inbox.put(SessionEnded())

    def _next(self, socket: zmq.Socket[bytes]) -> object | None:
        while (parts := receive_views(socket) if self._watch is not None else receive(socket)) is not None:
            try:
                return decode(parts)
            except CodecError as error:
                self.count_malformed(error.reason)
        return None

    def count_malformed(self, reason: str) -> None:
        """Count a message that cannot be used; the log is limited, the count is not."""
        self.malformed += 1
        if self.malformed <= 10 or self.malformed % 1000 == 0:
            _log.warning("dropped a message: %s (%d so far)", reason, self.malformed)

    def _farewell(self) -> None:
        if self._watch is not None:
            self._frames.disable_monitor()
            self._watch.close()
        for socket, session in ((self._frames, self._server), (self._results, self._builder)):
            if session.welcome is not None:
                send(socket, encode(Goodbye(self._worker, session.epoch)))
            socket.setsockopt(zmq.LINGER, 200)
            socket.close()
        self._context.term()
