"""What the frame server knows of runs and sweeps: counts, no sockets."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from stream.messages import RunStart, RunStop, SweepProgress, SweepRequest, SweepStart
from stream.slots import SweepKey

MAX_OPEN_RUNS = 2
"""Runs that may be open at once; opening one more closes the oldest as aborted."""


class SweepPhase(enum.Enum):
    """Where a sweep stands."""

    ARMED = "armed"
    SENDING = "sending"
    SENT = "sent"
    ABORTED = "aborted"


@dataclass
class Cursor:
    """How far one band of a sweep is sent to its owner."""

    lease: int = 0
    """Lease that the counts belong to."""
    next: int = 0
    """First frame not yet sent."""
    acked: int = 0
    """Frames added by the owner."""
    sums: tuple[int, int] | None = None
    """While sums are sent in the frames' place: how many first frames they stand for, and the next frequency."""
    ahead: bool = False
    """Sums were sent: the owner may have added more than the frames that were."""


@dataclass
class SweepRecord:
    """One sweep."""

    start: SweepStart
    """Its opening."""
    request: SweepRequest
    """What was asked for."""
    phase: SweepPhase = SweepPhase.ARMED
    """Where it stands."""
    made: int = 0
    """Frames published."""
    lost: int = 0
    """How many of them the camera lost."""
    reason: str = ""
    """Why it was aborted."""
    keeps_sums: bool = False
    """Its sums are archived, not its frames."""
    cursors: dict[int, Cursor] = field(default_factory=dict[int, Cursor])
    """First row of a band -> how far it is."""

    @property
    def key(self) -> SweepKey:
        """Run uid and number."""
        return self.start.run_uid, self.start.sweep

    @property
    def total(self) -> int:
        """Frames the sweep will have."""
        return self.start.passes * len(self.start.frequency_mhz)

    @property
    def ended(self) -> bool:
        """No more frames will come."""
        return self.phase in (SweepPhase.SENT, SweepPhase.ABORTED)

    def progress(self) -> SweepProgress:
        """Return the counts as a message."""
        aborted = self.phase is SweepPhase.ABORTED
        rows = len(self.start.frequency_mhz) if self.keeps_sums else self.made - self.lost
        return SweepProgress(self.start.run_uid, self.start.sweep, self.made, self.total, aborted, self.lost, rows)


@dataclass
class RunRecord:
    """One run."""

    start: RunStart
    """Its opening, completed by the camera."""
    stop: RunStop | None = None
    """Its closing."""
    sweeps: dict[int, SweepRecord] = field(default_factory=dict[int, SweepRecord])
    """Its sweeps by number."""

    def frames_sent(self) -> int:
        """Return the frames published in the whole run."""
        return sum(sweep.made for sweep in self.sweeps.values())


class RunBook:
    """Runs and sweeps by name."""

    MAX_RUNS = 16
    """Runs that are remembered, open and closed."""

    def __init__(self) -> None:
        self.runs: dict[str, RunRecord] = {}

    def open_runs(self) -> list[RunRecord]:
        """Return the runs that are open, oldest first."""
        return [run for run in self.runs.values() if run.stop is None]

    def sweep(self, key: SweepKey) -> SweepRecord | None:
        """Return a sweep, or None where it is unknown."""
        run = self.runs.get(key[0])
        return None if run is None else run.sweeps.get(key[1])

    def close(self, run_uid: str, exit_status: str) -> RunStop:
        """Close a run; closing it again returns the first closing."""
        run = self.runs[run_uid]
        if run.stop is None:
            run.stop = RunStop(run_uid, exit_status, len(run.sweeps), run.frames_sent())
        return run.stop

    def sending(self) -> SweepRecord | None:
        """Return the sweep whose frames are being made, if any."""
        for run in self.runs.values():
            for sweep in run.sweeps.values():
                if sweep.phase is SweepPhase.SENDING:
                    return sweep
        return None
