"""Frames of an areaDetector camera over PVAccess: NTNDArrays of a channel such as `13SIM1:Pva1:Image`.

`uniqueId` numbers the frames: whatever the camera's plugins or the network drop leaves a gap that is seen. Needs p4p,
the extra `pva`. With an `acquire` PV each sweep is one acquisition that starts with its first frame; without one the
camera runs by itself and the next frame that comes is the first.
"""

from __future__ import annotations

import importlib
import logging
import threading
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from stream.live_frames import FrameQueue, SourceLost, widened
from stream.messages import Json

_REQUEST = "field(value,codec.name,uniqueId,dimension)record[queueSize=64]"
_log = logging.getLogger(__name__)


class Switch(Protocol):
    """Starts and stops acquisitions."""

    def check(self) -> None:
        """Raise where it does not answer."""
        ...

    def __call__(self, count: int) -> None:
        """Start an acquisition of that many frames; 0 stops it."""
        ...


def image_of(value: Any) -> tuple[int, NDArray[Any]]:
    """Return `uniqueId` and the (y, x) pixels of an NTNDArray.

    Raises
    ------
    SourceLost
        Where it is compressed, in colour or of another size than it says.
    """
    if value["codec.name"]:
        raise SourceLost(f"images compressed with {value['codec.name']} are not taken: switch the codec plugin off")
    sizes = tuple(int(dimension["size"]) for dimension in value["dimension"])
    pixels = value["value"]
    if not sizes:
        raise SourceLost("the channel has no image yet: let the camera take one")
    if len(sizes) != 2:
        raise SourceLost(f"an image of dimensions {sizes} is not taken: set the camera to mono")
    if pixels is None or pixels.size != sizes[0] * sizes[1]:
        raise SourceLost(f"{0 if pixels is None else pixels.size} pixels are not an image of {sizes[0]} x {sizes[1]}")
    return int(value["uniqueId"]), np.asarray(pixels).reshape(sizes[1], sizes[0])


class PvaSource:
    """A monitor on a channel of images: a `stream.live_frames.LiveSource`.

    Parameters
    ----------
    channel
        Name of the PVAccess channel.
    limit_bytes
        Most memory for frames that wait.
    switch
        Starts and stops acquisitions; None for a camera that runs by itself.
    timeout_s
        Patience with the first image, which says what form the camera has.
    holes
        Go on where frames are lost.

    Raises
    ------
    SourceLost
        Where p4p is missing, the channel does not answer or holds no image that can be taken.
    """

    def __init__(
        self,
        channel: str,
        limit_bytes: int = 2**28,
        switch: Switch | None = None,
        timeout_s: float = 10.0,
        holes: bool = False,
    ) -> None:
        try:
            client: Any = importlib.import_module("p4p.client.thread")
        except ImportError as error:
            raise SourceLost(
                "camera.kind `pva` needs the package p4p: .venv/bin/pip install -c constraints.txt -e '.[pva]'"
            ) from error
        self._gone: type[Exception] = client.Disconnected
        self._channel = channel
        self._switch = switch
        self._first: tuple[int, NDArray[Any]] | None = None
        self._trouble = "no answer"
        self._timeout_s = timeout_s
        self._seen, self._there = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._running = False
        self._base: int | None = None
        self._last: int | None = None
        self._context: Any = client.Context("pva", nt=False)
        self._monitor: Any = self._context.monitor(channel, self._hear, request=_REQUEST, notify_disconnect=True)
        self._seen.wait(timeout_s)
        if self._first is None:
            self.close()
            raise SourceLost(f"PVAccess channel {channel} gives no image within {timeout_s:g} s: {self._trouble}")
        form = cast("NDArray[Any]", self._first[1])
        self.height, self.width = form.shape
        self.dtype = widened(form.dtype)
        self.queue = FrameQueue((self.height, self.width), self.dtype, limit_bytes, holes)

    def check(self) -> None:
        """Return once the channel is there.

        Raises
        ------
        SourceLost
            Where it is not within the time-out.
        """
        if not self._there.wait(self._timeout_s):
            raise SourceLost(f"PVAccess channel {self._channel} is not there for {self._timeout_s:g} s")
        if self._switch is not None:
            self._switch.check()

    def start(self) -> None:
        """Let the armed frames come."""
        with self._lock:
            self._base, self._running = None, True
        if self._switch is not None:
            self._switch(self.queue.total)

    def stop(self) -> None:
        """Take no more frames, and end the acquisition."""
        with self._lock:
            was, self._running = self._running, False
        if was and self._switch is not None:
            self._switch(0)

    def info(self) -> Json:
        """Return what the camera tells about itself."""
        return {"source": self._channel, "interface": "PVAccess NTNDArray"}

    def close(self) -> None:
        """End the monitor; safe to call twice."""
        self._monitor.close()
        self._context.close()

    def _hear(self, value: Any) -> None:
        """Take an update; called from threads of p4p, one at a time."""
        if isinstance(value, Exception):
            self._trouble = "the channel is not there" if isinstance(value, self._gone) else str(value)
            self._there.clear()
            if self._first is not None:
                _log.warning("PVAccess channel %s: %s", self._channel, self._trouble)
                self.queue.fail(f"PVAccess channel {self._channel} went away")
            return
        try:
            number, image = image_of(value)
        except SourceLost as error:
            self._trouble = str(error)
            if self._first is not None:
                self.queue.fail(self._trouble)
            return
        if self._first is None:
            self._first = number, image
            self._seen.set()
        if self._there.is_set():
            self._take(number, image)
        else:
            # what a channel holds when it is found is the last frame of before
            self._last = number
            self._there.set()

    def _take(self, number: int, image: NDArray[Any]) -> None:
        with self._lock:
            last, self._last = self._last, number
            if not self._running or number == last:
                return
            if self._base is None:
                self._base = number
            base = self._base
        self.queue.put(number - base, image)
