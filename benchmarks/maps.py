"""From a cube to maps: the live demo's problem (four lines, 120 frequencies), fits and maps apart.

`python -m benchmarks.maps --json FILE [--edge 96]`. Figures are medians over repetitions in one process on one thread;
the spread beside them is the machine's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from analyzers.fitting import fit_band, model_spectrum, warm_up
from analyzers.pipeline import RunMaps
from analyzers.settings import AnalysisSettings
from stream.messages import NoiseModel, RunMode, RunStart, StatePoint, SweepRole, SweepStart

CENTRE_MHZ = [2857.0, 3100.0, 3285.0, 3401.0]
FWHM_MHZ = [14.0, 22.0, 22.0, 14.0]
CONTRAST = [-0.014, -0.008, -0.008, -0.014]
PASSES = 6
COUNTS = 40_000.0
GAIN = 8.0
REPEATS = 7


def spread(run: Callable[[], object]) -> dict[str, float]:
    """Return the median, least and largest time of `run` in ms."""
    run()
    times: list[float] = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - begin))
    return {"median_ms": statistics.median(times), "min_ms": min(times), "max_ms": max(times)}


def measure(edge: int) -> dict[str, object]:
    """Fit a cube of edge x edge pixels and make its maps."""
    settings = AnalysisSettings()
    warm_up(settings)
    windows = ((2800, 2915, 30), (2945, 3055, 5), (3070, 3320, 56), (3345, 3460, 29))
    frequency = np.concatenate([np.linspace(a, b, n) for a, b, n in windows])
    shape = model_spectrum(frequency, CENTRE_MHZ, FWHM_MHZ, CONTRAST, settings, 0.0)
    electrons = COUNTS * GAIN * PASSES * (1.0 + shape)
    generator = np.random.default_rng(1)
    sums = (generator.poisson(electrons[:, None, None], (frequency.size, edge, edge)) / GAIN).astype(np.uint32)
    passes = np.full(frequency.size, PASSES)
    noise = NoiseModel("gain", electrons_per_count=GAIN)
    start = RunStart("benchmark", RunMode.SIMULATED, edge, edge, "<u2", noise, settings.to_json())
    sweep = SweepStart(
        "benchmark", 0, SweepRole.OPENING_REFERENCE, StatePoint(150.0, 150.0, 150.0, 97.0), frequency, PASSES
    )
    fitted = fit_band(sums, passes, frequency, noise, settings)
    resolved = float(np.mean(fitted.status == 0))
    fit = spread(lambda: fit_band(sums, passes, frequency, noise, settings))
    maps = spread(lambda: RunMaps.of(start).add(sweep, fitted))
    return {
        "pixels": edge * edge,
        "frequencies": int(frequency.size),
        "resolved": resolved,
        "fit": fit,
        "maps": maps,
        "fits_per_s_core": 1e3 * edge * edge / fit["median_ms"],
    }


def main() -> None:
    """Measure and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--edge", type=int, default=96)
    arguments = parser.parse_args()
    arguments.json.write_text(json.dumps(measure(arguments.edge), indent=2) + "\n")


if __name__ == "__main__":
    main()
