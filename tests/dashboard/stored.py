"""A data folder with stored runs: small maps files and documents as a session and a builder leave them."""

from __future__ import annotations

import json

import numpy as np
from experiment import LADDER_K, OK, Experiment, outline_um

from stream.maps_file import write_maps

CODES = {"0": "OK: resolved", "1": "NOT_YET_MEASURED: too few", "2": "LOW_SNR: no line", "3": "OCCLUDED: covered"}


def store_run(data_dir, run_uid, sweeps=4, pressure_gpa=21.0, started_s=1.7e9):
    """Write `sweeps` maps, their products and documents."""
    experiment = Experiment(size=48)
    status = experiment.status()
    folder = data_dir / "processed" / run_uid / "abcdef012345"
    regions = {"sample": outline_um().tolist(), "points": {"suppressed": [17.0, 8.0], "enhanced": [-22.0, 2.0]}}
    stack = []
    for sweep, temperature in enumerate(LADDER_K[:sweeps]):
        s = np.where(status == OK, experiment.s(temperature), np.nan).astype("f4")
        stack.append(s)
        stress = np.where(status == OK, pressure_gpa, np.nan).astype("f4")
        role = "OPENING_REFERENCE" if sweep == 0 else "WARMING"
        attributes = {
            "run_uid": run_uid, "sweep_start": {"sweep": sweep, "role": role}, "temperature_k": temperature,
            "field_gauss": 97.0, "sample": "S1", "rig": "twin", "pixel_size_um": 2.0, "regions": regions,
            "status_codes": CODES,
        }  # fmt: skip
        planes = {"s": s, "s_status": status, "status": status, "sigma_zz_gpa": stress, "sigma_zz_status": status}
        words = dict.fromkeys(planes, "")
        write_maps(folder / f"sweep_{sweep:04d}.h5", planes, words, words, attributes)
    products = {
        "temperature_k": np.array(LADDER_K[:sweeps]), "sweep": np.arange(sweeps), "s": np.stack(stack),
        "sigma_s": np.full((sweeps, 48, 48), 0.002, "f4"), "tc_k": np.full((48, 48), 80.0, "f4"), "tc_status": status,
    }  # fmt: skip
    words = dict.fromkeys(products, "")
    write_maps(folder / "products.h5", products, words, words, {"run_uid": run_uid})
    documents(data_dir, run_uid, sweeps, regions, started_s)


def store_shear(data_dir, run_uid, sample="S1", load=3, why="", size=48):
    """Write the joint map of a run, as `nvdac campaign` does: shear around a point, known in a disc."""
    x, y = Experiment(size=size).axes_um()
    known = np.hypot(x, y) < 40
    tau = np.where(known, 2.4 * np.exp(-(((np.hypot(x - 4, y + 2) - 14) / 16) ** 2)) + 0.2, np.nan).astype("f4")
    azimuth = np.where(known, np.degrees(np.arctan2(y + 2, x - 4)), np.nan).astype("f4")
    status = np.where(known, 0, 2).astype("u1")
    planes = {"joint_tau_gpa": tau, "joint_tau_status": status, "joint_tau_azimuth_deg": azimuth}
    words = dict.fromkeys(planes, "")
    attributes = {"run_uid": run_uid, "sample": sample, "load_index": load, "status_codes": CODES,
                  "pixel_size_um": 96.0 / size,
                  "no_joint_tau_because": why}  # fmt: skip
    write_maps(data_dir / "processed" / run_uid / "abcdef012345" / "joint.h5", planes, words, words, attributes)


def start_document(data_dir, run_uid, **facts):
    """Write the first line of a run's durable log: a run that is under way."""
    path = data_dir / "documents" / f"{run_uid}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"name": "start", "doc": {"uid": run_uid, **facts}}) + "\n")


def documents(data_dir, run_uid, sweeps, regions, started_s):
    start = {"uid": run_uid, "time": started_s, "plan_name": "zfc_field_warming", "field_history": "ZFC_FW",
             "regions": regions}  # fmt: skip
    lines = [("start", start)]
    lines += [("descriptor", {"uid": name, "name": name}) for name in ("primary", "decision")]
    for sweep in range(sweeps):
        now = started_s + 60.0 * sweep
        data = {"cryostat_sample_k": LADDER_K[sweep], "transport_resistance_ohm": 10.0 + sweep}
        lines.append(("event", {"descriptor": "primary", "time": now, "data": data}))
        data = {"decision_next_temperature_k": LADDER_K[sweep + 1], "decision_reason": f"because of sweep {sweep}",
                "decision_path_json": json.dumps(LADDER_K[sweep + 1 : sweeps])}  # fmt: skip
        lines.append(("event", {"descriptor": "decision", "time": now + 30.0, "data": data}))
    lines.append(("stop", {"exit_status": "success"}))
    path = data_dir / "documents" / f"{run_uid}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"name": name, "doc": doc}) + "\n" for name, doc in lines))
