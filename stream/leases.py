"""Who owns which band of which sweep: a pure book of leases, numbered so that of two the higher one is current."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from stream.messages import RunStart
from stream.slots import SweepKey

PROBATION_SWEEPS = 8
"""Sweeps after which a worker that was too slow gets one band more again."""


def split_rows(height: int, bands: int, step: int = 1) -> list[tuple[int, int]]:
    """Return (y0, y1) of `bands` equal blocks of camera rows; they differ by one step where it does not divide.

    Every block begins at a multiple of `step` rows; the last one ends with the camera.
    """
    blocks = max(1, height // step)
    count = max(1, min(bands, blocks))
    edges = [blocks * i // count * step for i in range(count)] + [height]
    return list(itertools.pairwise(edges))


def band_step(run: RunStart) -> int:
    """Return the rows that a run's analysis sums to one (`bin_px`): no band may cut such a block."""
    asked = run.analysis.get("bin_px", 1)
    return asked if isinstance(asked, int) and asked > 0 else 1


@dataclass
class Holding:
    """One band of one sweep."""

    y0: int
    """First camera row."""
    y1: int
    """One past the last row."""
    owner: str = ""
    """Worker that holds the lease; empty while the band waits for one."""
    lease: int = 0
    """Number of the lease; 0 before the first."""
    done: bool = False
    """The builder has the final tile."""


@dataclass(frozen=True)
class Grant:
    """A change of owner."""

    key: SweepKey
    """Run and sweep."""
    y0: int
    """First camera row."""
    y1: int
    """One past the last row."""
    lease: int
    """Number of the new lease."""
    worker: str
    """New owner; empty where nobody is alive and the band waits."""
    previous: str
    """Owner before; empty for the first."""


@dataclass
class LeaseBook:
    """Deals bands to living workers; every change of owner raises the lease."""

    height: int
    """Camera rows."""
    bands: int
    """Bands per frame."""
    workers: list[str] = field(default_factory=list[str])
    """Living workers in the order of their hellos."""
    _sweeps: dict[SweepKey, list[Holding]] = field(default_factory=dict[SweepKey, list[Holding]])
    _next: int = 1
    _handicaps: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])

    def open_sweep(self, key: SweepKey, step: int = 1) -> list[Grant]:
        """Deal the bands of a new sweep: as even as possible, to the owner of the sweep before where that is even."""
        before = next(reversed(self._sweeps.values()), [])
        self._relent()
        habits = {band.y0: band.owner for band in before}
        self._sweeps[key] = [Holding(y0, y1) for y0, y1 in split_rows(self.height, self.bands, step)]
        return self._deal(key, habits)

    def join(self, worker: str) -> list[Grant]:
        """Admit a worker: it gets the bands that wait now, and its share from the next sweep on."""
        if worker not in self.workers:
            self.workers.append(worker)
        return self.deal_waiting()

    def leave(self, worker: str) -> list[Grant]:
        """Dismiss a worker: its unfinished bands move to the living, or wait; its finished ones are nobody's."""
        self._handicaps.pop(worker, None)
        for holdings in self._sweeps.values():
            for holding in holdings:
                if holding.done and holding.owner == worker:
                    holding.owner = ""
        if worker in self.workers:
            self.workers.remove(worker)
        return self.deal_waiting()

    def give_up(self, key: SweepKey, y0: int, lease: int, worker: str) -> list[Grant]:
        """Take one band back (its cube or its final is gone): it gets a new lease, of whoever has least to do."""
        holding = self.find(key, y0)
        if holding is None or (holding.lease, holding.owner) != (lease, worker):
            return []
        previous, holding.owner, holding.done = holding.owner, "", False
        return [self._grant(key, holding, previous, {})]

    def move(self, key: SweepKey, y0: int, worker: str) -> list[Grant]:
        """Give an unfinished band to another living worker; the one before gets one band less of the next sweeps."""
        holding = self.find(key, y0)
        if holding is None or holding.done or worker not in self.workers or holding.owner == worker:
            return []
        previous, holding.owner = holding.owner, worker
        holding.lease, self._next = self._next, self._next + 1
        bands = min(self.bands, self._handicaps.get(previous, (0, 0))[0] + 1)
        self._handicaps[previous] = (bands, PROBATION_SWEEPS)
        return [Grant(key, holding.y0, holding.y1, holding.lease, worker, previous)]

    def finish(self, key: SweepKey, y0: int) -> bool:
        """Note that the final tile of a band is accepted; tells whether that completed the sweep."""
        holding = self.find(key, y0)
        if holding is not None:
            holding.done = True
        return key in self._sweeps and all(band.done for band in self._sweeps[key])

    def reopen(self) -> list[Grant]:
        """Forget every final (the builder lost its memory): bands whose owner is gone must be made again."""
        for holdings in self._sweeps.values():
            for holding in holdings:
                holding.done = False
        return self.deal_waiting()

    def sweeps(self) -> list[SweepKey]:
        """Return the open sweeps."""
        return list(self._sweeps)

    def close_sweep(self, key: SweepKey) -> None:
        """Forget a sweep."""
        self._sweeps.pop(key, None)

    def find(self, key: SweepKey, y0: int) -> Holding | None:
        """Return the holding of a band, or None where there is no such band."""
        return next((band for band in self._sweeps.get(key, ()) if band.y0 == y0), None)

    def holdings(self, key: SweepKey) -> list[Holding]:
        """Return the bands of a sweep in row order; empty where it is not open."""
        return self._sweeps.get(key, [])

    def complete(self, key: SweepKey) -> bool:
        """Tell whether every band of the sweep is final (or the sweep is forgotten)."""
        return all(band.done for band in self._sweeps.get(key, ()))

    def owned(self, worker: str) -> Iterator[tuple[SweepKey, Holding]]:
        """Yield the unfinished bands of a worker."""
        for key, holdings in self._sweeps.items():
            for holding in holdings:
                if holding.owner == worker and not holding.done:
                    yield key, holding

    def deal_waiting(self) -> list[Grant]:
        """Move every unfinished band whose owner is not alive, over all sweeps."""
        return [grant for key in self._sweeps for grant in self._deal(key, {})]

    def _deal(self, key: SweepKey, habits: dict[int, str]) -> list[Grant]:
        grants: list[Grant] = []
        for holding in self._sweeps[key]:
            if holding.done or (holding.owner and holding.owner in self.workers):
                continue
            if holding.owner or self.workers:
                previous, holding.owner = holding.owner, ""
                grants.append(self._grant(key, holding, previous, habits))
        return grants

    def _grant(self, key: SweepKey, holding: Holding, previous: str, habits: dict[int, str]) -> Grant:
        holding.owner = self._choose(key, habits.get(holding.y0, ""))
        holding.lease, self._next = self._next, self._next + 1
        return Grant(key, holding.y0, holding.y1, holding.lease, holding.owner, previous)

    def _relent(self) -> None:
        """Forgive the slow one band each after some sweeps."""
        for worker, (bands, sweeps) in list(self._handicaps.items()):
            if sweeps > 1:
                self._handicaps[worker] = (bands, sweeps - 1)
            elif bands > 1:
                self._handicaps[worker] = (bands - 1, PROBATION_SWEEPS)
            else:
                del self._handicaps[worker]

    def _choose(self, key: SweepKey, habit: str) -> str:
        """Return the living worker with the fewest bands of the sweep; the habitual one up to its share."""
        if not self.workers:
            return ""
        handicaps = {worker: self._handicaps.get(worker, (0, 0))[0] for worker in self.workers}
        load = dict(handicaps)
        for holding in self._sweeps[key]:
            if holding.owner in load:
                load[holding.owner] += 1
        share, over = divmod(len(self._sweeps[key]) + sum(handicaps.values()), len(self.workers))
        bigger = sum(count > share for count in load.values())
        if habit in load and (load[habit] < share or (load[habit] == share and bigger < over)):
            return habit
        return min(self.workers, key=lambda worker: load[worker])
