"""The frame server's door: hello, goodbye and refusals; who is alive, and whose bands move when somebody is not."""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence

from stream.codec import SCHEMA_HASH, CodecError, decode, encode
from stream.dispatch import Dispatcher
from stream.doors import Door
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
from stream.messages import Severity, SweepAbort
from stream.roster import MAX_WORKERS, Peer, Roster
from stream.run_book import RunBook, RunRecord, SweepRecord
from stream.slots import SlotLedger, SweepKey
from stream.slow_workers import SlowWatch
from stream.sockets import receive, send
from stream.state import StatePublisher

_log = logging.getLogger(__name__)


class Reception:
    """Takes the messages of workers and builder.

    Parameters
    ----------
    doors
        ROUTERs of the frame plane.
    greeting
        (epoch of this server, path of the ring, epoch of the ring), told in every welcome on this host.
    door
        Who is here, what they are sent, and which bands of the living should move.
    """

    def __init__(
        self,
        doors: Sequence[Door],
        greeting: tuple[str, str, str],
        books: tuple[RunBook, LeaseBook, SlotLedger],
        door: tuple[Roster, Dispatcher, SlowWatch],
        state: StatePublisher,
    ) -> None:
        self._doors = doors
        self._greeting = greeting
        self._book, self._leases, self._slots = books
        self._roster, self._dispatch, self._slow = door
        self._state = state
        self._builder_epoch = ""
        self.malformed = 0
        self.refused = 0
        self.changed = True

    def listen(self, ready: Container[object]) -> None:
        """Take every message that waits at the doors whose sockets are `ready`."""
        for door in self._doors:
            if door.socket in ready:
                self._listen(door)

    def _listen(self, door: Door) -> None:
        while (parts := receive(door.socket)) is not None:
            identity = parts[0]
            try:
                message = decode(parts[1:])
            except CodecError as error:
                self._count(error.reason)
                self._refuse(door, identity, error.code, error.reason)
                continue
            if isinstance(message, Hello):
                self._hello(door, identity, message)
                continue
            peer = self._roster.find(door, identity)
            if peer is None or (isinstance(message, Heartbeat | Goodbye) and message.epoch != peer.hello.epoch):
                self._refuse(door, identity, "hello", "say hello first")
                continue
            self._roster.touch(peer)
            self._take(peer, message)

    def check(self, patience_s: float) -> None:
        """Dismiss the workers that are silent or whose sockets are gone; relieve those that do not keep up."""
        for name in self._roster.silent(patience_s):
            self._lose(name, f"silent for {patience_s:.1f} s", Severity.MAJOR)
        for name in list(self._roster.gone):
            self._lose(name, "its socket is gone", Severity.MAJOR)
        for grants, reason in self._slow.check():
            self.changed = True
            self._move(grants, reason)

    def retire(self) -> None:
        """Forget closed runs whose every band is final; the newest stays for a builder that begins again."""
        for run_uid, run in list(self._book.runs.items())[:-1]:
            if run.stop is not None and all(self._leases.complete(sweep.key) for sweep in run.sweeps.values()):
                self._forget_run(run_uid, run)
        # a builder that never comes must not make this grow for ever
        while len(self._book.runs) > self._book.MAX_RUNS:
            run_uid, run = next(iter(self._book.runs.items()))
            self._state.event(Severity.MAJOR, f"run {run_uid} is forgotten before its maps were final")
            self._forget_run(run_uid, run)

    def abort(self, sweep: SweepRecord) -> None:
        """Tell everyone that a sweep ended early, and forget its bands."""
        for peer in self._roster.everyone():
            self._roster.send(peer, SweepAbort(*sweep.key, sweep.made))
        self._forget(sweep.key)

    def bands(self) -> dict[str, int]:
        """Return how many unfinished bands each worker owns."""
        return {name: sum(1 for _ in self._leases.owned(name)) for name in self._roster.workers}

    def _take(self, peer: Peer, message: object) -> None:
        builder = peer is self._roster.builder
        match message:
            case Heartbeat():
                peer.stats = message.stats
            case Ack() if not builder:
                self._dispatch.ack(peer, message)
            case ReplayRequest() if not builder:
                self._dispatch.replay(peer, message)
            case LeaseReturn() if not builder:
                grants = self._leases.give_up(
                    (message.run_uid, message.sweep), message.y0, message.lease, peer.hello.name
                )
                self._move(grants, f"{peer.hello.name} returned it: {message.reason}")
            case FinalAccepted() if builder:
                key = (message.run_uid, message.sweep)
                whole = self._leases.finish(key, message.y0)
                self._dispatch.settle([key])
                if whole:
                    self.retire()
            case Goodbye() if not builder:
                self._lose(peer.hello.name, "said goodbye", Severity.MINOR)
            case Goodbye():
                self._roster.builder = None
            case _:
                self._count(f"{type(message).__name__} of {peer.hello.name}")

    def _hello(self, door: Door, identity: bytes, hello: Hello) -> None:
        if hello.schema != SCHEMA_HASH:
            reason = f"your message set is {hello.schema}, mine is {SCHEMA_HASH}: bring both to one version"
            self._refuse(door, identity, "schema", reason)
            return
        name = "builder" if hello.role == "builder" else hello.name
        if hello.role not in ("worker", "builder") or identity != name.encode() or (hello.role, name) == _TAKEN:
            reason = "a peer is a worker or the builder, and its socket is named like itself"
            self._refuse(door, identity, "refused", reason)
            return
        if (reason := self._not_here(door, hello)) is not None:
            self._refuse(door, identity, "refused", reason)
            return
        known = self._roster.find(door, identity)
        again = known is not None and known.hello.epoch == hello.epoch
        if not again and name in self._roster.workers:
            self._lose(name, "began again", Severity.MINOR)
        peer = known if known is not None and again else self._roster.admit(door, identity, hello)
        epoch, ring_path, ring_epoch = (self._greeting[0], "", "") if door.remote else self._greeting
        self._roster.send(peer, Welcome("camera", epoch, hello.epoch, ring_path, ring_epoch))
        if not again:
            self._meet(peer)

    def _not_here(self, door: Door, hello: Hello) -> str | None:
        """Return why a peer may not come through this door, or None."""
        if door.remote and hello.role == "builder":
            return "the builder is on the frame server's host"
        if hello.name not in self._roster.workers and len(self._roster.workers) >= MAX_WORKERS:
            return f"there are {MAX_WORKERS} workers already"
        namesake = self._roster.workers.get(hello.name)
        if namesake is not None and namesake.door is not door:
            return f"there is a worker named {hello.name} already: give each its own name"
        return None

    def _meet(self, peer: Peer) -> None:
        self.changed = True
        if peer.hello.role == "builder":
            self._meet_builder(peer)
            return
        for run in self._book.open_runs():
            self._dispatch.introduce_run(peer, run)
        self._state.event(Severity.NO_ALARM, f"{peer.hello.name} is here")
        self._move(self._leases.join(peer.hello.name), "waited for a worker")

    def _meet_builder(self, peer: Peer) -> None:
        """Tell the builder everything it needs to begin anew."""
        for run in self._book.runs.values():
            self._dispatch.introduce_run(peer, run)
            for sweep in run.sweeps.values():
                self._dispatch.introduce(peer, sweep)
                for band in self._leases.holdings(sweep.key):
                    self._roster.send(peer, LeaseGrant(*sweep.key, band.y0, band.y1, band.lease, band.owner))
                self._roster.send(peer, sweep.progress())
            if run.stop is not None:
                self._roster.send(peer, run.stop)
        if self._builder_epoch:
            self._state.event(Severity.MINOR, "the builder began again: finals are asked for once more")
            self._move(self._leases.reopen(), "its final map is lost with the builder")
        self._builder_epoch = peer.hello.epoch

    def _lose(self, name: str, reason: str, severity: Severity) -> None:
        """Move a worker's bands to the living."""
        if self._roster.drop(name) is None:
            return
        self.changed = True
        self._state.event(severity, f"{name} is gone: {reason}")
        self._move(self._leases.leave(name), f"{name} {reason}")
        self._dispatch.settle(self._leases.sweeps())

    def _move(self, grants: list[Grant], reason: str) -> None:
        self._dispatch.apply(grants)
        for grant in grants:
            rows = f"rows {grant.y0}-{grant.y1} of sweep {grant.key[1]}"
            self._state.event(Severity.MINOR, f"{rows}: {grant.worker or 'wait for a worker'} ({reason})")

    def _forget_run(self, run_uid: str, run: RunRecord) -> None:
        for sweep in run.sweeps.values():
            self._forget(sweep.key)
        del self._book.runs[run_uid]

    def _forget(self, key: SweepKey) -> None:
        self._dispatch.forget(key)
        self._leases.close_sweep(key)
        self._slots.close_sweep(key)

    def _refuse(self, door: Door, identity: bytes, code: str, reason: str) -> None:
        self.refused += 1
        if code != "malformed" and (self.refused <= 10 or self.refused % 1000 == 0):
            _log.warning("refused %s: %s (%d so far)", identity[:40], reason, self.refused)
        send(door.socket, [identity, *encode(Refusal(code, reason[:500]))])

    def _count(self, what: str) -> None:
        """Count what cannot be used; the log is limited, the count is not."""
        self.malformed += 1
        if self.malformed <= 10 or self.malformed % 1000 == 0:
            _log.warning("refused: %s (%d so far)", what, self.malformed)


_TAKEN = ("worker", "builder")
"""A worker may not be named like the builder."""
