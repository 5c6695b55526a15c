"""Exact sums of frames over the passes of a sweep: what the archive keeps in the frames' place, plane by plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUMS = "/entry/data/sums"
"""Path of the sums within the file: a row per frequency of each sweep; of a whole sweep the final ones."""
SPARE = "/entry/data/sums_spare"
"""Path of copies of the newest sweep, written in turns with them so that a kill never meets the only one."""


class SumsError(ValueError):
    """A frame cannot be added to a sum exactly."""


@dataclass(frozen=True)
class SumPlane:
    """The sum at one frequency of a sweep."""

    index: int
    """Place in the frequency list."""
    passes_done: int
    """Passes that it stands for."""
    frames: int
    """Frames in it: fewer than the passes where the camera lost some."""
    pixels: NDArray[Any]
    """(y, x) exact sum, u4; of float frames the one frame, f4."""


def sums_dtype(frames_dtype: str) -> np.dtype[Any]:
    """Return the dtype of the sums of frames of a dtype: `<u4`, or `<f4` for the one pass that floats may have."""
    return np.dtype("<f4" if np.dtype(frames_dtype).kind == "f" else "<u4")


def add_exactly(plane: NDArray[Any], frames: int, frame: NDArray[Any], out: NDArray[Any]) -> None:
    """Write the sum of a plane of so many frames and one more frame into `out`.

    Raises
    ------
    SumsError
        Where u4 would overflow, or a second float frame would make the sum depend on the order.
    """
    if frame.dtype.kind == "f":
        if frames:
            raise SumsError("float frames have one pass: a second one cannot be added exactly")
        out[...] = frame
        return
    np.add(plane, frame, out=out)
    if (frame.dtype.itemsize == 4 or frames >= 65_537) and bool((out < plane).any()):
        raise SumsError("the sums overflow 32 bits: use fewer passes, or archive = frames")
