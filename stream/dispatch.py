"""Sends each band's owner its frames: descriptors in order, within byte credits; moves bands when owners change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from stream.leases import Grant, Holding, LeaseBook
from stream.link_messages import (
    ABANDONED,
    NOT_IN_RING,
    Ack,
    BandSums,
    FramesReady,
    LeaseGrant,
    LeaseRevoke,
    ReplayRequest,
)
from stream.messages import Archive
from stream.pixels import PixelMessages
from stream.roster import Peer, Roster
from stream.run_book import Cursor, RunBook, RunRecord, SweepPhase, SweepRecord
from stream.slots import SlotLedger, SweepKey

BATCH = 128
"""Most descriptors in one message."""


class Dispatcher:
    """Cursors per band, credits per worker.

    Parameters
    ----------
    pixels
        Makes the messages of peers without the ring.
    row_bytes
        Bytes of one camera row.
    credit_bytes
        Pixels in flight per worker; two frames at least.
    """

    def __init__(
        self,
        books: tuple[RunBook, LeaseBook, SlotLedger],
        roster: Roster,
        pixels: PixelMessages,
        row_bytes: int,
        credit_bytes: int,
    ) -> None:
        self._book, self._leases, self._slots = books
        self._roster = roster
        self._pixels = pixels
        self._row_bytes = row_bytes
        self._credit = max(credit_bytes, 2 * row_bytes * self._leases.height)
        self._hot: dict[SweepKey, None] = {}
        self.reassignments = 0
        self.frames_replayed = 0
        self.frames_acked = 0

    def apply(self, grants: Iterable[Grant]) -> None:
        """Carry out changes of owner: counts start again, old and new owner and the builder are told."""
        for grant in grants:
            sweep = self._book.sweep(grant.key)
            if sweep is None:
                continue
            self._reset(sweep, grant)
            message = LeaseGrant(*grant.key, grant.y0, grant.y1, grant.lease, grant.worker)
            owner = self._roster.workers.get(grant.worker)
            if owner is not None:
                self.introduce(owner, sweep)
                self._roster.send(owner, message)
            if self._roster.builder is not None:
                self._roster.send(self._roster.builder, message)
            self.wake(grant.key)

    def introduce(self, peer: Peer, sweep: SweepRecord) -> None:
        """Tell a peer of a run and a sweep it has not heard of."""
        self.introduce_run(peer, self._book.runs[sweep.start.run_uid])
        if sweep.key not in peer.told:
            peer.told.add(sweep.key)
            self._roster.send(peer, sweep.start)

    def introduce_run(self, peer: Peer, run: RunRecord) -> None:
        """Tell a peer of a run it has not heard of."""
        if run.start.run_uid not in peer.told:
            peer.told.add(run.start.run_uid)
            self._roster.send(peer, run.start)

    def wake(self, key: SweepKey) -> None:
        """Look at this sweep again: it may have something to send."""
        self._hot[key] = None

    def forget(self, key: SweepKey) -> None:
        """Stop sending a sweep; its owners have the credits back of what they will never acknowledge."""
        self._hot.pop(key, None)
        sweep = self._book.sweep(key)
        for band in self._leases.holdings(key):
            owner = self._roster.workers.get(band.owner)
            if sweep is not None and owner is not None and band.y0 in sweep.cursors:
                self._give_back(owner, sweep.cursors[band.y0], band.y1 - band.y0)

    def settle(self, keys: Iterable[SweepKey]) -> None:
        """Look again at what these sweeps still need of the ring: bands are final, or owners are gone."""
        for key in keys:
            sweep = self._book.sweep(key)
            if sweep is not None:
                self._consumed(sweep)

    def ack(self, peer: Peer, ack: Ack) -> None:
        """Take a cumulative acknowledgement; those of an old lease are ignored."""
        sweep, cursor = self._current(peer, (ack.run_uid, ack.sweep), ack.y0, ack.lease)
        if sweep is None or cursor is None:
            return
        added = min(ack.added, cursor.next) if cursor.ahead else ack.added
        if not cursor.acked < added <= cursor.next:
            return
        rows = self._rows(sweep.key, ack.y0)
        peer.in_flight_bytes -= (added - cursor.acked) * rows * self._row_bytes
        peer.frames_added += added - cursor.acked
        self.frames_acked += added - cursor.acked
        peer.rows_added += (added - cursor.acked) * rows
        cursor.acked = added
        self._consumed(sweep)

    def replay(self, peer: Peer, request: ReplayRequest) -> None:
        """Send again from the first missing frame on."""
        sweep, cursor = self._current(peer, (request.run_uid, request.sweep), request.y0, request.lease)
        if sweep is None or cursor is None or not cursor.acked <= request.first < cursor.next:
            return
        peer.in_flight_bytes -= (cursor.next - request.first) * self._rows(sweep.key, request.y0) * self._row_bytes
        self.frames_replayed += cursor.next - request.first
        cursor.next, cursor.sums = request.first, None
        self.wake(sweep.key)

    def send(self) -> None:
        """Send every band's owner as much as is made and its credits allow."""
        for key in list(self._hot):
            sweep = self._book.sweep(key)
            if sweep is None or not self._send_sweep(sweep):
                self._hot.pop(key, None)

    def _send_sweep(self, sweep: SweepRecord) -> bool:
        """Send one sweep; tells whether something is left to send to someone alive."""
        hungry = self._hungry(sweep)
        per_owner = Counter(holding.owner for holding, _, _ in hungry)
        sent = True
        while sent:
            # in turns: the bands of one owner share its credits, so that their maps grow together
            sent = False
            for holding, cursor, owner in hungry:
                sent |= self._send_batch(sweep, holding, cursor, (owner, per_owner[holding.owner]))
        return any(cursor.next < sweep.made for _, cursor, _ in hungry)

    def _hungry(self, sweep: SweepRecord) -> list[tuple[Holding, Cursor, Peer]]:
        """Return the bands with frames to send to a living owner, those furthest behind first."""
        found: list[tuple[Holding, Cursor, Peer]] = []
        for holding in self._leases.holdings(sweep.key):
            cursor, owner = sweep.cursors.get(holding.y0), self._roster.workers.get(holding.owner)
            if cursor is not None and owner is not None and cursor.next < sweep.made:
                found.append((holding, cursor, owner))
        return sorted(found, key=lambda item: item[1].next)

    def _send_batch(self, sweep: SweepRecord, holding: Holding, cursor: Cursor, share: tuple[Peer, int]) -> bool:
        """Send one batch within this band's share of the owner's credits; tells whether anything was sent."""
        owner, sharers = share
        size = (holding.y1 - holding.y0) * self._row_bytes
        room = (self._credit - owner.in_flight_bytes) // size
        count = min(BATCH, sweep.made - cursor.next, max(room // sharers, min(room, 1)))
        if count <= 0:
            return False
        slots, sequences = self._slots.lookup(sweep.key, cursor.next, cursor.next + count)
        run = self._book.runs[sweep.start.run_uid].start
        path = run.frames_path
        if not path:
            slots[slots == np.uint32(NOT_IN_RING)] = ABANDONED
        elif run.archive is Archive.SUMS and (gone := np.flatnonzero(slots == np.uint32(NOT_IN_RING))).size:
            if gone[0] == 0:
                return self._send_sums(sweep, holding, cursor, (owner, path))
            count = int(gone[0])
            slots, sequences = slots[:count], sequences[:count]
        message = FramesReady(*sweep.key, holding.y0, holding.lease, cursor.next, slots, sequences)
        if owner.door.remote:
            count, message = self._pixels.of(message, sweep.start, (holding.y1, path))
        if not count or not self._roster.offer(owner, message):
            return False
        cursor.next += count
        owner.in_flight_bytes += count * size
        return True

    def _send_sums(self, sweep: SweepRecord, holding: Holding, cursor: Cursor, to: tuple[Peer, str]) -> bool:
        """Send sums in the place of frames that are kept by them alone; after the last one frames go on."""
        owner, path = to
        if cursor.sums is None:
            bands = [band.y0 for band in self._leases.holdings(sweep.key) if band.owner == holding.owner]
            if any(y0 in sweep.cursors and sweep.cursors[y0].sums is not None for y0 in bands):
                return False  # one band after the other: what waits for a worker stays small
            durable = self._slots.durable(sweep.key)
            cursor.sums = (sweep.made if durable is None else durable, 0)
        done, index = cursor.sums
        none = np.zeros(0, np.uint32)
        place = BandSums(*sweep.key, holding.y0, holding.lease, index, none, none, ())
        message = self._pixels.sums(place, sweep.start, done, (holding.y1, path))
        if message is None or not self._roster.offer(owner, message):
            return False
        cursor.ahead = True
        index += len(message.sums)
        cursor.sums = (done, index)
        if index >= min(done, len(sweep.start.frequency_mhz)):
            owner.in_flight_bytes += (done - cursor.next) * (holding.y1 - holding.y0) * self._row_bytes
            cursor.next, cursor.sums = done, None
        return True

    def _reset(self, sweep: SweepRecord, grant: Grant) -> None:
        cursor = sweep.cursors.setdefault(grant.y0, Cursor())
        previous = self._roster.workers.get(grant.previous)
        if grant.previous:
            self.reassignments += 1
            self._roster.leases_lost[grant.previous] = self._roster.leases_lost.get(grant.previous, 0) + 1
        if previous is not None:
            self._give_back(previous, cursor, grant.y1 - grant.y0)
            self._roster.send(previous, LeaseRevoke(*grant.key, grant.y0, cursor.lease))
        self.frames_replayed += cursor.next
        sweep.cursors[grant.y0] = Cursor(grant.lease)
        self._consumed(sweep)

    def _give_back(self, owner: Peer, cursor: Cursor, rows: int) -> None:
        owner.in_flight_bytes -= (cursor.next - cursor.acked) * rows * self._row_bytes

    def _consumed(self, sweep: SweepRecord) -> None:
        """Tell the ring how many frames no band needs any more."""
        if sweep.phase is not SweepPhase.ABORTED:
            holdings = self._leases.holdings(sweep.key)
            # nobody acknowledges for an owner who died once the band was final
            needed = [band for band in holdings if band.owner or not band.done]
            counts = [sweep.cursors[band.y0].acked if band.y0 in sweep.cursors else 0 for band in needed]
            self._slots.consumed(sweep.key, min(counts, default=sweep.total if holdings else 0))

    def _current(
        self, peer: Peer, key: SweepKey, y0: int, lease: int
    ) -> tuple[SweepRecord, Cursor] | tuple[None, None]:
        sweep, holding = self._book.sweep(key), self._leases.find(key, y0)
        if sweep is None or holding is None or holding.lease != lease or holding.owner != peer.hello.name:
            return None, None
        return sweep, sweep.cursors[y0]

    def _rows(self, key: SweepKey, y0: int) -> int:
        holding = self._leases.find(key, y0)
        return 0 if holding is None else holding.y1 - holding.y0
