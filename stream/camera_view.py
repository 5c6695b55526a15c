"""What the camera process shows on the state plane: its newest frame and its counts."""

from __future__ import annotations

import time

from stream.frame_pump import FramePump
from stream.leases import LeaseBook
from stream.messages import Json
from stream.ring import Ring
from stream.roster import Roster
from stream.run_book import RunBook, SweepRecord
from stream.slots import SlotLedger, SweepKey
from stream.state import StatePublisher


class CameraView:
    """Publishes the channels `camera` and `frame`."""

    def __init__(
        self,
        state: StatePublisher,
        ring: Ring,
        books: tuple[RunBook, LeaseBook, SlotLedger],
        roster: Roster,
        pump: FramePump,
    ) -> None:
        self._state = state
        self._ring = ring
        self._book, self._leases, self._slots = books
        self._roster = roster
        self._pump = pump
        self._shown: tuple[SweepKey, int] | None = None
        self._counted = (time.monotonic(), 0)

    def show(self, counts: Json) -> None:
        """Publish the counts, and the newest frame where it is another one than before.

        Parameters
        ----------
        counts
            Further numbers for the channel `camera`.
        """
        sweep = self._newest()
        header: Json = {
            "state": self._phase(sweep),
            "run_uid": "" if sweep is None else sweep.start.run_uid,
            "sweep": -1 if sweep is None else sweep.start.sweep,
            "frames_sent": 0 if sweep is None else sweep.made,
            "frames_total": 0 if sweep is None else sweep.total,
            "ring_fill": self._slots.pinned() / self._slots.slots,
            "rate_hz": self._rate(),
            "frames_abandoned": self._slots.abandoned,
            "frames_lost": self._slots.lost,
            "leases": self._owned(),
        }
        self._state.publish("camera", header | counts)
        if sweep is not None and sweep.made and self._shown != (sweep.key, sweep.made):
            self._picture(sweep)

    def _phase(self, sweep: SweepRecord | None) -> str:
        if sweep is None:
            return "idle"
        return "waiting" if self._pump.waiting else sweep.phase.value

    def _owned(self) -> list[Json]:
        return [
            {"sweep": key[1], "y0": band.y0, "y1": band.y1, "worker": name, "lease": band.lease}
            for name in self._roster.workers
            for key, band in self._leases.owned(name)
        ]

    def _picture(self, sweep: SweepRecord) -> None:
        self._shown = (sweep.key, sweep.made)
        slots, sequences = self._slots.lookup(sweep.key, sweep.made - 1, sweep.made)
        slot = int(slots[0])
        if slot >= self._ring.slots:
            return
        frame, time_s = self._ring.pixels[slot].copy(), self._ring.time_s(slot)
        # the pump may have taken the slot for another frame while it was copied
        if self._ring.sequence(slot) == int(sequences[0]):
            pass_index, index = divmod(sweep.made - 1, len(sweep.start.frequency_mhz))
            header: Json = {"sweep": sweep.start.sweep, "pass_index": pass_index, "index": index, "time_s": time_s}
            self._state.publish("frame", header, {"value": frame})

    def _newest(self) -> SweepRecord | None:
        sending = self._book.sending()
        if sending is not None:
            return sending
        runs = [run for run in self._book.runs.values() if run.sweeps]
        return next(reversed(runs[-1].sweeps.values())) if runs else None

    def _rate(self) -> float:
        """Return the frames per second since the last call, over all runs."""
        then, before = self._counted
        self._counted = (time.monotonic(), sum(run.frames_sent() for run in self._book.runs.values()))
        return max(0.0, (self._counted[1] - before) / max(self._counted[0] - then, 1e-3))
