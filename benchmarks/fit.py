"""How fast and how good the fits are on the reference problem, beside peers measured in the same run.

`python -m benchmarks.fit --json FILE`. Speeds are CPU time of one core with sigma, chi2 and status included; medians of
interleaved repetitions, so that a busy machine slows all alike. Maps are wall time on two threads, see `map_scale`;
`first_map_s` is that of a new process, see `first_map`. `limits` sets every figure beside what it must reach; below
63 GFLOP/s per core the limits of absolute figures scale with the machine's peak. `load` is what else ran.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from analyzers.fitmap import FitMap
from analyzers.fitting import fit_band, warm_up
from benchmarks.first_map import first_map
from benchmarks.map_scale import scaling
from benchmarks.ours import SETTINGS, cube_of, fit
from benchmarks.peak import fma_peak_gflops
from benchmarks.peers import CENTRES, ENGINES, slopes
from benchmarks.scenarios import Scene, reference

PIXELS = 128 * 128
PEER_PIXELS = {"scipy_curve_fit": 300, "scipy_bounded": 100, "lmfit": 30, "jax_batched": 4096}
ROUNDS = 9
FULL_PEAK_GFLOPS = 63.0
"""Peak per core from which the limits of absolute figures hold as they stand."""
LIMITS: dict[str, tuple[str, float, float | None]] = {
    "fits_per_s_core_cold": (">=", 1.2e6, 1.5e6),
    "fits_per_s_core_warm": (">=", 2.5e6, 3.0e6),
    "ratio_scipy": (">=", 300.0, None),
    "ratio_jax": (">=", 25.0, None),
    "std_over_crlb": ("<=", 1.03, None),
    "std_over_crlb_snr_5": ("<=", 1.03, None),
    "std_over_crlb_snr_3": ("<=", 1.15, None),
    "coverage_68": ("<=", 0.70, None),
    "coverage_68_least": (">=", 0.66, None),
    "map_512_ms": ("<=", 400.0, 250.0),
    "map_flatness": ("<=", 0.15, None),
    "map_memory_ratio": ("<=", 1.2, None),
    "first_map_s": ("<=", 2.0, None),
    "first_map_compilations": ("<=", 0.0, None),
}
"""What must hold, the limit, and the goal where there is one."""
LOG = logging.getLogger("benchmarks.fit")


def cpu_s(run: Callable[[], object]) -> float:
    """Return the CPU time of one call, s."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def bound(scene: Scene) -> np.ndarray:
    """Return the Cramer-Rao bound (2, n) of the centres at the true parameters, MHz."""
    out = np.empty((2, scene.centre_mhz.shape[1]))
    for n in range(scene.centre_mhz.shape[1]):
        lines = zip(scene.contrast[:, n], scene.centre_mhz[:, n], scene.fwhm_mhz[:, n], strict=True)
        jacobian = slopes(scene.frequency_mhz, 1.0, *[value for line in lines for value in line]) / scene.sigma
        out[:, n] = np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian)))[list(CENTRES)]
    return out


def quality(snr: float) -> dict[str, float]:
    """Return std / CRLB and 68 % coverage of the centres at a signal-to-noise ratio."""
    scene = reference(20_000, snr, 5)
    found = fit(scene)
    ok = found.status[0] == 0
    error = (found.centre_mhz[:, 0] - scene.centre_mhz)[:, ok]
    ratio = error / bound(scene)[:, ok]
    covered = np.abs(error) < found.centre_mhz_sigma[:, 0][:, ok]
    return {"std_over_crlb": float(ratio.std()), "coverage_68": float(covered.mean()), "resolved": float(ok.mean())}


def speeds() -> dict[str, float]:
    """Return cold and warm fits per second and core, and the peak measured between them."""
    scene = reference(PIXELS)
    cube, noise = cube_of(scene)

    def cold() -> FitMap:
        return fit_band(cube, scene.passes, scene.frequency_mhz, noise, SETTINGS)

    found = cold()

    def warm() -> FitMap:
        return fit_band(cube, scene.passes, scene.frequency_mhz, noise, SETTINGS, start=found)

    warm()
    rounds = [(cpu_s(cold), cpu_s(warm)) for _ in range(ROUNDS)]
    return {
        "fits_per_s_core_cold": PIXELS / statistics.median(row[0] for row in rounds),
        "fits_per_s_core_warm": PIXELS / statistics.median(row[1] for row in rounds),
        "fits_per_s_core_cold_best": PIXELS / min(row[0] for row in rounds),
        "fits_per_s_core_warm_best": PIXELS / min(row[1] for row in rounds),
    }


def peer_speeds() -> dict[str, float]:
    """Return fits per second and core of every peer that is installed."""
    out: dict[str, float] = {}
    for name, engine in ENGINES.items():
        scene = reference(PEER_PIXELS[name])
        try:
            engine(scene)
        except ImportError:
            LOG.warning("%s is not installed and left out", name)
            continue
        out[name] = PEER_PIXELS[name] / min(cpu_s(lambda: engine(scene)) for _ in range(3))  # noqa: B023
    return out


def measure() -> dict[str, object]:
    """Measure everything."""
    warm_up(SETTINGS)
    out: dict[str, object] = {"fma_peak_gflops": fma_peak_gflops(), **speeds()}
    peers = peer_speeds()
    cold = float(str(out["fits_per_s_core_cold"]))
    out["peers_fits_per_s_core"] = peers
    out["ratio_scipy"] = cold / max(rate for name, rate in peers.items() if name.startswith("scipy"))
    out["ratio_jax"] = cold / peers["jax_batched"] if "jax_batched" in peers else None
    by_snr = {f"{snr:g}": quality(snr) for snr in (30.0, 10.0, 5.0, 3.0)}
    out |= {"std_over_crlb": by_snr["10"]["std_over_crlb"], "coverage_68": by_snr["10"]["coverage_68"]}
    first = first_map()
    out |= {"by_snr": by_snr, **scaling(), "first_map": first, "first_map_s": first["first_map_s"]}
    out["load"] = os.getloadavg()
    return out | {"limits": against_limits(out, by_snr)}


def against_limits(out: dict[str, object], by_snr: dict[str, dict[str, float]]) -> list[dict[str, object]]:
    """Return every figure beside its limit and goal, and whether it is met; None where it was not measured."""
    peak = float(str(out["fma_peak_gflops"]))
    scale = min(1.0, peak / FULL_PEAK_GFLOPS)
    covered = [row["coverage_68"] for row in by_snr.values()]
    first: object = out["first_map"]
    values = out | {
        "std_over_crlb_snr_5": by_snr["5"]["std_over_crlb"],
        "std_over_crlb_snr_3": by_snr["3"]["std_over_crlb"],
        "coverage_68": max(covered),
        "coverage_68_least": min(covered),
        "first_map_compilations": first["compilations"] if isinstance(first, dict) else None,
    }
    rows: list[dict[str, object]] = []
    for name, (sign, limit, goal) in LIMITS.items():
        value = values[name]
        factor = scale if name.startswith("fits_per_s") else 1.0 / scale if name == "map_512_ms" else 1.0
        number = None if value is None else float(str(value))
        met = None if number is None else number >= limit * factor if sign == ">=" else number <= limit * factor
        wanted = None if goal is None else goal * factor
        rows.append({"name": name, "value": number, "sign": sign, "limit": limit * factor, "goal": wanted, "met": met})
    return rows


def table(rows: list[dict[str, object]]) -> str:
    """Return the limits as lines of text."""
    lines = [f"{'':24}{'measured':>14} {'':2} {'limit':>12} {'goal':>12}"]
    for row in rows:
        shown = [f"{row[key]:.4g}" if isinstance(row[key], float) else "-" for key in ("value", "limit", "goal")]
        verdict = "  not measured" if row["met"] is None else "" if row["met"] else "  NOT MET"
        lines.append(f"{row['name']!s:24}{shown[0]:>14} {row['sign']} {shown[1]:>12} {shown[2]:>12}{verdict}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    found = measure()
    arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    rows = found["limits"]
    if isinstance(rows, list):
        sys.stdout.write(table(rows))


if __name__ == "__main__":
    main()
