"""Cell, Sample, Load and Optics: what is in the cell and how it is seen, one versioned TOML each, named by every run.

The rig file names them in `[setup]`, by a path from its own folder or by the name of one that comes with nvdac.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from deploy.errors import DeployError
from deploy.rig_file import FORBID, RIGS, Point, RigFile, explain_key

SHIPPED = RIGS / "setup"
"""Folder of the files that come with nvdac."""
POSITIVE = (
    "culet_um",
    "nv_depth_nm",
    "nv_density_ppm",
    "thickness_um",
    "numerical_aperture",
    "pixel_size_um",
    "laser_power_mw",
)
"""Values that are no value at 0 and below."""


@dataclass(frozen=True)
class _Versioned:
    version: int
    """Raised by whoever changes the file: 1, 2, ..."""

    def __post_init__(self) -> None:
        """Refuse a version that counts nothing, a size that is none, and a text that says nothing."""
        if self.version < 1:
            raise ValueError(f"version = {self.version}: count from 1, and raise it with each change of the file")
        for key, value in vars(self).items():
            if key in POSITIVE and not 0.0 < value < math.inf:
                raise ValueError(f"{key} = {value:g}: must be above 0")
            if isinstance(value, str) and not value.strip():
                raise ValueError(f"{key} is empty: say what it is")


@dataclass(frozen=True)
class Cell(_Versioned):
    """The anvil with the NV centres, and what the cell is closed with."""

    __pydantic_config__ = FORBID

    anvil_id: str
    """Name of the sensing anvil."""
    cut: str
    """Orientation of its culet, such as `(111)`."""
    axes_deg: float
    """Angle from the camera's x to the projection of a tilted NV axis, counter-clockwise, degrees."""
    miscut_deg: float
    """Angle between the culet normal and [111], degrees."""
    miscut_azimuth_deg: float
    """Azimuth of the culet normal in the NV frame, degrees."""
    culet_um: float
    """Diameter of the culet, um."""
    nv_depth_nm: float
    """Depth of the NV centres below the culet, nm."""
    nv_density_ppm: float
    """Their density, ppm."""
    gasket: str
    """Gasket and its insulation."""
    medium: str
    """Pressure medium."""
    wire: str
    """Microwave wire: what and where."""
    ruby_um: Point
    """Place of the ruby, um from the image centre (x right, y down)."""


@dataclass(frozen=True)
class Sample(_Versioned):
    """The crystal and its leads."""

    __pydantic_config__ = FORBID

    name: str
    """Name, as in `[sample]` of the rig file."""
    material: str
    """What it is."""
    growth: str
    """How it was grown, and its batch."""
    thickness_um: float
    """Thickness, um."""
    leads: str
    """Leads: how many, of what, how arranged."""


@dataclass(frozen=True)
class Load(_Versioned):
    """One pressure point."""

    __pydantic_config__ = FORBID

    index: int
    """Number of the pressure point, as `load_index` in `[sample]` of the rig file."""
    time: datetime
    """When the load was changed to it."""
    ruby_before_gpa: float
    """Ruby pressure before the thermal cycle, GPa."""
    ruby_after_gpa: float | None = None
    """The same after it, GPa; left out until it is measured."""


@dataclass(frozen=True)
class Optics(_Versioned):
    """How the sample is seen."""

    __pydantic_config__ = FORBID

    objective: str
    """Objective."""
    numerical_aperture: float
    """Its numerical aperture."""
    pixel_size_um: float
    """Edge of one camera pixel at the sample, um, as `pixel_size_um` in `[camera]` of the rig file."""
    flip_x: bool
    """Whether the picture is mirrored left to right."""
    flip_y: bool
    """Whether it is mirrored top to bottom."""
    filters: str
    """Filters before the camera."""
    laser_power_mw: float
    """Laser power at the sample, mW."""


KINDS: dict[str, type[Any]] = {"cell": Cell, "sample": Sample, "load": Load, "optics": Optics}
"""Key in `[setup]` -> what its file holds."""


@dataclass(frozen=True)
class SetupFile:
    """One of the files as it was read."""

    path: Path
    """Where it lies."""
    sha256: str
    """Of its bytes."""
    values: Any
    """A Cell, Sample, Load or Optics."""

    def to_json(self) -> dict[str, Any]:
        """Return what a start document says of it: name, version, digest and every value."""
        values = TypeAdapter(type(self.values)).dump_python(self.values, mode="json")
        version = values.pop("version")
        return {"file": self.path.name, "version": version, "sha256": self.sha256, "values": values}


def load_setup(rig_path: Path, rig: RigFile) -> dict[str, SetupFile]:
    """Read the four files of a rig.

    Returns
    -------
    dict
        `cell`, `sample`, `load` and `optics`.

    Raises
    ------
    DeployError
        Where one is not named, not there or not valid, or says something else than the rig file; the message says what
        to do.
    """
    named = dataclasses.asdict(rig.setup)
    missing = [name for name in KINDS if not named[name]]
    if missing:
        raise DeployError(
            f"{rig_path}: [setup] names no {', '.join(missing)} file, which every run must name; copy "
            f"{', '.join(f'example-{name}.toml' for name in missing)} from {SHIPPED.parent.name}/{SHIPPED.name} "
            "beside the rig file, fill in what is yours, and name the copies in [setup]"
        )
    files = {name: _read(rig_path, name, named[name]) for name in KINDS}
    wrong = _disagreements(rig, {name: file.values for name, file in files.items()})
    if wrong:
        raise DeployError(f"{rig_path}: {'; '.join(wrong)}; mend whichever is wrong")
    return files


def setup_to_json(files: dict[str, SetupFile]) -> dict[str, Any]:
    """Return what a start document says of the files."""
    return {name: file.to_json() for name, file in files.items()}


def naming(rig_path: Path, rig: RigFile, refuse: type[Exception]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what adds the files, as they are now, to the metadata of a start document.

    Parameters
    ----------
    refuse
        What a start without them fails with.
    """

    def named(metadata: dict[str, Any]) -> dict[str, Any]:
        try:
            return {**metadata, "setup": setup_to_json(load_setup(rig_path, rig))}
        except DeployError as error:
            raise refuse(str(error)) from error

    return named


def _find(rig_path: Path, key: str, name: str) -> Path:
    places = (rig_path.parent / name, SHIPPED / f"{name}.toml")
    for path in places:
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.toml")))
    raise DeployError(
        f"{rig_path}: [setup] {key} = {name!r}: there is no such file beside the rig file, and none of that name comes "
        f"with nvdac ({known})"
    )


def _read(rig_path: Path, key: str, name: str) -> SetupFile:
    path, kind = _find(rig_path, key, name), KINDS[key]
    try:
        content = path.read_bytes()
        values = tomllib.loads(content.decode())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeployError(f"{path}: not readable as TOML: {error}") from error
    try:
        read = TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        example = SHIPPED / f"example-{key}.toml"
        raise DeployError("\n".join(explain_key(path, row, kind, example) for row in error.errors()[:5])) from error
    return SetupFile(path, hashlib.sha256(content).hexdigest(), read)


def _disagreements(rig: RigFile, values: dict[str, Any]) -> list[str]:
    """Return where the files and the rig file say different things of the same."""
    cell, analysis = values["cell"], rig.analysis
    pairs: list[tuple[str, Any, str, Any]] = [
        ("the sample file's name", values["sample"].name, "[sample] name", rig.sample.name),
        ("the load file's index", values["load"].index, "[sample] load_index", rig.sample.load_index),
        ("the cell file's miscut_deg", cell.miscut_deg, "[analysis] miscut_deg", analysis.miscut_deg),
        (
            "the cell file's miscut_azimuth_deg",
            cell.miscut_azimuth_deg,
            "[analysis] miscut_azimuth_deg",
            analysis.miscut_azimuth_deg,
        ),
    ]
    if rig.twin is None:  # the twin's pixel size is part of its own settings
        size = values["optics"].pixel_size_um
        pairs.append(("the optics file's pixel_size_um", size, "[camera] pixel_size_um", rig.camera.pixel_size_um))
    return [f"{ours} is {one!r} and {theirs} {other!r}" for ours, one, theirs, other in pairs if one != other]
