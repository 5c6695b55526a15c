"""What the stream's benchmarks share: processes that wait for their start, our camera and two workers, CPU time."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.stream_sources import FREQUENCIES, frames
from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl
from stream.messages import Archive, NoiseModel, RunMode, RunStart, SweepRequest, SweepRole, Tile, WorkerHealth
from stream.settings import StreamSettings, dump_settings

SIZE, RATE_HZ, PASSES, ROUNDS = 512, 200.0, 50, 3
PATIENCE_S = 60.0


@contextlib.contextmanager
def processes() -> Generator[Callable[..., subprocess.Popen[str]]]:
    """Give a starter of roles that waits for their `ready`; all of them end afterwards."""
    running: list[subprocess.Popen[str]] = []

    def start(*role: object, **variables: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "benchmarks.stream_sources", *map(str, role)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env={**os.environ, **variables})
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready", f"{role[0]} did not start"
        return process

    try:
        yield start
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.communicate(timeout=20)


def cpu_s(group: list[subprocess.Popen[str]]) -> float:
    """Return the CPU time that living processes have used, s."""
    times = [psutil.Process(process.pid).cpu_times() for process in group]
    return sum(item.user + item.system for item in times)


class Ring:
    """Our camera, two workers, and the builder's inbox in this process."""

    def __init__(
        self, start: Callable[..., subprocess.Popen[str]], folder: Path, rate_hz: float, **changes: Any
    ) -> None:
        runtime, data = folder / "r", folder / "d"
        self.settings = replace(StreamSettings(str(runtime), str(data), archive=Archive.NONE), **changes)
        runtime.mkdir(mode=0o700)
        dump_settings(self.settings, folder / "stream.json")
        camera = start("camera", folder / "stream.json", SIZE, rate_hz)
        self.group = [camera, *(start("worker", folder / "stream.json", f"worker-{i}") for i in range(2))]
        self._clock = runtime / "clock"
        self._sweep = 0
        self._expected = frames(SIZE).sum(axis=0, dtype=np.uint32)
        self.lost = 0

    def last_frame_s(self) -> float:
        """Return when the newest frame was made, seconds since the epoch."""
        return struct.unpack("<d", self._clock.read_bytes())[0]

    def sweep(self, control: CameraControl, inbox: BuilderInbox, passes: int) -> list[float]:
        """Run one sweep; returns when each final tile came, after the last frame, s. Wrong sums count as lost."""
        number, self._sweep = self._sweep, self._sweep + 1
        frequency_mhz = np.linspace(2800.0, 2900.0, FREQUENCIES)
        control.arm(SweepRequest("bench", number, SweepRole.WARMING, frequency_mhz, passes))
        control.trigger("bench", number)
        tiles: list[tuple[Tile, float]] = []
        until = time.monotonic() + PATIENCE_S
        while sum(tile.y1 - tile.y0 for tile, _ in tiles) < SIZE and time.monotonic() < until:
            events = inbox.poll(0.5)
            now = time.time()
            tiles += [(e, now) for e in events if isinstance(e, Tile) and e.final and e.sweep == number]
        good = [np.array_equal(t.planes["sum"], self._expected[t.y0 : t.y1] * np.uint32(passes)) for t, _ in tiles]
        rows = sum(tile.y1 - tile.y0 for (tile, _), right in zip(tiles, good, strict=True) if right)
        self.lost += round(passes * FREQUENCIES * (1 - rows / SIZE))
        last = self.last_frame_s()
        return [came - last for _, came in tiles]


@contextlib.contextmanager
def ring(
    rate_hz: float, kind: type[Ring] | None = None, **changes: Any
) -> Generator[tuple[Ring, CameraControl, BuilderInbox]]:
    """Give a ring that is ready: both workers known, a run open."""
    with tempfile.TemporaryDirectory() as folder, processes() as start:
        ours = (kind or Ring)(start, Path(folder), rate_hz, **changes)
        with BuilderInbox(ours.settings) as inbox, CameraControl(ours.settings) as control:
            alive: set[str] = set()
            while len(alive) < 2:
                alive |= {event.worker for event in inbox.poll(0.5) if isinstance(event, WorkerHealth) and event.alive}
            control.open_run(RunStart("bench", RunMode.SIMULATED, 0, 0, "", NoiseModel("", 1.0), {}))
            ours.sweep(control, inbox, 1)
            yield ours, control, inbox


def gigabytes(passes: int) -> float:
    """Return the camera data of a sweep, GB."""
    return passes * FREQUENCIES * SIZE * SIZE * 2 / 1e9
