"""What bands over TCP cost: `python -m benchmarks.stream_tcp --json FILE`; `tcp_cost` is the figure for others.

One source and two workers, 512 x 512 u2, all on this host, the workers connected over TCP on loopback: the CPU time of
the three processes per GB of camera data. With `curve` the same, encrypted.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import socket
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.stream_rigs import PASSES, RATE_HZ, ROUNDS, Ring, cpu_s, gigabytes, ring
from stream.keys import FOLDER_VARIABLE, allow, new_pair, set_server_key
from stream.settings import StreamSettings, dump_settings, load_settings

LOG = logging.getLogger("benchmarks.stream_tcp")
LIMIT = 0.8
"""Most CPU time that TCP bands may cost, s per GB."""


class TcpBands(Ring):
    """Our camera and two workers that have its address and nothing else of it."""

    def __init__(
        self, start: Callable[..., subprocess.Popen[str]], folder: Path, rate_hz: float, **changes: Any
    ) -> None:
        def start_away(role: str, settings: Path, *rest: object) -> subprocess.Popen[str]:
            if role == "worker":
                here = load_settings(StreamSettings, settings)
                home = folder / str(rest[0])
                home.mkdir(mode=0o700)
                away = replace(here, runtime_dir=str(home), data_dir=str(home), tcp_port=0)
                settings = home / "settings.json"
                dump_settings(replace(away, connect=f"tcp://127.0.0.1:{here.tcp_port}"), settings)
            return start(role, settings, *rest)

        super().__init__(start_away, folder, rate_hz, tcp_port=_free_ports(), **changes)


def tcp_cost(passes: int = PASSES, rate_hz: float = RATE_HZ, **changes: Any) -> tuple[float, int]:
    """Return (CPU s per GB, frames lost) of the frame server and two workers over TCP."""
    with ring(rate_hz, TcpBands, **changes) as (ours, control, inbox):
        before = cpu_s(ours.group)
        ours.sweep(control, inbox, passes)
        return (cpu_s(ours.group) - before) / gigabytes(passes), ours.lost


def curve_cost(passes: int = PASSES) -> tuple[float, int]:
    """Return the same with CURVE, with keys made for it alone."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get(FOLDER_VARIABLE)
        os.environ[FOLDER_VARIABLE] = folder
        try:
            public = new_pair()
            allow("bench", public)
            set_server_key(public)
            return tcp_cost(passes, curve=True)
        finally:
            os.environ.pop(FOLDER_VARIABLE)
            if before is not None:
                os.environ[FOLDER_VARIABLE] = before


def _free_ports() -> int:
    """Return a port that is free on loopback now, and so is the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def main() -> int:
    """Run the benchmark; the exit code is 0 whatever the figures are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream_tcp", description=__doc__)
    parser.add_argument("--json", type=Path, help="file of the result")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--passes", type=int, default=PASSES)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    LOG.setLevel(logging.INFO)
    plain = [tcp_cost(arguments.passes) for _ in range(arguments.rounds)]
    curve = [curve_cost(arguments.passes) for _ in range(arguments.rounds)]
    result = {
        "cpu_s_per_gb_tcp": statistics.median(cost for cost, _ in plain),
        "cpu_s_per_gb_tcp_limit": LIMIT,
        "cpu_s_per_gb_curve": statistics.median(cost for cost, _ in curve),
        "frames_lost": sum(lost for _, lost in (*plain, *curve)),
        "load_1min": os.getloadavg()[0],
    }
    text = json.dumps(result, indent=2)
    LOG.info("%s", text)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
