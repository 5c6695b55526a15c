"""Frames of a camera that does not wait: numbered as they come, kept until they are taken, never lost unseen."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.messages import Json

DTYPES = ("<u2", "<u4", "<f4")
"""What the ring holds; other numbers are widened where no bit is lost, else refused."""


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

    A frame that is missing, of another form, or too many to keep ends the sweep: those before it are still taken, then
    `take` says what happened. Frames that nobody asked for are dropped and counted.

    Parameters
    ----------
    shape
        Rows and columns.
    dtype
        One of `DTYPES`.
    limit_bytes
        Most memory for frames that wait.
    """

    def __init__(self, shape: tuple[int, int], dtype: str, limit_bytes: int) -> None:
        self.strays = 0
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._limit = max(limit_bytes, 2 * self._dtype.itemsize * shape[0] * shape[1])
        self._changed = threading.Condition()
        self._frames: deque[NDArray[Any]] = deque()
        self._total = self._came = 0
        self._trouble = ""

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
            self._total, self._came, self._trouble = total, 0, ""

    def put(self, number: int, image: NDArray[Any]) -> None:
        """Add the frame of that number (y, x)."""
        with self._changed:
            if self._trouble or not self._came <= number < self._total:
                self.strays += 1
                return
            self._trouble = self._objection(number, image)
            if not self._trouble:
                self._frames.append(image.astype(self._dtype, copy=False))
                self._came += 1
            self._changed.notify_all()

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
        SourceLost
            Where it does not come.
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
            return self._frames.popleft()

    def _objection(self, number: int, image: NDArray[Any]) -> str:
        """Return why a frame cannot be added; empty where it can."""
        if number > self._came:
            lost = number - self._came
            what = f"frame {self._came}" if lost == 1 else f"frames {self._came} to {number - 1}"
            return f"{what} of {self._total} ({lost} in all) were lost before they came here"
        if image.shape != self._shape or not np.can_cast(image.dtype, self._dtype, "safe"):
            form = f"{image.shape[::-1]} pixels of {image.dtype}"
            return f"frame {number} has {form}, not {self._shape[::-1]} of {self._dtype}: restart the camera process"
        if (len(self._frames) + 1) * self._dtype.itemsize * image.size > self._limit:
            kept = f"{len(self._frames)} frames wait in {self._limit >> 20} MiB"
            return f"frame {number} of {self._total} finds no room: {kept}; give the camera a larger buffer_mib"
        return ""
