"""Frames of a camera that does not wait: numbered as they come, kept until they are taken, never lost unseen."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.frames import FrameLost
from stream.messages import Json

DTYPES = ("<u2", "<u4", "<f4")
"""What the ring holds; other numbers are widened where no bit is lost, else refused."""


_log = logging.getLogger(__name__)


class SourceLost(RuntimeError):  # noqa: N818 - reads as a sentence
    """The source did not give a frame that is due; the message says which and why."""


class LiveSource(Protocol):
    """A camera that sends by itself; whatever it sends goes into `queue`."""

    height: int
    """Camera rows."""
    width: int
    """Camera columns."""
    dtype: str
    """One of `DTYPES`."""
    queue: FrameQueue
    """Where its frames wait."""

    def check(self) -> None:
        """Return once the camera is there.

        Raises
        ------
        SourceLost
            Where it is not, after a while.
        """
        ...

    def start(self) -> None:
        """Let the armed frames come: number 0 is the next one."""
        ...

    def stop(self) -> None:
        """No more frames are needed; may be called from any thread and more than once."""
        ...

    def info(self) -> Json:
        """Return what the camera tells about itself."""
        ...

    def close(self) -> None:
        """Let go of the camera."""
        ...


def widened(dtype: np.dtype[Any]) -> str:
    """Return the narrowest of `DTYPES` that holds a pixel type without loss.

    Raises
    ------
    SourceLost
        Where none does.
    """
    for wide in DTYPES:
        if np.can_cast(dtype, wide, "safe"):
            return wide
    raise SourceLost(f"pixels of type {dtype} are not taken: set the camera to unsigned 8, 16 or 32 bit")


class FrameQueue:
    """Frames of one sweep in order, from the thread that receives them to the one that writes the ring.

    A frame of another form ends the sweep: those before it are still taken, then `take` says what happened. So does one
    that is missing or finds no room, unless `holes`: then `take` says of each that it is lost, and the others come.
    Frames that nobody asked for are dropped and counted.

    Parameters
    ----------
    shape
        Rows and columns.
    dtype
        One of `DTYPES`.
    limit_bytes
        Most memory for frames that wait.
    holes
        Go on where frames are lost.
    """

    def __init__(self, shape: tuple[int, int], dtype: str, limit_bytes: int, holes: bool = False) -> None:
        self.strays = 0
        self._holes = holes
        self._waiting = 0
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._limit = max(limit_bytes, 2 * self._dtype.itemsize * shape[0] * shape[1])
        self._changed = threading.Condition()
        self._frames: deque[NDArray[Any] | None] = deque()
        self._total = self._came = 0
        self._trouble = ""
        self.opened = 0
        """Number of the open sweep: rises with each."""

    @property
    def waited_for(self) -> int:
        """Frames of the open sweep that have not come yet; 0 where none is open or it has failed."""
        with self._changed:
            return 0 if self._trouble else self._total - self._came

    @property
    def total(self) -> int:
        """Frames of the open sweep."""
        return self._total

    def open(self, total: int) -> None:
        """Expect a sweep of `total` frames; what was left of the last one is dropped."""
        with self._changed:
            self._frames.clear()
            self._waiting = 0
            self._total, self._came, self._trouble = total, 0, ""
            self.opened += 1

    def put(self, number: int, image: NDArray[Any], opened: int = 0) -> None:
        """Add the frame of that number (y, x); `opened` says of which sweep it is, 0 of the one that is open."""
        with self._changed:
            if self._trouble or opened not in (0, self.opened) or not self._came <= number < self._total:
                self.strays += 1
                return
            self._trouble = self._wrong_form(number, image)
            missing = "" if self._trouble else self._missing(number) or self._no_room(number)
            if missing and not self._holes:
                self._trouble = missing
            elif not self._trouble:
                kept = not self._no_room(number)
                if missing:
                    _log.warning("a hole: %s", missing)
                    self._lose(number - self._came + (not kept))
                if kept:
                    self._frames.append(image.astype(self._dtype, copy=False))
                    self._waiting += 1
                    self._came += 1
            self._changed.notify_all()

    def end(self, reason: str) -> None:
        """No frame will come any more, and the source is well: those missing are lost, or the sweep ends."""
        with self._changed:
            if self._holes and 0 < self._came < self._total and not self._trouble:
                _log.warning("a hole: frames %d to %d do not come: %s", self._came, self._total - 1, reason)
                self._lose(self._total - self._came)
                self._changed.notify_all()
        self.fail(reason)

    def fail(self, reason: str) -> None:
        """End the sweep: no frame will come any more. The first reason stays; without an open sweep it is no matter."""
        with self._changed:
            if self._came < self._total and not self._trouble:
                self._trouble = f"frame {self._came} of {self._total} does not come: {reason}"
                self._changed.notify_all()

    def give_up(self) -> None:
        """End a `take` under way: nobody needs the frame any more."""
        self.fail("it was given up")

    def take(self, timeout_s: float) -> NDArray[Any]:
        """Return the next frame (y, x) of the dtype.

        Raises
        ------
        FrameLost
            Where it is lost, and the next one may come.
        SourceLost
            Where it does not come, nor any other.
        """
        until = time.monotonic() + timeout_s
        with self._changed:
            while not self._frames:
                left = until - time.monotonic()
                if self._trouble:
                    raise SourceLost(self._trouble)
                if left <= 0:
                    raise SourceLost(f"frame {self._came} of {self._total} did not come within {timeout_s:g} s")
                self._changed.wait(left)
            frame = self._frames.popleft()
            if frame is None:
                raise FrameLost
            self._waiting -= 1
            return frame

    def _lose(self, frames: int) -> None:
        self._frames.extend([None] * frames)
        self._came += frames

    def _missing(self, number: int) -> str:
        """Return which frames before this one did not come; empty where none is missing."""
        lost = number - self._came
        what = f"frame {self._came}" if lost == 1 else f"frames {self._came} to {number - 1}"
        return f"{what} of {self._total} ({lost} in all) were lost before they came here" if lost else ""

    def _no_room(self, number: int) -> str:
        """Return why a frame cannot be kept; empty where it can."""
        if (self._waiting + 1) * self._dtype.itemsize * self._shape[0] * self._shape[1] <= self._limit:
            return ""
        kept = f"{self._waiting} frames wait in {self._limit >> 20} MiB"
        return f"frame {number} of {self._total} finds no room: {kept}; give the camera a larger buffer_mib"

    def _wrong_form(self, number: int, image: NDArray[Any]) -> str:
        """Return what is wrong with a frame's form; empty where nothing is."""
        if image.shape == self._shape and np.can_cast(image.dtype, self._dtype, "safe"):
            return ""
        form = f"{image.shape[::-1]} pixels of {image.dtype}"
        return f"frame {number} has {form}, not {self._shape[::-1]} of {self._dtype}: restart the camera process"
