"""One band as a worker sees it: what it was given, what it has added, and where the pixels come from."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from stream.archive_hdf5 import FrameFile
from stream.link_messages import ABANDONED, LOST, NOT_IN_RING, BandPixels, BandSums, FramesReady
from stream.messages import RunStart, RunStop, SweepStart
from stream.ring import Ring, SlotKey, open_ring, run_hash
from stream.sums import sums_dtype

FILE_FRAMES = 16
"""Most frames that are read from disk at a time: they are copies."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BandGranted:
    """The worker owns a band of a sweep from now on: begin an empty cube."""

    run: RunStart
    """The run."""
    sweep: SweepStart
    """The sweep."""
    y0: int
    """First camera row of the band."""
    y1: int
    """One past its last row."""
    lease: int
    """Number of the lease, repeated in tiles."""


@dataclass(frozen=True)
class BandFrame:
    """One frame of one band, given exactly once per lease."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    y0: int
    """First camera row of the band."""
    y1: int
    """One past its last row."""
    lease: int
    """Lease of the band."""
    pass_index: int
    """Traversal of the frequency list."""
    index: int
    """Index in the frequency list."""
    pixels: NDArray[np.generic]
    """(y1 - y0, x) counts, read-only, valid until acknowledged."""


@dataclass(frozen=True)
class BandLost:
    """One frame that the camera lost: a counted hole of every band."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    y0: int
    """First camera row of the band."""
    lease: int
    """Lease of the band."""
    pass_index: int
    """Traversal of the frequency list."""
    index: int
    """Index in the frequency list."""


@dataclass(frozen=True)
class BandSum:
    """The sum at one frequency, in the place of whatever the cube holds there."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    y0: int
    """First camera row of the band."""
    lease: int
    """Lease of the band."""
    index: int
    """Index in the frequency list."""
    passes_done: int
    """Passes that the sum stands for."""
    frames: int
    """Frames in it; the others of its passes were lost by the camera."""
    sums: NDArray[np.generic]
    """(y1 - y0, x) u4 sums (or the f4 frame), read-only, valid until acknowledged."""


@dataclass(frozen=True)
class BandRevoked:
    """The worker no longer owns the band: drop its cube."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    y0: int
    """First camera row of the band."""
    y1: int
    """One past its last row."""
    lease: int
    """Lease that ended."""


BandPart = BandFrame | BandLost | BandSum
"""What is acknowledged once it is in the cube."""
WorkerEvent = RunStart | RunStop | BandGranted | BandPart | BandRevoked


class FrameSource:
    """Pixels by descriptor: from the ring, else from the run's HDF5 file.

    Parameters
    ----------
    copy
        Copy out of the ring and check afterwards, for policies that may overwrite frames before they are added.
    """

    def __init__(self, copy: bool) -> None:
        self._copy = copy
        self._ring: Ring | None = None
        self._files: dict[str, FrameFile] = {}
        self.paths: dict[str, str] = {}

    def open(self, path: str, epoch: str) -> None:
        """Open the ring that was announced.

        Raises
        ------
        RingError
            Where it is not there.
        """
        if self._ring is None or self._ring.epoch != epoch:
            self._ring = None
            self._ring = open_ring(path, epoch)

    def from_ring(self, slot: int, sequence: int, key: SlotKey, rows: slice) -> NDArray[np.generic] | None:
        """Return a view (or copy) of the rows, or None where the slot holds something else by now."""
        ring = self._ring
        if ring is None or not ring.holds(slot, sequence, key):
            return None
        view = ring.pixels[slot, rows]
        if not self._copy:
            return view
        pixels = view.copy()
        return pixels if ring.sequence(slot) == sequence else None

    def intact(self, slot: int, sequence: int) -> bool:
        """Tell whether a slot still holds what was read from it."""
        return self._copy or (self._ring is not None and self._ring.sequence(slot) == sequence)

    def from_file(self, run_uid: str, sweep: int, pass_index: int, index: int) -> NDArray[np.generic] | None:
        """Return a frame from disk, or None where it is not (yet) there."""
        try:
            if run_uid not in self._files:
                self._files[run_uid] = FrameFile(self.paths[run_uid])
            return self._files[run_uid].frame(sweep, pass_index, index)
        except (OSError, KeyError) as error:
            _log.warning("frame %s of sweep %d is not on disk: %s", (pass_index, index), sweep, error)
            self._drop(run_uid)
            return None

    def forget(self, run_uid: str) -> None:
        """Close a run's file."""
        self.paths.pop(run_uid, None)
        self._drop(run_uid)

    def close(self) -> None:
        """Close every file and let the ring go."""
        for run_uid in list(self._files):
            self._drop(run_uid)
        self._ring = None

    def _drop(self, run_uid: str) -> None:
        file = self._files.pop(run_uid, None)
        if file is not None:
            file.close()


@dataclass
class Taken:
    """What came out of one batch of descriptors."""

    frames: list[BandPart] = field(default_factory=list["BandPart"])
    """Frames to add, holes to count, sums to take over."""
    duplicates: int = 0
    """Descriptors of frames that were given before."""
    missing: int | None = None
    """First frame to ask for again."""
    rest: FramesReady | BandPixels | BandSums | None = None
    """Frames that were not looked at for want of room."""


class Band:
    """Counts of one lease."""

    def __init__(self, run: RunStart, sweep: SweepStart, y0: int, y1: int, lease: int) -> None:
        self.run = run
        self.sweep = sweep
        self.y0, self.y1, self.lease = y0, y1, lease
        self.total = sweep.passes * len(sweep.frequency_mhz)
        self.added = 0
        self.holes = 0
        self._given = 0
        self._mask = bytearray(self.total)
        self._covered = bytearray(self.total)
        self._slots: dict[int, tuple[int, int]] = {}
        self._run_hash = run_hash(run.run_uid)

    def take(self, ready: FramesReady, source: FrameSource, room: int) -> Taken:
        """Return the frames of a batch that are new, in order, at most `room` of them."""
        taken = Taken()
        if ready.first > self._given:
            taken.missing = self._given
            return taken
        taken.duplicates = min(len(ready.slots), self._given - ready.first)
        slots, sequences = ready.slots.tolist(), ready.sequences.tolist()
        for i in range(taken.duplicates, len(slots)):
            if ready.first + i < self._given:
                taken.duplicates += 1  # in a sum that came meanwhile
                continue
            if len(taken.frames) >= room:
                taken.rest = replace(ready, first=ready.first + i, slots=ready.slots[i:], sequences=ready.sequences[i:])
                break
            if slots[i] == ABANDONED or self._given >= self.total:
                self.holes += 1
                self._given = min(self._given + 1, self.total)
                continue
            if slots[i] == LOST:
                taken.frames.append(self._lost(self._given))
                self._give()
                continue
            frame = self._frame(slots[i], sequences[i], source)
            if frame is None:
                taken.missing = self._given
                break
            if slots[i] == NOT_IN_RING:
                room = min(room, FILE_FRAMES)
            taken.frames.append(frame)
            self._give()
        return taken

    def take_sums(self, ready: BandSums) -> Taken:
        """Return the sums of a message: whatever frames of their passes come later are repetitions.

        Raises
        ------
        ValueError
            Where they do not fit the sweep: whoever sent them is not to be believed.
        """
        taken = Taken()
        count, passes = len(self.sweep.frequency_mhz), self.sweep.passes
        shape, kind = (self.y1 - self.y0, self.run.width), sums_dtype(self.run.dtype).str
        n = len(ready.sums)
        fits = ready.passes_done.shape == ready.frames.shape == (n,) and ready.first_index + n <= count
        fits = fits and all(plane.shape == shape and plane.dtype.str == kind for plane in ready.sums)
        if not fits or (ready.passes_done > passes).any() or (ready.frames > ready.passes_done).any():
            raise ValueError(f"sums that do not fit rows {self.y0}:{self.y1}, {count} frequencies, {passes} passes")
        key = (self.run.run_uid, self.sweep.sweep, self.y0, self.lease)
        for i, plane in enumerate(ready.sums):
            index, done = ready.first_index + i, int(ready.passes_done[i])
            following = done * count + index
            if following < self._given or (following < self.total and self._covered[following]):
                taken.duplicates += 1  # what follows it was given already: it would take the cube back
                continue
            taken.frames.append(BandSum(*key, index, done, int(ready.frames[i]), plane))
            for number in range(index, done * count, count):
                self._covered[number] = 1
        self._give(0)
        return taken

    def take_pixels(self, ready: BandPixels, room: int) -> Taken:
        """Return the frames of a message with pixels that are new, in order, at most `room` of them.

        Raises
        ------
        ValueError
            Where pixels have another form than the band's: whoever sent them is not to be believed.
        """
        taken = Taken()
        if ready.first > self._given:
            taken.missing = self._given
            return taken
        taken.duplicates = min(len(ready.pixels), self._given - ready.first)
        for i in range(taken.duplicates, min(len(ready.pixels), self.total - ready.first)):
            if ready.first + i < self._given:
                taken.duplicates += 1
                continue
            if len(taken.frames) >= room:
                taken.rest = replace(ready, first=ready.first + i, pixels=ready.pixels[i:])
                break
            pixels = ready.pixels[i]
            if pixels.shape != (self.y1 - self.y0, self.run.width) or pixels.dtype.str != self.run.dtype:
                raise ValueError(f"pixels of {pixels.shape} {pixels.dtype.str} for rows {self.y0}:{self.y1}")
            taken.frames.append(self._event(self._given, pixels))
            self._give()
        return taken

    def add(self, number: int, source: FrameSource) -> bool:
        """Note that a frame is in the cube; False where its slot was overwritten while it was read."""
        slot = self._slots.pop(number, None)
        if slot is not None and not source.intact(*slot):
            return False
        self._mask[number] = 1
        self._count_added()
        return True

    def account(self, part: BandLost | BandSum) -> None:
        """Note that a hole is counted, or a sum in the cube."""
        count = len(self.sweep.frequency_mhz)
        if isinstance(part, BandLost):
            self._mask[part.pass_index * count + part.index] = 1
        else:
            for number in range(part.index, part.passes_done * count, count):
                self._mask[number] = 1
        self._count_added()

    def _count_added(self) -> None:
        while self.added < self.total and self._mask[self.added]:
            self.added += 1

    def _give(self, frames: int = 1) -> None:
        """Go on to the next number that no sum holds."""
        self._given += frames
        while self._given < self.total and self._covered[self._given]:
            self._given += 1

    def _lost(self, number: int) -> BandLost:
        place = divmod(number, len(self.sweep.frequency_mhz))
        return BandLost(self.run.run_uid, self.sweep.sweep, self.y0, self.lease, *place)

    def _frame(self, slot: int, sequence: int, source: FrameSource) -> BandFrame | None:
        number = self._given
        pass_index, index = divmod(number, len(self.sweep.frequency_mhz))
        rows = slice(self.y0, self.y1)
        if slot == NOT_IN_RING:
            whole = source.from_file(self.run.run_uid, self.sweep.sweep, pass_index, index)
            pixels = None if whole is None else whole[rows]
        else:
            key = SlotKey(self._run_hash, self.sweep.sweep, number)
            pixels = source.from_ring(slot, sequence, key, rows)
            if pixels is not None:
                self._slots[number] = (slot, sequence)
        return None if pixels is None else self._event(number, pixels)

    def _event(self, number: int, pixels: NDArray[np.generic]) -> BandFrame:
        place = divmod(number, len(self.sweep.frequency_mhz))
        return BandFrame(self.run.run_uid, self.sweep.sweep, self.y0, self.y1, self.lease, *place, pixels)
