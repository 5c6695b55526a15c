"""Which frame is in which ring slot and when a slot may be used again: bookkeeping without shared memory or sockets.

A frame is pinned until it is archived and added by the current lease holder of every band. A slot that is no longer
pinned keeps its frame until the room is needed, so that most replays come from memory. Thread-safe.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream.link_messages import ABANDONED, LOST, NOT_IN_RING

SweepKey = tuple[str, int]
"""(run uid, sweep)."""


@dataclass
class _Sweep:
    slots: NDArray[np.uint32]
    sequences: NDArray[np.uint64]
    keeps_file: bool
    made: int = 0
    archived: int = 0
    consumed: int = 0
    released: int = 0
    closed: bool = False
    lost: set[int] = field(default_factory=set[int])


class SlotLedger:
    """Hands out slots and takes them back.

    Parameters
    ----------
    slots
        Slots of the ring.
    policy
        `pause`: nobody's frame is taken; `spill`: a frame in the file may leave the ring before it was added;
        `abandon`: the oldest frame leaves, and where it is in no file it is a counted hole.
    """

    def __init__(self, slots: int, policy: str = "pause") -> None:
        if policy not in ("pause", "abandon", "spill"):
            raise ValueError(f"full_policy is {policy!r}: choose pause, abandon or spill")
        self.slots = slots
        self.policy = policy
        self.abandoned = 0
        self.lost = 0
        self._free = list(range(slots - 1, -1, -1))
        self._sweeps: dict[SweepKey, _Sweep] = {}
        self._changed = threading.Condition()

    def open_sweep(self, key: SweepKey, total: int, archived: bool) -> None:
        """Expect `total` frames; `archived` says whether they must be on disk before their slots are free."""
        with self._changed:
            slots = np.full(total, NOT_IN_RING, np.uint32)
            self._sweeps[key] = _Sweep(slots, np.zeros(total, np.uint64), archived)

    def acquire(self, timeout_s: float) -> int | None:
        """Return a slot to write, or None where none came free in time."""
        with self._changed:
            slot = self._take()
            if slot is None and self._changed.wait(timeout_s):
                slot = self._take()
            return slot

    def give_back(self, slot: int) -> None:
        """Return a slot that was acquired but not filled."""
        with self._changed:
            self._free.append(slot)
            self._changed.notify_all()

    def filled(self, key: SweepKey, number: int, slot: int, sequence: int) -> bool:
        """Frame `number` is in `slot`; False where its sweep was forgotten meanwhile: the slot is anyone's again."""
        with self._changed:
            sweep = self._sweeps.get(key)
            if sweep is None:
                self._free.append(slot)
                return False
            sweep.slots[number] = slot
            sweep.sequences[number] = sequence
            sweep.made = number + 1
            return True

    def lose(self, key: SweepKey, number: int) -> None:
        """Frame `number` never came from the camera: a counted hole that takes no slot."""
        with self._changed:
            self.lost += 1
            if key in self._sweeps:
                self._sweeps[key].slots[number] = LOST
                self._sweeps[key].made = number + 1

    def durable(self, key: SweepKey) -> int | None:
        """Return how many first frames are on disk; None where they need not be, or the sweep is not known."""
        with self._changed:
            sweep = self._sweeps.get(key)
            return sweep.archived if sweep is not None and sweep.keeps_file else None

    def archived(self, key: SweepKey, count: int) -> None:
        """Say that the first `count` frames are on disk."""
        with self._changed:
            if key in self._sweeps:
                self._sweeps[key].archived = count
                self._changed.notify_all()

    def consumed(self, key: SweepKey, count: int) -> None:
        """Every band's current lease holder has added the first `count` frames; falls when a band changes hands."""
        with self._changed:
            if key in self._sweeps:
                self._sweeps[key].consumed = count
                self._changed.notify_all()

    def close_sweep(self, key: SweepKey) -> None:
        """Nobody needs the sweep any more: its slots are free once it is archived."""
        with self._changed:
            if key in self._sweeps:
                self._sweeps[key].closed = True
                self._changed.notify_all()

    def lookup(self, key: SweepKey, first: int, stop: int) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
        """Return slots and sequences of frames first ... stop-1, with NOT_IN_RING and ABANDONED where they apply."""
        with self._changed:
            sweep = self._sweeps.get(key)
            if sweep is None:
                return np.full(stop - first, NOT_IN_RING, np.uint32), np.zeros(stop - first, np.uint64)
            return sweep.slots[first:stop].copy(), sweep.sequences[first:stop].copy()

    def pinned(self) -> int:
        """Return the number of slots whose frames may not be overwritten."""
        with self._changed:
            return sum(max(0, sweep.made - max(sweep.released, self._limit(sweep))) for sweep in self._sweeps.values())

    def _take(self) -> int | None:
        if self._free:
            return self._free.pop()
        for key in list(self._sweeps):
            slot = self._reclaim(key, self._limit(self._sweeps[key]))
            if slot is not None:
                return slot
        if self.policy == "abandon":
            return self._abandon()
        return None

    def _limit(self, sweep: _Sweep) -> int:
        """Return how many of the sweep's first frames are not pinned."""
        durable = sweep.archived if sweep.keeps_file else sweep.made
        if sweep.closed or (self.policy == "spill" and sweep.keeps_file):
            return durable
        return min(durable, sweep.consumed)

    def _reclaim(self, key: SweepKey, limit: int) -> int | None:
        sweep = self._sweeps[key]
        slot = None
        while slot is None and sweep.released < limit:
            if sweep.slots[sweep.released] != np.uint32(LOST):
                slot = int(sweep.slots[sweep.released])
                sweep.slots[sweep.released] = NOT_IN_RING
            sweep.released += 1
        if sweep.closed and sweep.released == sweep.made:
            del self._sweeps[key]
        return slot

    def _abandon(self) -> int | None:
        """Drop the oldest frame that is written; a hole where it is on no disk."""
        for sweep in self._sweeps.values():
            while sweep.released < sweep.made and sweep.slots[sweep.released] == np.uint32(LOST):
                sweep.released += 1
            if sweep.released < sweep.made and not (sweep.keeps_file and sweep.archived <= sweep.released):
                slot = int(sweep.slots[sweep.released])
                hole = not sweep.keeps_file
                sweep.slots[sweep.released] = ABANDONED if hole else NOT_IN_RING
                self.abandoned += hole
                sweep.released += 1
                return slot
        return None
