"""Workers that live but do not keep up: how long their credits have been used up, and which band helps most elsewhere.

A worker is slow when frames have waited for its credits, without a break, for `after_s`. One of its bands moves where
another worker would be done in half the time, judged by what both acknowledged per second of owing; one that
acknowledged nothing at all loses every band. Only who works is given more, and a band that moved before moves again
twice as late. Nobody faster: nothing moves, and the ring's policy decides. A move that was not needed costs time and no
bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from stream.leases import Grant, Holding, LeaseBook
from stream.roster import Roster
from stream.run_book import RunBook
from stream.slots import SweepKey

FINAL_PATIENCE = 6.0
"""A complete band without a final tile moves after this many times `after_s`, twice as late at each further time."""
LOOK_S = 0.05
"""Time between two looks, s."""
GAIN = 0.5
"""A band moves where the other worker would need less than this share of the time."""


@dataclass
class _Pace:
    """What one worker acknowledged of late, and how long it owed something meanwhile."""

    frames_rows: float = 0.0
    owing_s: float = 0.0
    counted: int = 0
    starved_at: float | None = None
    moved_at: float = -math.inf

    @property
    def stuck(self) -> bool:
        """Tell whether it owes something and acknowledges nothing."""
        return self.starved_at is not None and self.frames_rows < 1.0

    @property
    def rate(self) -> float:
        """Rows per second of owing; infinite where it never owed anything."""
        return self.frames_rows / self.owing_s if self.owing_s > 0 else math.inf


@dataclass
class _Final:
    since: float
    moves: int = 0


@dataclass
class SlowWatch:
    """Looks at credits and acknowledgements; `check` says which bands should change hands."""

    book: RunBook
    """Frames made, and how far each band is."""
    leases: LeaseBook
    """Who owns what."""
    roster: Roster
    """Who is alive."""
    after_s: float
    """How long credits may be used up, s."""
    clock: Callable[[], float] = time.monotonic
    """Seconds."""
    moves: int = 0
    """Bands moved so far."""
    _paces: dict[str, _Pace] = field(default_factory=dict[str, _Pace])
    _moved: dict[tuple[SweepKey, int], int] = field(default_factory=dict[tuple[SweepKey, int], int])
    _finals: dict[tuple[SweepKey, int], _Final] = field(default_factory=dict[tuple[SweepKey, int], _Final])
    _looked: float = field(init=False)

    def __post_init__(self) -> None:
        """Begin to look."""
        self._looked = self.clock()

    def check(self) -> Iterator[tuple[list[Grant], str]]:
        """Yield changes of owner, each with its reason; each must be carried out before the next is asked for."""
        now = self.clock()
        if now - self._looked < LOOK_S:
            return
        self._measure(now, now - self._looked)
        self._looked = now
        for name, pace in list(self._paces.items()):
            if pace.starved_at is None or now - pace.starved_at < self.after_s:
                continue
            if pace.stuck or now - pace.moved_at >= self.after_s:
                pace.moved_at = now
                yield from self._relieve(name, now - pace.starved_at, everything=pace.stuck)
        self._moved = {mark: times for mark, times in self._moved.items() if self._open(mark)}
        if self.roster.builder is None:
            self._finals.clear()
        else:
            yield from self._late_finals(now)

    def backlog(self, worker: str) -> int:
        """Return what the worker has still to add, rows of frames."""
        return sum(self._to_do(key, band) for key, band in self.leases.owned(worker))

    def _measure(self, now: float, elapsed_s: float) -> None:
        """Take in what was acknowledged since the last look; what is longer ago than `after_s` fades."""
        for gone in self._paces.keys() - self.roster.workers.keys():
            del self._paces[gone]
        fade = math.exp(-elapsed_s / self.after_s)
        for name, peer in self.roster.workers.items():
            pace = self._paces.setdefault(name, _Pace(counted=peer.rows_added))
            pace.frames_rows = pace.frames_rows * fade + peer.rows_added - pace.counted
            pace.owing_s = pace.owing_s * fade + (elapsed_s if peer.in_flight_bytes > 0 else 0.0)
            pace.counted = peer.rows_added
            if not self._starved(name):
                pace.starved_at = None
            elif pace.starved_at is None:
                pace.starved_at = now

    def _starved(self, worker: str) -> bool:
        """Tell whether frames wait for the worker's credits."""
        for key, band in self.leases.owned(worker):
            sweep = self.book.sweep(key)
            if sweep is not None and band.y0 in sweep.cursors and sweep.cursors[band.y0].next < sweep.made:
                return True
        return False

    def _to_do(self, key: SweepKey, band: Holding) -> int:
        sweep = self.book.sweep(key)
        if sweep is None or band.y0 not in sweep.cursors:
            return 0
        return (sweep.made - sweep.cursors[band.y0].acked) * (band.y1 - band.y0)

    def _open(self, mark: tuple[SweepKey, int]) -> bool:
        """Tell whether a band is still to be finished."""
        holding = self.leases.find(*mark)
        return holding is not None and not holding.done

    def _relieve(self, worker: str, starved_s: float, everything: bool) -> Iterator[tuple[list[Grant], str]]:
        """Move the band that is furthest behind, or all of them, to whoever keeps up and would be done soonest.

        A band that has moved before moves again twice as late: where fits take long, bands must not go to and fro.
        """
        bands = [
            (key, band)
            for key, band in self.leases.owned(worker)
            if starved_s >= self.after_s * 2 ** self._moved.get((key, band.y0), 0)
        ]
        bands.sort(key=lambda item: self._to_do(*item), reverse=True)
        others = [name for name, pace in self._paces.items() if name != worker and not pace.stuck]
        for key, band in bands if everything else bands[:1]:
            sweep = self.book.sweep(key)
            if sweep is None or not others:
                return
            extra = sweep.made * (band.y1 - band.y0)
            times = {name: (self.backlog(name) + extra) / self._rate(name) for name in others}
            best = min(times, key=lambda name: (times[name], self.backlog(name)))
            rate = 0.0 if everything else self._rate(worker)
            if rate > 0 and times[best] >= GAIN * self.backlog(worker) / rate:
                return
            self.moves += 1
            self._moved[key, band.y0] = self._moved.get((key, band.y0), 0) + 1
            yield self.leases.move(key, band.y0, best), f"{worker} does not keep up"

    def _rate(self, worker: str) -> float:
        pace = self._paces.get(worker)
        return math.inf if pace is None else pace.rate or 1e-9

    def _late_finals(self, now: float) -> Iterator[tuple[list[Grant], str]]:
        """Move complete bands whose final tile does not come: the worker hangs in its fit."""
        waiting: set[tuple[SweepKey, int]] = set()
        for name in list(self.roster.workers):
            for key, band in list(self.leases.owned(name)):
                sweep = self.book.sweep(key)
                cursor = None if sweep is None else sweep.cursors.get(band.y0)
                if sweep is None or cursor is None or cursor.acked < sweep.total:
                    continue
                mark = (key, band.y0)
                waiting.add(mark)
                final = self._finals.setdefault(mark, _Final(now))
                patience = FINAL_PATIENCE * self.after_s * 2**final.moves
                others = [other for other in self.roster.workers if other != name]
                if now - final.since >= patience and others:
                    final.since, final.moves = now, final.moves + 1
                    self.moves += 1
                    best = min(others, key=lambda other: (self.backlog(other), other))
                    yield self.leases.move(key, band.y0, best), f"{name} sends no final map"
        # while a moved band is added again it waits for no final, and keeps its count of moves
        for mark, final in list(self._finals.items()):
            if mark not in waiting:
                holding = self.leases.find(*mark)
                if holding is None or holding.done:
                    del self._finals[mark]
                else:
                    final.since = now
