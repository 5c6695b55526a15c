"""The durable log of a run's documents: JSON lines, synced one by one, locked while the run is open."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
import uuid
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np

from stream.messages import Json
from stream.paths import documents_path

DIED = "the session ended without closing the run"
"""Reason in the stop document of a run whose session died."""
_MARK = ".archived"


class DocumentLog:
    """Log of one run that is open; the file's lock says that its writer lives.

    Raises
    ------
    FileExistsError
        Where the run has a log already.
    """

    def __init__(self, data_dir: str | Path, run_uid: str) -> None:
        self.run_uid = run_uid
        self.path = documents_path(data_dir, run_uid)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = self.path.open("x", encoding="utf-8")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def append(self, name: str, doc: Json) -> None:
        """Append one document and bring it to the disk."""
        self._file.write(_line(name, doc))
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Close and unlock; safe to call twice."""
        self._file.close()


def write_log(data_dir: str | Path, run_uid: str, documents: Iterable[tuple[str, Json]]) -> None:
    """Write the log of a whole run at once: it appears complete or not at all."""
    path = documents_path(data_dir, run_uid)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("x", encoding="utf-8") as file:
        for name, doc in documents:
            file.write(_line(name, doc))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def mark_archived(data_dir: str | Path, run_uid: str) -> None:
    """Say that Tiled has the whole run."""
    documents_path(data_dir, run_uid).with_suffix(_MARK).touch()


def is_archived(path: Path) -> bool:
    """Say whether Tiled has the whole run of a log."""
    return path.with_suffix(_MARK).exists()


def unfinished_logs(data_dir: str | Path) -> list[Path]:
    """Return the logs that nobody writes or sends and whose runs Tiled has not got whole, oldest first."""
    folder = documents_path(data_dir, "x").parent
    logs = sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
    return [path for path in logs if not is_archived(path) and _free(path)]


def read_documents(path: str | Path, close: bool = False) -> Iterator[tuple[str, Json]]:
    """Yield (name, document) of a log; a last line torn by a crash is left out.

    Parameters
    ----------
    path
        The log.
    close
        End a run that has no stop document with one that says it was aborted, and append it to the log.
    """
    events: dict[str, int] = {}
    stream_of: dict[str, str] = {}
    run_uid, stopped = "", False
    text = Path(path).read_text(encoding="utf-8")
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        name, doc = str(record["name"]), cast("Json", record["doc"])
        if name == "start":
            run_uid = str(doc["uid"])
        elif name == "descriptor":
            stream_of[str(doc["uid"])] = str(doc["name"])
            events.setdefault(str(doc["name"]), 0)
        elif name == "event":
            events[stream_of[str(doc["descriptor"])]] += 1
        stopped = stopped or name == "stop"
        yield name, doc
    if close and run_uid and not stopped:
        stop = _stop_document(run_uid, events)
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(("" if text.endswith("\n") else "\n") + _line("stop", stop))
        yield "stop", stop


def told_frames(path: str | Path) -> int:
    """Return how many frames the documents of a run name."""
    rows = [_rows(doc) for name, doc in read_documents(path) if name == "stream_datum"]
    return max((stop for _, stop in rows), default=0)


def clipped(documents: Iterable[tuple[str, Json]], rows: int) -> Iterator[tuple[str, Json]]:
    """Yield a run's documents without the frames from row `rows` on: they are on no disk."""
    for name, doc in documents:
        if name == "stream_datum":
            first, stop = _rows(doc)
            if first >= rows:
                continue
            if stop > rows:
                seq = cast("dict[str, int]", doc["seq_nums"])
                seq_nums = {"start": seq["start"], "stop": seq["stop"] - (stop - rows)}
                yield name, {**doc, "indices": {"start": first, "stop": rows}, "seq_nums": seq_nums}
                continue
        yield name, doc


def _rows(doc: Json) -> tuple[int, int]:
    """Return the rows that a `stream_datum` names, the second exclusive."""
    indices = cast("dict[str, int]", doc["indices"])
    return int(indices["start"]), int(indices["stop"])


def _stop_document(run_uid: str, streams: dict[str, int]) -> Json:
    return {
        "uid": str(uuid.uuid4()),
        "run_start": run_uid,
        "time": time.time(),
        "exit_status": "abort",
        "reason": DIED,
        "num_events": streams,
    }


@contextlib.contextmanager
def locked(path: Path) -> Generator[bool]:
    """Take a log's lock and give True, or give False where its writer or another sender has it."""
    with path.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _free(path: Path) -> bool:
    with locked(path) as mine:
        return mine


def _line(name: str, doc: Json) -> str:
    return json.dumps({"name": name, "doc": doc}, default=_plain) + "\n"


def _plain(value: object) -> object:
    """Return a JSON form of numpy values in documents."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")
