"""One plane of numbers from a file of another instrument: CSV and vendors' text, TIFF or PNG, HDF5."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from stream.hdf5_errors import HDF5_ERRORS, reason

TEXT = (".csv", ".txt", ".tsv", ".dat", ".asc")
IMAGES = (".tif", ".tiff")
HDF5 = (".h5", ".hdf5", ".nxs")


class ImageFileError(OSError):
    """A file gives no plane of numbers; the message is one line for people."""


def read_plane(path: str | Path, dataset: str = "") -> NDArray[np.float64]:
    """Return the plane (y, x) of a file; empty cells are NaN.

    Parameters
    ----------
    path
        CSV or text (comma, semicolon, tab or blanks; lines that are no numbers are skipped at the top), TIFF, or HDF5.
    dataset
        Path of the dataset in an HDF5 file.

    Raises
    ------
    ImageFileError
        Where the file cannot be read, or holds no plane.
    """
    file = Path(path)
    kind = file.suffix.lower()
    try:
        if kind in TEXT:
            plane = _text(file)
        elif kind in IMAGES:
            import tifffile

            plane = np.asarray(tifffile.imread(file), dtype=np.float64)
        elif kind in HDF5:
            plane = _hdf5(file, dataset)
        else:
            known = ", ".join((*TEXT, *IMAGES, *HDF5))
            raise ImageFileError(f"{file}: no reader for {kind or 'a file without suffix'}; known are {known}")
    except ImageFileError:
        raise
    except (ValueError, *HDF5_ERRORS) as error:
        raise ImageFileError(f"cannot read {file}: {reason(error)}") from error
    if plane.ndim != 2 or min(plane.shape) < 2:
        raise ImageFileError(f"{file} holds an array of shape {plane.shape}, not one plane of numbers")
    return plane


def _hdf5(file: Path, dataset: str) -> NDArray[np.float64]:
    with h5py.File(file, "r") as opened:
        contents: Any = opened
        names: list[str] = []
        contents.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        name = dataset or (names[0] if len(names) == 1 else "")
        if name not in names:
            raise ImageFileError(f"{file}: name one of its datasets: {', '.join(names[:8]) or 'there is none'}")
        return np.asarray(contents[name][...], dtype=np.float64)


def _text(file: Path) -> NDArray[np.float64]:
    lines = [line for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines() if line.strip()]
    if not lines:
        raise ImageFileError(f"{file} is empty")
    separator = next((mark for mark in (";", "\t", ",") if mark in lines[-1]), "")
    rows = list(csv.reader(lines, delimiter=separator)) if separator else [line.split() for line in lines]
    if separator == ";":
        rows = [[cell.replace(",", ".") for cell in row] for row in rows]
    numbers: list[list[float]] = []
    for row in rows:
        try:
            numbers.append([float(cell) if cell.strip() else float("nan") for cell in row])
        except ValueError:
            if numbers:
                raise ImageFileError(f"{file}: a line after the first numbers is none: {row[:3]}") from None
    widths = [len(row) for row in numbers]
    if not numbers or min(widths) != max(widths):
        spread = f"{min(widths)} to {max(widths)}" if numbers else "no"
        raise ImageFileError(f"{file}: its lines have {spread} numbers; one plane has the same in each")
    plane = np.array(numbers, dtype=np.float64)
    return plane[:, :-1] if np.isnan(plane[:, -1]).all() else plane  # a separator at the end of each line
