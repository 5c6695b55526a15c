"""Tiled's configuration for a data folder: sqlite catalog, duckdb tables, files, live streaming, loopback, one key."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from stream.paths import tiled_dir

if TYPE_CHECKING:
    from deploy.processes import Program
    from deploy.site import Site

API_KEY_VARIABLE = "NVDAC_TILED_API_KEY"
"""Environment variable that holds the API key; the key itself is in no file of ours."""
_RESPONSE_LIMIT_BYTES = 1_000_000_000


def tiled_config(data_dir: str | Path, port: int) -> dict[str, Any]:
    """Return the configuration that `tiled serve config` reads.

    Parameters
    ----------
    data_dir
        Folder of frames, maps and documents: what Tiled may read. Its own files go to `<data_dir>/tiled`.
    port
        Port on loopback.
    """
    data = Path(data_dir).resolve()
    own = tiled_dir(data)
    return {
        "catalog": {
            "uri": f"sqlite:///{own / 'catalog.db'}",
            "writable_storage": [f"file://localhost{own / 'files'}", f"duckdb:///{own / 'tables.duckdb'}"],
            "readable_storage": [f"file://localhost{data}"],
        },
        # without it `run.documents()` answers 406
        "media_types": {"BlueskyRun": {"application/json-seq": "bluesky_tiled_plugins.exporters:json_seq_exporter"}},
        "streaming_cache": {"uri": "memory"},
        "authentication": {"single_user_api_key": f"${{{API_KEY_VARIABLE}}}", "allow_anonymous_access": False},
        "response_bytesize_limit": _RESPONSE_LIMIT_BYTES,
        "uvicorn": {"host": "127.0.0.1", "port": port, "timeout_graceful_shutdown": 1},
    }


def write_tiled_config(path: str | Path, data_dir: str | Path, port: int) -> Path:
    """Write the configuration as YAML, make the folders it names, and return its path."""
    target = Path(path)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    (tiled_dir(data_dir) / "files").mkdir(mode=0o700, parents=True, exist_ok=True)
    target.write_text(yaml.safe_dump(tiled_config(data_dir, port), sort_keys=False))
    return target


def tiled_program(site: Site) -> Program:
    """Write the site's Tiled configuration and return the program that serves it."""
    from deploy.processes import Program

    configuration = write_tiled_config(Path(site.runtime_dir) / "tiled" / "config.yml", site.data_dir, site.tiled_port)
    ready = Path(site.runtime_dir) / "ready" / "tiled"
    return Program("tiled", (sys.executable, "-m", "deploy.tiled_server", str(configuration), str(ready)), 40)
