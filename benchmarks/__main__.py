"""Run every benchmark there is, one after the other: `python -m benchmarks [NAME ...] [--list]`."""

from __future__ import annotations

import argparse
import pkgutil
import subprocess
import sys
from pathlib import Path

import benchmarks

NOT_RUN = (
    "__main__",
    "scenarios",
    "peers",
    "peak",
    "ours",
    "map_scale",
    "page_feed",
    "stream_sources",
    "stream_rigs",
    "joint_scene",
    "twin_runs",
)
"""Modules that only others use."""


def names() -> list[str]:
    """Return the names of the benchmarks."""
    return sorted(row.name for row in pkgutil.iter_modules(benchmarks.__path__) if row.name not in NOT_RUN)


def main() -> int:
    """Run those named, or all; the exit code is that of the first that fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help="benchmarks to run; all where none is named")
    parser.add_argument("--list", action="store_true", help="name them and run nothing")
    parser.add_argument("--out", type=Path, default=Path("data/benchmarks"), help="folder of the JSON files")
    arguments = parser.parse_args()
    known = names()
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known) or 'none'}")
    if arguments.list:
        sys.stdout.write("\n".join(known) + "\n")
        return 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or known:
        sys.stdout.write(f"benchmark {name} ...\n")
        out = arguments.out / f"{name}.json"
        result = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--json", str(out)], check=False)
        if result.returncode:
            return result.returncode
        sys.stdout.write(out.read_text())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
