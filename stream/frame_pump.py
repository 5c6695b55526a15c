"""The thread that owns the frame maker: arms it, makes frames and writes each into the ring once."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from stream.frame_recorder import FrameRecorder
from stream.frames import FrameLost, FrameMaker
from stream.messages import Archive, Json, StatePoint, SweepRequest
from stream.ring import Ring, SlotKey, run_hash
from stream.slots import SlotLedger, SweepKey
from stream.sockets import Waker

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GATHER_S = 0.1
"""Shortest time between two announcements of frames within a sweep, s."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Armed:
    """The maker froze its state, or `reason` says why not."""

    request: SweepRequest
    """What was asked for."""
    state: StatePoint | None
    """Where the sample is; None where it failed."""
    source_state: Json
    """Frozen state of the source."""
    reason: str = ""
    """Why it could not be armed."""


@dataclass(frozen=True)
class Made:
    """Frames of a sweep are in the ring."""

    key: SweepKey
    """Run and sweep."""
    count: int
    """How many, cumulative."""
    ended: bool = False
    """No more will come."""
    reason: str = ""
    """Why it ended early; empty where it did not."""
    lost: int = 0
    """How many of them the source lost."""


@dataclass(frozen=True)
class _Send:
    request: SweepRequest
    archived: bool


class FramePump(threading.Thread):
    """Runs jobs in order; what happened is in `news`, and `waker` says that something is."""

    def __init__(self, maker: FrameMaker, ring: Ring, slots: SlotLedger, recorder: FrameRecorder, waker: Waker) -> None:
        super().__init__(name="frame-pump", daemon=True)
        self._maker = maker
        self._ring = ring
        self._slots = slots
        self._recorder = recorder
        self._waker = waker
        self._jobs: deque[SweepRequest | _Send] = deque()
        self._ready = threading.Condition()
        self._ended = False
        self._aborted: set[SweepKey] = set()
        self.news: deque[Armed | Made] = deque()
        self.waiting = False
        self.frames = 0
        self._woke = 0.0
        self._unheard = False
        # a bare lock that nobody releases before the end: the cheapest sleep that can be cut short
        self._hurry = threading.Lock()
        self._hurry.acquire()
        self._lost = self._lost_in_a_row = 0

    def arm(self, request: SweepRequest) -> None:
        """Freeze the maker's state; `Armed` follows."""
        self._put(request)

    def send(self, request: SweepRequest, archived: bool) -> None:
        """Make all frames of the armed sweep; `Made` follows, more than once."""
        self._put(_Send(request, archived))

    def abort(self, key: SweepKey) -> None:
        """End a sweep after the present frame, or without it where it is still waited for."""
        self._aborted.add(key)
        self._give_up()

    def urgent(self) -> bool:
        """Tell whether the news should be taken at once: a sweep was armed or has ended, or the ring is full."""
        newest = self.news[-1] if self.news else None
        return self._unheard or self.waiting or isinstance(newest, Armed) or (newest is not None and newest.ended)

    def finish(self, timeout_s: float) -> None:
        """End the thread after the present frame."""
        with self._ready:
            self._ended = True
            self._ready.notify_all()
        self._hurry.release()
        self._give_up()
        if self.is_alive():
            self.join(timeout_s)

    def run(self) -> None:
        """Work until `finish`."""
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._jobs or self._ended)
                if self._ended:
                    return
                job = self._jobs.popleft()
            if isinstance(job, _Send):
                self._tell(self._make(job))
            else:
                self._tell(self._arm(job))

    def _give_up(self) -> None:
        """Let a maker go that waits for a frame from outside: it has `give_up()`."""
        give_up = getattr(self._maker, "give_up", None)
        if callable(give_up):
            give_up()

    def _put(self, job: SweepRequest | _Send) -> None:
        with self._ready:
            self._jobs.append(job)
            self._ready.notify_all()

    def _tell(self, news: Armed | Made) -> None:
        self.news.append(news)
        self._waker.wake()

    def _arm(self, request: SweepRequest) -> Armed:
        try:
            state, source_state = self._maker.arm(request)
        except Exception as error:  # noqa: BLE001
            # a maker is anyone's code: whatever it raises is the reason for people, and the camera stays up
            _log.exception("the frame source could not be armed")
            return Armed(request, None, {}, f"{type(error).__name__}: {error}")
        return Armed(request, state, source_state)

    def _make(self, job: _Send) -> Made:
        request = job.request
        key, count = (request.run_uid, request.sweep), len(request.frequency_mhz)
        total = request.passes * count
        if getattr(self._maker, "archive", None) is Archive.SUMS:
            return Made(key, total, ended=True, lost=getattr(self._maker, "holes", 0))
        due, number, self._lost, self._lost_in_a_row = time.monotonic(), 0, 0, 0
        lost = Counter[int]()
        try:
            for number in range(total):
                slot = None if self._over(key) else self._slot(key)
                if slot is None:
                    reason = self._recorder.spoilt.get(key, "aborted")
                    return Made(key, number, ended=True, reason=reason, lost=self._lost)
                due = self._pace(due)
                pass_index, index = divmod(number, count)
                try:
                    frame = self._maker.frame(pass_index, index)
                except FrameLost:
                    self._slots.give_back(slot)
                    lost[index] += 1
                    if lost[index] == request.passes:
                        reason = f"every frame at {request.frequency_mhz[index]:g} MHz was lost by the camera"
                        _log.warning("sweep %d ends: %s", request.sweep, reason)
                        return Made(key, number, ended=True, reason=reason, lost=self._lost)
                    self._lose(key, number, job.archived)
                    continue
                except Exception:
                    self._slots.give_back(slot)
                    raise
                self._publish(key, number, slot, frame, job.archived)
        except Exception as error:  # noqa: BLE001 - as above
            _log.exception("the frame source failed")
            return Made(key, number, ended=True, reason=f"{type(error).__name__}: {error}", lost=self._lost)
        return Made(key, total, ended=True, lost=self._lost)

    def _lose(self, key: SweepKey, number: int, archived: bool) -> None:
        """Publish a frame that will never come: everyone counts the same hole."""
        self._lost += 1
        self._lost_in_a_row += 1
        self._slots.lose(key, number)
        if archived:
            self._recorder.add_hole(key, number)
        self.news.append(Made(key, number + 1, lost=self._lost))

    def _publish(self, key: SweepKey, number: int, slot: int, frame: object, archived: bool) -> None:
        mark = SlotKey(run_hash(key[0]), key[1], number)
        # only a frame that is to be on disk is ever held against its crc
        pixels = cast("NDArray[np.generic]", frame)
        sequence = self._ring.write(slot, mark, pixels, time.time(), archived, self._lost_in_a_row)
        self._lost_in_a_row = 0
        if not self._slots.filled(key, number, slot, sequence):
            return
        if archived:
            self._recorder.add_frame(key, number, slot)
        self.frames += 1
        self.news.append(Made(key, number + 1, lost=self._lost))
        # frames that come fast are announced together: a message per frame and band would cost more than its pixels
        if time.monotonic() - self._woke >= GATHER_S:
            self._woke = time.monotonic()
            self._waker.wake()

    def _over(self, key: SweepKey) -> bool:
        """Tell whether no more frames of the sweep are wanted, or can be kept."""
        return key in self._aborted or key in self._recorder.spoilt

    def _slot(self, key: SweepKey) -> int | None:
        """Wait for a slot as long as it takes: this is where a full ring stops the camera and loses nothing."""
        slot = self._slots.acquire(0.0)
        if slot is None:
            # what was made must be announced now: nobody frees the slot of a frame that he has not heard of
            self._unheard = True
            self._waker.wake()
        while slot is None and not self._ended and not self._over(key):
            slot = self._slots.acquire(0.1)
            self.waiting = slot is None
        self._unheard = False
        return slot

    def _pace(self, due: float) -> float:
        """Wait until the next exposure is due; a late one does not make the following ones come in a burst."""
        rate = self._maker.frame_rate_hz
        if rate <= 0:
            return due
        now = time.monotonic()
        if due > now:
            self._hurry.acquire(timeout=due - now)
        return max(due, now - 1 / rate) + 1 / rate
