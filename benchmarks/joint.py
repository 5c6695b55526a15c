"""The joint fit of stress: time per map, error over the Cramer-Rao bound, widths of the pulls, on frames of the twin.

`python -m benchmarks.joint --json FILE [--edge 128]`. Three sets of fields: one field (the demo's), with a sweep near
zero, and the recommended set with a transverse field. Times are wall and CPU time of one map on all cores; errors are
root mean squares over the pixels that the map reports, bounds those of every n-th of them at the true lines.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.joint import joint_map, warm_up
from analyzers.joint_bound import Bound
from analyzers.joint_map import JointMap
from benchmarks.joint_scene import ALONG, KNOWN, NOISE, NONE, SET, Field, bounds, sweeps
from devices.settings import TwinSettings
from devices.twin.truth import Truth, truth_of

SETS: dict[str, tuple[Field, ...]] = {"one_field": (ALONG,), "with_zero_field": (NONE, ALONG), "recommended": SET}
BOUND_PIXELS = 200


def quality(
    value: NDArray[np.floating], sigma: NDArray[np.floating], true: NDArray[np.floating], bound: list[float]
) -> dict[str, float]:
    """Return errors of the pixels reported, against their sigmas and the bounds of some of them."""
    usable = np.isfinite(value)
    error, sigmas = (value - true)[usable].astype(float), sigma[usable].astype(float)
    pull = error / sigmas
    least = float(np.sqrt(np.mean(np.square(bound))))
    return {
        "reported": float(usable.mean()),
        "bias": float(error.mean()),
        "rms_error": float(np.sqrt(np.mean(error**2))),
        "bound": least,
        "error_over_bound": float(np.sqrt(np.mean(error**2))) / least,
        "robust_error_over_bound": float(1.4826 * np.median(np.abs(error))) / float(np.median(bound)),
        "pull_width": float(pull.std()),
        "pull_width_robust": float(1.4826 * np.median(np.abs(pull - np.median(pull)))),
        "coverage_68": float(np.mean(np.abs(pull) < 1.0)),
        "beyond_5_sigma": float(np.mean(np.abs(pull) > 5.0)),
    }


def some_bounds(twin: TwinSettings, fields: tuple[Field, ...], usable: NDArray[np.bool_]) -> list[Bound]:
    """Return the bounds of about `BOUND_PIXELS` of the usable pixels."""
    places = np.argwhere(usable)
    return bounds(twin, fields, places[:: max(1, len(places) // BOUND_PIXELS)])


def judged(found: JointMap, truth: Truth, twin: TwinSettings, fields: tuple[Field, ...]) -> dict[str, object]:
    """Return the quality of sigma_ZZ, tau and the field ratio where they are reported."""
    trues = {
        "sigma_zz_gpa": ("sigma_zz_sigma_gpa", truth.sigma_zz_gpa),
        "tau_gpa": ("tau_sigma_gpa", truth.tau_gpa),
        "field_ratio": ("field_ratio_sigma", np.ones(truth.sample.shape)),
    }
    out: dict[str, object] = {}
    for name, (sigma, true) in trues.items():
        value = np.asarray(found[name], dtype=np.float64)
        if not np.isfinite(value).any():
            out[name] = {"reported": 0.0, "because": found.no_tau_because}
            continue
        bound = [float(getattr(one, name)) for one in some_bounds(twin, fields, np.isfinite(value))]
        out[name] = quality(value, np.asarray(found[sigma], dtype=np.float64), true, bound)
    return out


def measure(edge: int) -> dict[str, object]:
    """Fit maps of edge x edge pixels of 96 um / 128 each."""
    warm_up()
    twin = TwinSettings(height=edge, width=edge, pixel_size_um=96.0 / edge)
    truth = truth_of(twin)
    out: dict[str, object] = {"pixels": edge * edge}
    for name, fields in SETS.items():
        measured = sweeps(twin, fields)
        wall, cpu = time.perf_counter(), time.process_time()
        found = joint_map(measured, NOISE, KNOWN, truth.ruby)
        times = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
        out[name] = {**times, "fields": len(fields), **judged(found, truth, twin, fields)}
    return out


def against_limits(out: dict[str, object]) -> list[dict[str, object]]:
    """Return what is wanted of the joint fit beside what was found."""
    rows: list[dict[str, object]] = []

    def add(name: str, value: float, limit: float) -> None:
        rows.append({"name": name, "value": value, "limit": limit, "met": value <= limit})

    for name in SETS:
        found: Any = out[name]
        for quantity in ("sigma_zz_gpa", "tau_gpa"):
            if "error_over_bound" in found[quantity]:
                add(f"{name} {quantity} error_over_bound", found[quantity]["error_over_bound"], 1.15)
    found = out["recommended"]
    add("recommended sigma_zz_gpa rms_error", found["sigma_zz_gpa"]["rms_error"], 0.1)
    add("recommended cpu_s / 2 per 128 x 128 pixels", found["cpu_s"] / 2 * 128**2 / float(str(out["pixels"])), 2.0)
    return rows


def main() -> None:
    """Measure and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--edge", type=int, default=128)
    arguments = parser.parse_args()
    out = measure(arguments.edge)
    arguments.json.write_text(json.dumps(out | {"limits": against_limits(out)}, indent=2) + "\n")


if __name__ == "__main__":
    main()
