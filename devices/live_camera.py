"""A camera that sends by itself, as the frame maker of the camera process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from stream.live_frames import LiveSource, SourceLost
from stream.messages import Json, StatePoint, SweepRequest

ReadState = Callable[[SweepRequest], tuple[StatePoint, Json]]
"""Asks the instruments where the sample is."""


class LiveCamera:
    """A `stream.frames.FrameMaker` whose frames come from outside, in the order of the sweep.

    What steps the microwaves must be locked to the camera: the first frame of an acquisition is the first frequency of
    the first pass, and every frame is the next frequency. A frame that the source lost is a counted hole, or ends the
    sweep, as the source's queue says.

    Parameters
    ----------
    source
        The camera.
    read_state
        Called once per `arm`.
    patience_s
        Longest wait for one frame, s.
    """

    frame_rate_hz = 0.0

    def __init__(self, source: LiveSource, read_state: ReadState, patience_s: float = 30.0) -> None:
        self.height = source.height
        self.width = source.width
        self.dtype = source.dtype
        self._source = source
        self._read_state = read_state
        self._patience_s = patience_s
        self._count = self._total = 0

    def info(self) -> Json:
        """Return what the camera tells about itself."""
        return self._source.info()

    def arm(self, request: SweepRequest) -> tuple[StatePoint, Json]:
        """Read where the sample is and expect the frames of the sweep.

        Raises
        ------
        SourceLost, devices.epics.DeviceError
            Where an instrument does not answer.
        """
        self._source.stop()
        self._source.check()
        state, details = self._read_state(request)
        self._count = len(request.frequency_mhz)
        self._total = request.passes * self._count
        self._source.queue.open(self._total)
        return state, {**details, **self._source.info()}

    def frame(self, pass_index: int, index: int) -> NDArray[Any]:
        """Return the next (y, x) frame; frames are asked for in the order in which they come.

        Raises
        ------
        FrameLost
            Where it is lost and the next one will come.
        SourceLost
            Where it does not come; the acquisition is ended.
        """
        number = pass_index * self._count + index
        try:
            if number == 0:
                self._source.start()
            frame = self._source.queue.take(self._patience_s)
        except SourceLost:
            self._source.stop()
            raise
        finally:
            if number == self._total - 1:
                self._source.stop()
        return frame

    def give_up(self) -> None:
        """End a wait for a frame that nobody needs any more; from any thread."""
        self._source.queue.give_up()

    def close(self) -> None:
        """Let go of the camera."""
        self._source.stop()
        self._source.close()
