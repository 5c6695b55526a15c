"""Hashes of what a result depends on: equal contents have equal digests, whatever the file is called."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from stream.archive_hdf5 import COLUMNS
from stream.hdf5_errors import HDF5_ERRORS, reason
from stream.messages import Json

_CHUNK = 1 << 20


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def frames_digest(path: str | Path) -> str:
    """Return the SHA-256 of a frames file's keys and checksums: it stands for every frame without reading one.

    Raises
    ------
    OSError
        Where the file cannot be read, in one line.
    """
    digest = hashlib.sha256()
    try:
        with h5py.File(path, "r", swmr=True) as file:
            contents: Any = file
            digest.update(str(contents.attrs["run_start"]).encode())
            digest.update(np.asarray(contents["/sweeps/records"][...]).tobytes())
            for name in COLUMNS:
                if name != "time_s":
                    digest.update(np.asarray(contents[f"/entry/data/{name}"][...]).tobytes())
            if "/sweeps/holes" in contents:
                digest.update(np.asarray(contents["/sweeps/holes"][...]).tobytes())
    except (KeyError, *HDF5_ERRORS) as error:
        raise OSError(f"cannot read the frames of {path}: {reason(error)}") from error
    return digest.hexdigest()


def json_digest(content: Json) -> str:
    """Return the SHA-256 of the canonical JSON of a content, hexadecimal."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
