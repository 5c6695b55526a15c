"""`nvdac diff`: what another analysis of the same run changed, map by map, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.version import OWN_REFERENCE
from deploy.errors import DeployError
from deploy.stored import folders_hint
from stream.maps_file import MapsFileError, compare_planes, read_maps

Planes = dict[str, NDArray[Any]]


def diff_versions(data_dir: Path, run: str, first: str, second: str) -> dict[str, Any]:
    """Return what differs between two versions of a run's maps.

    Parameters
    ----------
    run, first, second
        Run uid and the two versions, or the first letters of each.

    Returns
    -------
    dict
        `settings`: name -> (old, new) of the analysis settings and constants that differ; `maps`: per file the planes
        that one side lacks, and for each plane that differs how many values, by how much, and where.

    Raises
    ------
    DeployError
        Where a run or version is not there, or not the only one of these letters.
    """
    folder = _only(data_dir / "processed", run, "run")
    old, new = (_only(folder, version, "version") for version in (first, second))
    names = sorted({path.name for version in (old, new) for path in version.glob("*.h5")})
    maps: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for name in names:
        lacking = [version.name for version in (old, new) if not (version / name).exists()]
        if lacking:
            maps[name] = {"missing_in": lacking[0]}
            continue
        try:
            (left, facts), (right, others) = read_maps(old / name), read_maps(new / name)
        except MapsFileError as error:
            raise DeployError(str(error)) from error
        settings |= _changed_settings(facts, others)
        if compare_planes(left, right):
            maps[name] = _changed_planes(left, right)
    return {"run_uid": folder.name, "old": old.name, "new": new.name, "settings": settings, "maps": maps}


def _only(folder: Path, begin: str, what: str) -> Path:
    found = [path for path in sorted(folder.glob("*/")) if path.is_dir() and path.name.startswith(begin)]
    exact = [path for path in found if path.name == begin]
    if len(exact or found) == 1:
        return (exact or found)[0]
    known = ", ".join(path.name for path in sorted(folder.glob("*/"))[:6]) or "none"
    elsewhere = "" if found or what != "run" else folders_hint()
    many = f"{len(found)} begin" if found else "none begins"
    raise DeployError(f"{what} {begin!r}: {many} like this in {folder}; there are {known}{elsewhere}")


def _changed_settings(facts: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """Return name -> [old, new] of what the two were made with."""
    changed: dict[str, Any] = {}
    for group in ("analysis", "constants"):
        left, right = facts.get(group, {}), others.get(group, {})
        for name in sorted({*left, *right}):
            if left.get(name) != right.get(name):
                changed[f"{group}.{name}"] = [left.get(name), right.get(name)]
    references = facts.get("reference_run", OWN_REFERENCE), others.get("reference_run", OWN_REFERENCE)
    if references[0] != references[1]:
        changed["reference_run"] = list(references)
    return changed


def _changed_planes(left: Planes, right: Planes) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for name in sorted({*left, *right}):
        if name not in left or name not in right:
            changed[name] = {"missing_in": "old" if name not in left else "new"}
        elif left[name].shape != right[name].shape:
            changed[name] = {"shape": [list(left[name].shape), list(right[name].shape)]}
        elif compare_planes({name: left[name]}, {name: right[name]}):
            changed[name] = _difference(left[name], right[name])
    return changed


def _difference(old: NDArray[Any], new: NDArray[Any]) -> dict[str, Any]:
    """Return how many values differ, by how much, and the box of pixels that holds them."""
    a, b = old.astype(np.float64), new.astype(np.float64)
    differs = ~((a == b) | (np.isnan(a) & np.isnan(b)))
    both = np.isfinite(a) & np.isfinite(b)
    change = (b - a)[both & differs]
    box = None
    if differs.any() and differs.ndim >= 2:
        rows, columns = np.nonzero(differs)[-2:]
        box = {"rows": [int(rows.min()), int(rows.max()) + 1], "columns": [int(columns.min()), int(columns.max()) + 1]}
    return {
        "values": int(differs.sum()),
        "of": int(differs.size),
        "median_change": float(np.median(change)) if change.size else 0.0,
        "largest_change": float(change[np.abs(change).argmax()]) if change.size else 0.0,
        "resolved_only_in_old": int((np.isfinite(a) & ~np.isfinite(b)).sum()),
        "resolved_only_in_new": int((np.isfinite(b) & ~np.isfinite(a)).sum()),
        "where": box,
    }


def diff_lines(found: dict[str, Any]) -> list[str]:
    """Return what a person reads of a comparison."""
    lines = [f"run {found['run_uid']}: {found['old']} -> {found['new']}"]
    lines += [f"  {name}: {old} -> {new}" for name, (old, new) in found["settings"].items()]
    for file, planes in found["maps"].items():
        if "missing_in" in planes:
            lines.append(f"  {file}: not in {planes['missing_in']}")
            continue
        for name, change in planes.items():
            if "values" not in change:
                lines.append(f"  {file} {name}: {change}")
                continue
            where = change["where"]
            place = f", rows {where['rows']}, columns {where['columns']}" if where else ""
            lines.append(
                f"  {file} {name}: {change['values']} of {change['of']} differ, median {change['median_change']:.4g}, "
                f"largest {change['largest_change']:.4g}{place}"
            )
    if not found["maps"]:
        lines.append("  no map differs")
    return lines
