"""Maps of finished sweeps on disk: where they lie, what they say about themselves, how they are read back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from stream.maps_file import MapsFileError, read_maps
from stream.messages import Json, StatePoint, SweepRole, SweepStart
from stream.paths import maps_path

_STATE = TypeAdapter(StatePoint)


def sweep_name(sweep: int) -> str:
    """Return the name of a sweep's maps, in files and in Tiled."""
    return f"sweep_{sweep:04d}"


def sweep_to_json(sweep: SweepStart) -> Json:
    """Return a sweep's opening as JSON; numbers come back exactly."""
    return {
        "run_uid": sweep.run_uid,
        "sweep": sweep.sweep,
        "role": str(sweep.role),
        "state": {**dataclasses.asdict(sweep.state), "history": str(sweep.state.history)},
        "frequency_mhz": sweep.frequency_mhz.tolist(),
        "passes": sweep.passes,
    }


def sweep_from_json(values: Json) -> SweepStart:
    """Return the `SweepStart` that `sweep_to_json` wrote (without the source's frozen state)."""
    return SweepStart(
        run_uid=str(values["run_uid"]),
        sweep=int(cast("int", values["sweep"])),
        role=SweepRole(str(values["role"])),
        state=_STATE.validate_python(values["state"]),
        frequency_mhz=np.asarray(values["frequency_mhz"], dtype=np.float64),
        passes=int(cast("int", values["passes"])),
    )


def finished_sweeps(
    data_dir: str | Path, run_uid: str, version: str
) -> dict[int, tuple[SweepStart, dict[str, NDArray[Any]]]]:
    """Return the sweeps of a run whose maps are on disk: number -> (opening, planes).

    Raises
    ------
    stream.maps_file.MapsFileError
        Where a file there cannot be read.
    """
    found: dict[int, tuple[SweepStart, dict[str, NDArray[Any]]]] = {}
    for path in sorted(maps_path(data_dir, run_uid, version, "any").parent.glob("sweep_*.h5")):
        planes, attributes = read_maps(path)
        opening = attributes.get("sweep_start")
        if not isinstance(opening, dict):
            raise MapsFileError(f"{path} does not say which sweep it belongs to")
        start = sweep_from_json(cast("Json", opening))
        found[start.sweep] = (start, planes)
    return found
