"""Frames that left the ring, and sums in their place, read from the run's HDF5 file in a thread.

A slow disk holds up only who waits for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from stream.archive_hdf5 import FrameFile
from stream.sums import SumPlane

KEPT_BYTES = 64 * 1024 * 1024
"""Frames kept for the other bands of the same frame, bytes; the oldest go first."""
WANTED = 64
"""Frames that wait to be read; more are asked for again by and by."""
AGAIN_S = 0.5
"""Time after which a frame that could not be read is tried again, s."""

FrameKey = tuple[int, int, int]
"""(sweep, pass, index)."""


@dataclass(frozen=True)
class SumKey:
    """The sum at one frequency, of so many passes at least."""

    sweep: int
    """Number of the sweep."""
    index: int
    """Place in the frequency list."""
    passes: int
    """Passes that it must stand for."""


_Item = tuple[str, FrameKey | SumKey]
_Read = NDArray[np.generic] | SumPlane

_log = logging.getLogger(__name__)


class FrameFetcher(threading.Thread):
    """Reads frames on demand; `get` never waits.

    Parameters
    ----------
    wake
        Called from this thread when a frame is there.
    """

    def __init__(self, wake: Callable[[], None], kept_bytes: int = KEPT_BYTES) -> None:
        super().__init__(name="frame-fetcher", daemon=True)
        self._wake = wake
        self._kept_bytes = kept_bytes
        self._changed = threading.Condition()
        self._wanted: deque[_Item] = deque()
        self._kept: OrderedDict[_Item, _Read] = OrderedDict()
        self._failed: dict[_Item, float] = {}
        self._file: FrameFile | None = None
        self._ended = False
        self.failures = 0

    def get(self, path: str, key: FrameKey) -> NDArray[np.generic] | None:
        """Return a whole frame (y, x), or None until it is read."""
        return cast("NDArray[np.generic] | None", self._get((path, key)))

    def sum(self, path: str, key: SumKey) -> SumPlane | None:
        """Return a sum, or None until it is read."""
        return cast("SumPlane | None", self._get((path, key)))

    def _get(self, item: _Item) -> _Read | None:
        with self._changed:
            frame = self._kept.get(item)
            if frame is not None:
                self._kept.move_to_end(item)
                return frame
            due = self._failed.get(item, 0.0)
            if item not in self._wanted and len(self._wanted) < WANTED and time.monotonic() >= due:
                self._wanted.append(item)
                if not self.is_alive() and not self._ended:
                    self.start()
                self._changed.notify_all()
        return None

    def finish(self, timeout_s: float) -> None:
        """End the thread after the present frame."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self.is_alive():
            self.join(timeout_s)

    def run(self) -> None:
        """Read what is wanted until `finish`."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._ended)
                if self._ended:
                    break
                item = self._wanted[0]
            frame = self._read(*item)
            with self._changed:
                self._wanted.popleft()
                if frame is None:
                    self._failed[item] = time.monotonic() + AGAIN_S
                else:
                    self._failed.pop(item, None)
                    self._keep(item, frame)
            self._wake()
        self._close()

    def _keep(self, item: _Item, frame: _Read) -> None:
        self._kept[item] = frame
        while len(self._kept) > 1 and sum(_size(kept) for kept in self._kept.values()) > self._kept_bytes:
            self._kept.popitem(last=False)

    def _read(self, path: str, key: FrameKey | SumKey) -> _Read | None:
        try:
            if self._file is None or str(self._file.path) != path:
                self._close()
                self._file = FrameFile(path)
            if isinstance(key, SumKey):
                return self._file.plane(key.sweep, key.index, key.passes)
            return self._file.frame(*key)
        except (OSError, KeyError, RuntimeError) as error:
            self.failures += 1
            if self.failures <= 10 or self.failures % 1000 == 0:
                _log.warning("frame %s is not on disk: %s (%d failures)", key, error, self.failures)
            self._close()
            return None

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _size(read: _Read) -> int:
    return read.pixels.nbytes if isinstance(read, SumPlane) else read.nbytes
