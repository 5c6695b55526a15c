"""What the stream costs beside karabo-bridge and pvapy on the same frames, and how late the last tile is.

`python -m benchmarks.stream --json FILE`. One source and two consumers each, 512 x 512 u2, the same rate and the same
consumer work, in turns: CPU time of all three processes per GB that arrived, medians over the rounds. `*_arrived` is
the least share of the frames that came to the consumers: who drops frames does not get cheaper by it.
`cpu_s_per_gb_bare` is what this machine takes to copy each frame once and add it once at that rate, with nothing around
it: no transport can cost less here.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from analyzers.cube import Cube
from benchmarks.stream_rigs import PASSES, RATE_HZ, ROUNDS, SIZE, cpu_s, gigabytes, processes, ring
from benchmarks.stream_sources import CHANNEL, FREQUENCIES, frames
from benchmarks.stream_tcp import LIMIT as TCP_LIMIT
from benchmarks.stream_tcp import tcp_cost
from stream.frame_pump import GATHER_S
from stream.ring import SlotKey, create_ring
from stream.settings import StreamSettings

LATENCY_SWEEPS, LATENCY_PASSES = 30, 3
LIMITS = {
    "cpu_s_per_gb_ring_limit": 0.30,
    "cpu_s_per_gb_tcp_limit": TCP_LIMIT,
    "ratio_karabo_limit": 2.0,
    "ratio_pvapy_limit": 2.0,
    "frames_lost_limit": 0.0,
}
"""Most CPU time (s per GB) and losses, least ratios: what the figures are held against. Latency has no bound."""
LOG = logging.getLogger("benchmarks.stream")


def ring_cost(passes: int = PASSES, rate_hz: float = RATE_HZ, **changes: Any) -> tuple[float, int]:
    """Return (CPU s per GB, frames lost) of the ring and two workers."""
    with ring(rate_hz, **changes) as (ours, control, inbox):
        before = cpu_s(ours.group)
        ours.sweep(control, inbox, passes)
        return (cpu_s(ours.group) - before) / gigabytes(passes), ours.lost


def bare_cost(passes: int = PASSES, rate_hz: float = RATE_HZ) -> float:
    """Return the CPU s per GB of the pixels' work alone, in one thread: each frame copied once and added once."""
    images, batch, cube = frames(SIZE), max(1, int(rate_hz * GATHER_S)), Cube(FREQUENCIES, SIZE, SIZE, "<u2")
    with tempfile.TemporaryDirectory() as folder:
        memory = create_ring(Path(folder) / "ring", StreamSettings("", "").ring_mib, (SIZE, SIZE), "<u2")
        due = before = 0.0
        for number in range(-memory.slots, passes * FREQUENCIES):
            if number == 0:
                due, before = time.monotonic(), time.thread_time()
            if number >= 0:
                time.sleep(max(0.0, due - time.monotonic()))
                due += 1 / rate_hz
            key = SlotKey(1, 0, abs(number))
            memory.write(number % memory.slots, key, images[number % FREQUENCIES], 0.0, checked=False)
            if number % batch == batch - 1:
                for made in range(number - batch + 1, number + 1):
                    cube.add(made % FREQUENCIES, memory.pixels[made % memory.slots])
        return (time.thread_time() - before) / gigabytes(passes)


def per_gigabyte(cost_s: float, share: float, passes: int) -> float:
    """Return the CPU time per GB of camera data that arrived, s; without end where none did."""
    return cost_s / (gigabytes(passes) * share) if share > 0.0 else math.inf


def peer_cost(name: str, passes: int = PASSES, rate_hz: float = RATE_HZ) -> tuple[float, float]:
    """Return (CPU s, share of the frames that arrived) of a peer with two consumers."""
    count = passes * FREQUENCIES
    variables = {"EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1", "EPICS_PVA_ADDR_LIST": "127.0.0.1"}
    variables |= {"EPICS_PVA_AUTO_ADDR_LIST": "NO", "EPICS_PVA_SERVER_PORT": str(free_port())}
    variables |= {"EPICS_PVA_BROADCAST_PORT": str(free_port())}
    with tempfile.TemporaryDirectory() as folder, processes() as start:
        place = CHANNEL if name == "pvapy" else f"ipc://{folder}/bridge"
        source = start(f"{name}_source", place, SIZE, count, rate_hz, **variables)
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
        return cost, sum(got) / (2 * count)


def free_port() -> int:
    """Return a port that is free on loopback now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tell(process: subprocess.Popen[str]) -> None:
    """Let a process go on."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    """Return the next line of a process."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def latency_ms() -> tuple[float, int]:
    """Return the 95th percentile of the final tiles' delay after the last frame, and the frames lost."""
    with ring(RATE_HZ) as (ours, control, inbox):
        delays = [delay for _ in range(LATENCY_SWEEPS) for delay in ours.sweep(control, inbox, LATENCY_PASSES)]
        return float(np.percentile(delays, 95)) * 1000, ours.lost


def measure(rounds: int, passes: int, rate_hz: float) -> dict[str, float]:
    """Run everything in turns and return the figures."""
    rows: dict[str, list[float]] = {"ring": [], "tcp": [], "karabo": [], "pvapy": []}
    arrived: dict[str, list[float]] = {name: [] for name in rows}
    lost = 0
    bare: list[float] = []
    for _ in range(rounds):
        bare.append(bare_cost(passes, rate_hz))
        for name, ours in (("ring", ring_cost), ("tcp", tcp_cost)):
            cost, missing = ours(passes, rate_hz)
            arrived[name].append(1.0 - missing / (passes * FREQUENCIES))
            rows[name].append(per_gigabyte(cost * gigabytes(passes), arrived[name][-1], passes))
            lost += missing
        for name in ("karabo", "pvapy"):
            cost, share = peer_cost(name, passes, rate_hz)
            arrived[name].append(share)
            rows[name].append(per_gigabyte(cost, share, passes))
    delay, missing = latency_ms()
    middle = {name: statistics.median(costs) for name, costs in rows.items()}
    return {
        "cpu_s_per_gb_ring": middle["ring"],
        "cpu_s_per_gb_tcp": middle["tcp"],
        "cpu_s_per_gb_bare": statistics.median(bare),
        "cpu_s_per_gb_karabo": middle["karabo"],
        "cpu_s_per_gb_pvapy": middle["pvapy"],
        "ratio_karabo": statistics.median(k / r for k, r in zip(rows["karabo"], rows["ring"], strict=True)),
        "ratio_pvapy": statistics.median(p / r for p, r in zip(rows["pvapy"], rows["ring"], strict=True)),
        **{f"{name}_arrived": min(shares) for name, shares in arrived.items()},
        "tile_latency_ms_p95": delay,
        "frames_lost": lost + missing,
        "rate_hz": rate_hz,
        "load_1min": os.getloadavg()[0],
        **LIMITS,
    }


def main() -> int:
    """Run the benchmark; the exit code is 0 whatever the figures are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream", description=__doc__)
    parser.add_argument("--json", type=Path, help="file of the result")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--passes", type=int, default=PASSES)
    parser.add_argument("--rate-hz", type=float, default=RATE_HZ, help="frames per second of every source")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    result = measure(arguments.rounds, arguments.passes, arguments.rate_hz)
    text = json.dumps(result, indent=2)
    LOG.info("%s", text)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
