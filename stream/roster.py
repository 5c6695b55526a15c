"""The frame server's peers: who said hello, who is alive, and messages to them that keep their order."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from stream.codec import encode
from stream.doors import Door
from stream.link_messages import Hello
from stream.messages import Json, WorkerHealth
from stream.schema import Parts
from stream.slots import SweepKey
from stream.sockets import Sent, send

MAX_WORKERS = 256
"""Workers alive at once, and dead ones that are remembered."""
MAX_QUEUED = 20_000
"""Messages that wait for one peer before it counts as gone."""


@dataclass
class Peer:
    """One worker or the builder."""

    door: Door
    """Socket that it came through."""
    identity: bytes
    """Routing id of its socket."""
    hello: Hello
    """What it said."""
    seen: float
    """Last message, monotonic seconds."""
    seen_wall_s: float
    """Last message, seconds since the epoch."""
    stats: Json = field(default_factory=dict[str, object])
    """Numbers of its last heartbeat."""
    outbox: deque[Parts] = field(default_factory=deque[Parts])
    """Messages that its queue did not take yet."""
    told: set[object] = field(default_factory=set[object])
    """Runs and sweeps it was told of."""
    progress: dict[SweepKey, tuple[int, bool]] = field(default_factory=dict[SweepKey, tuple[int, bool]])
    """Frames of each sweep that it was told of, and whether the sweep ended."""
    in_flight_bytes: int = 0
    """Pixels sent and not yet acknowledged."""
    frames_added: int = 0
    """Frames acknowledged, counted per band."""
    rows_added: int = 0
    """Rows of frames acknowledged: what it does, whatever the height of its bands."""


class Roster:
    """Peers by name."""

    def __init__(self) -> None:
        self.workers: dict[str, Peer] = {}
        self.builder: Peer | None = None
        self.past: dict[str, WorkerHealth] = {}
        self.leases_lost: dict[str, int] = {}
        self.gone: set[str] = set()

    def admit(self, door: Door, identity: bytes, hello: Hello) -> Peer:
        """Take a peer in under its name."""
        peer = Peer(door, identity, hello, time.monotonic(), time.time())
        if hello.role == "builder":
            self.builder = peer
        else:
            self.workers[hello.name] = peer
            self.past.pop(hello.name, None)
            self.leases_lost.setdefault(hello.name, 0)
            self.gone.discard(hello.name)
        return peer

    def drop(self, name: str) -> Peer | None:
        """Forget a worker that is gone; its health stays visible as dead."""
        peer = self.workers.pop(name, None)
        self.gone.discard(name)
        if peer is not None:
            self.past[name] = self._health(peer, 0, alive=False)
            while len(self.past) > MAX_WORKERS:
                forgotten = next(iter(self.past))
                del self.past[forgotten]
                self.leases_lost.pop(forgotten, None)
        return peer

    def find(self, door: Door, identity: bytes) -> Peer | None:
        """Return the peer that speaks from this routing id of this door."""
        name = identity.decode("utf-8", "replace")
        peer = self.workers.get(name)
        if peer is None and self.builder is not None and self.builder.identity == identity:
            peer = self.builder
        return peer if peer is not None and peer.door is door else None

    def touch(self, peer: Peer) -> None:
        """Note that the peer spoke."""
        peer.seen, peer.seen_wall_s = time.monotonic(), time.time()

    def forgive(self, pause_s: float) -> None:
        """Add a time in which this process did not listen to every peer's patience."""
        for peer in self.workers.values():
            peer.seen += pause_s

    def silent(self, patience_s: float) -> list[str]:
        """Return the workers not heard for longer than `patience_s`."""
        now = time.monotonic()
        return [name for name, peer in self.workers.items() if now - peer.seen > patience_s]

    def send(self, peer: Peer, message: object) -> None:
        """Send a message that may not be lost or overtaken."""
        peer.outbox.append(encode(message))
        self.flush(peer)

    def offer(self, peer: Peer, message: object) -> bool:
        """Send a message now or not at all; False where the peer's queue is full."""
        return not peer.outbox and self._try(peer, encode(message)) is Sent.OK

    def flush(self, peer: Peer) -> None:
        """Send what waits for the peer."""
        while peer.outbox and self._try(peer, peer.outbox[0]) is Sent.OK:
            peer.outbox.popleft()
        if len(peer.outbox) > MAX_QUEUED:
            self._lost(peer)

    def everyone(self) -> list[Peer]:
        """Return all peers, the builder last."""
        return [*self.workers.values(), *([] if self.builder is None else [self.builder])]

    def health(self, bands: dict[str, int]) -> list[WorkerHealth]:
        """Return the health of every worker ever seen, by name."""
        alive = [self._health(peer, bands.get(name, 0), alive=True) for name, peer in self.workers.items()]
        return sorted([*alive, *self.past.values()], key=lambda item: item.worker)

    def _try(self, peer: Peer, parts: Parts) -> Sent:
        sent = send(peer.door.socket, [peer.identity, *parts])
        if sent is Sent.GONE:
            self._lost(peer)
        return sent

    def _lost(self, peer: Peer) -> None:
        if peer is self.builder:
            self.builder = None
        else:
            self.gone.add(peer.hello.name)

    def _health(self, peer: Peer, bands: int, alive: bool) -> WorkerHealth:
        name = peer.hello.name
        lost = self.leases_lost.get(name, 0)
        return WorkerHealth(name, alive, bands, lost, peer.seen_wall_s, peer.frames_added, peer.stats)
