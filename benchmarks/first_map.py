"""First map of a warm installation: a new process that loads what is compiled on disk, then fits and maps.

`python -m benchmarks.first_map --json FILE`. `first_map_s` is what a fresh worker needs from the first call of the
engine, kernels loaded from disk, to the final map of 256 x 256 pixels, `first_map_cpu_s` the same for machines that do
other things too; `process_s` counts from the start of the process, imports included; `compilations` must be 0, else
the installation was not warm.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from numba.core import event

from analyzers.fitting import fit_image, warm_up
from analyzers.rescue import keep_unresolved, rescue
from benchmarks.ours import SETTINGS, cube_of
from benchmarks.scenarios import reference

EDGE = 256
ROUNDS = 3


class _Count(event.Listener):
    """Counts compilations; kernels found on disk are none."""

    def __init__(self) -> None:
        self.compilations = 0

    def on_start(self, event: Any) -> None:
        """Count one."""
        self.compilations += 1

    def on_end(self, event: Any) -> None:
        """Nothing to add."""


def child(started_s: float) -> dict[str, float]:
    """Make the first map of this process."""
    count = _Count()
    event.register("numba:compile", count)
    scene = reference(EDGE * EDGE)
    cube, noise = cube_of(scene)
    image = cube.reshape(len(cube), EDGE, EDGE)
    prepared_s, prepared_cpu_s = time.monotonic(), time.process_time()
    warm_up(SETTINGS)
    loaded_s = time.monotonic()
    found = fit_image(image, scene.passes, scene.frequency_mhz, noise, SETTINGS)
    again = keep_unresolved(image, found, 0, EDGE)
    rescue(found, again, scene.passes, scene.frequency_mhz, noise, SETTINGS)
    done_s, done_cpu_s = time.monotonic(), time.process_time()
    return {
        "first_map_s": done_s - prepared_s,
        "first_map_cpu_s": done_cpu_s - prepared_cpu_s,
        "load_kernels_s": loaded_s - prepared_s,
        "process_s": done_s - started_s,
        "compilations": count.compilations,
    }


def first_map() -> dict[str, float]:
    """Return the best of some new processes, after one that may compile."""
    rows: list[dict[str, float]] = []
    for _ in range(ROUNDS + 1):
        command = [sys.executable, "-m", "benchmarks.first_map", "--started", repr(time.monotonic())]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout))
    return min(rows[1:], key=lambda row: row["first_map_s"])


def main() -> None:
    """Measure and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.started is not None:
        sys.stdout.write(json.dumps(child(arguments.started)) + "\n")
    elif arguments.json is not None:
        arguments.json.write_text(json.dumps(first_map(), indent=2) + "\n")
    else:
        parser.error("--json is needed")


if __name__ == "__main__":
    main()
