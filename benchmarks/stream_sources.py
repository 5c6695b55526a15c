"""What the stream's benchmark starts: frames from memory on our ring, karabo-bridge and pvapy, and their consumers.

`python -m benchmarks.stream_sources ROLE ...`; each says `ready` on standard output and begins on a line from standard
input. Every consumer does the same work: it adds its half of the rows of each frame to a cube of sums.
"""

from __future__ import annotations

import importlib
import mmap
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.messages import Json, StatePoint, SweepRequest

FREQUENCIES = 16
"""Frames in memory, and frequencies of a sweep."""
SILENCE_S = 3.0
"""A consumer of a peer that hears nothing for this long counts what it has."""
CHANNEL = "nvdac:bench"


def frames(size: int) -> NDArray[np.uint16]:
    """Return the frames (f, y, x) that every source sends again and again."""
    generator = np.random.default_rng(7)
    return generator.integers(500, 4000, (FREQUENCIES, size, size), dtype=np.uint16)


class MemoryMaker:
    """Frames from memory; writes the time of each into a small file."""

    dtype = "<u2"

    def __init__(self, size: int, rate_hz: float, clock: Path) -> None:
        self.height = self.width = size
        self.frame_rate_hz = rate_hz
        self._frames = frames(size)
        clock.write_bytes(bytes(8))
        with clock.open("r+b") as file:
            self._clock = mmap.mmap(file.fileno(), 8)

    def arm(self, request: SweepRequest) -> tuple[StatePoint, Json]:
        """Freeze nothing."""
        return StatePoint(80.0, 80.0, 80.0, 97.0), {}

    def frame(self, pass_index: int, index: int) -> NDArray[np.uint16]:
        """Return a frame that is in memory."""
        self._clock[:] = struct.pack("<d", time.time())
        return self._frames[index]


def _go() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()


def _paced(count: int, rate_hz: float) -> Iterator[int]:
    """Yield numbers at a rate; a late one is not made up for."""
    due = time.monotonic()
    for number in range(count):
        now = time.monotonic()
        if due > now:
            time.sleep(due - now)
        due = max(due, now - 1 / rate_hz) + 1 / rate_hz
        yield number


class _Adder:
    """Half of the rows of every frame, added to a cube."""

    def __init__(self, size: int, half: int) -> None:
        self._rows = slice(half * size // 2, (half + 1) * size // 2)
        self._cube = np.zeros((FREQUENCIES, size // 2, size), np.uint32)
        self.count = 0

    def add(self, frame: NDArray[Any]) -> None:
        plane = self._cube[self.count % FREQUENCIES]
        np.add(plane, frame[self._rows], out=plane)
        self.count += 1

    def tell(self) -> None:
        sys.stdout.write(f"{self.count}\n")
        sys.stdout.flush()


def camera(settings: str, size: str, rate_hz: str) -> None:
    """Our camera process."""
    from stream.frame_server import FrameServer
    from stream.heap import keep_heap
    from stream.settings import StreamSettings, load_settings

    keep_heap()
    stream = load_settings(StreamSettings, settings)
    maker = MemoryMaker(int(size), float(rate_hz), Path(stream.runtime_dir) / "clock")
    noise: Json = {"source": "gain", "electrons_per_count": 8.0}
    with FrameServer(stream, maker, {"mode": "SIMULATED", "noise": noise}) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        server.run()


def worker(settings: str, name: str) -> None:
    """Our worker without a fit: sums, and one tile per band when it is complete."""
    from analyzers.cube import Cube
    from stream.heap import keep_heap
    from stream.messages import Tile
    from stream.settings import StreamSettings, load_settings
    from stream.worker_link import BandFrame, BandGranted, WorkerLink

    keep_heap()
    cubes: dict[int, tuple[BandGranted, Cube]] = {}
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    with WorkerLink(load_settings(StreamSettings, settings), name) as link:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while not stopped:
            for event in link.poll(0.1):
                if isinstance(event, BandGranted):
                    rows = event.y1 - event.y0
                    cubes[event.lease] = event, Cube(FREQUENCIES, rows, event.run.width, event.run.dtype)
                elif isinstance(event, BandFrame):
                    granted, cube = cubes[event.lease]
                    cube.add(event.index, event.pixels)
                    total = granted.sweep.passes * FREQUENCIES
                    if link.acknowledge(event) and cube.frames_added == total:
                        start = (
                            event.run_uid,
                            event.sweep,
                            granted.y0,
                            granted.y1,
                            granted.lease,
                            1,
                            True,
                            total,
                            name,
                        )
                        link.send_tile(Tile(*start, {"sum": cube.sums.sum(axis=0, dtype=np.uint32)}, {}))
                        del cubes[event.lease]


def karabo_source(endpoint: str, size: str, count: str, rate_hz: str) -> None:
    """karabo-bridge, one PUB socket for all consumers."""
    images = frames(int(size))
    server: Any = import_module("karabo_bridge").ServerInThread(endpoint, sock="PUB", maxlen=10)
    server.start()
    _go()
    for number in _paced(int(count), float(rate_hz)):
        server.feed({"camera": {"image": images[number % FREQUENCIES], "number": number}}, {"camera": {}})
    time.sleep(1.0)
    sys.stdout.write("done\n")
    sys.stdout.flush()
    sys.stdin.readline()


def karabo_sink(endpoint: str, size: str, count: str, half: str) -> None:
    """Consume from karabo-bridge."""
    client: Any = import_module("karabo_bridge").Client(endpoint, sock="SUB", timeout=SILENCE_S)
    adder = _Adder(int(size), int(half))
    _go()
    try:
        while adder.count < int(count):
            data, _ = client.next()
            adder.add(data["camera"]["image"])
    except TimeoutError:
        pass
    adder.tell()


def pvapy_source(channel: str, size: str, count: str, rate_hz: str) -> None:
    """pvapy: one NTNDArray record for all consumers."""
    pvaccess: Any = importlib.import_module("pvaccess")
    utility: Any = importlib.import_module("pvapy.utility.adImageUtility").AdImageUtility

    images = frames(int(size))
    make: Callable[..., Any] = utility.generateNtNdArray2D
    server: Any = pvaccess.PvaServer()
    server.addRecord(channel, make(0, images[0]), None)
    server.start()
    _go()
    for number in _paced(int(count), float(rate_hz)):
        server.update(channel, make(number + 1, images[number % FREQUENCIES]))
    time.sleep(1.0)
    sys.stdout.write("done\n")
    sys.stdout.flush()
    sys.stdin.readline()


def pvapy_sink(channel: str, size: str, count: str, half: str) -> None:
    """Consume from pvapy, with a queue at both ends."""
    pvaccess: Any = importlib.import_module("pvaccess")
    utility: Any = importlib.import_module("pvapy.utility.adImageUtility").AdImageUtility

    queue: Any = pvaccess.PvObjectQueue(1000)
    source: Any = pvaccess.Channel(channel)
    source.qMonitor(queue, "record[queueSize=1000]field()")
    queue.waitForPut(30.0)
    queue.get()  # the record as it was before the first frame
    adder = _Adder(int(size), int(half))
    _go()
    heard = time.monotonic()
    while adder.count < int(count) and time.monotonic() - heard < SILENCE_S:
        if not len(queue):
            queue.waitForPut(0.05)
            continue
        adder.add(utility.reshapeNtNdArray(queue.get())[1])
        heard = time.monotonic()
    adder.tell()


ROLES: dict[str, Callable[..., None]] = {
    "camera": camera,
    "worker": worker,
    "karabo_source": karabo_source,
    "karabo_sink": karabo_sink,
    "pvapy_source": pvapy_source,
    "pvapy_sink": pvapy_sink,
}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
