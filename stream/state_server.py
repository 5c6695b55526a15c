"""The thread behind a state publisher: deltas out, snapshots and questions answered."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque

import zmq

from stream.codec import CodecError, decode, encode
from stream.link_messages import Refusal, SnapshotEnd, SnapshotRequest, StateBeat
from stream.messages import StateUpdate
from stream.schema import Parts
from stream.settings import StreamSettings
from stream.sockets import BULK_BYTES, Waker, bind, open_socket, receive, send

BEAT_S = 0.5
"""Time between beats, s."""
MAX_QUESTIONS = 1000
"""Questions that wait for the process's attention; more are refused."""

_log = logging.getLogger(__name__)


class StateServer(threading.Thread):
    """Owns the sockets of one publisher. `put` may be called from any thread."""

    def __init__(self, settings: StreamSettings, source: str) -> None:
        super().__init__(name=f"state-{source}", daemon=True)
        self.source = source
        self.epoch = uuid.uuid4().hex
        self.questions: deque[tuple[bytes, object]] = deque()
        self._latest: dict[str, Parts] = {}
        self._queue: deque[Parts] = deque()
        self._answers: deque[list[bytes | memoryview]] = deque()
        self._sequence = 0
        self._lock = threading.Lock()
        self._waker = Waker()
        self._ended = False
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._deltas = open_socket(self._context, zmq.PUB, high_water=200)
        bind(self._deltas, settings.endpoint(f"state-{source}"))
        self._asks = open_socket(self._context, zmq.ROUTER, max_bytes=1 << 20)
        bind(self._asks, settings.endpoint(f"state-{source}-ask"))

    def put(self, update: StateUpdate) -> None:
        """Give an update its number, keep it as the channel's newest and send it."""
        with self._lock:
            numbered = StateUpdate(
                self.source, self.epoch, self._sequence + 1, update.channel, update.time_s, update.header, update.arrays
            )
            # copied here: the caller may write into its arrays again as soon as this returns
            parts: Parts = [bytes(part) for part in encode(numbered)]
            self._sequence += 1
            self._latest[update.channel] = parts
            self._queue.append(parts)
        self._waker.wake()

    def drop(self, prefix: str) -> None:
        """Forget channels; the number that is skipped makes subscribers ask for a snapshot."""
        with self._lock:
            for channel in [name for name in self._latest if name.startswith(prefix)]:
                del self._latest[channel]
            self._sequence += 1
        self._waker.wake()

    def answer(self, token: bytes, message: object) -> None:
        """Send an answer to whoever asked."""
        size = token[0]
        self._answers.append([token[1 : 1 + size], token[1 + size :], *encode(message)])
        self._waker.wake()

    def finish(self) -> None:
        """End the thread and close the sockets."""
        if self._ended:
            return
        self._ended = True
        self._waker.wake()
        self.join()
        self._waker.close()

    def run(self) -> None:
        """Work until `finish`."""
        poller = zmq.Poller()
        poller.register(self._asks, zmq.POLLIN)
        poller.register(self._waker.fd, zmq.POLLIN)
        beat = 0.0
        while not self._ended:
            poller.poll(int(BEAT_S * 1000))
            self._waker.clear()
            self._send_deltas()
            self._listen()
            while self._answers:
                send(self._asks, self._answers.popleft())
            if time.monotonic() >= beat:
                beat = time.monotonic() + BEAT_S
                self._beat()
        self._send_deltas()
        self._deltas.close()
        self._asks.close()
        self._context.term()

    def _send_deltas(self) -> None:
        while self._queue:
            send(self._deltas, self._queue.popleft())

    def _beat(self) -> None:
        with self._lock:
            sequence, waiting = self._sequence, bool(self._queue)
        if not waiting:
            send(self._deltas, encode(StateBeat(self.epoch, sequence)))

    def _listen(self) -> None:
        while (parts := receive(self._asks)) is not None:
            if len(parts) < 3:
                continue
            identity, number = parts[0], parts[1]
            try:
                message = decode(parts[2:])
            except CodecError as error:
                send(self._asks, [identity, number, *encode(Refusal(error.code, error.reason))])
                continue
            if isinstance(message, SnapshotRequest):
                self._snapshot(identity, number)
            elif len(self.questions) >= MAX_QUESTIONS:
                send(self._asks, [identity, number, *encode(Refusal("busy", f"{self.source} is busy"))])
            else:
                self.questions.append((bytes([len(identity)]) + identity + number, message))

    def _snapshot(self, identity: bytes, number: bytes) -> None:
        with self._lock:
            updates, sequence = list(self._latest.values()), self._sequence
        for parts in updates:
            send(self._asks, [identity, number, *parts])
        send(self._asks, [identity, number, *encode(SnapshotEnd(self.epoch, sequence, len(updates)))])


def connect_deltas(context: zmq.Context[zmq.Socket[bytes]], settings: StreamSettings, source: str) -> zmq.Socket[bytes]:
    """Return a subscriber's socket to the deltas of a source."""
    socket = open_socket(context, zmq.SUB, max_bytes=BULK_BYTES, high_water=200)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(settings.endpoint(f"state-{source}"))
    return socket


def connect_asks(context: zmq.Context[zmq.Socket[bytes]], settings: StreamSettings, source: str) -> zmq.Socket[bytes]:
    """Return a socket for questions and snapshots of a source."""
    socket = open_socket(context, zmq.DEALER, max_bytes=BULK_BYTES)
    socket.connect(settings.endpoint(f"state-{source}-ask"))
    return socket
