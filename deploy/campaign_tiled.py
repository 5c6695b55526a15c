"""What a campaign tells Tiled: the maps of its runs under `processed/`, and which version is the latest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploy.campaign_steps import Steps
from stream.digests import json_digest
from stream.messages import Json
from stream.settings import StreamSettings
from stream.stored_maps import read_some

WAIT_S = 60.0
"""Longest time without a map that Tiled has taken, s."""


class TiledMaps:
    """Registers the maps of runs from a thread of its own; each version of a run once for each server.

    Parameters
    ----------
    data_dir
        Data folder, with the spool of what Tiled has not learned yet.
    uri
        Address of the server; empty: nothing is told to anyone.
    steps
        Records of what is done.
    """

    def __init__(self, data_dir: Path, uri: str, steps: Steps) -> None:
        self._uri, self._steps = uri, steps
        self._archive: Any = None
        self._told: list[tuple[str, Json]] = []
        self._maps = 0
        if uri:
            from stream.archive_maps import MapArchive

            self._archive = MapArchive(StreamSettings(str(data_dir), str(data_dir)), uri)

    def add(self, folder: str) -> None:
        """Make the maps in `processed/<run uid>/<version>` known, and this version the latest; returns at once."""
        if self._archive is None:
            return
        path = Path(folder)
        run_uid, version = path.parent.name, path.name
        files = sorted(path.glob("*.h5"))
        facts: Json = {"uri": self._uri, "run_uid": run_uid, "version": version, "files": [one.name for one in files]}
        key = json_digest({"step": "tiled", **facts})
        if self._steps.result(key) is not None:
            return
        for file in files:
            self._archive.store(run_uid, version, file.stem, file, read_some(file, ())[1])
        self._archive.set_latest(run_uid, version)
        self._maps += len(files)
        self._told.append((key, facts))

    def finish(self) -> Json:
        """Wait until Tiled knows everything; returns the maps told, those that wait on disk, and what was refused."""
        if self._archive is None:
            return {}
        left = self._archive.waiting
        while not self._archive.wait_idle(WAIT_S) and self._archive.waiting < left:
            left = self._archive.waiting
        waiting = self._archive.waiting
        self._archive.close(0.0)
        refused = list(self._archive.failures)
        if not waiting and not refused:
            for key, facts in self._told:
                self._steps.finish(key, facts)
        return {"maps": self._maps, "waiting": waiting, "refused": refused}
