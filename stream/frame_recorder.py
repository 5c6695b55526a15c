"""The thread that writes frames to HDF5: it may not be skipped, and a full disk makes the run pause, not lose."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from stream.archive_hdf5 import FrameWriter
from stream.archive_sums import make_writer
from stream.messages import RunStart, SweepStart
from stream.ring import Ring
from stream.slots import SlotLedger, SweepKey
from stream.sums import SumsError

FLUSH_FRAMES = 32
"""Frames that wait for a flush at most."""
IDLE_S = 0.05
"""Flush when nothing came for this long, s."""
RETRY_S = 1.0
"""Time between attempts while the disk is full, s."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Frame:
    key: SweepKey
    number: int
    slot: int
    """-1: the camera lost the frame."""


@dataclass(frozen=True)
class _Close:
    run_uid: str


class FrameRecorder(threading.Thread):
    """Writes what is in the ring to one file per run and says what is durable.

    Parameters
    ----------
    report
        Called with a sentence when writing fails and when it goes on; from this thread.
    """

    def __init__(self, ring: Ring, slots: SlotLedger, report: Callable[[str, str], None]) -> None:
        super().__init__(name="frame-recorder", daemon=True)
        self._ring = ring
        self._slots = slots
        self._report = report
        self._jobs: queue.Queue[SweepStart | _Frame | _Close | None] = queue.Queue()
        self._writers: dict[str, FrameWriter] = {}
        self._sweeps: dict[SweepKey, SweepStart] = {}
        self._pending: dict[SweepKey, int] = {}
        self._count = 0
        self.spoilt: dict[SweepKey, str] = {}
        """Sweeps whose frames cannot be kept, and why: they must end."""
        self._ended = threading.Event()
        self.failure = ""

    def open_run(self, start: RunStart) -> None:
        """Make the run's file, now, in the caller's thread.

        Raises
        ------
        OSError
            Where it cannot be made.
        """
        self._writers[start.run_uid] = make_writer(start.frames_path, start)

    def add_sweep(self, sweep: SweepStart) -> None:
        """Announce a sweep before its first frame."""
        self._jobs.put(sweep)

    def add_frame(self, key: SweepKey, number: int, slot: int) -> None:
        """Write the frame in `slot`; the slot stays pinned until it is durable."""
        self._jobs.put(_Frame(key, number, slot))

    def add_hole(self, key: SweepKey, number: int) -> None:
        """Write that the camera lost the frame of this number."""
        self._jobs.put(_Frame(key, number, -1))

    def close_run(self, run_uid: str) -> None:
        """Close the run's file once everything before is written."""
        self._jobs.put(_Close(run_uid))

    def finish(self, timeout_s: float) -> None:
        """Write what is queued, close the files and end the thread; give up after `timeout_s`."""
        self._jobs.put(None)
        if self.is_alive():
            self.join(timeout_s)
            self._ended.set()
            self.join(timeout_s)

    def run(self) -> None:
        """Work until `finish`."""
        while True:
            try:
                job = self._jobs.get(timeout=IDLE_S)
            except queue.Empty:
                self._insist(self._flush)
                continue
            if job is None:
                break
            self._insist(lambda job=job: self._do(job))
            if self._count >= FLUSH_FRAMES:
                self._insist(self._flush)
        self._insist(self._flush)
        for writer in self._writers.values():
            self._insist(writer.close)

    def _do(self, job: SweepStart | _Frame | _Close) -> None:
        match job:
            case SweepStart():
                self._sweeps[(job.run_uid, job.sweep)] = job
                writer = self._writers.get(job.run_uid)
                if writer is not None:
                    writer.add_sweep(job)
            case _Frame():
                self._write(job)
            case _Close():
                self._flush()
                writer = self._writers.get(job.run_uid)
                if writer is not None:
                    writer.close()
                    del self._writers[job.run_uid]
                # a frame that still comes is of no sweep: its slot is freed, and nothing grows from run to run
                self._sweeps = {key: sweep for key, sweep in self._sweeps.items() if key[0] != job.run_uid}

    def _write(self, job: _Frame) -> None:
        sweep, writer = self._sweeps.get(job.key), self._writers.get(job.key[0])
        if sweep is None or writer is None or job.key in self.spoilt:
            # the frame under way when its run was closed: nobody wants it, and its slot must come free
            self._slots.archived(job.key, job.number + 1)
            return
        pass_index, index = divmod(job.number, len(sweep.frequency_mhz))
        if job.slot < 0:
            writer.add_hole(sweep.sweep, pass_index, index)
            self._pending[job.key] = job.number + 1
            self._count += 1
            return
        slot = job.slot
        pixels, crc, time_s = self._ring.pixels[slot], self._ring.crc(slot), self._ring.time_s(slot)
        try:
            writer.append(sweep.sweep, pass_index, index, float(sweep.frequency_mhz[index]), pixels, crc, time_s)
        except SumsError as error:
            self.spoilt[job.key] = str(error)
            self._report("MAJOR", f"sweep {sweep.sweep} is not kept from its frame {job.number} on: {error}")
        self._pending[job.key] = job.number + 1
        self._count += 1

    def _flush(self) -> None:
        for run_uid in {key[0] for key in self._pending} & self._writers.keys():
            self._writers[run_uid].flush()
        pending, self._pending, self._count = self._pending, {}, 0
        for key, count in pending.items():
            self._slots.archived(key, count)

    def _insist(self, work: Callable[[], None]) -> None:
        """Do it again until the disk takes it: frames wait in the ring meanwhile, and the camera with them."""
        while not self._ended.is_set():
            try:
                work()
            except (OSError, RuntimeError, ValueError) as error:
                if not self.failure:
                    self._report("MAJOR", f"frames cannot be written, the run waits: {error}")
                self.failure = str(error)
                self._ended.wait(RETRY_S)
            else:
                if self.failure:
                    self._report("NO_ALARM", "frames are written again")
                self.failure = ""
                return
