"""A real Tiled server from the written configuration."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stream.catalog import CatalogError, catalog


def test_containers_are_made_at_first_start_and_kept(own_tiled_server):
    own_tiled_server.start()
    with catalog(own_tiled_server.uri) as client:
        assert [(s.name, s.version) for s in client["raw"].specs] == [("CatalogOfBlueskyRuns", "3.0")]
        assert set(client) == {"raw", "processed"}
        client["processed"].create_container("kept", metadata={"a": 1})
    started = time.monotonic()
    own_tiled_server.stop()
    assert time.monotonic() - started < 5
    own_tiled_server.start()
    with catalog(own_tiled_server.uri) as client:
        assert client["processed", "kept"].metadata["a"] == 1


def test_listens_on_loopback_only(tiled_server):
    connections = psutil.Process(tiled_server.process.pid).net_connections(kind="inet")
    assert {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_wrong_key_and_absent_server_are_one_line(tiled_server):
    with pytest.raises(CatalogError, match="refuses"), catalog(tiled_server.uri, api_key="wrong"):
        pass
    with pytest.raises(CatalogError, match="does not answer") as caught, catalog("http://127.0.0.1:9"):
        pass
    assert "\n" not in str(caught.value)


def test_no_key_no_server_and_no_key_in_the_file(tiled_server):
    assert "0123456789abcdef" not in tiled_server.config.read_text()
    result = subprocess.run(
        [sys.executable, "-m", "deploy.tiled_server", str(tiled_server.config)],
        env={"PATH": "/usr/bin", "HOME": str(Path.home())},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode != 0
    assert "NVDAC_TILED_API_KEY" in result.stderr
