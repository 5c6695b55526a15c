"""How often the shear test finds what is not there, and what is: twins whose Tc does not know of the shear, and does.

`python -m benchmarks.shear_null [--seeds 400] [--json FILE]`; the exit code is 1 where more than 5 % of the crystals
without the effect are said to have it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from analyzers.campaign.shear_test import mean_suppression, shear_test
from devices.settings import TwinSettings
from devices.twin.truth import truth_of

EDGE_PX = 40
LOAD_GPA = 21.0
TEMPERATURES_K = (9.0, 20.0, 40.0, 60.0, 75.0)
SIGMA_S, SIGMA_ZZ_GPA, SIGMA_TAU_GPA = 0.0013, 0.1, 0.06
"""Errors of a pixel of a good run."""
FALSE_LIMIT = 0.05
FIRST_SEED = 5000
"""Seeds that no test uses."""


def found(job: tuple[str, int, bool]) -> bool:
    """Return whether the test says that shear suppresses the response of a crystal."""
    sample, seed, matters = job
    twin = TwinSettings(sample=sample, seed=seed, height=EDGE_PX, width=EDGE_PX, pixel_size_um=80.0 / EDGE_PX)
    truth = truth_of(twin, LOAD_GPA)
    if not matters:
        calm = np.zeros_like(truth.tau_gpa)
        tc = truth.crystal.tc_local_k(truth.sigma_zz_gpa, calm, truth.x_um, truth.y_um)
        truth = dataclasses.replace(truth, tc_local_k=np.where(truth.sample, tc, 0.0), _cache={})
    random = np.random.default_rng([seed, *sample.encode()])
    s = np.stack([truth.noise_free_s(t) for t in TEMPERATURES_K])
    s = s + SIGMA_S * random.standard_normal(s.shape)
    shape = truth.sample.shape
    stress = truth.stress_at(TEMPERATURES_K[0])[..., 2] + SIGMA_ZZ_GPA * random.standard_normal(shape)
    shear = np.abs(truth.tau_gpa + SIGMA_TAU_GPA * random.standard_normal(shape))
    judged = truth.sample & ~truth.ruby & ~truth.leads
    mean = mean_suppression(np.array(TEMPERATURES_K), s)
    return shear_test(mean, stress, shear, truth.sample, judged, twin.pixel_size_um).suppresses


def main() -> int:
    """Count, and judge the rate."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shear_null", description=__doc__)
    parser.add_argument("--seeds", type=int, default=400, help="crystals without the effect, half S1 and half S2")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    seeds = range(FIRST_SEED, FIRST_SEED + chosen.seeds // 2)
    jobs = [(sample, seed, False) for seed in seeds for sample in ("S1", "S2")]
    few = [(sample, seed, True) for seed in list(seeds)[: max(1, chosen.seeds // 20)] for sample in ("S1", "S2")]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        said = list(pool.map(found, jobs + few, chunksize=4))
    false, true = said[: len(jobs)], said[len(jobs) :]
    rate = sum(false) / len(jobs)
    result = {
        "seeds": len(jobs),
        "false_positives": sum(false),
        "false_positive_rate": rate,
        "found_where_it_is": f"{sum(true)} of {len(true)}",
        "load": os.getloadavg()[0],
    }
    text = json.dumps(result, indent=2)
    sys.stdout.write(text + "\n")
    if chosen.json:
        chosen.json.write_text(text + "\n")
    return 0 if rate <= FALSE_LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
