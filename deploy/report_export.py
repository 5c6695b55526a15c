"""The numbers of a campaign for other tools: CSV and NeXus, each with units, constant set and run uids."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np

from deploy.errors import DeployError
from deploy.output import write_whole
from stream.maps_file import MapsPart, part_names, read_part
from stream.nexus_file import Table, write_nexus

EXPORTS = ("csv", "nexus")
NEXUS = "campaign.nxs"


def check_exports(exports: tuple[str, ...]) -> None:
    """Refuse exports that nobody knows.

    Raises
    ------
    DeployError
        With those that are known.
    """
    unknown = [kind for kind in exports if kind not in EXPORTS]
    if unknown:
        raise DeployError(f"no export as {', '.join(unknown)}; known: {', '.join(EXPORTS)}")


def write_exports(products: Path, facts: dict[str, Any], folder: Path, exports: tuple[str, ...]) -> list[str]:
    """Write the exports of a campaign's file and its facts into a folder; returns what was written.

    Raises
    ------
    DeployError
        Where a file cannot be written.
    """
    if not exports:
        return []
    tables = [table for name in part_names(products) for table in tables_of(name, read_part(products, name))]
    written: list[Path] = []
    try:
        if "csv" in exports:
            written += _write_csv(tables, facts, folder / "csv")
        if "nexus" in exports:
            process = {"program": "nvdac", "version": importlib.metadata.version("nvdac"), **_made(facts)}
            write_nexus(folder / NEXUS, tables, facts["numbers"], process)
            written.append(folder / NEXUS)
    except OSError as error:
        raise DeployError(str(error)) from error
    return [str(path) for path in written]


def tables_of(name: str, part: MapsPart) -> list[Table]:
    """Return the tables of a part: its columns by the tables that it names, else all as one."""
    named = cast("dict[str, list[str]]", part.attributes.get("tables", {}))
    if named:
        return [_table(f"{name}.{one}", part, columns, (columns[0],)) for one, columns in named.items()]
    columns = list(part.planes)
    edges = tuple(column for column in columns if column.endswith("_edges"))
    if "axes" in part.attributes:
        edges = tuple(cast("list[str]", part.attributes["axes"]))
    elif not edges and part.planes[columns[0]].ndim == 1:
        edges = (columns[0],)
    return [_table(name, part, columns, edges)]


def _table(name: str, part: MapsPart, columns: list[str], axes: tuple[str, ...]) -> Table:
    runs = tuple(cast("list[str]", part.attributes["run_uids"]))
    kept = {column: part.planes[column] for column in columns}
    return Table(name, axes, kept, part.units, part.descriptions, runs)


def _made(facts: dict[str, Any]) -> dict[str, str]:
    """Return what a campaign was made with, as texts."""
    return {
        "key": str(facts["key"]),
        "constants": json.dumps(facts["constants"], sort_keys=True),
        "settings": json.dumps(facts["settings"], sort_keys=True),
        "campaign_version": str(facts["campaign_version"]),
    }


def _write_csv(tables: Iterable[Table], facts: dict[str, Any], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for table in tables:
        comments = {"table": table.name, "run_uids": " ".join(table.run_uids), **_made(facts)}
        written.append(_write_rows(folder / f"{table.name}.csv", comments, _rows(table)))
    head = ["quantity", "value", "low", "high", "unit", "confidence", "run_uids"]
    rows = [
        [name, *(one[key] for key in head[1:-1]), " ".join(one["run_uids"])] for name, one in facts["numbers"].items()
    ]
    written.append(_write_rows(folder / "numbers.csv", {"table": "numbers", **_made(facts)}, [head, *rows]))
    return written


def _write_rows(path: Path, comments: dict[str, str], rows: Iterable[Iterable[object]]) -> Path:
    text = io.StringIO()
    for name, value in comments.items():
        text.write(f"# {name}: {value}\n")
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_whole(path, text.getvalue())
    return path


def _rows(table: Table) -> list[list[object]]:
    """Return head and rows: one row per cell, low and high edge of bins, y and x of maps."""
    shape = table.columns[table.signal].shape
    cells = np.indices(shape).reshape(len(shape), -1)
    head: list[str] = []
    columns: list[list[object]] = []
    for axis, place, size in zip(table.axes, cells, shape, strict=False):
        edges, unit, name = table.columns[axis], table.units[axis], axis.removesuffix("_edges")
        if edges.size == size + 1:
            head += [f"{name} low ({unit})", f"{name} high ({unit})"]
            columns += [edges[place].tolist(), edges[place + 1].tolist()]
        else:
            head.append(f"{axis} ({unit})")
            columns.append(edges[place].tolist())
    if not table.axes:
        head += [f"{name} (px)" for name in ("y", "x")[-len(shape) :]]
        columns += [place.tolist() for place in cells]
    for name, values in table.columns.items():
        if name not in table.axes:
            head.append(f"{name} ({table.units[name]})")
            columns.append(values.ravel().tolist())
    return [list(head), *(list(row) for row in zip(*columns, strict=True))]
