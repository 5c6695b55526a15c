"""Results as NeXus (HDF5 by the rules of nexusformat.org), for tools that know nothing of this program."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from stream.hdf5_errors import HDF5_ERRORS, reason
from stream.messages import Json

_UNITS = {"1": "", "code": "", "Ohm": "ohm"}
"""Ours -> those of NeXus, where they differ."""


@dataclass(frozen=True)
class Table:
    """Columns over the same axes: one diagram, curve or map."""

    name: str
    """Of the table."""
    axes: tuple[str, ...]
    """Columns that are axes, one per dimension; one value more than the dimension has: edges of bins."""
    columns: Mapping[str, NDArray[Any]]
    """Name -> values, axes among them; the first that is no axis is what the table is about."""
    units: Mapping[str, str]
    """Name -> unit."""
    descriptions: Mapping[str, str]
    """Name -> one sentence."""
    run_uids: tuple[str, ...]
    """Runs that it is made of."""

    @property
    def signal(self) -> str:
        """What the table is about."""
        return next(name for name in self.columns if name not in self.axes)


def write_nexus(path: Path, tables: Sequence[Table], numbers: Json, process: Mapping[str, str]) -> None:
    """Write tables, numbers (value, low, high, unit, run_uids) and what they were made with; replaces the file.

    Raises
    ------
    OSError
        Where the file cannot be written; nothing is left of it then.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with h5py.File(part, "w", track_order=True) as file:
            file.attrs.update({"NX_class": "NXroot", "default": "entry"})
            entry = _group(file, "entry", "NXentry")
            entry["title"] = "nvdac campaign"
            for table in tables:
                _write_table(entry, table)
            if tables:
                entry.attrs["default"] = tables[0].name
            found = _group(entry, "numbers", "NXcollection")
            for name, number in numbers.items():
                _write_number(_group(found, name, "NXcollection"), number)
            made = _group(entry, "process", "NXprocess")
            for name, text in process.items():
                made[name] = text
    except HDF5_ERRORS as error:
        part.unlink(missing_ok=True)
        raise OSError(f"cannot write {path}: {reason(error)}") from error
    part.replace(path)


def _group(parent: Any, name: str, kind: str) -> Any:
    group = parent.create_group(name, track_order=True)
    group.attrs["NX_class"] = kind
    return group


def _write_table(entry: Any, table: Table) -> None:
    data = _group(entry, table.name, "NXdata")
    data.attrs["signal"] = table.signal
    if table.axes:
        data.attrs["axes"] = list(table.axes)
    data.attrs["run_uids"] = json.dumps(table.run_uids)
    for name, values in table.columns.items():
        # the errors of the signal have a name that every reader of NeXus knows
        known = f"{table.signal}_errors" if name == "error" else name
        _write_value(data, known, values, table.units[name], table.descriptions[name])


def _write_value(group: Any, name: str, values: Any, unit: str, sentence: str) -> None:
    dataset = group.create_dataset(name, data=values, track_times=False)
    dataset.attrs["units"] = _UNITS.get(unit, unit)
    dataset.attrs["long_name"] = sentence


def _write_number(group: Any, number: Any) -> None:
    for name in ("value", "low", "high"):
        value = number[name]
        _write_value(group, name, np.nan if value is None else float(value), number["unit"], name)
    group.attrs["run_uids"] = json.dumps(number["run_uids"])
