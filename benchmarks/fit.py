"""How fast and how good the fits are on the reference problem, beside peers measured in the same run.

`python -m benchmarks.fit --json FILE`. Speeds are CPU time of one core with sigma, chi2 and status included; medians of
interleaved repetitions, so that a busy machine slows all alike. Maps are wall time on two threads, see `map_scale`.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from analyzers.fitmap import FitMap
from analyzers.fitting import fit_band, warm_up
from benchmarks.map_scale import scaling
from benchmarks.ours import SETTINGS, cube_of, fit
from benchmarks.peak import fma_peak_gflops
from benchmarks.peers import CENTRES, ENGINES, slopes
from benchmarks.scenarios import Scene, reference

PIXELS = 128 * 128
PEER_PIXELS = {"scipy_curve_fit": 300, "scipy_bounded": 100, "lmfit": 30, "jax_batched": 4096}
ROUNDS = 9
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
    return out | {"by_snr": by_snr, **scaling()}


def main() -> None:
    """Measure and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.json.write_text(json.dumps(measure(), indent=2) + "\n")


if __name__ == "__main__":
    main()
