"""What a run on the twin found, beside the twin's truth: the numbers of `nvdac demo`.

Run as a process of its own (`python -m deploy.evaluate SETTINGS.json`), since it loads the compiled estimator that the
plan's process must not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analyzers.onset import TcMap, tc_map
from devices.settings import TwinSettings
from devices.twin.truth import Truth, truth_of
from stream.maps_file import read_maps
from stream.settings import load_settings

Array = NDArray[np.float64]

SIGNAL_FLOOR = 0.01
"""Pixels count for Tc where the noise-free |s - 1| at the lowest temperature exceeds this."""
UNRESOLVED_ERROR_K = 20.0
"""Error that an unresolved pixel counts as, K."""
DENSE_STEP_K = 1.0
"""Step of the noise-free s(T) that defines the true Tc, K."""
DENSE_SIGMA = 1e-4
"""Weight given to noise-free values: small against every amplitude that counts."""
LADDER_POINTS = range(5, 91)
"""Sizes of equidistant ladders tried, fewest points first."""


@dataclass(frozen=True)
class EvaluationProcess:
    """What is evaluated."""

    twin: TwinSettings
    """The twin of the run."""
    sweeps: tuple[str, ...]
    """Maps files of the warming sweeps, ascending in temperature."""
    reference: str
    """Maps file of the opening reference: the stress map."""
    out: str
    """JSON file to write."""


@dataclass(frozen=True)
class Warming:
    """s of every pixel against temperature."""

    temperature_k: Array
    """(n,) K."""
    s: Array
    """(n, y, x); NaN where unresolved."""
    sigma_s: Array
    """(n, y, x)."""


def read_warming(paths: Sequence[str]) -> Warming:
    """Read s and its sigma from maps files."""
    rows = [read_maps(path) for path in paths]
    temperature = np.array([float(np.asarray(attributes["temperature_k"])) for _, attributes in rows])
    return Warming(temperature, np.stack([p["s"] for p, _ in rows]).astype(float), np.stack([p["sigma_s"] for p, _ in rows]).astype(float))


def true_tc(truth: Truth, low_k: float, high_k: float) -> TcMap:
    """Return Tc by the analysis' own definition, from the noise-free s(T) on a dense ladder."""
    temperature = np.arange(low_k, high_k + 0.5 * DENSE_STEP_K, DENSE_STEP_K)
    s = np.stack([truth.noise_free_s(float(t)) for t in temperature])
    return tc_map(temperature, s, np.full_like(s, DENSE_SIGMA))


def tc_error_k(found: TcMap, true_k: Array, counted: NDArray[np.bool_]) -> tuple[float, float]:
    """Return (median absolute error in K with unresolved pixels at 20 K, share of resolved pixels) over `counted`."""
    resolved = np.asarray(found.resolved, dtype=bool)[counted]
    error = np.abs(np.asarray(found.tc_k, dtype=float)[counted] - true_k[counted])
    return float(np.median(np.where(resolved, error, UNRESOLVED_ERROR_K))), float(resolved.mean())


def simulated_ladder(truth: Truth, warming: Warming, points: int, generator: np.random.Generator) -> TcMap:
    """Return the Tc map of an equidistant ladder: noise-free s plus the run's own noise, with the run's estimator."""
    temperature = np.linspace(warming.temperature_k[0], warming.temperature_k[-1], points)
    nearest = np.abs(temperature[:, None] - warming.temperature_k).argmin(axis=1)
    s = np.empty((points, *warming.s.shape[1:]))
    sigma = warming.sigma_s[nearest]
    for row, value in enumerate(temperature):
        noise = generator.standard_normal(s.shape[1:]) * sigma[row]
        s[row] = np.where(np.isfinite(warming.s[nearest[row]]), truth.noise_free_s(float(value)) + noise, np.nan)
    return tc_map(temperature, s, sigma)


def fixed_ladder_points(truth: Truth, warming: Warming, true_k: Array, counted: NDArray[np.bool_], goal_k: float) -> int:
    """Return the size of the smallest equidistant ladder whose Tc map is no worse than `goal_k`; 0 where none tried is."""
    generator = np.random.default_rng(20)
    for points in LADDER_POINTS:
        if tc_error_k(simulated_ladder(truth, warming, points, generator), true_k, counted)[0] <= goal_k:
            return points
    return 0


def evaluate(settings: EvaluationProcess) -> dict[str, float | int]:
    """Compare a run's maps with the twin's truth."""
    truth = truth_of(settings.twin)
    warming = read_warming(settings.sweeps)
    low, high = float(warming.temperature_k[0]), float(warming.temperature_k[-1])
    found = tc_map(warming.temperature_k, warming.s, warming.sigma_s)
    true = true_tc(truth, low, high)
    true_k = np.asarray(true.tc_k, dtype=float)
    counted = truth.sample & (np.abs(truth.noise_free_s(low) - 1.0) > SIGNAL_FLOOR) & np.isfinite(true_k)
    error, resolved = tc_error_k(found, true_k, counted)
    local = counted & np.asarray(found.resolved, dtype=bool) & (truth.tc_local_k > 0)
    stress, _ = read_maps(settings.reference)
    inside = truth.sample & ~truth.ruby
    sigma_zz = np.asarray(stress["sigma_zz_gpa"], dtype=float)
    stress_error = np.abs(sigma_zz - truth.sigma_zz_gpa)[inside]
    return {
        "temperature_points": len(warming.temperature_k),
        "fixed_ladder_points": fixed_ladder_points(truth, warming, true_k, counted, error),
        "tc_error_k": error,
        "tc_resolved_fraction": resolved,
        "tc_local_error_k": float(np.median(np.abs(np.asarray(found.tc_k, dtype=float) - truth.tc_local_k)[local])),
        "tc_pixels": int(counted.sum()),
        "sigma_zz_error_gpa": float(np.median(stress_error[np.isfinite(stress_error)])),
        "sigma_zz_resolved_fraction": float(np.isfinite(stress_error).mean()),
        "s_low": float(np.nanpercentile(warming.s[0][inside], 1)),
        "s_high": float(np.nanpercentile(warming.s[0][inside], 99)),
    }


def main() -> None:
    """Evaluate what the settings file names."""
    settings = load_settings(EvaluationProcess, sys.argv[1])
    Path(settings.out).write_text(json.dumps(evaluate(settings), indent=2) + "\n")


if __name__ == "__main__":
    main()
