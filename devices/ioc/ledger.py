"""The history ledger: an append-only file of JSON lines, on the disk before anybody is told what it says.

A file begins with the state that the file before it ended in, so that a start reads the newest one only. One process
writes: the file is locked while it is open.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from devices.ioc.history import HistoryRules, HistoryState, Record, advance, record_from_json

LARGEST_BYTES = 16 * 2**20
"""Size from which the next file begins."""
MEMORY = "memory"
"""Name of the event whose text is what the guard must know after a restart; `Ledger.memory` is the newest."""
_PATTERN = "ledger-*.jsonl"


class LedgerError(RuntimeError):
    """The ledger cannot be opened or written; the message is one line for people."""


class Ledger:
    """The ledger of one folder, and what it says.

    Parameters
    ----------
    folder
        Where its files are.
    rules
        How its records are read.
    largest_bytes
        Size from which the next file begins.

    `state` is what the records say, `memory` the text of the newest event `MEMORY`.

    Raises
    ------
    LedgerError
        Where another process writes it, or it cannot be opened.
    """

    def __init__(self, folder: Path, rules: HistoryRules, largest_bytes: int = LARGEST_BYTES) -> None:
        self.rules = rules
        self.state = HistoryState()
        self.memory = ""
        self._folder = folder
        self._largest = largest_bytes
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / "lock").open("a")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file = self._open_newest()
        except BlockingIOError as error:
            raise LedgerError(f"another guard writes the ledger in {folder}; end its site first") from error
        except OSError as error:
            raise LedgerError(f"the ledger in {folder} cannot be opened: {error}") from error

    def append(self, records: Sequence[Record]) -> HistoryState:
        """Bring records to the disk, then take them into account.

        Raises
        ------
        LedgerError
            Where they cannot be written; they are not taken into account then.
        """
        if not records:
            return self.state
        try:
            if self._file.tell() > self._largest:
                self._begin_next()
            _write(self._file, [record.to_json() for record in records])
        except OSError as error:
            raise LedgerError(f"the ledger cannot be written: {error}") from error
        for record in records:
            self._take(record)
        return self.state

    def _take(self, record: Record) -> None:
        self.state = advance(self.state, record, self.rules)
        if record.name == MEMORY:
            self.memory = record.text

    def close(self) -> None:
        """Let go of the files."""
        self._file.close()
        self._lock.close()

    def _open_newest(self) -> IO[str]:
        """Read the newest file and go on in it."""
        paths = sorted(self._folder.glob(_PATTERN))
        if not paths:
            return self._make(1)
        path = paths[-1]
        for row in _rows(path):
            if row["k"] == "state":
                self.state, self.memory = HistoryState(**row["state"]), row["memory"]
            else:
                unreadable = row["k"] == "break" and not row["t"]
                self._take(record_from_json({**row, "t": self.state.time_s} if unreadable else row))
        file = path.open("a", encoding="utf-8")
        _end_torn_line(path, file)
        return file

    def _begin_next(self) -> None:
        number = int(Path(self._file.name).stem.rpartition("-")[2])
        following = self._make(number + 1)
        self._file.close()
        self._file = following

    def _make(self, number: int) -> IO[str]:
        """Make a file that begins with the present state."""
        file = (self._folder / f"ledger-{number:06d}.jsonl").open("x", encoding="utf-8")
        _write(file, [{"k": "state", "state": self.state.to_json(), "memory": self.memory}])
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(handle)  # the name of the file, too
        finally:
            os.close(handle)
        return file


def read_records(folder: Path) -> Iterator[Record]:
    """Yield every record of a ledger, oldest first; for people and tests, beside a running guard too."""
    for path in sorted(folder.glob(_PATTERN)):
        for row in _rows(path):
            if row["k"] != "state":
                yield record_from_json(row)


def _write(file: IO[str], rows: Sequence[dict[str, Any]]) -> None:
    file.write("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))
    file.flush()
    os.fdatasync(file.fileno())


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a file. A line torn by a crash is passed over: nobody was told what it said."""
    torn: int | None = None
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            row = _row(line)
            if torn is not None and (row is None or row["k"] != "torn"):
                yield {"t": 0.0, "k": "break", "s": f"line {torn} of {path.name} cannot be read"}
            torn = number if row is None else None
            if row is not None and row["k"] != "torn":
                yield row


def _row(line: str) -> dict[str, Any] | None:
    """Return the values of a line, None where they are no record."""
    try:
        row = json.loads(line)
        if row["k"] not in ("state", "torn"):
            record_from_json(row)
    except (ValueError, KeyError, TypeError):
        return None
    return row


def _end_torn_line(path: Path, file: IO[str]) -> None:
    """Close a line that a crash cut short, and say so."""
    data = path.read_bytes()
    if not data.endswith(b"\n"):
        file.write("\n")
    lines = data.splitlines()
    if lines and _row(lines[-1].decode(errors="replace")) is None:
        _write(file, [{"k": "torn"}])
