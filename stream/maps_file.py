"""The documented HDF5 file of maps: one file per sweep, the same whether made live, by replay or by `nvdac fit`.

Every plane is one dataset at the root with the attributes `unit`, `description` and `dimensions`; what belongs to the
whole file (run uid, sweep, settings, status codes' names, ...) is the JSON text in the root attribute `attributes`.
Files appear whole or not at all, and an existing file is never changed: its bits are compared.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from stream.hdf5_errors import HDF5_ERRORS, reason, require_room
from stream.messages import Json

FORMAT = "nvdac-maps-1"
"""Value of the root attribute `nvdac_format`."""
_DIMENSIONS = ("line", "y", "x")


class MapsFileError(OSError):
    """A maps file cannot be read or written; the message is one line for people."""


class MapsDiffer(MapsFileError):  # noqa: N818 - reads as the sentence it is
    """The file exists and holds other bits; `name` is the first plane that differs."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(f"{path} exists and differs: first differing map is {name}")
        self.path = path
        self.name = name


@dataclass(frozen=True)
class MapsPart:
    """Maps of one sweep, or of a run as a whole."""

    planes: Mapping[str, NDArray[Any]]
    """Name -> array."""
    units: Mapping[str, str]
    """Name -> unit."""
    descriptions: Mapping[str, str]
    """Name -> one sentence."""
    attributes: Json
    """JSON-serialisable facts about all of them; NaN is refused."""

    def __post_init__(self) -> None:
        """Refuse planes that nobody could read later."""
        undocumented = [name for name in self.planes if name not in self.units or name not in self.descriptions]
        if undocumented:
            raise ValueError(f"maps without unit or description: {', '.join(undocumented)}")


def write_maps(
    path: str | Path,
    planes: Mapping[str, NDArray[Any]],
    units: Mapping[str, str],
    descriptions: Mapping[str, str],
    attributes: Json,
) -> None:
    """Write maps to a new file, or hold that an existing one has the same bits.

    Parameters
    ----------
    planes
        Name -> array, (y, x), (line, y, x) or any other shape.
    units, descriptions
        Name -> unit (empty for a pure number) and name -> one sentence; every plane needs both.
    attributes
        JSON-serialisable facts about the whole file; NaN is refused. Not compared with an existing file's.

    Raises
    ------
    MapsDiffer
        Where the file exists with other bits in any plane, or with other planes.
    MapsFileError
        Where the file cannot be written (disk full, no permission).
    ValueError
        Where a plane lacks its unit or description.
    """
    target = Path(path)
    part = MapsPart(planes, units, descriptions, attributes)
    if target.exists():
        _compare(target, planes)
        return
    _write_file(target, {"": part})


def write_parts(path: str | Path, parts: Mapping[str, MapsPart]) -> None:
    """Write the maps of several sweeps to one file, each part a group of its own; an existing file is replaced.

    A link stays: what it points to is written.

    Raises
    ------
    MapsFileError
        Where the file cannot be written; nothing is left of it then.
    """
    _write_file(Path(os.path.realpath(path)), parts)


def read_maps(path: str | Path, part: str = "") -> tuple[dict[str, NDArray[Any]], Json]:
    """Return (planes by name, attributes) of a maps file, or of the part of it that is named (`write_parts`).

    Raises
    ------
    MapsFileError
        Where the file is absent, unreadable or not a maps file.
    """
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("nvdac_format") != FORMAT:
                raise MapsFileError(f"{path} is not a maps file of this program (no nvdac_format {FORMAT})")
            group: Any = file[part] if part else file
            planes = {str(name): item[...] for name, item in group.items() if isinstance(item, h5py.Dataset)}
            return planes, cast("Json", json.loads(str(group.attrs["attributes"])))
    except MapsFileError:
        raise
    except KeyError as error:
        raise MapsFileError(f"{path} has no part {part!r}") from error
    except OSError as error:
        raise MapsFileError(f"cannot read maps from {path}: {reason(error)}") from error


def read_part(path: str | Path, part: str) -> MapsPart:
    """Return a part of a maps file (`write_parts`) with its units and sentences.

    Raises
    ------
    MapsFileError
        Where the file or part is absent, unreadable or not ours.
    """
    planes, attributes = read_maps(path, part)
    with h5py.File(path, "r") as file:
        group: Any = file[part]
        units, sentences = ({name: str(group[name].attrs[key]) for name in planes} for key in ("unit", "description"))
    return MapsPart(planes, units, sentences, attributes)


def part_names(path: str | Path) -> list[str]:
    """Return the names of the parts of a maps file, in the order in which they were written.

    Raises
    ------
    MapsFileError
        Where the file cannot be read.
    """
    try:
        with h5py.File(path, "r", track_order=True) as file:
            return [str(name) for name, item in file.items() if isinstance(item, h5py.Group)]
    except OSError as error:
        raise MapsFileError(f"cannot read maps from {path}: {reason(error)}") from error


def is_maps_file(path: str | Path) -> bool:
    """Return whether a file is one of ours, and so may be replaced by a newer one."""
    try:
        with h5py.File(path, "r") as file:
            return file.attrs.get("nvdac_format") == FORMAT
    except OSError:
        return False


def compare_planes(left: Mapping[str, NDArray[Any]], right: Mapping[str, NDArray[Any]]) -> str:
    """Return the name of the first plane whose dtype, shape or bits differ or that one side lacks; empty if none."""
    for name in sorted({*left, *right}):
        if name not in left or name not in right:
            return name
        a, b = np.asarray(left[name]), np.asarray(right[name])
        # bytes, not ==: NaN equals itself here, and -0.0 is not 0.0
        if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
            return name
    return ""


def _compare(path: Path, planes: Mapping[str, NDArray[Any]]) -> None:
    differing = compare_planes(read_maps(path)[0], planes)
    if differing:
        raise MapsDiffer(path, differing)


def _write_file(target: Path, parts: Mapping[str, MapsPart]) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        require_room(target.parent, _size(parts))
        with _replacing(target) as temporary, h5py.File(temporary, "w", track_order=True) as file:
            file.attrs["nvdac_format"] = FORMAT
            for name, part in parts.items():
                _write_part(file.create_group(name, track_order=True) if name else file, part)
    except HDF5_ERRORS as error:
        raise MapsFileError(f"cannot write maps to {target}: {reason(error)}") from error


def _size(parts: Mapping[str, MapsPart]) -> int:
    """Return about how many bytes the file will have, rather too many."""
    planes = [plane for part in parts.values() for plane in part.planes.values()]
    return 65_536 * (1 + len(parts)) + sum(4096 + int(np.asarray(plane).nbytes) for plane in planes)


def _write_part(group: Any, part: MapsPart) -> None:
    for name, plane in part.planes.items():
        # no times in the file: equal maps are equal files
        dataset = group.create_dataset(name, data=plane, track_times=False)
        dataset.attrs["unit"] = part.units[name]
        dataset.attrs["description"] = part.descriptions[name]
        dataset.attrs["dimensions"] = _dimensions(np.ndim(plane))
    _attribute(group, "attributes", json.dumps(part.attributes, allow_nan=False, sort_keys=True))


def _dimensions(ndim: int) -> str:
    return ", ".join(_DIMENSIONS[-ndim:]) if 2 <= ndim <= 3 else ""


def _attribute(file: Any, name: str, text: str) -> None:
    """Set a text attribute that may be longer than HDF5's 64 KiB limit of fixed-size attributes."""
    file.attrs.create(name, text, dtype=h5py.string_dtype("utf-8"))


@contextlib.contextmanager
def _replacing(target: Path) -> Generator[Path]:
    """Give a temporary path in the same folder; on success it is synced and becomes `target`, else it vanishes."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        sync(temporary)
        temporary.chmod(0o644)
        temporary.replace(target)
        sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Bring a file or a folder's entries to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
