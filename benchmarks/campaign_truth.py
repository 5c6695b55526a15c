"""A campaign of the twin from frames to figures, held against the truth that it must give back.

`python -m benchmarks.campaign_truth [--json FILE] [--out FOLDER] [--edge 40]`; the exit code is 1 where it does not.
S1, S2 and S3 at loads of 10 to 28 GPa and a homogeneous BSCCO; every frame goes through the real stream, every number
comes out of `nvdac campaign`. Frames have wells of ten of the rig's, so that one pass says what ten would.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.campaign.boundary import REFERENCE_TAU_GPA
from analyzers.campaign.products import CampaignSettings
from analyzers.campaign.tasks import stored_load
from benchmarks.twin_runs import BRIGHT, remnant, stress_map, trapped_gauss, warming, write_runs
from deploy.campaign import CampaignRequest, run_campaign
from deploy.register import register_chemistry
from devices.settings import TwinSettings
from devices.twin.samples import DOME_HIGH_GPA, DOME_LOW_GPA, OPTIMUM_GPA, TAU_CRITICAL_GPA, TC_MAXIMUM_K
from devices.twin.truth import truth_of
from stream.run_list import RunQuery

Array = NDArray[np.float64]

LOADS_GPA = {
    "S1": (10.0, 14.0, 16.0, 18.0, 21.0, 23.0, 25.0, 28.0),
    "S2": (16.0, 19.0, 21.0, 24.0),
    "S3": (18.0, 21.0, 23.0),
}
BSCCO_GPA = 12.0
"""Load of the homogeneous sample, a campaign of its own: it has nothing to say on the others' boundary."""
LADDER_K = (9.0, 20.0, 35.0, 48.0, 56.0, 62.0, 67.0, 71.0, 75.0, 79.0, 84.0, 95.0, 110.0)
REMNANT_GPA = 21.0
"""Load with a remnant map, of S1 and S2."""
VIEW_UM = 80.0
EDX_SIGMA = 0.01
"""Noise of a pixel of the EDX map."""
EDX_PIXEL_UM = 1.3
EDX_TURN_DEG = 12.0
"""Pixels and turn of the EDX map against the camera's."""
POINT_ERROR_PX = 0.1
"""Standard deviation of a control point, pixels of the run."""


def twin_of(sample: str, edge: int, seed: int) -> TwinSettings:
    """Return a twin whose view is `VIEW_UM` wide."""
    return TwinSettings(
        sample=sample, seed=seed, height=edge, width=edge, pixel_size_um=VIEW_UM / edge, electrons_per_frame=BRIGHT
    )


def write_all(folder: Path, edge: int, seed: int) -> None:
    """Write the runs of every sample."""
    for sample, loads in {**LOADS_GPA, "BSCCO": (BSCCO_GPA,)}.items():
        runs = []
        for index, gpa in enumerate(loads):
            uid = f"{sample}-{gpa:g}"
            runs += [
                stress_map(f"{uid}-stress", gpa, index),
                warming(f"{uid}-warm", gpa, index, LADDER_K, about={"stress_run": f"{uid}-stress"}, resistance=True),
            ]
            if gpa == REMNANT_GPA and sample != "S3":
                runs.append(remnant(f"{uid}-remnant", gpa, index, LADDER_K[0]))
        write_runs(folder / ("bscco" if sample == "BSCCO" else "data"), twin_of(sample, edge, seed), runs)


def write_edx(folder: Path, data: Path, sample: str, edge: int, seed: int) -> str:
    """Measure a sample's La:Ni on a turned grid, register it from control points, and return the file."""
    twin = twin_of(sample, edge, seed)
    random = np.random.default_rng([seed, *sample.encode()])
    side = int(1.5 * VIEW_UM / EDX_PIXEL_UM)
    turn = np.radians(EDX_TURN_DEG)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

    def place_um(row_column: Array) -> Array:
        return (row_column - side / 2) @ rotation.T * EDX_PIXEL_UM

    rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    um = place_um(np.stack([rows.ravel(), columns.ravel()], axis=1).astype(np.float64))
    crystal = truth_of(twin, LOADS_GPA[sample][0]).crystal
    ratio = crystal.la_ni(um[:, 1], um[:, 0]).reshape(side, side)
    np.savetxt(folder / f"{sample}.csv", ratio + EDX_SIGMA * random.standard_normal(ratio.shape), delimiter=",")
    there = np.array([[0.2, 0.2], [0.8, 0.25], [0.5, 0.85], [0.25, 0.7], [0.75, 0.7], [0.5, 0.15]]) * side
    pixel = twin.pixel_size_um
    here = place_um(there) / pixel + (edge - 1) / 2 + POINT_ERROR_PX * random.standard_normal(there.shape)
    np.savetxt(folder / f"{sample}-points.csv", np.hstack([here, there]), delimiter=",")
    files, points, out = [folder / f"{sample}.csv"], folder / f"{sample}-points.csv", folder / f"{sample}-edx.h5"
    register_chemistry(files, "ratio", points, f"{sample}-{LOADS_GPA[sample][0]:g}-warm", data, out, sample)
    return str(out)


def true_boundary_k(sigma_zz_gpa: Array, quality: float) -> Array:
    """Return Tc of the twin at the reference shear, where sigma_ZZ has risen on cooling as the twin's does, K."""
    at = sigma_zz_gpa - 0.3 * (150.0 - 60.0) / 130.0
    width = np.where(at < OPTIMUM_GPA, DOME_LOW_GPA, DOME_HIGH_GPA)
    dome = TC_MAXIMUM_K * np.maximum(0.0, 1.0 - ((at - OPTIMUM_GPA) / width) ** 2)
    return quality * dome * np.sqrt(1.0 - (REFERENCE_TAU_GPA / TAU_CRITICAL_GPA) ** 2)


def judge(out: Path, edge: int, seed: int) -> dict[str, Any]:
    """Return what the campaign found beside what is true, and whether each is within its limit."""
    from stream.maps_file import read_maps

    facts = json.loads((out / "campaign.json").read_text())
    numbers = facts["numbers"]
    planes = read_maps(out.parent / "s1" / "campaign.h5", "boundary")[0]  # S2 and S3 have Tc of their own
    knots, found = planes["sigma_zz_gpa"], planes["tc_k"]
    inside = np.isfinite(found)
    truth = true_boundary_k(knots, 0.985)
    apart = np.abs(found - truth)[inside]
    slope = np.abs(np.gradient(truth, knots))[inside]
    transport = {(one["sample"], one["load_index"]): one for one in facts["transport"]}
    loads = {(load.sample, load.load_index): load for load in (stored_load(path) for path in facts["load_files"])}
    s3 = loads["S3", 1]
    (homogeneous,) = json.loads((out.parent / "bscco-campaign" / "campaign.json").read_text())["load_files"]
    bscco = stored_load(homogeneous)
    result: dict[str, Any] = {
        "boundary": {"knots": int(inside.sum()), "largest_k": float(apart.max()), "gpa": float((apart / slope).min())},
        "dome_edge_gpa": numbers["sigma_edge_gpa"]["value"],
        "tau_critical_gpa": numbers["tau_critical_gpa"]["value"],
        "la_ni_optimum": numbers["la_ni_optimum"]["value"],
        "shear_tests": {one["sample"]: one["suppresses"] for one in facts["shear_tests"]},
        "s3_transport_drop": transport["S3", 1]["drop"],
        "s3_transport_reason": transport["S3", 1]["reason"],
        "s3_local_onset_pixels": int(np.isfinite(s3.tc_k[s3.judged]).sum()),
        "trapped": _trapped(loads["S1", LOADS_GPA["S1"].index(REMNANT_GPA)], edge, seed),
        "bscco": _bscco(bscco, edge, seed),
    }
    result["passed"] = {
        "boundary": bool(inside.sum() >= 8 and (apart < np.maximum(3.0, 0.5 * slope)).all()),
        "dome_edge": abs(result["dome_edge_gpa"] - 17.0) < 0.5,
        "tau_critical": abs(result["tau_critical_gpa"] - TAU_CRITICAL_GPA) < 0.15,
        "la_ni_optimum": abs(result["la_ni_optimum"] - 1.5) < 0.02,
        "shear": result["shear_tests"]["S1"],
        "s3": transport["S3", 1]["onset_k"] is None and result["s3_local_onset_pixels"] > 20,
        "trapped": abs(result["trapped"]["slope"] - 1.0) < 0.15 and abs(result["trapped"]["median_error_gauss"]) < 0.3,
        "bscco": 0.6 < result["bscco"]["within_1_sigma"] < 0.75 and abs(result["bscco"]["median_tc_k"] - 85.0) < 3.0,
    }
    return result


def _trapped(load: Any, edge: int, seed: int) -> dict[str, float]:
    """Compare trapped flux with its truth, and with what is suppressed after a zero-field cool."""
    truth = np.abs(trapped_gauss(twin_of(load.sample, edge, seed), REMNANT_GPA, LADDER_K[0]))
    resolved = np.isfinite(load.trapped_gauss) & load.judged
    pull = (load.trapped_gauss - truth)[resolved] / load.trapped_sigma_gauss[resolved]
    suppressed = 1.0 - load.s[load.coldest]
    slope = np.polyfit(suppressed[resolved] * 150.0, load.trapped_gauss[resolved], 1)[0]
    limited = np.isfinite(load.trapped_limit_gauss) & ~resolved & load.judged
    below = (truth <= load.trapped_limit_gauss)[limited]
    return {
        "pixels": float(resolved.sum()),
        "median_error_gauss": float(np.median((load.trapped_gauss - truth)[resolved])),
        "within_3_sigma": float((np.abs(pull) < 3.0).mean()),
        "slope": float(slope),
        "below_their_limit": float(below.mean()),
    }


def _bscco(load: Any, edge: int, seed: int) -> dict[str, float]:
    """Compare every pixel's s of the homogeneous sample with the known map."""
    truth = truth_of(twin_of(load.sample, edge, seed), BSCCO_GPA)
    known = np.stack([truth.noise_free_s(float(t)) for t in load.temperature_k])
    judged = np.broadcast_to(load.judged, load.s.shape) & np.isfinite(load.s)
    pull = (load.s - known)[judged] / load.sigma_s[judged]
    return {
        "within_1_sigma": float((np.abs(pull) < 1.0).mean()),
        "median_error": float(np.median((load.s - known)[judged])),
        "median_tc_k": float(np.nanmedian(load.tc_k[load.judged])),
    }


def main() -> int:
    """Write, analyse twice (the second time with the chemistry), judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.campaign_truth", description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--out", type=Path, help="folder of runs and result; a temporary one if not given")
    parser.add_argument("--edge", type=int, default=40, help="pixels along each side")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    folder = chosen.out or Path(tempfile.mkdtemp(prefix="nvdac-campaign-"))
    try:
        data, bscco = folder / "data", folder / "bscco"
        began = time.perf_counter()
        if not data.exists():
            write_all(folder, chosen.edge, chosen.seed)
        written = time.perf_counter()
        settings = CampaignSettings(bootstrap_draws=100)
        first = run_campaign(CampaignRequest(data, folder / "without", settings=settings))
        chemistry = tuple((name, write_edx(folder, data, name, chosen.edge, chosen.seed)) for name in LOADS_GPA)
        done = run_campaign(CampaignRequest(data, folder / "campaign", settings=settings, chemistry=chemistry))
        run_campaign(CampaignRequest(data, folder / "s1", RunQuery(sample="S1"), settings=settings))
        alone = run_campaign(CampaignRequest(bscco, folder / "bscco-campaign", settings=settings))
        result = judge(folder / "campaign", chosen.edge, chosen.seed)
        result |= {"runs": done["runs"], "failed": {**first["failed"], **done["failed"], **alone["failed"]}}  # pyright: ignore[reportGeneralTypeIssues]
        result |= {"write_s": written - began, "campaign_s": time.perf_counter() - written, "load": os.getloadavg()[0]}
    finally:
        if chosen.out is None:
            shutil.rmtree(folder, ignore_errors=True)
    text = json.dumps(result, indent=2)
    sys.stdout.write(text + "\n")
    if chosen.json:
        chosen.json.write_text(text + "\n")
    return 0 if all(result["passed"].values()) and not result["failed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
