"""What adaptive plans save: hours, loads and sweep time beside fixed ladders and public adaptive scans.

`python -m benchmarks.adaptive --json FILE [--samples S1,S2] [--seeds 1-5] [--work FOLDER]`. Temperatures are simulated
on maps (`benchmarks.warming`): the twin's noise-free s(T), its cryostat's ramps and settling, one hour of averaging
worth `SIGMA_HOUR`. Our policy runs with one setting for all samples and seeds; every contender is tuned for each world
with hindsight to the error that our policy reached there. Each world's row is kept in the work folder, so that the
whole may be run in pieces.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders import (
    ADAPTIVE_SCAN_DELTAS,
    LEARNER_POINTS,
    adaptive_scan,
    learner_1d,
    peer_frontier,
    policy,
)
from benchmarks.frequencies import frequencies
from benchmarks.ladders import AVERAGING_H, DRAWS, TWO_KELVIN_POINTS, Frontier, frontier
from benchmarks.loads import loads
from benchmarks.oracle import oracle
from benchmarks.warming import World, make_world

SAMPLES = ("S1", "S2", "S3")
SEEDS = tuple(range(1, 21))
PEERS = ("tuned_ladder", "two_kelvin_ladder", "bluesky_adaptive_scan", "learner_1d", "oracle")
LOG = logging.getLogger("benchmarks.adaptive")


def ours(world: World) -> dict[str, Any]:
    """Return what the policy reached on a world and where its hours went, means over the noise draws."""
    runs = [policy(world, draw) for draw in DRAWS]
    errors = np.array([run.error() for run in runs])
    above = float(np.percentile(world.true_k, 95.0))
    late = [
        sum(float(sigma) for sigma, t in zip(run.sweeps_h, run.set_points, strict=True) if t > above) for run in runs
    ]
    return {
        "hours": float(np.mean([run.hours for run in runs])),
        "tc_error_k": float(errors[:, 0].mean()),
        "resolved": float(errors[:, 1].mean()),
        "points": float(np.mean([len(run.set_points) for run in runs])),
        "moving_h": float(np.mean([run.moving_h for run in runs])),
        "reference_h": runs[0].reference_h,
        "above_every_tc_h": float(np.mean(late)),
    }


def contenders(world: World, work: Path) -> dict[str, Frontier]:
    """Return hours and errors of every contender on a world, from the work folder where they are there."""
    path = work / f"contenders-{world.sample}-{world.seed}.json"
    if path.exists():
        return {name: Frontier.of(row) for name, row in json.loads(path.read_text()).items()}
    amplitude = float(np.percentile(np.abs(world.s[0] - 1.0), 95.0))
    deltas = tuple(part * amplitude for part in ADAPTIVE_SCAN_DELTAS)
    found = {
        "tuned_ladder": frontier(world),
        "two_kelvin_ladder": frontier(world, (TWO_KELVIN_POINTS,), AVERAGING_H[1:7]),
        "bluesky_adaptive_scan": peer_frontier(adaptive_scan, world, deltas, AVERAGING_H[2:8]),
        "learner_1d": peer_frontier(learner_1d, world, LEARNER_POINTS, AVERAGING_H[2:8]),
        "oracle": oracle(world),
    }
    path.write_text(json.dumps({name: row.values() for name, row in found.items()}) + "\n")
    return found


def row_of(world: World, work: Path) -> dict[str, Any]:
    """Return one world's row: our run, and the hours in which each contender reaches the same error."""
    begin = time.process_time()
    mine = ours(world)
    goal = mine["tc_error_k"]
    hours = {name: row.hours_to(goal) for name, row in contenders(world, work).items()}
    return {
        "sample": world.sample,
        "seed": world.seed,
        "ours": mine,
        "hours_to_same_error": hours,
        "cpu_s": time.process_time() - begin,
    }


def ratios(rows: list[dict[str, Any]], peer: str) -> list[float]:
    """Return our hours over the peer's, of the worlds on which the peer reached the error at all."""
    pairs = [(row["ours"]["hours"], row["hours_to_same_error"][peer]) for row in rows]
    return [mine / theirs for mine, theirs in pairs if np.isfinite(theirs)] or [0.0]


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the numbers of some worlds together."""
    tuned = ratios(rows, "tuned_ladder")
    mine = {key: float(np.mean([row["ours"][key] for row in rows])) for key in rows[0]["ours"]}
    errors = [row["ours"]["tc_error_k"] for row in rows]
    return {
        "worlds": len(rows),
        "hours_ratio": float(np.mean(tuned)),
        "worst_seed_ratio": float(np.max(tuned)),
        "tc_error_k": float(np.median(errors)),
        "tc_error_k_worst_seed": float(np.max(errors)),
        "resolved_worst_seed": float(np.min([row["ours"]["resolved"] for row in rows])),
        "hours_ratio_by_peer": {peer: float(np.mean(ratios(rows, peer))) for peer in PEERS},
        "worst_ratio_by_peer": {peer: float(np.max(ratios(rows, peer))) for peer in PEERS},
        "worlds_never_reached_by_peer": {
            peer: sum(not np.isfinite(row["hours_to_same_error"][peer]) for row in rows) for peer in PEERS
        },
        "oracle_over_tuned_ladder": float(
            np.mean([r["hours_to_same_error"]["oracle"] / r["hours_to_same_error"]["tuned_ladder"] for r in rows])
        ),
        "ours": mine,
    }


def temperatures(samples: tuple[str, ...], seeds: tuple[int, ...], work: Path) -> dict[str, Any]:
    """Run what is not in the work folder yet and summarise all that is there."""
    work.mkdir(parents=True, exist_ok=True)
    for sample in samples:
        for seed in seeds:
            path = work / f"row-{sample}-{seed}.json"
            if not path.exists():
                row = row_of(make_world(sample, seed, work), work)
                path.write_text(json.dumps(row, indent=1) + "\n")
                LOG.info("%s seed %d: %.0f s", sample, seed, row["cpu_s"])
    rows = [json.loads(path.read_text()) for path in sorted(work.glob("row-*.json"))]
    wanted = [row for row in rows if row["sample"] in SAMPLES and row["seed"] in SEEDS]
    per_sample = {s: summarise([r for r in wanted if r["sample"] == s]) for s in SAMPLES if _any(wanted, s)}
    return {**summarise(wanted), "per_sample": per_sample}


def others(samples: tuple[str, ...], seeds: tuple[int, ...], work: Path) -> dict[str, Any]:
    """Return what adaptive frequencies and adaptive loading save, over all worlds in the work folder."""
    for sample in samples:
        for seed in seeds:
            path = work / f"other-{sample}-{seed}.json"
            if not path.exists():
                found = {"frequencies": frequencies(sample, seed), "loads": loads(sample, seed)}
                path.write_text(json.dumps({"sample": sample, "seed": seed, **found}, indent=1) + "\n")
    rows = [json.loads(path.read_text()) for path in sorted(work.glob("other-*.json"))]
    rows = [row for row in rows if row["sample"] in SAMPLES and row["seed"] in SEEDS]
    per_sample = {s: summarise_others([r for r in rows if r["sample"] == s]) for s in SAMPLES if _any(rows, s)}
    return {**summarise_others(rows), "others_per_sample": per_sample}


def summarise_others(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the numbers of frequencies and loads of some worlds together."""
    lists = [row["frequencies"] for row in rows]
    climbs = [row["loads"] for row in rows]
    return {
        "other_worlds": len(rows),
        "frequency_time_ratio": float(np.median([row["time_ratio"] for row in lists])),
        "frequency_time_ratio_worst_seed": float(max(row["time_ratio"] for row in lists)),
        "frequency_time_ratio_worst_pixel": float(max(row["time_ratio_worst_pixel"] for row in lists)),
        "lines_missed_share": float(max(row["missed_share"] for row in lists)),
        "loads_ratio": float(np.mean([row["loads_ratio"] for row in climbs])),
        "loads_ratio_worst_seed": float(max(row["loads_ratio"] for row in climbs)),
        "onset_bracket_gpa": float(max(row["bracket_gpa"] for row in climbs)),
        "one_gpa_ladder": {
            "loads_ratio": float(
                np.mean([row["one_gpa_ladder"]["loads"] / row["fixed_ladder_loads"] for row in climbs])
            ),
            "onset_bracket_gpa": float(max(row["one_gpa_ladder"]["bracket_gpa"] for row in climbs)),
        },
    }


def _any(rows: list[dict[str, Any]], sample: str) -> bool:
    return any(row["sample"] == sample for row in rows)


def _seeds(text: str) -> tuple[int, ...]:
    first, _, last = text.partition("-")
    return tuple(range(int(first), int(last or first) + 1))


def main() -> None:
    """Measure and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--samples", default=",".join(SAMPLES))
    parser.add_argument("--seeds", type=_seeds, default=SEEDS, help="such as 1-5")
    parser.add_argument("--work", type=Path, default=Path("data/benchmarks/adaptive"))
    arguments = parser.parse_args()
    LOG.addHandler(logging.StreamHandler())
    LOG.setLevel(logging.INFO)
    samples = tuple(arguments.samples.split(","))
    result = {
        **temperatures(samples, arguments.seeds, arguments.work),
        **others(samples, arguments.seeds, arguments.work),
    }
    arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
