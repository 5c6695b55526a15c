"""Real processes for tests of the wire: a camera of known frames, workers that sum, a builder that keeps finals."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from stream.frames import FrameLost
from stream.health import ready_path
from stream.messages import (
    FieldHistory,
    NoiseModel,
    RunMode,
    RunStart,
    StatePoint,
    SweepRequest,
    SweepRole,
)
from stream.settings import StreamSettings

ROOT = Path(__file__).resolve().parents[2]
HEIGHT, WIDTH = 24, 16


def known_frame(sweep: int, pass_index: int, index: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Frame of the test camera: another one for every key."""
    y, x = np.mgrid[0:height, 0:width]
    return ((y * 131 + x * 17 + index * 257 + pass_index * 31 + sweep * 1009) % 4093).astype("<u2")


class KnownMaker:
    """A camera whose frames a test can predict."""

    dtype = "<u2"

    def __init__(
        self,
        rate_hz: float = 0.0,
        height: int = HEIGHT,
        width: int = WIDTH,
        lost: frozenset[tuple[int, int]] = frozenset(),
    ) -> None:
        self.height, self.width, self.frame_rate_hz = height, width, rate_hz
        self.lost = lost
        self._sweep = -1

    def arm(self, request):
        if request.load_index == 99:
            raise ValueError("the twin does not answer")
        self._sweep = request.sweep
        return StatePoint(20.0, 20.0, 20.0, 97.0, FieldHistory.ZFC_FW), {"seed": 1}

    def frame(self, pass_index, index):
        if (pass_index, index) in self.lost:
            raise FrameLost
        return known_frame(self._sweep, pass_index, index, self.height, self.width)


def known_cube(sweep: int, count: int, passes: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """(f, y, x) sums over the passes."""
    return np.stack(
        [sum(known_frame(sweep, p, i, height, width).astype(np.uint32) for p in range(passes)) for i in range(count)]
    )


def run_start(uid: str) -> RunStart:
    return RunStart(uid, RunMode.SIMULATED, 0, 0, "", NoiseModel("", 1.0), {"lines": 4})


def sweep_request(uid: str, sweep: int, count: int = 10, passes: int = 4) -> SweepRequest:
    return SweepRequest(uid, sweep, SweepRole.WARMING, np.linspace(2800.0, 3400.0, count), passes)


def free_ports() -> int:
    """A port that is free now, and so is the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def wait_for(condition, timeout_s: float, what: str):
    """Poll a condition; events of other processes have no other handle."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {timeout_s} s: {what}")


class Rig:
    """Processes of one test and their ends."""

    def __init__(self, folder: Path, **settings) -> None:
        self.folder = folder
        self.settings = StreamSettings(str(folder / "r"), str(folder / "d"), **{"ring_mib": 1, **settings})
        (folder / "r").mkdir(mode=0o700, exist_ok=True)
        (folder / "settings.json").write_text(json.dumps(asdict(self.settings)))
        self.processes: list[subprocess.Popen] = []
        self.log: Path | None = None
        """Where the processes write what they say; the test's own standard error if not set."""

    def start(
        self, module: str, *arguments: str, settings: Path | None = None, keys: Path | None = None
    ) -> subprocess.Popen:
        file = settings or self.folder / "settings.json"
        environment = os.environ if keys is None else {**os.environ, "NVDAC_KEYS_DIR": str(keys)}
        with contextlib.nullcontext() if self.log is None else self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"tests.stream.{module}", str(file), *arguments],
                cwd=ROOT,
                env=environment,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def camera(
        self, rate_hz: float = 0.0, height: int = HEIGHT, width: int = WIDTH, lost: Iterable[tuple[int, int]] = ()
    ) -> subprocess.Popen:
        """A camera of known frames; those at the (pass, index) that are `lost` never come."""
        ready = ready_path(self.settings, "camera")
        ready.unlink(missing_ok=True)
        process = self.start("camera_process", str(rate_hz), str(height), str(width), json.dumps(list(lost)))
        wait_for(ready.exists, 60, "camera")
        return process

    def tcp_worker(self, name: str, *arguments: str, port: int = 0, keys: Path | None = None) -> subprocess.Popen:
        """A worker as on another host: it knows an address, and no folder of this rig."""
        home = self.folder / name
        home.mkdir(exist_ok=True)
        connect = f"tcp://127.0.0.1:{port or self.settings.tcp_port}"
        away = replace(self.settings, runtime_dir=str(home), data_dir=str(home), connect=connect, tcp_port=0)
        return self.start(
            "worker_process", name, *arguments, settings=self.write(f"{name}/settings.json", away), keys=keys
        )

    def write(self, name: str, settings: StreamSettings) -> Path:
        """Write a settings file of its own for a process."""
        path = self.folder / name
        path.write_text(json.dumps(asdict(settings)))
        return path

    def worker(self, name: str, *arguments: str) -> subprocess.Popen:
        return self.start("worker_process", name, *arguments)

    def kill(self, process: subprocess.Popen) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait(5)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


class Gathered:
    """Finals of one builder: cubes per sweep, put together from bands."""

    def __init__(self, inbox) -> None:
        self.inbox = inbox
        self.finals: dict[tuple[str, int, int], object] = {}
        self.repeated = 0
        self.events: list[object] = []

    def poll(self, timeout_s: float = 0.05) -> list[object]:
        events = self.inbox.poll(timeout_s)
        for event in events:
            if type(event).__name__ == "Tile" and event.final:
                key = (event.run_uid, event.sweep, event.y0)
                self.repeated += key in self.finals
                self.finals[key] = event
            self.events.append(event)
        return events

    def cube(self, uid: str, sweep: int) -> np.ndarray | None:
        """The cube of a sweep once every row is there."""
        tiles = sorted((key[2], tile) for key, tile in self.finals.items() if key[:2] == (uid, sweep))
        if sum(tile.y1 - tile.y0 for _, tile in tiles) != self.height(uid):
            return None
        return np.concatenate([tile.planes["cube"] for _, tile in tiles], axis=1)

    def height(self, uid: str) -> int:
        starts = [event for event in self.events if type(event).__name__ == "RunStart" and event.run_uid == uid]
        return starts[0].height if starts else -1

    def until_cube(self, uid: str, sweep: int, timeout_s: float = 60.0) -> np.ndarray:
        return wait_for(lambda: self.poll() is not None and _box(self.cube(uid, sweep)), timeout_s, f"sweep {sweep}")[0]

    def until(self, condition, timeout_s: float, what: str):
        return wait_for(lambda: self.poll() is not None and condition(), timeout_s, what)


def _box(value):
    return None if value is None else (value,)
