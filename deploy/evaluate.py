"""What a run on the twin found, beside the twin's truth: the numbers of `nvdac demo`.

Run as a process of its own (`python -m deploy.evaluate SETTINGS.json`), since it loads the compiled estimator that the
plan's process must not.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analyzers.onset import estimate_onset
from analyzers.status import StatusCode
from devices.settings import TwinSettings
from devices.twin.truth import Truth, truth_of
from stream.maps_file import read_maps
from stream.settings import load_settings

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

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
LADDER_DRAWS = 3
"""Noise draws per ladder; the median error counts."""


@dataclass(frozen=True)
class EvaluationProcess:
    """What is evaluated."""

    twin: TwinSettings
    """The twin of the run."""
    products: str
    """File of the run's products."""
    out: str
    """JSON file to write."""


@dataclass(frozen=True)
class Warming:
    """What the run measured of every pixel against temperature."""

    temperature_k: Array
    """(n,) K, ascending."""
    s: Array
    """(n, y, x); NaN where unresolved."""
    own_sigma: Array
    """(n, y, x) standard deviation of s without the part of the reference."""
    reference_sigma: Array
    """(y, x) the part of the reference, common to all temperatures."""

    @property
    def sigma_s(self) -> Array:
        """(n, y, x) standard deviation of s."""
        return np.hypot(self.own_sigma, self.reference_sigma)


@dataclass(frozen=True)
class Onsets:
    """Tc per pixel."""

    tc_k: Array
    """(y, x) K."""
    resolved: Mask
    """(y, x) True where the estimator stands by it."""


def read_warming(products: dict[str, NDArray[np.generic]]) -> Warming:
    """Return the warming of a run from its products."""
    reference = products["sigma_s_reference"].astype(np.float64)
    sigma = products["sigma_s"].astype(np.float64)
    own = np.sqrt(np.maximum(sigma**2 - reference**2, 0.0))
    return Warming(products["temperature_k"].astype(np.float64), products["s"].astype(np.float64), own, reference[0])


def onsets(temperature_k: Array, s: Array, sigma_s: Array | float, reference_sigma: Array | float = 0.0) -> Onsets:
    """Return Tc by the analysis' own estimator."""
    estimate = estimate_onset(temperature_k, s, sigma_s, reference_sigma)
    return Onsets(estimate.tc_k, np.asarray(estimate.status == StatusCode.OK))


def true_onsets(truth: Truth, low_k: float, high_k: float) -> Onsets:
    """Return Tc by the same definition from the noise-free s(T) on a dense ladder."""
    temperature = np.arange(low_k, high_k + 0.5 * DENSE_STEP_K, DENSE_STEP_K)
    return onsets(temperature, np.stack([truth.noise_free_s(float(t)) for t in temperature]), DENSE_SIGMA)


def tc_error_k(found: Onsets, true_k: Array, counted: Mask) -> tuple[float, float]:
    """Return (median absolute error in K with unresolved pixels at 20 K, share of resolved pixels) over `counted`."""
    resolved = found.resolved[counted]
    error = np.abs(found.tc_k[counted] - true_k[counted])
    return float(np.median(np.where(resolved, error, UNRESOLVED_ERROR_K))), float(resolved.mean())


def ladder_error_k(truth: Truth, warming: Warming, points: int, true_k: Array, counted: Mask, seed: int) -> float:
    """Return the error of an equidistant ladder: noise-free s plus the run's own noise, by the same estimator.

    The noise of a temperature is that of the run's nearest one; the reference's is drawn once per pixel.
    """
    generator = np.random.default_rng(seed)
    temperature = np.linspace(warming.temperature_k[0], warming.temperature_k[-1], points)
    nearest = np.abs(temperature[:, None] - warming.temperature_k).argmin(axis=1)
    reference_noise = generator.standard_normal(counted.shape) * warming.reference_sigma
    s = np.stack([truth.noise_free_s(float(value)) for value in temperature])
    s = s + reference_noise + generator.standard_normal(s.shape) * warming.own_sigma[nearest]
    s[~np.isfinite(warming.s[nearest])] = np.nan
    sigma = warming.sigma_s[nearest][:, counted]
    found = onsets(temperature, s[:, counted], sigma, warming.reference_sigma[counted])
    everywhere = np.ones(found.tc_k.shape, dtype=bool)
    return tc_error_k(found, true_k[counted], everywhere)[0]


def fixed_ladder_points(truth: Truth, warming: Warming, true_k: Array, counted: Mask, goal_k: float) -> int:
    """Return the size of the smallest equidistant ladder no worse than `goal_k`; 0 where none tried is."""
    for points in LADDER_POINTS:
        errors = [ladder_error_k(truth, warming, points, true_k, counted, seed) for seed in range(LADDER_DRAWS)]
        if float(np.median(errors)) <= goal_k:
            return points
    return 0


def evaluate(settings: EvaluationProcess) -> dict[str, float | int]:
    """Compare a run's maps with the twin's truth."""
    truth = truth_of(settings.twin)
    products, _ = read_maps(settings.products)
    warming = read_warming(products)
    low, high = float(warming.temperature_k[0]), float(warming.temperature_k[-1])
    found = Onsets(products["tc_k"].astype(np.float64), np.asarray(products["tc_status"] == StatusCode.OK))
    true = true_onsets(truth, low, high)
    cold = truth.noise_free_s(low)
    counted = truth.sample & (np.abs(cold - 1.0) > SIGNAL_FLOOR)
    error, resolved = tc_error_k(found, true.tc_k, counted)
    local = counted & found.resolved & (truth.tc_local_k > 0)
    return {
        "temperature_points": len(warming.temperature_k),
        "fixed_ladder_points": fixed_ladder_points(truth, warming, true.tc_k, counted, error),
        "tc_error_k": error,
        "tc_resolved_fraction": resolved,
        "tc_local_error_k": float(np.median(np.abs(found.tc_k - truth.tc_local_k)[local])),
        "tc_pixels": int(counted.sum()),
        **_stress_numbers(truth, products["sigma_zz_gpa"].astype(np.float64)),
        **_s_numbers(truth, warming, cold),
    }


def _stress_numbers(truth: Truth, sigma_zz_gpa: Array) -> dict[str, float]:
    """Return error and coverage of sigma_ZZ over the sample outside the ruby."""
    inside = truth.sample & ~truth.ruby
    error = np.abs(sigma_zz_gpa - truth.sigma_zz_gpa)[inside]
    resolved = np.isfinite(error)
    median = float(np.median(error[resolved])) if resolved.any() else float("inf")
    return {"sigma_zz_error_gpa": median, "sigma_zz_resolved_fraction": float(resolved.mean())}


def _s_numbers(truth: Truth, warming: Warming, cold: Array) -> dict[str, float]:
    """Return the range of s at the lowest temperature, its error and its uncertainty over the sample."""
    s = warming.s[0][truth.sample]
    return {
        "s_low": float(np.nanpercentile(s, 1)),
        "s_high": float(np.nanpercentile(s, 99)),
        "s_error": float(np.nanmedian(np.abs(s - cold[truth.sample]))),
        "sigma_s": float(np.nanmedian(warming.sigma_s[0][truth.sample])),
    }


def main() -> None:
    """Evaluate what the settings file names."""
    settings = load_settings(EvaluationProcess, sys.argv[1])
    Path(settings.out).write_text(json.dumps(evaluate(settings), indent=2) + "\n")


if __name__ == "__main__":
    main()
