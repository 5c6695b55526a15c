"""Cube: exact sums over the passes of one sweep over a band, in camera order (f, y, x)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analyzers.kernels.sums import add_counts


def warm_up() -> None:
    """Compile (or load from the cache on disk) what adds u2 frames, of the ring and of a message."""
    for writeable in (True, False):
        frame = np.ones((1, 1), np.dtype("<u2"))
        frame.flags.writeable = writeable
        Cube(1, 1, 1, "<u2").add(0, frame)


class CubeError(ValueError):
    """A frame cannot be added: wrong shape, index out of range, sum out of range, second pass of a float frame."""


class Cube:
    """Sums of counts per frequency and pixel; the order of adding never changes a bit.

    Parameters
    ----------
    n_frequencies
        Length of the sweep's frequency list.
    rows, width
        Shape of the band, pixels.
    dtype
        Frame dtype: `<u2` or `<u4` are summed as uint32; `<f4` takes one pass and is kept as it is.

    Attributes
    ----------
    sums
        (f, rows, width) uint32 or float32.
    passes_added
        (f,) int64, passes added per frequency.
    frames_added : int
        Frames added so far.
    """

    def __init__(self, n_frequencies: int, rows: int, width: int, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype.kind not in "uf" or self.dtype.itemsize not in (2, 4):
            raise CubeError(f"frames of dtype {dtype!r} cannot be added: use <u2, <u4 or <f4")
        total = np.dtype(np.float32) if self.dtype.kind == "f" else np.dtype(np.uint32)
        self.sums: NDArray[np.generic] = np.zeros((n_frequencies, rows, width), total)
        self.passes_added: NDArray[np.int64] = np.zeros(n_frequencies, np.int64)
        self.frames_added = 0

    def add(self, index: int, pixels: NDArray[np.generic]) -> None:
        """Add one frame's band.

        Parameters
        ----------
        index
            Number of the frequency in the list.
        pixels
            (rows, width) counts.

        Raises
        ------
        CubeError
            Where the frame does not fit, or the sum would overflow.
        """
        if not 0 <= index < len(self.passes_added):
            raise CubeError(f"frequency {index} is not in the list of {len(self.passes_added)}")
        plane = self.sums[index]
        if pixels.shape != plane.shape or pixels.dtype != self.dtype:
            raise CubeError(f"frame {pixels.shape} {pixels.dtype} does not fit the cube {plane.shape} {self.dtype}")
        if self.dtype.kind == "f":
            if self.passes_added[index]:
                raise CubeError("float frames take one pass: a second would depend on the order of arrival")
            plane[...] = pixels
        else:
            self._add_integers(index, plane, pixels)
        self.passes_added[index] += 1
        self.frames_added += 1

    def _add_integers(self, index: int, plane: NDArray[np.generic], pixels: NDArray[np.generic]) -> None:
        """Add with a check that uint32 cannot wrap around."""
        if self.dtype.itemsize == 2:
            if self.passes_added[index] >= 65_537:
                raise CubeError("more than 65,537 passes of u2 frames overflow a uint32 sum")
            add_counts(plane, pixels)
            return
        total = np.add(plane, pixels)
        if bool((total < plane).any()):  # pyright: ignore[reportOperatorIssue] - both unsigned
            raise CubeError("the sum of u4 frames overflows uint32: use fewer passes")
        plane[...] = total

    def restore(self, sums: NDArray[np.generic], passes_added: NDArray[np.integer]) -> None:
        """Take sums that were kept: (f, rows, width) and how many passes per frequency are in them.

        Raises
        ------
        CubeError
            Where they are of another form than the cube's.
        """
        if sums.shape != self.sums.shape or len(passes_added) != len(sums):
            raise CubeError(f"sums {sums.shape} do not fit the cube {self.sums.shape}")
        for index, frames in enumerate(passes_added.tolist()):
            self.take_over(index, frames, sums[index])

    def take_over(self, index: int, frames: int, sums: NDArray[np.generic]) -> None:
        """Put a sum of so many frames in the place of what was added at one frequency.

        Raises
        ------
        CubeError
            Where it does not fit.
        """
        if not 0 <= index < len(self.passes_added):
            raise CubeError(f"frequency {index} is not in the list of {len(self.passes_added)}")
        plane = self.sums[index]
        if sums.shape != plane.shape or sums.dtype != plane.dtype:
            raise CubeError(f"a sum {sums.shape} {sums.dtype} does not fit the cube {plane.shape} {plane.dtype}")
        plane[...] = sums
        self.frames_added += frames - int(self.passes_added[index])
        self.passes_added[index] = frames

    def clear(self) -> None:
        """Forget everything added."""
        self.sums[...] = 0
        self.passes_added[...] = 0
        self.frames_added = 0
