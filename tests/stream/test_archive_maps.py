"""Maps in Tiled: read like any array, compared bit by bit, and kept while Tiled is away."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid

import numpy as np
import pytest

from stream.archive_maps import MapArchive
from stream.catalog import catalog
from stream.maps_file import write_maps
from stream.paths import maps_path

S = np.array([[1.0, np.nan, 0.5], [0.25, 1.5, 0.0]], dtype="f4")


def maps(data_dir, run_uid, name="sweep_0000", s=S, version="abc123abc123"):
    path = maps_path(data_dir, run_uid, version, name)
    planes = {"s": s, "centre_mhz": np.arange(12.0).reshape(2, 2, 3)}
    texts = {"s": "x", "centre_mhz": "x"}
    write_maps(path, planes, {"s": "", "centre_mhz": "MHz"}, texts, {"run_uid": run_uid})
    return path


def test_maps_are_read_through_tiled(tiled_server):
    uid = str(uuid.uuid4())
    with MapArchive(tiled_server.settings, tiled_server.uri) as archive:
        path = maps(tiled_server.data_dir, uid)
        archive.store(uid, "abc123abc123", "sweep_0000", path, {"sweep": 0, "final": True})
        archive.store(uid, "abc123abc123", "sweep_0000", path, {"sweep": 0})
        archive.set_latest(uid, "abc123abc123")
        assert archive.wait_idle(60)
        assert archive.failures == []
    with catalog(tiled_server.uri) as client:
        run = client["processed"][uid]
        assert run.metadata["latest"] == "abc123abc123"
        entry = run["abc123abc123"]["sweep_0000"]
        assert entry.metadata["sweep"] == 0
        assert entry["s"].read().tobytes() == S.tobytes()
        assert entry["centre_mhz"][1, :, 2].tolist() == [8.0, 11.0]
        assert entry["centre_mhz"].metadata["unit"] == "MHz"
        source = entry.include_data_sources().data_sources()[0]
        assert (source.management, source.assets[0].data_uri) == ("external", f"file://localhost{path}")


def test_another_file_under_the_same_name_is_compared(tiled_server):
    uid = str(uuid.uuid4())
    with MapArchive(tiled_server.settings, tiled_server.uri) as archive:
        archive.store(uid, "v", "m", maps(tiled_server.data_dir, uid, "a"), {})
        archive.store(uid, "v", "m", maps(tiled_server.data_dir, uid, "b"), {})
        assert archive.wait_idle(60)
        assert archive.failures == []
        archive.store(uid, "v", "m", maps(tiled_server.data_dir, uid, "c", s=S + 1), {})
        archive.store(uid, "v", "gone", tiled_server.data_dir / "gone.h5", {})
        assert archive.wait_idle(60)
        assert len(archive.failures) == 2
        assert "first differing map is s of m" in archive.failures[0]
        assert "cannot read maps" in archive.failures[1]


def test_spool_survives_tiled_and_its_own_process(own_tiled_server):
    server, uid = own_tiled_server, str(uuid.uuid4())
    path = maps(server.data_dir, uid)
    code = """
import sys
from stream.archive_maps import MapArchive
from stream.settings import StreamSettings
archive = MapArchive(StreamSettings(runtime_dir="", data_dir=sys.argv[1]), sys.argv[2])
archive.store(sys.argv[3], "v", "sweep_0000", sys.argv[4], {"a": 1})
"""
    command = [sys.executable, "-c", code, str(server.data_dir), server.uri, uid, str(path)]
    subprocess.run(command, timeout=60, check=True)
    server.start()
    with MapArchive(server.settings, server.uri) as archive:
        assert archive.wait_idle(60)
        server.stop(signal.SIGKILL)
        archive.set_latest(uid, "v")
        assert not archive.wait_idle(1)
        server.start()
        assert archive.wait_idle(90)
        assert archive.failures == []
    with catalog(server.uri) as client:
        assert client["processed"][uid]["v"]["sweep_0000"].metadata["a"] == 1
        assert client["processed"][uid].metadata["latest"] == "v"


def test_numbers_that_are_not_finite_are_refused(tiled_server):
    with MapArchive(tiled_server.settings, tiled_server.uri) as archive, pytest.raises(ValueError, match="JSON"):
        archive.store("u", "v", "n", "p", {"x": float("nan")})
