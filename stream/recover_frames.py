"""Frames files whose writer was killed: copied to a new part, each frame's crc checked, and renamed over the old file.

Such a file opens for SWMR readers at best. The copy is an ordinary, closed file of the same name, so that who points
at it (Tiled's assets too) finds the frames, or the sums, under the same rows. Frames that the killed camera had
published and not yet written are taken from its ring, where that is still there.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from stream.archive_hdf5 import COLUMNS, FRAMES, CorruptFrameError, FrameFile, FramesError, FrameWriter
from stream.archive_sums import SumsWriter, make_writer
from stream.crc import crc32c
from stream.messages import RunStart, SweepStart
from stream.ring import Ring, RingError, open_ring_left, run_hash
from stream.sums import SumPlane, SumsError
from stream.writing_mark import abandoned, clear, taken

Key = tuple[int, int, int]
"""(sweep, pass, index)."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rescued:
    """A frame that was in the ring and in no file."""

    sweep: int
    """Number of the sweep."""
    number: int
    """Number within its sweep."""
    time_s: float
    """When it was exposed, seconds since the epoch."""
    crc: int
    """crc32c of its bytes; they fit."""
    pixels: NDArray[np.generic] | None
    """(y, x), a copy; None where the camera had lost the frame."""


@dataclass(frozen=True)
class Parted:
    """What became of one frames file."""

    run_uid: str
    """The run."""
    path: Path
    """Its file, closed and whole now."""
    frames: int
    """Frames in it."""
    rescued: int
    """How many of them came from the ring."""
    damaged: tuple[Key, ...]
    """Keys of frames (of sums: of their last frame) whose bytes are not those written: holes, still in the file."""

    def sentence(self) -> str:
        """Return it as one line for people."""
        more = f", {self.rescued} of them from the ring" if self.rescued else ""
        holes = f"; {len(self.damaged)} are damaged" if self.damaged else ""
        return f"run {self.run_uid}: the writer was killed; {self.frames} frames copied and checked{more}{holes}"


def left_behind(data_dir: str | Path) -> list[Path]:
    """Return the frames files of a data folder whose writers were killed."""
    return abandoned(Path(data_dir) / "frames")


def part_again(path: Path, rescued: list[Rescued] | None = None) -> Parted | None:
    """Copy a killed writer's file to a new part and put it in the place of the old one.

    Parameters
    ----------
    path
        The frames file.
    rescued
        Frames behind those on disk, as `rescue` returns them.

    Returns
    -------
    Parted or None
        None where the file has a living writer, or somebody else did it meanwhile.

    Raises
    ------
    FramesError
        Where it cannot be read or there is no room; the file is as it was.
    """
    with taken(path) as mine:
        if not mine:
            return None
        part = path.with_name(path.name + ".part")
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        clear(part)
        try:
            done = _copy(path, part, rescued or [])
            _sync(part)
            part.replace(path)
            _sync(path.parent)
        except (OSError, RuntimeError) as error:
            part.unlink(missing_ok=True)
            clear(part)
            raise FramesError(f"{path} cannot be copied: {error}") from error
        clear(path)
        return done


def gather(data_dir: str | Path, ring_path: Path) -> list[tuple[Path, list[Rescued]]]:
    """Return the files that were left behind, each with its frames that only the dead camera's ring has."""
    return [(path, rescue(ring_path, path)) for path in left_behind(data_dir)]


def rescue(ring_path: Path, path: Path) -> list[Rescued]:
    """Copy the frames of a run that are in a dead camera's ring and not in its file, in the order they were sent."""
    try:
        ring = open_ring_left(ring_path)
        with FrameFile(path) as file:
            sweeps, uid, shape = file.sweeps, file.start.run_uid, (file.start.height, file.start.width)
            on_disk = {sweep.sweep: file.frames_of(sweep.sweep) + len(file.holes(sweep.sweep)) for sweep in sweeps}
    except (RingError, FramesError) as error:
        _log.info("nothing to take from the ring: %s", error)
        return []
    if ring.pixels.shape[1:] != shape:
        return []
    return [frame for number, have in on_disk.items() for frame in _consecutive(ring, run_hash(uid), number, have)]


def _consecutive(ring: Ring, run: int, sweep: int, first: int) -> Iterator[Rescued]:
    """Yield the frames of a sweep from `first` on that are whole in the ring, up to the first that is not.

    The frame behind those that the camera lost says so in its slot.
    """
    slots = ring.find(run, sweep)
    for number in sorted(number for number in slots if number >= first):
        slot = slots[number]
        if number - first > ring.lost_before(slot) or crc32c(ring.pixels[slot]) != ring.crc(slot):
            return
        yield from (Rescued(sweep, lost, 0.0, 0, None) for lost in range(first, number))
        first = number + 1
        yield Rescued(sweep, number, ring.time_s(slot), ring.crc(slot), ring.pixels[slot].copy())


def _copy(path: Path, part: Path, rescued: list[Rescued]) -> Parted:
    """Write all that a file holds to a new one, sweep by sweep, and behind it the frames of each that were rescued."""
    with FrameFile(path) as file:
        start, sweeps, count = file.start, file.sweeps, file.count
        holes = [(sweep.sweep, *hole) for sweep in sweeps for hole in sorted(file.holes(sweep.sweep))]
        damaged: list[Key] = []
        with h5py.File(path, "r", libver="latest", swmr=True) as source, make_writer(part, start) as writer:
            columns = {name: _column(source, name)[:count] for name in COLUMNS}
            for opening in sweeps:
                writer.add_sweep(opening)
                for hole in holes:
                    if hole[0] == opening.sweep:
                        writer.add_hole(*hole)
                rows = np.flatnonzero(columns["sweep"] == opening.sweep).tolist()
                if isinstance(writer, SumsWriter):
                    damaged += _copy_sums(file, opening, [_row(columns, row) for row in rows], writer)
                else:
                    damaged += _copy_frames(source, start, columns, rows, writer)
                lost = {index for sweep, _, index in damaged if sweep == opening.sweep}
                _append(opening, [frame for frame in rescued if frame.sweep == opening.sweep], writer, lost)
            total = writer.count
    return Parted(start.run_uid, path, total, total - count, tuple(damaged))


def _copy_frames(
    source: h5py.File, start: RunStart, columns: dict[str, NDArray[Any]], rows: list[int], writer: FrameWriter
) -> list[Key]:
    """Copy frames; returns the keys of those that are damaged: they are copied too."""
    frames, damaged = cast("Any", source[FRAMES]), list[Key]()
    for row in rows:
        _, chunk = frames.id.read_direct_chunk((row, 0, 0))
        pixels = np.frombuffer(chunk, start.dtype).reshape(start.height, start.width)
        key = (int(columns["sweep"][row]), int(columns["pass"][row]), int(columns["index"][row]))
        crc = int(columns["crc32c"][row])
        if crc32c(pixels) != crc:
            damaged.append(key)
        writer.append(*key, float(columns["frequency_mhz"][row]), pixels, crc, float(columns["time_s"][row]))
    return damaged


def _copy_sums(file: FrameFile, opening: SweepStart, rows: list[dict[str, float]], writer: SumsWriter) -> list[Key]:
    """Copy the sums of a sweep; returns a key for each that is damaged: its row of pixels stays empty."""
    planes: list[SumPlane] = []
    damaged: list[Key] = []
    newest = {int(row["index"]): row for row in rows}
    for index, row in sorted(newest.items()):
        try:
            planes.append(file.plane(opening.sweep, index))
        except CorruptFrameError:
            damaged.append((opening.sweep, int(row["pass_index"]), index))
    writer.restore(opening.sweep, planes, rows)
    return damaged


def _append(opening: SweepStart, rescued: list[Rescued], writer: FrameWriter, damaged: set[int]) -> None:
    for frame in rescued:
        pass_index, index = divmod(frame.number, opening.frequency_mhz.size)
        if isinstance(writer, SumsWriter) and index in damaged:
            # a sum begun anew would pass for that of all frames
            _log.warning("the frames of sweep %d end here: the sum at frequency %d is damaged", frame.sweep, index)
            return
        key = (frame.sweep, pass_index, index)
        if frame.pixels is None:
            writer.add_hole(*key)
            continue
        try:
            writer.append(*key, float(opening.frequency_mhz[index]), frame.pixels, frame.crc, frame.time_s)
        except SumsError as error:
            _log.warning("the frames of sweep %d end here: %s", frame.sweep, error)
            return


def _row(columns: dict[str, NDArray[Any]], row: int) -> dict[str, float]:
    names = {"pass": "pass_index"}
    return {names.get(name, name): column[row].item() for name, column in columns.items()}


def _column(file: h5py.File, name: str) -> NDArray[Any]:
    return cast("NDArray[Any]", cast("Any", file[f"/entry/data/{name}"])[...])


def _sync(path: Path) -> None:
    """Bring a file or a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
