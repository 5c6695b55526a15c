"""The shared-memory ring: an own mmap file of frame slots, written once by the camera process and read by every worker.

Not `multiprocessing.shared_memory`: its resource tracker unlinks segments of other processes (Python 3.11). A slot's
sequence is odd while it is written and rises by two per frame, so a reader knows whether what it read is what it was
told to read.
"""

from __future__ import annotations

import functools
import hashlib
import mmap
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.crc import crc32c

MAGIC = b"NVDACRG1"
_PAGE = 4096
_FILE_HEADER = np.dtype(
    [("magic", "S8"), ("epoch", "S32"), ("slots", "<u8"), ("height", "<u4"), ("width", "<u4"), ("dtype", "S8")]
)
_SLOT_HEADER = np.dtype(
    [
        ("sequence", "<u8"),
        ("run", "<u8"),
        ("sweep", "<u4"),
        ("number", "<u4"),
        ("crc32c", "<u4"),
        ("lost", "<u4"),
        ("time_s", "<f8"),
    ]
)
_SLOT_HEADER_BYTES = 64


class RingError(OSError):
    """The ring's file cannot be made or is not the one that was announced."""


@functools.lru_cache(maxsize=16)
def run_hash(run_uid: str) -> int:
    """Return the 64-bit mark of a run in a slot's header."""
    return int.from_bytes(hashlib.blake2b(run_uid.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True)
class SlotKey:
    """Which frame a slot holds."""

    run: int
    """`run_hash` of its run."""
    sweep: int
    """Number of the sweep."""
    number: int
    """Number of the frame within the sweep."""


class Ring:
    """Views of a ring's file; made by `create_ring` or `open_ring`.

    Attributes
    ----------
    pixels : NDArray
        (slots, y, x) frames, views of the shared memory.
    """

    def __init__(self, memory: mmap.mmap, epoch: str, slots: int, shape: tuple[int, int], dtype: str) -> None:
        self.epoch = epoch
        self.slots = slots
        stride = slot_bytes(shape, dtype)
        kind = np.dtype(dtype)
        headers = np.ndarray((slots,), _SLOT_HEADER, memory, _PAGE, (stride,))
        self.pixels: NDArray[np.generic] = np.ndarray(
            (slots, *shape), kind, memory, _PAGE + _SLOT_HEADER_BYTES, (stride, shape[1] * kind.itemsize, kind.itemsize)
        )
        self._sequence: NDArray[np.uint64] = headers["sequence"]
        self._run: NDArray[np.uint64] = headers["run"]
        self._sweep: NDArray[np.uint32] = headers["sweep"]
        self._number: NDArray[np.uint32] = headers["number"]
        self._crc: NDArray[np.uint32] = headers["crc32c"]
        self._time: NDArray[np.float64] = headers["time_s"]
        self._lost: NDArray[np.uint32] = headers["lost"]

    def write(
        self, slot: int, key: SlotKey, frame: NDArray[np.generic], time_s: float, checked: bool = True, lost: int = 0
    ) -> int:
        """Write a frame into a free slot, `checked` with its crc32c; returns the slot's new sequence."""
        sequence = int(self._sequence[slot]) | 1
        self._sequence[slot] = sequence
        self.pixels[slot] = frame
        self._run[slot], self._sweep[slot], self._number[slot] = key.run, key.sweep, key.number
        self._crc[slot] = crc32c(self.pixels[slot]) if checked else 0
        self._time[slot], self._lost[slot] = time_s, lost
        self._sequence[slot] = sequence + 1
        return sequence + 1

    def sequence(self, slot: int) -> int:
        """Return the slot's sequence now."""
        return int(self._sequence[slot])

    def holds(self, slot: int, sequence: int, key: SlotKey) -> bool:
        """Tell whether the slot still holds the frame that was announced."""
        return (
            slot < self.slots
            and int(self._sequence[slot]) == sequence
            and int(self._number[slot]) == key.number
            and int(self._sweep[slot]) == key.sweep
            and int(self._run[slot]) == key.run
        )

    def find(self, run: int, sweep: int) -> dict[int, int]:
        """Return number -> slot of the whole frames of a run's sweep that the ring holds."""
        whole = (self._sequence % 2 == 0) & (self._sequence > 0) & (self._run == run) & (self._sweep == sweep)
        return {int(self._number[slot]): int(slot) for slot in np.flatnonzero(whole)}

    def crc(self, slot: int) -> int:
        """Return the crc32c of the slot's frame."""
        return int(self._crc[slot])

    def lost_before(self, slot: int) -> int:
        """Return how many frames the camera lost directly before the slot's one."""
        return int(self._lost[slot])

    def time_s(self, slot: int) -> float:
        """Return when the slot's frame was made, seconds since the epoch."""
        return float(self._time[slot])


def slot_bytes(shape: tuple[int, int], dtype: str) -> int:
    """Return the distance of two slots in the file, bytes."""
    pixels = shape[0] * shape[1] * np.dtype(dtype).itemsize
    return _SLOT_HEADER_BYTES + (pixels + 63) // 64 * 64


def create_ring(path: str | Path, mib: int, shape: tuple[int, int], dtype: str) -> Ring:
    """Make a new ring of at most `mib` MiB (at least 4 slots), readable by its owner alone.

    Raises
    ------
    RingError
        Where there is no room for it.
    """
    target = Path(path)
    stride = slot_bytes(shape, dtype)
    slots = max(4, mib * 1024 * 1024 // stride)
    size = _PAGE + slots * stride
    target.unlink(missing_ok=True)
    fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        # real blocks, not holes: a hole that cannot be filled is a SIGBUS in whoever touches it
        os.posix_fallocate(fd, 0, size)
        memory = mmap.mmap(fd, size, mmap.MAP_SHARED | mmap.MAP_POPULATE)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise RingError(f"no room for a ring of {size >> 20} MiB at {target}: {error}") from error
    finally:
        os.close(fd)
    epoch = uuid.uuid4().hex
    header = np.zeros((), _FILE_HEADER)
    for name, value in zip(_FILE_HEADER.names or (), (MAGIC, epoch, slots, *shape, dtype), strict=True):
        header[name] = value
    memory[: _FILE_HEADER.itemsize] = header.tobytes()
    return Ring(memory, epoch, slots, shape, dtype)


def open_ring(path: str | Path, epoch: str) -> Ring:
    """Open a ring for reading.

    Raises
    ------
    RingError
        Where the file is absent, is no ring or is another process's newer one.
    """
    ring = open_ring_left(path)
    if ring.epoch != epoch:
        raise RingError(f"{path} is not the ring that was announced")
    return ring


def open_ring_left(path: str | Path) -> Ring:
    """Open whatever ring is there: its writer may be gone.

    Raises
    ------
    RingError
        Where the file is absent or is no ring.
    """
    try:
        with Path(path).open("rb") as file:
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise RingError(f"cannot open the ring {path}: {error}") from error
    if len(memory) < _PAGE:
        raise RingError(f"{path} is not a ring")
    header = np.frombuffer(memory, _FILE_HEADER, 1)[0]
    if bytes(header["magic"]) != MAGIC:
        raise RingError(f"{path} is not the ring that was announced")
    epoch = bytes(header["epoch"]).decode("ascii", "replace")
    shape, dtype = (int(header["height"]), int(header["width"])), bytes(header["dtype"]).decode()
    slots = int(header["slots"])
    if len(memory) < _PAGE + slots * slot_bytes(shape, dtype):
        raise RingError(f"{path} is shorter than it says")
    return Ring(memory, epoch, slots, shape, dtype)
