"""Stored runs as a viewer sees them: those in Tiled and on the disk, their maps, and what their plan said."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from stream.messages import Json

API_KEY_VARIABLE = "NVDAC_TILED_API_KEY"
ANSWER_S = 3.0
"""Time that Tiled has for its list, s."""
PAGE = 100
"""Runs of one list."""


@dataclass(frozen=True)
class StoredRun:
    """A run with maps on the disk."""

    run_uid: str
    """The Bluesky run."""
    version: str
    """Version of the maps: the newest."""
    sweeps: tuple[Path, ...]
    """Maps files, one per sweep, in their order."""
    products: Path | None
    """What the run says as a whole; None where it ended too early."""
    changed_s: float
    """When its last map was written, seconds since the epoch."""


@dataclass(frozen=True)
class RunDocuments:
    """What the run's documents say, as far as a viewer needs it."""

    start: Json = field(default_factory=dict[str, object])
    """The start document."""
    exit_status: str = ""
    """How it ended; empty while it runs."""
    events: tuple[tuple[str, float, Json], ...] = ()
    """(stream, time in s since the epoch, data) of every event, in order."""


def stored_runs(data_dir: str | Path) -> list[StoredRun]:
    """Return the runs with maps in a data folder, the newest first."""
    found: list[StoredRun] = []
    for folder in Path(data_dir, "processed").glob("*/"):
        versions = sorted(folder.glob("*/"), key=lambda path: path.stat().st_mtime)
        if versions and (sweeps := tuple(sorted(versions[-1].glob("sweep_*.h5")))):
            products = versions[-1] / "products.h5"
            changed = max(path.stat().st_mtime for path in sweeps)
            found.append(
                StoredRun(folder.name, versions[-1].name, sweeps, products if products.exists() else None, changed)
            )
    return sorted(found, key=lambda run: -run.changed_s)


def read_some(path: Path, names: tuple[str, ...], edge_px: int = 0) -> tuple[dict[str, NDArray[Any]], Json]:
    """Return those of the planes `names` that a maps file has, and its attributes with the `step` of the pixels read.

    Parameters
    ----------
    edge_px
        Longest edge of what is read, pixels: every n-th pixel is taken; 0 takes all.

    Raises
    ------
    OSError
        Where the file cannot be read.
    """
    import h5py

    with h5py.File(path, "r") as file:
        contents = cast("Any", file)
        planes: dict[str, NDArray[Any]] = {}
        attributes = cast("Json", json.loads(str(file.attrs["attributes"])))
        for name in names:
            if name in contents:
                plane = contents[name]
                step = -(-max(plane.shape[-2:]) // edge_px) if edge_px and plane.ndim >= 2 else 1
                planes[name] = plane[..., ::step, ::step] if plane.ndim >= 2 else plane[...]
                attributes["step"] = step
        return planes, attributes


def status_names(attributes: Json) -> list[str]:
    """Return the names of the status codes of a maps file, by code."""
    codes = cast("dict[str, str]", attributes.get("status_codes", {}))
    names = {int(code): text.split(":")[0] for code, text in codes.items()}
    return [names.get(code, "") for code in range(max(names, default=-1) + 1)]


def run_documents(data_dir: str | Path, run_uid: str) -> RunDocuments:
    """Return what the durable log has of a run's documents; nothing where there is no log."""
    path = Path(data_dir, "documents", f"{run_uid}.jsonl")
    if not path.exists():
        return RunDocuments()
    start: Json = {}
    status, streams = "", dict[str, str]()
    events: list[tuple[str, float, Json]] = []
    for name, doc in _lines(path):
        if name == "start":
            start = doc
        elif name == "descriptor":
            streams[str(doc["uid"])] = str(doc.get("name", ""))
        elif name == "event":
            events.append((streams.get(str(doc["descriptor"]), ""), float(doc["time"]), doc["data"]))
        elif name == "event_page":
            events += _page(doc, streams)
        elif name == "stop":
            status = str(doc.get("exit_status", ""))
    return RunDocuments(start, status, tuple(events))


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open() as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                return  # the last line is being written
            yield str(row["name"]), row["doc"]


def _page(doc: Any, streams: dict[str, str]) -> list[tuple[str, float, Json]]:
    columns = cast("dict[str, list[object]]", doc["data"])
    name = streams.get(str(doc["descriptor"]), "")
    rows = ({key: values[i] for key, values in columns.items()} for i in range(len(doc["time"])))
    return [(name, float(when), row) for when, row in zip(doc["time"], rows, strict=True)]


def runs_in_tiled(uri: str, api_key: str | None = None) -> list[Json]:
    """Return (start, stop) documents of the newest runs in Tiled, over its HTTP interface: no client is loaded.

    Raises
    ------
    OSError
        Where Tiled does not answer, or refuses; the message never holds the key.
    """
    query = urllib.parse.urlencode({"page[limit]": PAGE, "sort": "-", "fields": "metadata"})
    request = urllib.request.Request(f"{uri}/api/v1/search/raw?{query}")
    key = api_key or os.environ.get(API_KEY_VARIABLE, "")
    request.add_header("Authorization", f"Apikey {key}")
    request.add_header("Accept", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            rows = json.load(answer)["data"]
        return [dict(row["attributes"]["metadata"]) for row in rows]
    except urllib.error.HTTPError as problem:
        problem.close()
        raise OSError(f"Tiled refuses the list of runs: {problem.code} {problem.reason}") from None
    except (urllib.error.URLError, ValueError, KeyError, TypeError, TimeoutError) as problem:
        raise OSError(f"Tiled does not list its runs: {getattr(problem, 'reason', problem)}") from None


def marked_points(attributes: Json, shape: tuple[int, int]) -> list[Json]:
    """Return name and pixel of the marked points of a maps file: its regions are in um from the image centre."""
    regions = cast("dict[str, Any]", attributes.get("regions", {}))
    um = float(cast("float", attributes.get("pixel_size_um", 1.0)))
    rows: list[Json] = []
    for name, (x, y) in regions.get("points", {}).items():
        column, row = (round(at / um + size / 2 - 0.5) for at, size in ((x, shape[1]), (y, shape[0])))
        if 0 <= row < shape[0] and 0 <= column < shape[1]:
            rows.append({"name": name, "x_px": column, "y_px": row})
    return rows


def finite_mean(plane: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> float | None:
    """Return the mean of what is resolved (and in the mask), None where nothing is."""
    known = plane[np.isfinite(plane) if mask is None else np.isfinite(plane) & mask]
    return float(known.mean(dtype=np.float64)) if known.size else None


def sample_mask(attributes: Json, shape: tuple[int, int], step: int) -> NDArray[np.bool_] | None:
    """Return which pixels of a picture with every `step`-th pixel lie in the sample's outline; None without one."""
    outline = cast("Any", attributes.get("regions") or {}).get("sample")
    pixel_um = float(cast("Any", attributes.get("pixel_size_um") or 0.0)) * step
    if not outline or len(outline) < 3 or pixel_um <= 0:
        return None
    rows, columns = shape
    y = ((np.arange(rows) + 0.5 - rows / 2) * pixel_um)[:, None]
    x = ((np.arange(columns) + 0.5 - columns / 2) * pixel_um)[None, :]
    inside = np.zeros(shape, np.bool_)
    for (x0, y0), (x1, y1) in zip(outline, [*outline[1:], outline[0]], strict=True):
        if y0 != y1:
            inside ^= ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return inside
