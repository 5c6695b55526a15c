"""The camera process's metrics and alarms, read from what it knows anyway."""

from __future__ import annotations

from stream.alarms import AlarmBook
from stream.dispatch import Dispatcher
from stream.frame_pump import FramePump
from stream.frame_recorder import FrameRecorder
from stream.leases import LeaseBook
from stream.messages import Severity
from stream.metrics import Numbers
from stream.roster import Roster
from stream.run_book import RunBook
from stream.slots import SlotLedger
from stream.slow_workers import SlowWatch


class CameraNumbers:
    """Counts that rise while the process lives, and what holds now."""

    def __init__(
        self,
        books: tuple[RunBook, LeaseBook, SlotLedger],
        people: tuple[Roster, Dispatcher, SlowWatch],
        hands: tuple[FramePump, FrameRecorder],
        alarms: AlarmBook,
    ) -> None:
        self._book, self._leases, self._slots = books
        self._roster, self._dispatch, self._slow = people
        self._pump, self._recorder = hands
        self._alarms = alarms

    def read(self, refused: int) -> Numbers:
        """Return the metrics; `refused` messages so far."""
        peers = self._roster.everyone()
        return {
            "frames_in": self._pump.frames,
            "frames_acked": self._dispatch.frames_acked,
            "frames_replayed": self._dispatch.frames_replayed,
            "frames_abandoned": self._slots.abandoned,
            "frames_never_came": self._slots.lost,
            "messages_refused": refused,
            "queue_messages": sum(len(peer.outbox) for peer in peers),
            "lag_frames": {name: self._slow.backlog(name) / self._leases.height for name in self._roster.workers},
            "ring_fill_ratio": self._slots.pinned() / self._slots.slots,
            "camera_paused": self._pump.waiting,
            "disk_failing": bool(self._recorder.failure),
            "leases_lost": self._roster.leases_lost,
            "reassignments": self._dispatch.reassignments,
            "slow_moves": self._slow.moves,
            "workers_alive": len(self._roster.workers),
            "alarms_active": self._alarms.active(),
        }

    def watch(self) -> None:
        """Raise and end the alarms of the camera."""
        failure = self._recorder.failure
        self._alarms.watch("disk", bool(failure), Severity.MAJOR, f"frames cannot be written: {failure}")
        self._alarms.watch("ring", self._pump.waiting, Severity.MINOR, "the ring is full: the camera waits")
        nobody = bool(self._book.open_runs()) and not self._roster.workers
        self._alarms.watch("workers", nobody, Severity.MAJOR, "no worker is alive while a run is open")
        lost = self._slots.abandoned
        self._alarms.watch("holes", lost > 0, Severity.MAJOR, f"{lost} frames were abandoned")
        self._alarms.watch("camera", self._slots.lost > 0, Severity.MAJOR, "the camera loses frames: counted holes")
