"""`nvdac register`: the chemistry of a sample on the pixels of its runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from analyzers.campaign.align import align, on_run_pixels, ratio_of
from analyzers.campaign.load_maps import DESCRIPTIONS, UNITS, CampaignError
from analyzers.fitmap import UNITS as FIT_UNITS
from deploy.errors import DeployError
from deploy.stored import folders_hint
from stream.image_files import ImageFileError, read_plane
from stream.maps_file import MapsFileError, MapsPart, read_maps, write_parts
from stream.stored_maps import read_some, stored_runs


def _light(path: Path) -> dict[str, Any]:
    """Return the light of the run, by which later runs find their pixels on this map."""
    light = read_some(path, ("baseline",))[0]
    return {name: plane.astype(np.float64) for name, plane in light.items()}


def register_chemistry(
    planes: list[Path],
    unit: str,
    points_file: Path,
    run: str,
    data_dir: Path,
    out: Path,
    sample: str,
    kind: str = "similarity",
    mirrored: bool = False,
    datasets: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Write the La:Ni of a sample on the pixels of a run; returns residuals, error and coverage.

    Parameters
    ----------
    planes
        One file of the ratio, or La and Ni.
    points_file
        CSV of control points: row and column in the run, row and column in the map, one point a line.

    Raises
    ------
    DeployError
        Where a file cannot be read, the sample is another one, or the points say that the map is mirrored.
    """
    found = [one for one in stored_runs(data_dir) if one.run_uid.startswith(run)]
    if len(found) != 1:
        raise DeployError(f"{len(found)} runs with maps begin with {run!r} in {data_dir}; name one{folders_hint()}")
    try:
        maps, about = read_maps(found[0].products or found[0].sweeps[0])
        facts: dict[str, Any] = dict(about)
        if sample != str(facts.get("sample", "")):
            raise DeployError(f"the map is of sample {sample!r}, run {found[0].run_uid} of {facts.get('sample')!r}")
        read = [read_plane(path, datasets[i] if i < len(datasets) else "") for i, path in enumerate(planes)]
        points = read_plane(points_file)
        if points.shape[1] != 4:
            raise DeployError(f"{points_file}: each line needs row and column in the run, row and column in the map")
        ratio, sigma = ratio_of(read[0], read[1] if len(read) > 1 else None, unit)
        alignment = align(points[:, :2], points[:, 2:], kind, mirrored)
        shape = next(plane.shape[-2:] for plane in maps.values() if plane.ndim >= 2)
        value, error = on_run_pixels(ratio, sigma, alignment, (int(shape[0]), int(shape[1])))
        about_it: dict[str, object] = {
            "sample": sample,
            "registered_on_run": found[0].run_uid,
            "files": [path.name for path in planes],
            "unit": unit,
            "kind": kind,
            "mirrored": mirrored,
            "matrix": alignment.matrix.tolist(),
            "offset": alignment.offset.tolist(),
            "residual_px": alignment.residual_px.tolist(),
            "sigma_px": alignment.sigma_px,
            "points": alignment.points,
        }
        if not np.isfinite(value).any():
            raise DeployError("no pixel of the run lies on the map: are rows and columns of the points exchanged?")
        names = ("la_ni", "la_ni_sigma")
        light = _light(found[0].sweeps[0])
        part = MapsPart(
            {"la_ni": value, "la_ni_sigma": error, **light},
            {**{name: UNITS[name] for name in names}, "baseline": FIT_UNITS["baseline"]},
            {**{name: DESCRIPTIONS[name] for name in names}, "baseline": "light off the lines of the run (y, x)"},
            about_it,
        )
        write_parts(out, {"": part})
    except (CampaignError, ImageFileError, MapsFileError) as error_:
        raise DeployError(str(error_)) from error_
    return {**about_it, "out": str(out), "covered": float(np.isfinite(value).mean())}
