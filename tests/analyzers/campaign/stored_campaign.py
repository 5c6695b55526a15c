"""A data folder with the maps of a campaign, as the builder writes them, from loads whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from event_model import compose_run
from numpy.typing import NDArray

from analyzers.campaign.collect_remnant import RESISTANCE, TEMPERATURE
from analyzers.campaign.load_maps import LoadMaps
from analyzers.fitmap import FitMap
from analyzers.joint_map import DESCRIPTIONS as JOINT_DESCRIPTIONS
from analyzers.joint_map import UNITS as JOINT_UNITS
from analyzers.map_planes import MAP_DESCRIPTIONS, MAP_UNITS
from analyzers.products import PRODUCT_DESCRIPTIONS, PRODUCT_UNITS
from analyzers.status import StatusCode
from devices.twin.resistance import resistance_curve
from devices.twin.truth import truth_of
from stream.document_log import write_log
from stream.maps_file import write_maps
from stream.messages import Json
from stream.paths import maps_path
from tests.analyzers.campaign.twin_loads import BASE_K, bare_splittings, twin

VERSION = "0123456789ab"
CONSTANTS: Json = {"stress_constants": "barson2017"}
CENTRE_MHZ = 3150.0


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
        "constants": CONSTANTS,
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


def write_remnant(data: Path, load: LoadMaps, load_gpa: float, seed: int = 1, zero_field: bool = True) -> str:
    """Write the maps of a field cool and remnant of that load; returns its run uid."""
    _, before, after, sigma = bare_splittings(twin(load.sample, seed, load.judged.shape[0]), load_gpa)
    uid = f"{load.run_uids[0]}-remnant"
    facts: Json = {
        "run_uid": uid,
        "sample": load.sample,
        "version": VERSION,
        "pixel_size_um": load.pixel_size_um,
        "constants": CONSTANTS,
        "analysis": {"doublets": [[0, 1]]},
    }
    sweeps = [(1, "FC_REMNANT", after), *([(0, "ZFC_FW", before)] if zero_field else [])]
    for number, history, half in sweeps:
        state = {"temperature_k": BASE_K, "load_index": load.load_index, "field_gauss": 0.1, "history": history}
        write_maps(
            maps_path(data, uid, VERSION, f"sweep_{number:04d}"),
            _lines(half, sigma),
            MAP_UNITS,
            MAP_DESCRIPTIONS,
            {**facts, "sweep_start": {"sweep": number, "role": "SINGLE", "state": state}},
        )
    return uid


def _lines(half: NDArray[np.float64], sigma: NDArray[np.float64]) -> dict[str, NDArray[np.generic]]:
    """Return the planes of a fit whose [111] doublet has that half splitting; its two lines are independent."""
    fit = FitMap.empty(3, ((0, 1),), *half.shape)
    fit.centre_mhz[:2] = CENTRE_MHZ - half, CENTRE_MHZ + half
    fit.centre_mhz_sigma[:2] = np.sqrt(2.0) * sigma
    fit.pair_correlation[:] = 0.0
    fit.doublet_status[:] = StatusCode.OK
    return fit.to_planes()


def write_transport(data: Path, load: LoadMaps, load_gpa: float) -> None:
    """Write the documents of the load's warming, with R(T) of the cool-down before it."""
    curve = resistance_curve(truth_of(twin(load.sample, 1, load.judged.shape[0]), load_gpa))
    start = compose_run(metadata={"sample": load.sample, "plan_name": "zfc_field_warming"})
    uid = load.run_uids[0]
    named: Json = {**start.start_doc, "uid": uid, "load_index": load.load_index}
    keys = {name: {"source": "PV", "dtype": "number", "shape": []} for name in (TEMPERATURE, RESISTANCE)}
    stream = start.compose_descriptor(name="cooldown", data_keys=keys)
    noise = 1.0 + 1e-3 * np.random.default_rng(0).standard_normal(120)
    events: list[tuple[str, Json]] = []
    for temperature, factor in zip(np.linspace(150.0, 9.0, 120), noise, strict=True):
        data_now = {TEMPERATURE: float(temperature), RESISTANCE: float(factor * curve.ohm(float(temperature)))}
        events.append(("event", dict(stream.compose_event(data=data_now, timestamps=dict.fromkeys(keys, 1.0)))))
    write_log(
        data,
        uid,
        [
            ("start", named),
            ("descriptor", {**stream.descriptor_doc, "run_start": uid}),
            *events,
            ("stop", {**start.compose_stop(), "run_start": uid}),
        ],
    )
