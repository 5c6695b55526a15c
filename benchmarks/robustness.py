"""Every failure scenario, for us and each peer: how often a fit is wrong and nobody says so, how often it is right.

`python -m benchmarks.robustness --json FILE [--pixels 2000] [--peer-pixels 300]`. All get the same spectra and the same
common guess (`blind`: ours without any). Ours is the final map of the scene as an image, each pixel's truth drawn
alone (`per_pixel`: without the second try that a map's neighbours give).

A peer that calls every fit good resolves whatever there is, and calls noise good as well. So each peer is judged a
second time (`at_equal_honesty`) as a careful user would run it: fits whose weaker contrast is not significant count as
flagged, the limit being the least with which no more than 1 % of flat spectra and of spectra with one line missing
pass, found on other spectra. Both comparisons stand in the file (`beside_the_best_peer`) and in the table printed.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ours import engine
from benchmarks.peers import ENGINES, Engine, Result
from benchmarks.scenarios import Scene, all_scenes, score

LOG = logging.getLogger("benchmarks.robustness")
NOTHING_THERE = ("flat", "one_line_missing")
"""Scenarios in which every pixel called good is wrong: they set the peers' limits."""
ALLOWED = 0.01
"""Share wrong and unflagged that is allowed."""


def judged(scene: Scene, result: Result, limit: float = 0.0) -> dict[str, float]:
    """Return both shares, fits with a strength below the limit flagged."""
    wrong, resolved = score(scene, result.centre, result.sigma, result.good & (result.strength >= limit))
    return {"wrong_unflagged": wrong, "resolved": resolved}


def limit_of(peer: Engine, pixels: int) -> float:
    """Return the least strength with which no more than 1 % of what is not there passes."""
    limits = [0.0]
    for scene in all_scenes(pixels, seed=9):
        if scene.name in NOTHING_THERE:
            result = peer(scene)
            limits.append(float(np.quantile(np.where(result.good, result.strength, 0.0), 1.0 - ALLOWED)))
    return max(limits)


def installed() -> dict[str, Engine]:
    """Return the peers that are installed."""
    out: dict[str, Engine] = {}
    scene = all_scenes(2)[0]
    for name, peer in ENGINES.items():
        try:
            peer(scene)
        except ImportError:
            LOG.warning("%s is not installed and left out", name)
            continue
        out[name] = peer
    return out


def measure(pixels: int, peer_pixels: int) -> list[dict[str, object]]:
    """Return one row per scenario: ours, then each peer's shares."""
    peers = installed()
    limits = {name: limit_of(peer, max(peer_pixels, 300)) for name, peer in peers.items()}
    few = {scene.name: scene for scene in all_scenes(peer_pixels, seed=3)}
    rows: list[dict[str, object]] = []
    for scene in all_scenes(pixels, seed=3):
        row: dict[str, object] = {"scenario": scene.name, **judged(scene, engine(scene))}
        row["per_pixel"] = judged(scene, engine(scene, whole=False))
        row["blind"] = judged(scene, engine(scene, guessed=False))
        for name, peer in peers.items():
            same = few[scene.name]
            result = peer(same)
            honest = judged(same, result, limits[name])
            row[name] = {**judged(same, result), "at_equal_honesty": honest, "least_strength": limits[name]}
        row["beside_the_best_peer"] = beside(row, list(peers))
        rows.append(row)
    return rows


def beside(row: dict[str, object], peers: list[str]) -> dict[str, float | str]:
    """Return how much more we resolve than the best peer as it comes (`raw`) and at equal honesty; negative: less.

    Beside the raw share stands what that peer calls good and is wrong.
    """
    ours = float(str(row["resolved"]))
    shares: dict[str, Any] = {name: row[name] for name in peers}
    if not shares:
        return {}
    raw = max(peers, key=lambda name: shares[name]["resolved"])
    honest = max(peers, key=lambda name: shares[name]["at_equal_honesty"]["resolved"])
    return {
        "raw": ours - shares[raw]["resolved"],
        "raw_peer": raw,
        "raw_peer_wrong_unflagged": shares[raw]["wrong_unflagged"],
        "at_equal_honesty": ours - shares[honest]["at_equal_honesty"]["resolved"],
        "honest_peer": honest,
        "honest_peer_wrong_unflagged": shares[honest]["at_equal_honesty"]["wrong_unflagged"],
    }


def table(rows: list[dict[str, object]]) -> str:
    """Return one line per scenario: ours, and the best peer raw and at equal honesty."""
    head = (
        f"{'scenario':24}{'resolved':>9}{'wrong':>7}{'blind':>7} | {'raw peer +-':>12}{'wrong':>7} | {'honest +-':>10}"
    )
    lines = [head]
    for row in rows:
        best: Any = row["beside_the_best_peer"]
        blind: Any = row["blind"]
        line = f"{row['scenario']!s:24}{row['resolved']:9.3f}{row['wrong_unflagged']:7.3f}{blind['resolved']:7.3f}"
        if best:
            line += (
                f" | {best['raw']:+12.3f}{best['raw_peer_wrong_unflagged']:7.3f} | {best['at_equal_honesty']:+10.3f}"
            )
        lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--pixels", type=int, default=2000)
    parser.add_argument("--peer-pixels", type=int, default=300)
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        # peers warn where a covariance cannot be estimated; that is part of what is measured
        warnings.simplefilter("ignore")
        rows = measure(arguments.pixels, arguments.peer_pixels)
    arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    sys.stdout.write(table(rows))


if __name__ == "__main__":
    main()
