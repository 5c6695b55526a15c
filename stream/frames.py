"""What makes frames: the protocol that the twin, a replayed file and a real camera fulfil."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream.messages import Json, StatePoint, SweepRequest

__all__ = ["FrameLost", "FrameMaker", "SweepRequest"]


class FrameLost(Exception):  # noqa: N818 - reads as a sentence
    """The source lost this one frame and goes on with the next: a counted hole."""


class FrameMaker(Protocol):
    """A source of frames. The frame server calls `arm` and `frame` from one thread of its own, never concurrently.

    A source may also have `info()` and `regions()`, told with the camera; `give_up()`, called from another thread,
    which ends a `frame` that waits for something outside; and `close()`, called once at the end. One with `archive` =
    `Archive.SUMS` makes no frames: the sums of its sweeps are in the file that its `info()` names, whole when armed.
    """

    height: int
    """Camera rows."""
    width: int
    """Camera columns."""
    dtype: str
    """Frame dtype: `<u2`, `<u4` or `<f4`."""
    frame_rate_hz: float
    """Frames per second; 0 means as fast as possible."""

    def arm(self, request: SweepRequest) -> tuple[StatePoint, Json]:
        """Freeze the state for one sweep.

        Returns
        -------
        tuple
            Where the sample is, and the frozen source state that goes into `SweepStart.source_state`.

        Raises
        ------
        Exception
            Any: the camera refuses to arm with the exception's text as the reason.
        """
        ...

    def frame(self, pass_index: int, index: int) -> NDArray[np.generic]:
        """Return the (y, x) frame of `dtype`: a pure function of (armed state, pass, index).

        Raises
        ------
        FrameLost
            Where this frame will never come, and the next one will.
        Exception
            Any other: the sweep ends with the exception's text as the reason.
        """
        ...
