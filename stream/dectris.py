"""Frames of a detector that speaks DECTRIS Stream V2: CBOR messages over a ZeroMQ PUSH socket that we pull from.

One series of the detector is one sweep: it is armed and triggered outside of this program, with as many images as the
sweep has frames, and `image_id` is the frame's number. A series that starts while no sweep waits for it is dropped and
said. The format is that of the vendor's public description (start, image and end messages; typed arrays of RFC 8746;
tag 56500 around compressed bytes, in the framing of the HDF5 filters bitshuffle and LZ4).
"""

from __future__ import annotations

import importlib
import logging
import threading
from dataclasses import dataclass
from typing import Any, cast

import cbor2
import h5py
import numpy as np
import zmq
from numpy.typing import NDArray

from stream.live_frames import FrameQueue, SourceLost
from stream.messages import Json

_TYPED = {64: "|u1", 68: "|u1", 65: ">u2", 66: ">u4", 69: "<u2", 70: "<u4", 81: ">f4", 85: "<f4"}
"""Tags of typed arrays -> dtype."""
_ROWS_FIRST, _COMPRESSED = 40, 56500
_FILTERS = {"bslz4": (32008, (0, 2)), "lz4": (32004, (0,))}
"""Compression -> HDF5 filter and its options."""
_OTHER_BYTES = 64 * 2**20
"""Largest message beside the image: a start message may carry masks and flat fields."""
_POLL_MS = 100
_log = logging.getLogger(__name__)


class DectrisError(ValueError):
    """A message is not one of Stream V2, or of a form that is not taken; the message says what is wrong."""


@dataclass(frozen=True)
class SeriesStart:
    """A series begins."""

    series: int
    """Its number."""
    images: int
    """How many images it will have."""
    shape: tuple[int, int]
    """Rows and columns."""


@dataclass(frozen=True)
class SeriesImage:
    """One exposure."""

    series: int
    """Its series."""
    number: int
    """`image_id`."""
    pixels: NDArray[Any]
    """(y, x)"""


@dataclass(frozen=True)
class SeriesEnd:
    """A series has ended."""

    series: int
    """Its number."""


class Unpacker:
    """Turns bytes into messages.

    Parameters
    ----------
    shape
        Rows and columns of the images.
    channel
        Name of the threshold channel to take; empty takes the only one.
    """

    def __init__(self, shape: tuple[int, int], channel: str = "") -> None:
        self._shape = shape
        self._channel = channel
        self._files: dict[tuple[str, str], Any] = {}

    def unpack(self, message: bytes) -> SeriesStart | SeriesImage | SeriesEnd:
        """Read one message.

        Raises
        ------
        DectrisError
            Where it is not one, or holds an image of a form that is not taken.
        """
        try:
            body = cbor2.loads(message)
        except Exception as error:
            # a decoder of foreign bytes raises whatever its libraries raise
            raise DectrisError(f"not CBOR: {error}") from error
        if not isinstance(body, dict):
            raise DectrisError("not a map")
        fields = cast("dict[object, object]", body)
        match fields.get("type"):
            case "start":
                shape = _whole(fields, "image_size_y"), _whole(fields, "image_size_x")
                return SeriesStart(_whole(fields, "series_id"), _whole(fields, "number_of_images"), shape)
            case "image":
                series, number = _whole(fields, "series_id"), _whole(fields, "image_id")
                return SeriesImage(series, number, self._array(self._chosen(fields.get("data"))))
            case "end":
                return SeriesEnd(_whole(fields, "series_id"))
            case other:
                raise DectrisError(f"a message of type {str(other)[:40]!r}")

    def close(self) -> None:
        """Let go of the decompressors."""
        for dataset in self._files.values():
            dataset.file.close()
        self._files = {}

    def _chosen(self, data: object) -> object:
        """Return the array of the channel."""
        channels = cast("dict[object, object]", data) if isinstance(data, dict) else {}
        if not self._channel and len(channels) == 1:
            return next(iter(channels.values()))
        if self._channel not in channels:
            names = ", ".join(str(name)[:40] for name in list(channels)[:8]) or "none"
            raise DectrisError(f"no channel {self._channel!r} in the image; it has {names}: name one in the rig file")
        return channels[self._channel]

    def _array(self, item: object) -> NDArray[Any]:
        """Return a multi-dimensional typed array as (y, x)."""
        match item:
            case cbor2.CBORTag(tag=40, value=[[int(rows), int(columns)], cbor2.CBORTag() as typed]):
                pass
            case _:
                raise DectrisError("the image is not a two-dimensional array in row order (tag 40)")
        if (rows, columns) != self._shape:
            wanted = f"{self._shape[1]} x {self._shape[0]}"
            raise DectrisError(f"the image has {columns} x {rows} pixels, the rig file says {wanted}")
        if typed.tag not in _TYPED:
            raise DectrisError(f"pixels of type tag {typed.tag} are not taken: set 8, 16 or 32 bit unsigned")
        dtype = np.dtype(_TYPED[typed.tag])
        raw = self._bytes(typed.value, dtype)
        if len(raw) != rows * columns * dtype.itemsize:
            raise DectrisError(f"{len(raw)} bytes are not {columns} x {rows} pixels of {dtype}")
        return np.frombuffer(raw, dtype).reshape(self._shape).astype(dtype.newbyteorder("<"), copy=False)

    def _bytes(self, value: object, dtype: np.dtype[Any]) -> bytes:
        match value:
            case bytes():
                return value
            case cbor2.CBORTag(tag=56500, value=[str(name), int(), bytes(packed)]) if name in _FILTERS:
                return self._decompressed(name, packed, dtype)
            case _:
                raise DectrisError("the pixels are neither bytes nor compressed with bslz4 or lz4")

    def _decompressed(self, name: str, packed: bytes, dtype: np.dtype[Any]) -> bytes:
        """Let HDF5's filter decompress: the stream has its framing."""
        size = self._shape[0] * self._shape[1] * dtype.itemsize
        if int.from_bytes(packed[:8], "big") != size:
            raise DectrisError(f"compressed pixels of another size than {size} bytes")
        key = name, dtype.str
        if key not in self._files:
            self._files[key] = _decompressor(name, self._shape, dtype, id(self))
        dataset = self._files[key]
        try:
            dataset.id.write_direct_chunk((0, 0), packed)
            return dataset[...].tobytes()
        except (OSError, ValueError) as error:
            raise DectrisError(f"compressed pixels are damaged: {str(error)[:80]}") from error


def _decompressor(name: str, shape: tuple[int, int], dtype: np.dtype[Any], number: int) -> Any:
    """Return a dataset in memory, of one chunk, that decompresses what is put into it."""
    try:
        importlib.import_module("hdf5plugin")
    except ImportError as error:
        hint = ".venv/bin/pip install -c constraints.txt -e '.[dectris]', or switch compression off at the detector"
        raise DectrisError(f"images compressed with {name} need the package hdf5plugin: {hint}") from error
    code, options = _FILTERS[name]
    file = h5py.File(f"nvdac-{number}-{name}-{dtype.str[1:]}", "w", driver="core", backing_store=False)
    return file.create_dataset("image", shape, dtype, chunks=shape, compression=code, compression_opts=options)


def _whole(fields: dict[object, object], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise DectrisError(f"{name} is not a number of 0 or more")
    return value


class DectrisSource:
    """Pulls from a detector's Stream V2 socket, in a thread of its own: a `stream.live_frames.LiveSource`.

    Parameters
    ----------
    endpoint
        `tcp://host:31001` of the detector's control unit.
    shape
        Rows and columns.
    dtype
        What the ring holds: `<u2`, `<u4` or `<f4`.
    channel
        Threshold channel to take; empty takes the only one.
    limit_bytes
        Most memory for frames that wait.
    holes
        Go on where images are lost.

    Raises
    ------
    stream.live_frames.SourceLost
        Where the endpoint is none.
    """

    def __init__(
        self,
        endpoint: str,
        shape: tuple[int, int],
        dtype: str,
        channel: str = "",
        limit_bytes: int = 2**28,
        holes: bool = False,
    ) -> None:
        self.height, self.width = shape
        self.dtype = dtype
        self.queue = FrameQueue(shape, dtype, limit_bytes, holes)
        self.malformed = 0
        self._endpoint = endpoint
        self._unpacker = Unpacker(shape, channel)
        self._series = -1
        self._sweep = 0
        self._started = self._ended = False
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.PULL)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, 200)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _OTHER_BYTES + 16 * shape[0] * shape[1])
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self._socket.close()
            self._context.term()
            raise SourceLost(f"{endpoint!r} is no address of a detector, such as tcp://10.0.0.1:31001") from error
        self._thread = threading.Thread(target=self._receive, name="dectris", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Nothing to do: a detector that is away sends nothing, and the socket takes it back by itself."""

    def start(self) -> None:
        """Nothing to do: the detector is triggered by what steps the microwaves."""

    def stop(self) -> None:
        """Nothing to do: the detector ends its series by itself."""

    def info(self) -> Json:
        """Return what the camera tells about itself."""
        return {"source": self._endpoint, "interface": "DECTRIS Stream V2"}

    def close(self) -> None:
        """End the thread and close the socket; safe to call twice."""
        self._ended = True
        self._thread.join(5.0)

    def _receive(self) -> None:
        try:
            while not self._ended:
                if self._socket.poll(_POLL_MS):
                    self._take(self._socket.recv())
        finally:
            self._socket.close()
            self._context.term()
            self._unpacker.close()

    def _take(self, message: bytes) -> None:
        try:
            self._judge(self._unpacker.unpack(message))
        except DectrisError as error:
            self.queue.fail(str(error))
            self.malformed += 1
            if self.malformed <= 10 or self.malformed % 1000 == 0:
                _log.warning("message %d of the detector is dropped: %s", self.malformed, error)

    def _judge(self, message: SeriesStart | SeriesImage | SeriesEnd) -> None:
        wanted = (self.height, self.width)
        match message:
            case SeriesStart():
                waiting = self.queue.waited_for
                self._series = message.series if waiting and waiting == self.queue.total else -1
                self._sweep = self.queue.opened
                if self._series < 0:
                    _log.warning("series %d of the detector is dropped: no sweep waits for it", message.series)
                    self.queue.fail(f"the detector began series {message.series}")
                elif (message.images, message.shape) != (self.queue.total, wanted):
                    rows, columns = message.shape
                    has = f"{message.images} images of {columns} x {rows}"
                    self._series = -1
                    self.queue.fail(f"the series has {has}, not {self.queue.total} of {wanted[1]} x {wanted[0]}")
            case SeriesImage() if message.series == self._series:
                # what is left of a series whose sweep is over is no frame of the next one
                self.queue.put(message.number, message.pixels, self._sweep)
            case SeriesEnd() if message.series == self._series and self._sweep == self.queue.opened:
                self._series = -1
                self.queue.end("the detector ended the series")
            case _:
                self.queue.strays += 1
