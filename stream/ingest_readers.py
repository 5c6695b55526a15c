"""The variables of a measurement file, whatever its format: names, shapes, and the one that is asked for.

A file becomes `Variables`: dotted names with shapes, loaded one by one. MATLAB's axis order is kept for both of its
formats (version 7.3 is HDF5 and stores the axes reversed).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_LISTED = 20
_TEXT = (".txt", ".csv", ".dat", ".asc", ".tsv")
_HDF5 = (".h5", ".hdf5", ".hdf", ".nxs", ".nx5")


class IngestError(ValueError):
    """A measurement cannot be taken in; the message is one line: what is wrong and what to do."""


@dataclass(frozen=True)
class Variables:
    """The arrays of one file."""

    source: str
    """Name of the file, for messages."""
    shapes: Mapping[str, tuple[int, ...]]
    """Dotted name -> shape, in the file's order."""
    load: Callable[[str], Array]
    """Reads one of them."""

    def __contains__(self, name: str) -> bool:
        return self._match(name) is not None

    def get(self, name: str) -> Array:
        """Return a variable as a numeric array; `a.b`, `a/b` and `/a/b` mean the same.

        Raises
        ------
        IngestError
            Where there is none of that name (those there are get listed) or it holds no numbers.
        """
        match = self._match(name)
        if match is None:
            raise IngestError(f"{self.source} has no variable {name!r}; it has {self.listing()}")
        try:
            array = self.load(match)
        except MemoryError as error:
            shape = "x".join(map(str, self.shapes[match]))
            raise IngestError(
                f"variable {match!r} of {self.source} ({shape}) does not fit into memory; cut out a part of it"
            ) from error
        if array.dtype.kind not in "uifb":
            raise IngestError(f"variable {match!r} of {self.source} holds no real numbers (dtype {array.dtype})")
        return array

    def listing(self) -> str:
        """Return the names and shapes for a message."""
        shown = [f"{name} {'x'.join(map(str, shape)) or 'scalar'}" for name, shape in self.shapes.items()]
        more = f" and {len(shown) - _LISTED} more" if len(shown) > _LISTED else ""
        return (", ".join(shown[:_LISTED]) or "nothing numeric") + more

    def _match(self, name: str) -> str | None:
        wanted = name.strip("/").replace("/", ".")
        return next((known for known in self.shapes if known == wanted), None)


def read_variables(path: str | Path) -> Variables:
    """Return the variables of a file by its format: MAT v5 or v7.3, HDF5, npz, npy, TIFF stack, columns of text.

    Raises
    ------
    IngestError
        Where the file is absent, unreadable or of an unknown kind.
    """
    file = Path(path)
    if not file.is_file():
        raise IngestError(f"no file {file}; check the path")
    reader = _reader(file)
    if reader is None:
        known = ".mat, .h5, .npz, .npy, .tif, .txt or .csv"
        raise IngestError(f"{file.name} is of an unknown kind ({file.suffix or 'no ending'}); give a {known} file")
    try:
        return reader(file)
    except IngestError:
        raise
    except Exception as error:  # the readers of six formats raise whatever they like at damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise IngestError(f"cannot read {file.name}: {reason}; is it damaged or not a {file.suffix} file?") from error


def _reader(file: Path) -> Callable[[Path], Variables] | None:
    import h5py

    suffix = file.suffix.lower()
    if suffix == ".mat":
        return _matlab73 if h5py.is_hdf5(file) else _matlab5
    if suffix in _HDF5 or (suffix not in _TEXT and h5py.is_hdf5(file)):
        return _hdf5
    if suffix in _TEXT:
        return _text
    return {".npz": _npz, ".npy": _npy, ".tif": _tiff, ".tiff": _tiff}.get(suffix)


def _in_memory(file: Path, arrays: Mapping[str, Array]) -> Variables:
    return Variables(file.name, {name: array.shape for name, array in arrays.items()}, lambda name: arrays[name])


def _matlab5(file: Path) -> Variables:
    from scipy.io import loadmat

    content = cast("dict[str, Any]", loadmat(str(file), simplify_cells=True))
    arrays: dict[str, Array] = {}
    _flatten({name: value for name, value in content.items() if not name.startswith("__")}, "", arrays)
    return _in_memory(file, arrays)


def _flatten(values: Mapping[str, Any], prefix: str, arrays: dict[str, Array]) -> None:
    """Collect the numeric fields of nested structs under dotted names."""
    for name, value in values.items():
        if isinstance(value, dict):
            _flatten(cast("dict[str, Any]", value), f"{prefix}{name}.", arrays)
        else:
            array = np.asarray(value)
            if array.dtype.kind in "uifbc" and array.size:
                arrays[f"{prefix}{name}"] = array


def _matlab73(file: Path) -> Variables:
    variables = _hdf5(file)
    shapes = {
        name: tuple(reversed(shape))
        for name, shape in variables.shapes.items()
        if not name.startswith(("#refs#", "#sub"))
    }
    # MATLAB writes its axes reversed, and vectors as n x 1
    return Variables(file.name, shapes, lambda name: np.ascontiguousarray(variables.load(name).T))


def _hdf5(file: Path) -> Variables:
    import h5py

    shapes: dict[str, tuple[int, ...]] = {}

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and node.dtype.kind in "uifbc" and node.shape is not None:
            shapes[name.replace("/", ".")] = tuple(int(n) for n in node.shape)

    with h5py.File(file, "r") as opened:
        opened.visititems(visit)

    def load(name: str) -> Array:
        with h5py.File(file, "r") as opened:
            return cast("Array", cast("Any", opened[_slashed(opened, name)])[...])

    return Variables(file.name, shapes, load)


def _slashed(opened: Any, name: str) -> str:
    """Return the HDF5 path of a dotted name; a name may itself hold dots."""
    if name in opened:
        return name
    found: list[str] = []
    opened.visit(lambda path: found.append(path) if path.replace("/", ".") == name else None)
    return found[0]


def _npz(file: Path) -> Variables:
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
        shapes = {name: archive[name].shape for name in archive.files}

    def load(name: str) -> Array:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            return cast("Array", archive[name])

    return Variables(file.name, shapes, load)


def _npy(file: Path) -> Variables:
    with file.open("rb") as opened:
        return _in_memory(file, {"data": np.lib.format.read_array(opened, allow_pickle=False)})


def _tiff(file: Path) -> Variables:
    import tifffile

    return _in_memory(file, {"stack": np.asarray(tifffile.imread(file))})


def _text(file: Path) -> Variables:
    """Read columns of numbers; lines before the first that is all numbers are taken as a heading."""
    rows: list[list[float]] = []
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
        cells = line.split("#")[0].replace(",", " ").replace(";", " ").split()
        if not cells:
            continue
        try:
            rows.append([float(cell) for cell in cells])
        except ValueError as error:
            if rows:
                raise IngestError(
                    f"{file.name} line {number} is not numbers: {line.strip()[:60]!r}; mend it"
                ) from error
    if not rows:
        raise IngestError(f"{file.name} holds no line of numbers; give two columns, frequency and signal")
    if len({len(row) for row in rows}) > 1:
        raise IngestError(f"{file.name} has lines of different lengths; give the same columns in each")
    table = np.array(rows)
    return _in_memory(file, {f"column_{i + 1}": table[:, i] for i in range(table.shape[1])})
