"""What the stream costs beside karabo-bridge and pvapy on the same frames, and how late the last tile is.

`python -m benchmarks.stream --json FILE`. One source and two consumers each, 512 x 512 u2, the same rate and the same
consumer work, in turns: CPU time of all three processes per GB of camera data, medians over the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import socket
import statistics
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

from benchmarks.stream_sources import CHANNEL, FREQUENCIES, frames
from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl
from stream.messages import NoiseModel, RunMode, RunStart, SweepRequest, SweepRole, Tile, WorkerHealth
from stream.settings import StreamSettings, dump_settings

SIZE, RATE_HZ, PASSES, ROUNDS = 512, 200.0, 50, 3
LATENCY_SWEEPS, LATENCY_PASSES = 30, 3
PATIENCE_S = 60.0
LOG = logging.getLogger("benchmarks.stream")


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
        self.settings = replace(StreamSettings(str(runtime), str(data), archive_frames=False), **changes)
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


def ring_cost(passes: int = PASSES, **changes: Any) -> tuple[float, int]:
    """Return (CPU s per GB, frames lost) of the ring and two workers."""
    with ring(RATE_HZ, **changes) as (ours, control, inbox):
        before = cpu_s(ours.group)
        ours.sweep(control, inbox, passes)
        return (cpu_s(ours.group) - before) / gigabytes(passes), ours.lost


def peer_cost(name: str, passes: int = PASSES) -> tuple[float, float]:
    """Return (CPU s per GB, share of the frames that arrived) of a peer with two consumers."""
    count = passes * FREQUENCIES
    variables = {"EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1", "EPICS_PVA_ADDR_LIST": "127.0.0.1"}
    variables |= {"EPICS_PVA_AUTO_ADDR_LIST": "NO", "EPICS_PVA_SERVER_PORT": str(free_port())}
    variables |= {"EPICS_PVA_BROADCAST_PORT": str(free_port())}
    with tempfile.TemporaryDirectory() as folder, processes() as start:
        place = CHANNEL if name == "pvapy" else f"ipc://{folder}/bridge"
        source = start(f"{name}_source", place, SIZE, count, RATE_HZ, **variables)
        sinks = [start(f"{name}_sink", place, SIZE, count, half, **variables) for half in range(2)]
        group = [source, *sinks]
        for process in sinks:
            tell(process)
        time.sleep(0.5)  # subscriptions take their time, and nothing says when they hold
        before = cpu_s(group)
        tell(source)
        hear(source)
        cost = cpu_s(group) - before
        got = [int(hear(sink)) for sink in sinks]
        return cost / gigabytes(passes), sum(got) / (2 * count)


def tell(process: subprocess.Popen[str]) -> None:
    """Let a process go on."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    """Return the next line of a process."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def gigabytes(passes: int) -> float:
    """Return the camera data of a sweep, GB."""
    return passes * FREQUENCIES * SIZE * SIZE * 2 / 1e9


def free_port() -> int:
    """Return a port that is free on loopback now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def latency_ms() -> tuple[float, int]:
    """Return the 95th percentile of the final tiles' delay after the last frame, and the frames lost."""
    with ring(RATE_HZ) as (ours, control, inbox):
        delays = [delay for _ in range(LATENCY_SWEEPS) for delay in ours.sweep(control, inbox, LATENCY_PASSES)]
        return float(np.percentile(delays, 95)) * 1000, ours.lost


def measure(rounds: int, passes: int) -> dict[str, float]:
    """Run everything in turns and return the figures."""
    rows: dict[str, list[float]] = {"ring": [], "karabo": [], "pvapy": []}
    arrived: dict[str, list[float]] = {"karabo": [], "pvapy": []}
    lost = 0
    for _ in range(rounds):
        cost, missing = ring_cost(passes)
        rows["ring"].append(cost)
        lost += missing
        for name, shares in arrived.items():
            cost, share = peer_cost(name, passes)
            rows[name].append(cost)
            shares.append(share)
    delay, missing = latency_ms()
    middle = {name: statistics.median(costs) for name, costs in rows.items()}
    return {
        "cpu_s_per_gb_ring": middle["ring"],
        "cpu_s_per_gb_karabo": middle["karabo"],
        "cpu_s_per_gb_pvapy": middle["pvapy"],
        "ratio_karabo": statistics.median(k / r for k, r in zip(rows["karabo"], rows["ring"], strict=True)),
        "ratio_pvapy": statistics.median(p / r for p, r in zip(rows["pvapy"], rows["ring"], strict=True)),
        "karabo_arrived": min(arrived["karabo"]),
        "pvapy_arrived": min(arrived["pvapy"]),
        "tile_latency_ms_p95": delay,
        "frames_lost": lost + missing,
        "load_1min": os.getloadavg()[0],
    }


def main() -> int:
    """Run the benchmark; the exit code is 0 whatever the figures are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream", description=__doc__)
    parser.add_argument("--json", type=Path, help="file of the result")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--passes", type=int, default=PASSES)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    result = measure(arguments.rounds, arguments.passes)
    text = json.dumps(result, indent=2)
    LOG.info("%s", text)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
