"""ZeroMQ sockets with the settings that never block for ever, and a way to wake a poll loop from another thread."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import zmq

from stream.schema import Part

CONTROL_BYTES = 8 * 1024 * 1024
"""Largest part that control and frame sockets accept."""
BULK_BYTES = 256 * 1024 * 1024
"""Largest part that result and state sockets accept."""

_FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
VIEW_BYTES = 32 * 1024
"""Parts of this size on are not copied where views are asked for."""


class Sent(enum.Enum):
    """What became of a message."""

    OK = "ok"
    FULL = "full"
    GONE = "gone"


class Fate(enum.Enum):
    """What became of a connection."""

    BROKEN = "broken"
    REFUSED = "refused"


def open_socket(
    context: zmq.Context[zmq.Socket[bytes]],
    kind: int,
    *,
    identity: bytes = b"",
    max_bytes: int = CONTROL_BYTES,
    high_water: int = 2000,
) -> zmq.Socket[bytes]:
    """Return a socket that drops what it cannot send at close and refuses oversized parts."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, max_bytes)
    socket.setsockopt(zmq.SNDHWM, high_water)
    socket.setsockopt(zmq.RCVHWM, high_water)
    socket.setsockopt(zmq.RECONNECT_IVL, 20)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
    if identity:
        socket.setsockopt(zmq.IDENTITY, identity)
    if kind == zmq.ROUTER:
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
    return socket


def bind(socket: zmq.Socket[bytes], endpoint: str) -> None:
    """Bind; an ipc socket's folder is made 0700 and the socket is for its owner alone."""
    path = Path(endpoint.removeprefix("ipc://"))
    if endpoint.startswith("ipc://"):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    socket.bind(endpoint)
    if endpoint.startswith("ipc://"):
        path.chmod(0o600)


def send(socket: zmq.Socket[bytes], parts: Sequence[Part]) -> Sent:
    """Send without waiting; says whether the peer's queue is full or the peer is gone."""
    try:
        socket.send_multipart(parts, zmq.NOBLOCK, copy=True)
    except zmq.Again:
        return Sent.FULL
    except zmq.ZMQError as error:
        if error.errno == zmq.EHOSTUNREACH:
            return Sent.GONE
        raise
    return Sent.OK


def receive(socket: zmq.Socket[bytes]) -> list[bytes] | None:
    """Return the next message's parts, or None where none waits."""
    try:
        return socket.recv_multipart(zmq.NOBLOCK)
    except zmq.Again:
        return None


def receive_views(socket: zmq.Socket[bytes]) -> list[Part] | None:
    """Return the next message's parts, or None where none waits; large parts are views of ZeroMQ's memory, not copies.

    Small ones are copied: they may lie anywhere in its buffer, and arrays want to be aligned.
    """
    try:
        frames = socket.recv_multipart(zmq.NOBLOCK, copy=False)
    except zmq.Again:
        return None
    return [frame.buffer if len(frame) >= VIEW_BYTES else frame.bytes for frame in frames]


def watch_connection(socket: zmq.Socket[bytes]) -> zmq.Socket[bytes]:
    """Return a socket that tells when a connection of `socket` breaks; to be made before it connects."""
    return socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_AUTH | _FAILED)


def connection_fates(watch: zmq.Socket[bytes]) -> set[Fate]:
    """Return what became of the watched connection since the last call."""
    fates: set[Fate] = set()
    while (parts := receive(watch)) is not None:
        event = int.from_bytes(parts[0][:2], sys.byteorder)  # what libzmq writes: u2 event, i4 value, native
        fates.add(Fate.BROKEN if event == zmq.EVENT_DISCONNECTED else Fate.REFUSED)
    return fates


class Listener:
    """Waits for sockets and a waker; a socket without a message is not asked for one (a refusal costs an exception)."""

    def __init__(self, waker: Waker, *sockets: zmq.Socket[bytes]) -> None:
        self._waker = waker
        self._poller = zmq.Poller()
        for source in (*sockets, waker.fd):
            self._poller.register(source, zmq.POLLIN)

    def wait(self, patience_ms: int) -> frozenset[object]:
        """Return the sockets with a message; empty after the patience, or where only the waker woke."""
        ready = {source for source, _ in self._poller.poll(patience_ms)}
        if self._waker.fd in ready:
            self._waker.clear()
        return frozenset(ready)


class Waker:
    """Wakes a zmq poll from any thread: an eventfd."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closed = False

    def wake(self) -> None:
        """Make the next (or the present) poll return."""
        if not self._closed:
            os.eventfd_write(self.fd, 1)

    def clear(self) -> None:
        """Forget the wakes so far."""
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Close the descriptor."""
        if not self._closed:
            self._closed = True
            os.close(self.fd)
