"""Bluesky documents to disk and to Tiled: the RunEngine waits for the disk only, and Tiled being down loses nothing.

Every document is appended to `<data>/documents/<run uid>.jsonl` and synced before the RunEngine goes on; a thread
hands it to Tiled. A run that Tiled has whole gets the mark `<run uid>.archived` beside its log; every log without that
mark is written again, from its first document, as soon as Tiled answers: also the runs of a session that was killed,
which are closed as aborted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from stream.catalog import RAW, CatalogError, catalog, close_catalog, open_catalog, probe, without_numba
from stream.document_log import (
    DocumentLog,
    clipped,
    is_archived,
    locked,
    mark_archived,
    read_documents,
    unfinished_logs,
)
from stream.messages import Json
from stream.paths import documents_path
from stream.settings import StreamSettings

_LOG = logging.getLogger(__name__)
RETRY_S = 5.0
"""Interval at which runs that Tiled has not got are tried again, s."""


class DocumentArchive:
    """Callback for the RunEngine: a durable log per run and, in the background, the run in Tiled.

    Parameters
    ----------
    settings
        Names the data folder.
    tiled_uri
        Address of Tiled; empty writes the logs only.
    api_key
        Key of the server; None takes it from the environment.
    """

    def __init__(self, settings: StreamSettings, tiled_uri: str = "", api_key: str | None = None) -> None:
        self._data_dir = settings.data_dir
        self._logs: dict[str, DocumentLog] = {}
        self._run_of: dict[str, str] = {}
        self._sink = _TiledSink(settings.data_dir, tiled_uri, api_key) if tiled_uri else None

    def __call__(self, name: str, doc: Json) -> None:
        """Log one document, sync it, and queue it for Tiled.

        Raises
        ------
        OSError
            Where the log cannot be written: the RunEngine stops rather than go on unrecorded.
        """
        run_uid = self._run_uid(name, doc)
        if name == "start":
            self._logs[run_uid] = DocumentLog(self._data_dir, run_uid)
        log = self._logs[run_uid]
        log.append(name, doc)
        if name == "stop":
            del self._logs[run_uid]
            self._run_of = {uid: run for uid, run in self._run_of.items() if run != run_uid}
        if self._sink is not None:
            self._sink.put(name, doc, log)
        elif name == "stop":
            log.close()

    def _run_uid(self, name: str, doc: Json) -> str:
        """Return the run a document belongs to, and remember what later documents refer to."""
        if name == "start":
            return str(doc["uid"])
        references = [str(doc.get(key, "")) for key in ("run_start", "descriptor", "stream_resource", "resource")]
        for reference in references:
            run_uid = reference if reference in self._logs else self._run_of.get(reference)
            if run_uid is not None:
                if name in ("descriptor", "resource", "stream_resource"):
                    self._run_of[str(doc["uid"])] = run_uid
                return run_uid
        raise KeyError(f"document {name} belongs to no open run")

    def wait_archived(self, timeout_s: float) -> bool:
        """Wait until Tiled has every run that was closed and all else given so far; False where time ran out."""
        return self._sink is None or self._sink.wait_archived(timeout_s)

    def close(self, timeout_s: float = 10.0) -> None:
        """Give Tiled up to `timeout_s` for what is queued; the rest is sent by the next session. Safe to call twice."""
        if self._sink is not None:
            self._sink.close(timeout_s)
        for log in self._logs.values():
            log.close()
        self._logs = {}

    def __enter__(self) -> DocumentArchive:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _TiledSink:
    """Sends runs to Tiled from a thread of its own: live while it can, from their logs otherwise."""

    def __init__(self, data_dir: str, uri: str, api_key: str | None) -> None:
        from bluesky.callbacks.buffer import BufferingWrapper

        self._data_dir, self._uri, self._api_key = data_dir, uri, api_key
        self._client: Any = None
        self._writers: dict[str, Any] = {}
        self._failed: dict[str, list[Json]] = {}
        self._queued = 0
        self._unarchived: set[str] = set()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._sending = threading.Lock()
        self._buffer = BufferingWrapper(self._send)
        self._retry = threading.Thread(target=self._retry_loop, name="tiled-retry", daemon=True)
        self._retry.start()

    def put(self, name: str, doc: Json, log: DocumentLog) -> None:
        with self._changed:
            self._queued += 1
            if name == "stop":
                self._unarchived.add(log.run_uid)
        self._buffer(name, (log, doc))

    def _send(self, name: str, item: tuple[DocumentLog, Json]) -> None:
        """Hand one document to the run's writer; called in the buffer's thread."""
        log, doc = item
        try:
            with self._sending:
                self._send_one(log.run_uid, name, doc)
        finally:
            if name == "stop":
                # the lock goes with it: whoever finds the log without its mark may write the run again
                log.close()
            with self._changed:
                self._queued -= 1
                self._changed.notify_all()

    def _send_one(self, run_uid: str, name: str, doc: Json) -> None:
        if name == "start":
            try:
                self._writers[run_uid] = self._writer()
            except CatalogError as error:
                _LOG.warning("run %s waits on disk: %s", run_uid[:8], error)
        writer = self._writers.get(run_uid)
        if writer is None:
            return
        try:
            probe(self._uri)  # the client itself would try for most of a minute, and the whole run is on disk
            writer(name, doc)
        except CatalogError:
            self._failed[run_uid.split("-", maxsplit=1)[0]] = []
        if run_uid.split("-", maxsplit=1)[0] in self._failed:
            _LOG.warning("Tiled failed within run %s; it is written again from its log", run_uid[:8])
            self._writers.pop(run_uid)
        elif name == "stop":
            self._writers.pop(run_uid)
            mark_archived(self._data_dir, run_uid)
            self._archived(run_uid)

    def _writer(self) -> Any:
        with without_numba():
            from bluesky_tiled_plugins import TiledWriter

        if self._client is None:
            self._client = open_catalog(self._uri, self._api_key)
        # a failed run shows up in `_failed`; its documents are on disk already, so the copy is dropped
        return TiledWriter(self._client[RAW], batch_size=1, backup_dictionary=cast("Any", self._failed))

    def _retry_loop(self) -> None:
        """Write runs that Tiled has not got, at the start and then every few seconds while there are any."""
        while not self._stopping.is_set():
            with self._sending:
                self._failed.clear()
            for path in unfinished_logs(self._data_dir):
                if self._stopping.is_set() or not self._catch_up(path):
                    break
            self._stopping.wait(RETRY_S)

    def _catch_up(self, path: Path) -> bool:
        """Write one run from its log; False where Tiled does not take it now."""
        try:
            with self._sending, catalog(self._uri, self._api_key) as client:
                if send_log(self._data_dir, path.stem, client):
                    self._archived(path.stem)
                    _LOG.info("run %s written to Tiled from its log", path.stem[:8])
        except CatalogError:
            return False
        except Exception:  # noqa: BLE001 - one bad log must not keep the others from Tiled; it is said and kept
            _LOG.exception("run %s cannot be written to Tiled; its log stays in %s", path.stem[:8], path)
        return True

    def _archived(self, run_uid: str) -> None:
        with self._changed:
            self._unarchived.discard(run_uid)
            self._changed.notify_all()

    def wait_archived(self, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._queued and not self._unarchived, timeout_s)

    def close(self, timeout_s: float) -> None:
        archived = self.wait_archived(timeout_s)
        self._stopping.set()
        if archived:
            self._buffer.shutdown(wait=True)
        else:
            _LOG.warning(
                "Tiled has not taken everything in %.0f s; the rest is on disk, `nvdac recover --data %s` sends it",
                timeout_s,
                self._data_dir,
            )
            self._buffer.shutdown(wait=False)
        self._retry.join(timeout_s)
        if archived and self._client is not None:
            close_catalog(self._client)


def send_log(data_dir: str | Path, run_uid: str, client: Any, rows: int | None = None) -> bool:
    """Write a closed run from its log into Tiled and mark it; False where somebody else writes or sends it now.

    Parameters
    ----------
    rows
        Frames that are on disk, where the documents name more: Tiled is told of these only.

    Raises
    ------
    CatalogError
        Where Tiled fails; the log stays for another try.
    """
    path = documents_path(data_dir, run_uid)
    with locked(path) as mine:
        if not mine:
            return False
        if not is_archived(path):
            documents = read_documents(path, close=True)
            write_run(client, documents if rows is None else clipped(documents, rows))
            mark_archived(data_dir, run_uid)
        return True


def write_run(client: Any, documents: Iterator[tuple[str, Json]]) -> None:
    """Write a whole run into Tiled, replacing a partial one.

    Raises
    ------
    CatalogError
        Where Tiled fails meanwhile; what it has of the run is partial then, and replaced at the next try.
    """
    with without_numba():
        from bluesky_tiled_plugins import TiledWriter

    raw = client[RAW]
    failed: dict[str, Any] = {}
    writer = TiledWriter(raw, backup_dictionary=failed)
    for name, doc in documents:
        if name == "start":
            _delete_run(raw, str(doc["uid"]))
        writer(name, cast("Any", doc))
        if failed:
            raise CatalogError("Tiled failed while a run was written")


def _delete_run(raw: Any, run_uid: str) -> None:
    try:
        raw[run_uid]
    except KeyError:
        return
    raw.delete_contents(run_uid, recursive=True, external_only=False)
