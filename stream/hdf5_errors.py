"""What HDF5 raises where a disk is full, and the reason in it, in one line."""

from __future__ import annotations

import os
import re

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
