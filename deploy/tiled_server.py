"""Process `tiled`: `tiled serve config FILE`, plus the two top containers and a ready mark once it answers.

Run as `python -m deploy.tiled_server CONFIG.yml [READY_FILE]` with the API key in the environment.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import sys
import threading
from pathlib import Path

import yaml

from deploy.tiled_config import API_KEY_VARIABLE

_LOG = logging.getLogger(__name__)
_POLL_S = 0.05


def serve(configuration: Path, ready: Path | None) -> None:
    """Serve until SIGTERM.

    Raises
    ------
    SystemExit
        Where the environment has no API key: the server would take the variable's name for the key.
    """
    if not os.environ.get(API_KEY_VARIABLE):
        raise SystemExit(f"set {API_KEY_VARIABLE} to the key of the Tiled server (letters and digits)")
    settings = yaml.safe_load(configuration.read_text())
    uri = f"http://{settings['uvicorn']['host']}:{settings['uvicorn']['port']}"
    if ready is not None:
        ready.unlink(missing_ok=True)
    threading.Thread(target=_prepare, args=(uri, ready), daemon=True).start()
    from tiled.commandline.main import cli_app

    make_database(Path(settings["catalog"]["uri"].removeprefix("sqlite:///")))
    cli_app(["serve", "config", str(configuration)])


def make_database(path: Path) -> None:
    """Make the catalog's database where there is none; one that is killed or out of space on the way leaves none.

    Here and not by Tiled's `init_if_not_exists`, which at every start runs a second interpreter for ten seconds.
    """
    if path.exists():
        return
    from tiled.commandline.main import cli_app

    half = path.with_name(path.name + ".half")
    for name in _files_of(half):
        name.unlink(missing_ok=True)
    cli_app(["catalog", "init", f"sqlite:///{half}"], standalone_mode=False)
    with contextlib.closing(sqlite3.connect(half)) as connection:
        # what is still in the write-ahead log would stay behind under the old name
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    half.replace(path)


def _files_of(database: Path) -> list[Path]:
    """Return a database's file and those that sqlite keeps beside it."""
    return [database, *(database.with_name(database.name + ending) for ending in ("-wal", "-shm", "-journal"))]


def _prepare(uri: str, ready: Path | None) -> None:
    """Wait until the server answers, make the containers at first start, then say that it is ready."""
    from stream.catalog import CatalogError, catalog, probe

    pause = threading.Event()
    while True:
        try:
            probe(uri)
            break
        except CatalogError:
            pause.wait(_POLL_S)
    with catalog(uri):
        pass
    if ready is not None:
        ready.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        ready.touch(mode=0o600)
    _LOG.info("Tiled serves at %s", uri)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    serve(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
