"""The shear stress of a load, as a joint fit found it: offline, from a stress map's spectra at several fields.

A field warming has no shear of its own: it is shown that of its load, from the run that it names, from itself, or from
another stored run of the same sample and load.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from stream.messages import Json
from stream.paths import documents_path
from stream.stored_maps import read_some, status_names

ARROW_STEP = 14
"""Arrows along the longer edge of the map."""
PLANES = ("joint_tau_gpa", "joint_tau_status", "joint_tau_azimuth_deg")


@dataclass(frozen=True)
class ShearMap:
    """tau of a load."""

    header: Json
    """of_run, temperature_k, constants, status_names, unit."""
    tau_gpa: NDArray[np.float32]
    """(y, x) shear stress on the culet, GPa; NaN where there is none."""
    status: NDArray[np.uint8]
    """(y, x) why a pixel has none."""
    arrows: NDArray[np.float32]
    """(n, 4) x_px, y_px, tau_gpa and azimuth_deg of every so many pixels whose direction is known."""


def start_document(data_dir: str | Path, run_uid: str) -> Json:
    """Return a run's start document from its durable log, which may still grow; empty where there is none."""
    try:
        with documents_path(data_dir, run_uid).open() as file:
            row = json.loads(file.readline())
    except (OSError, ValueError):
        return {}
    return cast("Json", row.get("doc", {})) if isinstance(row, dict) else {}


def shear_file(data_dir: str | Path, run_uid: str) -> tuple[Path | None, str]:
    """Return the joint map of a run's load, and where there is none why not, and what makes one."""
    start = start_document(data_dir, run_uid)
    for uid in (str(start.get("stress_run") or ""), run_uid):
        if uid and "/" not in uid and (own := sorted(Path(data_dir, "processed").glob(f"{uid}/*/joint.h5"))):
            return max(own, key=lambda path: path.stat().st_mtime), ""
    sample, load = start.get("sample"), start.get("load_index")
    alike = [path for path in Path(data_dir, "processed").glob("*/*/joint.h5") if sample and _is_of(path, sample, load)]
    if alike:
        return max(alike, key=lambda path: path.stat().st_mtime), ""
    of = f"sample {sample}, load {load}" if sample else "this sample"
    return None, (
        "the shear stress, which a run at one field cannot give: it takes spectra at several fields (plan stress_map) "
        f"and the joint fit of `nvdac campaign`. No stored run of {of} has one yet"
    )


def _is_of(path: Path, sample: object, load: object) -> bool:
    try:
        attributes = read_some(path, ())[1]
    except (OSError, KeyError, ValueError):
        return False
    return (attributes.get("sample"), attributes.get("load_index")) == (sample, load)


def read_shear(path: Path) -> tuple[ShearMap | None, str]:
    """Return the shear map of a file, and where it has none why not.

    Raises
    ------
    OSError
        Where the file cannot be read.
    """
    planes, attributes = read_some(path, PLANES)
    of_run = str(attributes.get("run_uid", path.parents[1].name))
    reason = str(attributes.get("no_joint_tau_because") or "")
    if "joint_tau_gpa" not in planes or reason:
        return (
            None,
            f"the shear stress: the joint fit of run {of_run[:8]} has none, since {reason or 'it was not fitted'}",
        )
    header: Json = {
        "of_run": of_run, "unit": "GPa", "constants": attributes.get("joint_constants", ""),
        "status_names": status_names(attributes), "final": True, "arrow_from": "projection of a tilted NV axis",
        "pixel_size_um": attributes.get("pixel_size_um"),
    }  # fmt: skip
    tau, azimuth = planes["joint_tau_gpa"], planes.get("joint_tau_azimuth_deg")
    arrows = _arrows(tau, azimuth) if azimuth is not None else np.zeros((0, 4), np.float32)
    return ShearMap(header, tau, planes["joint_tau_status"], arrows), ""


def _arrows(tau: NDArray[Any], azimuth: NDArray[Any]) -> NDArray[np.float32]:
    step = max(1, round(max(tau.shape) / ARROW_STEP))
    rows, columns = (np.arange(step // 2, size, step) for size in tau.shape)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    picked = np.stack([x, y, tau[y, x], azimuth[y, x]], axis=-1).reshape(-1, 4).astype(np.float32)
    return picked[np.isfinite(picked).all(axis=1)]
