"""Full disks and HDF5: room is asked for before a file is begun, and what is raised in spite of it becomes one line."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

HDF5_ERRORS = (OSError, RuntimeError)
"""Failures of reading and writing: h5py raises the second where a file cannot be closed because the disk is full."""
_ERRNO = re.compile(r"errno = (\d+)")


def reason(error: BaseException) -> str:
    """Return the operating system's reason where the error names one, else the first line of the error."""
    text = str(error)
    found = _ERRNO.search(text)
    if found is not None:
        return os.strerror(int(found[1]))
    if isinstance(error, OSError) and error.strerror and "\n" not in error.strerror:
        return error.strerror
    return text.splitlines()[0] if text else type(error).__name__


def require_room(folder: Path, size: int) -> None:
    """Hold that `size` bytes fit into a folder, by taking and giving them back.

    HDF5 does not survive a full disk: a file that cannot be completed crashes the process when that ends.

    Raises
    ------
    OSError
        Where they do not: disk or quota full, or a limit on the size of files.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, size)
