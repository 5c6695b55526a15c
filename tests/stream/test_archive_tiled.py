"""Runs in Tiled: readable while they run, whole afterwards, and never lost while Tiled is away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import ClassVar

import bluesky.plans as plans
import databroker
import event_model
import numpy as np
import pytest
import yaml
from bluesky import RunEngine

from stream.archive_hdf5 import crc32c
from stream.archive_sums import make_writer
from stream.archive_tiled import DocumentArchive
from stream.assets import frames_data_key, stream_datum, stream_resource
from stream.catalog import API_KEY_VARIABLE, catalog, close_catalog
from stream.document_log import clipped, read_documents, unfinished_logs
from stream.messages import Archive, NoiseModel, RunMode, RunStart, StatePoint, SweepRole, SweepStart
from stream.paths import documents_path, frames_path
from stream.settings import StreamSettings

SHAPE = (6, 8)


class Run:
    """A run with frames and one number per event, its documents handed out step by step."""

    def __init__(self, archive, data_dir, keeps: Archive = Archive.FRAMES) -> None:
        self.archive, self.keeps = archive, keeps
        self.bundle = event_model.compose_run(metadata={"plan_name": "test", "sample": "S1"})
        self.uid = self.bundle.start_doc["uid"]
        noise = NoiseModel("gain", 8.0)
        start = RunStart(self.uid, RunMode.SIMULATED, *SHAPE, "<u2", noise, {"lines": 4}, archive=keeps)
        self.writer = make_writer(frames_path(data_dir, self.uid), start)
        state = StatePoint(20.0, 20.0, 20.0, 97.0)
        self.writer.add_sweep(SweepStart(self.uid, 0, SweepRole.SINGLE, state, np.arange(50.0), 1))
        self.told = 0

    def open(self) -> None:
        self.archive("start", self.bundle.start_doc)
        key = frames_data_key("camera:test", *SHAPE, "<u4" if self.keeps is Archive.SUMS else "<u2")
        number = {"source": "test", "dtype": "number", "shape": []}
        self.frames = self.bundle.compose_descriptor(name="frames", data_keys={"camera_frames": key})
        self.baseline = self.bundle.compose_descriptor(name="primary", data_keys={"temperature_k": number})
        for descriptor in (self.frames, self.baseline):
            self.archive("descriptor", descriptor.descriptor_doc)
        self.resource = stream_resource("camera_frames", self.writer.path, *SHAPE, self.uid, self.keeps)
        self.archive("stream_resource", self.resource)

    def take(self, count: int) -> None:
        for i in range(self.told, self.told + count):
            frame = np.full(SHAPE, i, "<u2")
            self.writer.append(0, 0, i, float(i), frame, crc32c(frame), time.time())
        self.writer.flush()
        uid = self.frames.descriptor_doc["uid"]
        self.archive("stream_datum", stream_datum(self.resource["uid"], self.told, self.told + count, uid, self.told))
        self.told += count
        now = time.time()
        self.archive("event", self.baseline.compose_event({"temperature_k": 20.0 + self.told}, {"temperature_k": now}))

    def close(self) -> None:
        self.writer.close()
        self.archive("stop", self.bundle.compose_stop())


def values(client, uid):
    return client["raw"][uid]["frames"]["camera_frames"][:, 2, 3].tolist()


@pytest.mark.parametrize("keeps", [Archive.FRAMES, Archive.SUMS])
def test_readable_while_running_and_after(tiled_server, keeps):
    with DocumentArchive(tiled_server.settings, tiled_server.uri) as archive, catalog(tiled_server.uri) as client:
        run = Run(archive, tiled_server.data_dir, keeps)
        run.open()
        run.take(5)
        assert archive.wait_archived(60)
        assert client["raw"][run.uid]["frames"]["camera_frames"].shape == (5, *SHAPE)
        assert values(client, run.uid) == [0, 1, 2, 3, 4]
        run.take(3)
        assert archive.wait_archived(60)
        assert values(client, run.uid) == list(range(8))
        assert "stop" not in client["raw"][run.uid].metadata
        run.close()
        assert archive.wait_archived(60)
        found = client["raw"][run.uid]
        assert values(client, run.uid) == list(range(8))
        assert found["primary"]["temperature_k"].read().tolist() == [25.0, 28.0]
        documents = list(found.documents())
        assert [name for name, _ in documents].count("event") == 2
        assert documents[0][1]["uid"] == run.uid
        assert documents[-1][0] == "stop"
        assert documents[-1][1]["exit_status"] == "success"
        assert unfinished_logs(tiled_server.data_dir) == []
        source = found["frames"]["camera_frames"].data_sources()[0]
        assert source.assets[0].data_uri.endswith(f"/frames/{run.uid}.h5")


def test_databrokers_facade_reads_it(tiled_server, tmp_path, monkeypatch):

    with DocumentArchive(tiled_server.settings, tiled_server.uri) as archive:
        run = Run(archive, tiled_server.data_dir)
        run.open()
        run.take(4)
        run.close()
        assert archive.wait_archived(60)
    profile = {"rig": {"uri": f"{tiled_server.uri}/api/v1/metadata/raw"}}
    (tmp_path / "profiles.yml").write_text(yaml.safe_dump(profile))
    monkeypatch.setattr("tiled.profiles.paths", [tmp_path])
    broker = databroker.from_profile("rig", api_key=os.environ[API_KEY_VARIABLE])
    try:
        found = broker[run.uid]
        assert found.metadata["start"]["sample"] == "S1"
        assert found.primary.read()["temperature_k"].values.tolist() == [24.0]
        assert found.frames["camera_frames"][1:3, 0, 0].tolist() == [1, 2]
    finally:
        close_catalog(broker)


def test_tiled_killed_within_a_run_loses_nothing(own_tiled_server):
    server = own_tiled_server
    server.start()
    with DocumentArchive(server.settings, server.uri) as archive:
        run = Run(archive, server.data_dir)
        run.open()
        run.take(5)
        assert archive.wait_archived(60)
        server.stop(signal.SIGKILL)
        started = time.monotonic()
        run.take(3)
        run.close()
        assert time.monotonic() - started < 2, "the RunEngine waited for Tiled"
        other = Run(archive, server.data_dir)
        other.open()
        other.take(2)
        other.close()
        assert len(list(read_documents(documents_path(server.data_dir, run.uid)))) == 9
        server.start()
        assert archive.wait_archived(120)
    with catalog(server.uri) as client:
        assert values(client, run.uid) == list(range(8))
        assert len(list(client["raw"][run.uid].documents())) == 8
        assert values(client, other.uid) == [0, 1]


KILLED = """
import sys, event_model, os, signal
from stream.archive_tiled import DocumentArchive
from stream.settings import StreamSettings
archive = DocumentArchive(StreamSettings(runtime_dir="", data_dir=sys.argv[1]))
bundle = event_model.compose_run()
archive("start", bundle.start_doc)
keys = {"x": {"source": "t", "dtype": "number", "shape": []}}
descriptor = bundle.compose_descriptor(name="primary", data_keys=keys)
archive("descriptor", descriptor.descriptor_doc)
archive("event", descriptor.compose_event({"x": 1.0}, {"x": 1.0}))
print(bundle.start_doc["uid"], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_sessions_run_is_closed_as_aborted(tiled_server):
    command = [sys.executable, "-c", KILLED, str(tiled_server.data_dir)]
    uid = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
    log = documents_path(tiled_server.data_dir, uid)
    with log.open("a") as file:
        file.write('{"name": "event", "doc": {"torn')
    assert [name for name, _ in read_documents(log)] == ["start", "descriptor", "event"]
    with DocumentArchive(tiled_server.settings, tiled_server.uri), catalog(tiled_server.uri) as client:
        deadline = time.monotonic() + 60
        while not log.with_suffix(".archived").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        stop = client["raw"][uid].metadata["stop"]
    assert stop["exit_status"] == "abort"
    assert stop["num_events"] == {"primary": 1}
    event_model.schema_validators[event_model.DocumentNames.stop].validate(stop)


def test_log_alone_without_tiled(tmp_path):
    settings = StreamSettings(runtime_dir=str(tmp_path), data_dir=str(tmp_path))
    with DocumentArchive(settings) as archive:
        bundle = event_model.compose_run(metadata={"number": np.float64(1.5), "array": np.arange(3)})
        archive("start", bundle.start_doc)
        path = documents_path(tmp_path, bundle.start_doc["uid"])
        assert unfinished_logs(tmp_path) == [], "an open run is nobody else's to write"
        archive("stop", bundle.compose_stop())
        assert unfinished_logs(tmp_path) == [path]
        with pytest.raises(KeyError):
            archive("stop", {"run_start": "another"})
    start = json.loads(path.read_text().splitlines()[0])["doc"]
    assert (start["number"], start["array"]) == (1.5, [0, 1, 2])


class Thermometer:
    """The smallest readable device."""

    name = "thermometer"
    parent = None
    hints: ClassVar = {"fields": ["thermometer"]}

    def read(self):
        return {"thermometer": {"value": np.float32(20.5), "timestamp": time.time()}}

    def describe(self):
        return {"thermometer": {"source": "test", "dtype": "number", "shape": []}}

    read_configuration = describe_configuration = lambda self: {}


def test_as_the_run_engines_callback(tiled_server):
    engine = RunEngine({}, call_returns_result=False)
    with DocumentArchive(tiled_server.settings, tiled_server.uri) as archive, catalog(tiled_server.uri) as client:
        engine.subscribe(archive)
        (uid,) = engine(plans.count([Thermometer()], 3), sample="S2")
        log = list(read_documents(documents_path(tiled_server.data_dir, uid)))
        assert [name for name, _ in log] == ["start", "descriptor", "event", "event", "event", "stop"]
        assert archive.wait_archived(60)
        run = client["raw"][uid]
        assert run.metadata["start"]["sample"] == "S2"
        assert run["primary"]["thermometer"].read().tolist() == [20.5] * 3


def test_numba_is_not_loaded_in_the_plans_process(tiled_server):
    code = """
import sys
from stream.archive_tiled import DocumentArchive
from stream.settings import StreamSettings
import event_model
settings = StreamSettings(runtime_dir="", data_dir=sys.argv[1])
with DocumentArchive(settings, sys.argv[2]) as archive:
    bundle = event_model.compose_run()
    archive("start", bundle.start_doc)
    archive("stop", bundle.compose_stop())
    assert archive.wait_archived(60)
assert "bluesky_tiled_plugins" in sys.modules
assert "numba" not in sys.modules
"""
    command = [sys.executable, "-c", code, str(tiled_server.data_dir), tiled_server.uri]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr


def test_frames_that_are_on_no_disk_are_left_out():
    documents = [("start", {"uid": "r"})]
    documents += [("stream_datum", stream_datum("res", start, start + 4, "d", start)) for start in (0, 4, 8)]
    left = [doc for name, doc in clipped(documents, 6) if name == "stream_datum"]
    assert [doc["indices"] for doc in left] == [{"start": 0, "stop": 4}, {"start": 4, "stop": 6}]
    assert [doc["seq_nums"] for doc in left] == [{"start": 1, "stop": 5}, {"start": 5, "stop": 7}]
