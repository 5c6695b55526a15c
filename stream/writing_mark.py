"""Who writes a file: a locked mark beside it. A mark that nobody holds says that its writer was killed.

HDF5's own lock cannot tell: a file in SWMR mode is not locked.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Generator
from pathlib import Path
from typing import IO

SUFFIX = ".writing"


class WritingMark:
    """Says, from now until `release` or the end of this process, that a file has a writer.

    Raises
    ------
    OSError
        Where the mark cannot be made, or another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self._path = _mark(path)
        self._file: IO[str] = self._path.open("w", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise

    def release(self) -> None:
        """Take the mark away: the file is whole. Safe to call twice."""
        if not self._file.closed:
            self._path.unlink(missing_ok=True)
            self._file.close()


def abandoned(folder: Path) -> list[Path]:
    """Return the HDF5 files of a folder whose writers were killed, by name."""
    found: list[Path] = []
    for mark in sorted(folder.glob(f"*.h5{SUFFIX}")):
        with taken(mark.with_suffix("")) as mine:
            if mine:
                found.append(mark.with_suffix(""))
    return found


def has_writer(path: Path) -> bool:
    """Tell whether somebody writes the file now."""
    with taken(path) as mine:
        return _mark(path).exists() and not mine


@contextlib.contextmanager
def taken(path: Path) -> Generator[bool]:
    """Hold the mark that a killed writer left beside a file; False where there is none or somebody holds it."""
    try:
        with _mark(path).open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            # whoever held it before us may have finished the file and taken the mark away
            yield _mark(path).exists()
    except FileNotFoundError:
        yield False


def clear(path: Path) -> None:
    """Take the mark of a file away."""
    _mark(path).unlink(missing_ok=True)


def _mark(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)
