"""Where the files of a run lie in the data folder: one authority for the camera, the archive, replay and fit."""

from __future__ import annotations

import re
from pathlib import Path

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


def frames_path(data_dir: str | Path, run_uid: str) -> Path:
    """Return the frames file of a run: `<data>/frames/<run uid>.h5`."""
    return Path(data_dir) / "frames" / f"{_safe(run_uid)}.h5"


def maps_path(data_dir: str | Path, run_uid: str, version: str, name: str) -> Path:
    """Return a maps file: `<data>/processed/<run uid>/<version>/<name>.h5`."""
    return Path(data_dir) / "processed" / _safe(run_uid) / _safe(version) / f"{_safe(name)}.h5"


def documents_path(data_dir: str | Path, run_uid: str) -> Path:
    """Return the durable document log of a run: `<data>/documents/<run uid>.jsonl`."""
    return Path(data_dir) / "documents" / f"{_safe(run_uid)}.jsonl"


def tiled_dir(data_dir: str | Path) -> Path:
    """Return the folder of Tiled's catalog, tables and own files: `<data>/tiled`."""
    return Path(data_dir) / "tiled"


def _safe(name: str) -> str:
    """Return `name` fit for one path component: a uid from the wire never leaves the data folder."""
    return _UNSAFE.sub("_", name).lstrip(".") or "_"


def control_token_path(runtime_dir: str | Path) -> Path:
    """Return the file with the token that lets a page ask a session for something."""
    return Path(runtime_dir) / "control-token"
