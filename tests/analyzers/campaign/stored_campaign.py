"""A data folder with the maps of a campaign, as the builder writes them, from loads whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from analyzers.campaign.load_maps import LoadMaps
from analyzers.joint_map import DESCRIPTIONS as JOINT_DESCRIPTIONS
from analyzers.joint_map import UNITS as JOINT_UNITS
from analyzers.map_planes import MAP_DESCRIPTIONS, MAP_UNITS
from analyzers.products import PRODUCT_DESCRIPTIONS, PRODUCT_UNITS
from devices.twin.truth import truth_of
from stream.maps_file import write_maps
from stream.messages import Json
from stream.paths import maps_path
from tests.analyzers.campaign.twin_loads import twin

VERSION = "0123456789ab"


def write_load(data: Path, load: LoadMaps, load_gpa: float, seed: int = 1) -> str:
    """Write the maps files of one load; returns its run uid."""
    settings = twin(load.sample, seed, load.judged.shape[0])
    uid = load.run_uids[0]
    facts: Json = {
        "run_uid": uid,
        "sample": load.sample,
        "version": VERSION,
        "pixel_size_um": load.pixel_size_um,
        "regions": truth_of(settings, load_gpa).regions(),
        "constants": {"stress_constants": "barson2017"},
    }
    for number, temperature in enumerate(load.temperature_k, start=1):
        state = {"temperature_k": float(temperature), "load_index": load.load_index, "field_gauss": 97.0}
        write_maps(
            maps_path(data, uid, VERSION, f"sweep_{number:04d}"),
            {"sigma_zz_gpa": load.sigma_zz_gpa[number - 1].astype(np.float32)},
            MAP_UNITS,
            MAP_DESCRIPTIONS,
            {**facts, "sweep_start": {"sweep": number, "role": "WARMING", "state": state}},
        )
    count = load.temperature_k.size
    planes = {
        "temperature_k": load.temperature_k,
        "sweep": np.arange(1, count + 1, dtype=np.int32),
        "s": load.s.astype(np.float32),
        "sigma_s": load.sigma_s.astype(np.float32),
        "sigma_s_reference": np.broadcast_to(load.sigma_s_reference, load.s.shape).astype(np.float32),
        "sigma_zz_gpa": load.sigma_zz_gpa[-1].astype(np.float32),
        "sigma_zz_sigma_gpa": load.sigma_zz_sigma_gpa.astype(np.float32),
        "tc_k": load.tc_k,
        "tc_sigma_k": load.tc_sigma_k,
        "tc_status": load.tc_status,
    }
    about: Json = {**facts, "off_sample_ratio_sigma": [1e-4] * count}
    write_maps(maps_path(data, uid, VERSION, "products"), planes, PRODUCT_UNITS, PRODUCT_DESCRIPTIONS, about)
    shear = {"joint_tau_gpa": load.tau_gpa, "joint_tau_sigma_gpa": load.tau_sigma_gpa}
    about = {**facts, "load_index": load.load_index}
    write_maps(maps_path(data, uid, VERSION, "joint"), shear, JOINT_UNITS, JOINT_DESCRIPTIONS, about)
    return uid
