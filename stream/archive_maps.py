"""Maps in Tiled: each maps file is an entry `processed/<run uid>/<version>/<name>` that points at the file.

The file on disk is the record; Tiled only learns of it. What it has not learned yet lies in a spool in the data folder
and is tried again until Tiled answers, also by the next process.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from stream.assets import MIMETYPE, file_uri
from stream.catalog import PROCESSED, CatalogError, close_catalog, open_catalog, probe, readable_errors
from stream.maps_file import MapsDiffer, MapsFileError, compare_planes, read_maps
from stream.messages import Json
from stream.settings import StreamSettings

_LOG = logging.getLogger(__name__)
RETRY_S = 5.0
"""Interval at which a Tiled that did not answer is tried again, s."""
_LAST_CHANCE_S = 1.5


@dataclass
class _Container:
    """A container of Tiled, and what was put into it here."""

    client: Any
    fresh: bool = False
    """Whether it was made just now: it holds `names` alone."""
    names: set[str] = field(default_factory=set[str])

    def child(self, name: str) -> Any:
        """Return an entry of it, None where there is none."""
        return None if self.fresh and name not in self.names else _child(self.client, name)


class MapArchive:
    """Registers maps files in Tiled from a thread of its own.

    Parameters
    ----------
    settings
        Names the data folder, which holds the spool `spool/maps`.
    tiled_uri
        Address of the Tiled server.
    api_key
        Its key; None takes it from the environment.
    """

    def __init__(self, settings: StreamSettings, tiled_uri: str, api_key: str | None = None) -> None:
        self._uri, self._api_key = tiled_uri, api_key
        self._spool = Path(settings.data_dir) / "spool" / "maps"
        self._spool.mkdir(parents=True, exist_ok=True)
        self._client: Any = None
        self._kept: dict[tuple[str, ...], _Container] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._number = 0
        self.failures: list[str] = []
        """What was refused for good, one line each: another file under the same name, a file that is gone."""
        self._thread = threading.Thread(target=self._loop, name="maps-to-tiled", daemon=True)
        self._thread.start()
        # the process may end right after its last map
        atexit.register(self.close, _LAST_CHANCE_S)

    def store(self, run_uid: str, version: str, name: str, path: str | Path, metadata: Json) -> None:
        """Make a maps file known; returns at once.

        Parameters
        ----------
        run_uid, version, name
            Where it goes: `processed/<run_uid>/<version>/<name>`.
        path
            The file, within the data folder; the entry points at it.
        metadata
            JSON-serialisable.
        """
        self._put({"run_uid": run_uid, "version": version, "name": name, "path": str(path), "metadata": metadata})

    def set_latest(self, run_uid: str, version: str) -> None:
        """Name the version that readers should take, as metadata `latest` of the run's entry; returns at once."""
        self._put({"run_uid": run_uid, "version": version})

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until Tiled knows everything; False where the time was not enough."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting(), timeout_s)

    @property
    def waiting(self) -> int:
        """What Tiled does not know yet: files and versions in the spool."""
        return len(self._waiting())

    def close(self, timeout_s: float = 10.0) -> None:
        """Give Tiled up to `timeout_s` for what is spooled; the rest stays for the next process. Safe to call twice."""
        atexit.unregister(self.close)
        if self._thread.is_alive():
            self.wait_idle(timeout_s)
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(_LAST_CHANCE_S)

    def __enter__(self) -> MapArchive:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _put(self, entry: Json) -> None:
        """Write an entry of the spool, whole or not at all; names sort in the order of the calls."""
        with self._changed:
            self._number += 1
            name = f"{time.time_ns():020d}-{os.getpid()}-{self._number}"
            part = self._spool / f"{name}.part"
            part.write_text(json.dumps(entry, allow_nan=False))
            part.replace(self._spool / f"{name}.json")
            self._changed.notify_all()

    def _waiting(self) -> list[Path]:
        return sorted(self._spool.glob("*.json"))

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or bool(self._waiting()), RETRY_S)
                if self._stopping:
                    break
            for path in self._waiting():
                if self._stopping:
                    break
                if not self._send(path):
                    with self._changed:
                        self._changed.wait_for(lambda: self._stopping, RETRY_S)
                    break
        if self._client is not None:
            close_catalog(self._client)

    def _send(self, path: Path) -> bool:
        """Tell Tiled one entry; False where it does not answer now."""
        try:
            entry = cast("Json", json.loads(path.read_text()))
            probe(self._uri)
            if self._client is None:
                self._client = open_catalog(self._uri, self._api_key)
            with readable_errors(self._uri):
                self._register(self._client[PROCESSED], entry)
        except FileNotFoundError:
            pass  # another process was faster
        except CatalogError as error:
            self._kept.clear()  # what was there may not be any more
            _LOG.warning("maps wait on disk: %s", error)
            return False
        except (MapsFileError, KeyError, json.JSONDecodeError) as error:
            self.failures.append(f"{path.name}: {error}")
            _LOG.error("maps not registered: %s", error)
        with self._changed:
            path.unlink(missing_ok=True)
            self._changed.notify_all()
        return True

    def _register(self, processed: Any, entry: Json) -> None:
        run_uid, version = str(entry["run_uid"]), str(entry["version"])
        if "name" not in entry:
            processed[run_uid].update_metadata({"latest": version})
            return
        run = self._container(_Container(processed), (run_uid,), {"run_uid": run_uid})
        folder = self._container(run, (run_uid, version), {"run_uid": run_uid, "version": version})
        name, path = str(entry["name"]), Path(str(entry["path"]))
        known = folder.child(name)
        if known is None:
            _add(folder.client, name, path, cast("Json", entry["metadata"]))
            folder.names.add(name)
        else:
            _same_bits(known, name, path)

    def _container(self, parent: _Container, key: tuple[str, ...], metadata: Json) -> _Container:
        """Return a container; those of the run before are kept, each question costs the server as much as an entry."""
        if key not in self._kept:
            self._kept = {kept: value for kept, value in self._kept.items() if kept == key[: len(kept)]}
            found = parent.child(key[-1])
            client = parent.client.create_container(key[-1], metadata=metadata) if found is None else found
            parent.names.add(key[-1])
            self._kept[key] = _Container(client, fresh=found is None)
        return self._kept[key]


def _add(folder: Any, name: str, path: Path, metadata: Json) -> None:
    from tiled.structures.core import StructureFamily
    from tiled.structures.data_source import Asset, DataSource, Management

    read_maps(path)  # a file that cannot be read is not announced
    source = DataSource(
        structure_family=StructureFamily.container,
        structure=None,
        mimetype=MIMETYPE,
        parameters={},
        assets=[Asset(data_uri=file_uri(path), is_directory=False, parameter="data_uris", num=0)],
        management=Management.external,
    )
    folder.new(StructureFamily.container, [source], key=name, metadata=metadata)


def _same_bits(known: Any, name: str, path: Path) -> None:
    """Hold that an entry points at a file with the same planes."""
    uri = str(known.include_data_sources().data_sources()[0].assets[0].data_uri)
    if uri == file_uri(path):
        return
    stored = Path(uri.removeprefix("file://localhost"))
    differing = compare_planes(read_maps(stored)[0], read_maps(path)[0])
    if differing:
        raise MapsDiffer(stored, f"{differing} of {name}")


def _child(parent: Any, name: str) -> Any:
    try:
        return parent[name]
    except KeyError:
        return None
