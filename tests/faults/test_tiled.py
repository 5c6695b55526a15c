"""Tiled away in the middle of a measurement: maps and documents wait on disk and are whole afterwards.

With NVDAC_SOAK set it stays away for a minute.
"""

from __future__ import annotations

import os
import signal
import threading
import time

import event_model
import pytest

from analyzers.offline import fit_frames_file
from stream.archive_tiled import DocumentArchive
from stream.assets import frames_data_key, stream_datum, stream_resource
from stream.camera_control import CameraControl
from stream.catalog import catalog
from stream.maps_file import compare_planes, read_maps
from stream.paths import maps_path
from tests.analyzers import synthetic
from tests.analyzers.processes import Processes, Watcher, open_run, send_sweep, wait_sent

pytestmark = pytest.mark.timeout(400)
AWAY_S = 60.0 if os.environ.get("NVDAC_SOAK") else 0.0
TEMPERATURES_K = (150.0, 60.0)


def test_tiled_killed_within_a_sweep_loses_no_map_no_frame_and_no_document(tmp_path, own_tiled_server):
    server = own_tiled_server
    server.start()
    shape, per_sweep = (synthetic.HEIGHT, synthetic.WIDTH), 2 * synthetic.FREQUENCY_MHZ.size
    with Processes(tmp_path / "site", 200.0, server.data_dir, server.uri) as processes:
        processes.start_all(workers=1)
        with (
            CameraControl(processes.stream) as control,
            Watcher(processes.stream) as watcher,
            DocumentArchive(processes.stream, server.uri) as archive,
        ):
            bundle = event_model.compose_run(uid="run-1")
            archive("start", bundle.start_doc)
            path = open_run(control).frames_path
            key = frames_data_key("camera:test", *shape, "<u2")
            frames = bundle.compose_descriptor(name="frames", data_keys={"camera_frames": key}).descriptor_doc
            resource = stream_resource("camera_frames", path, *shape, "run-1")
            archive("descriptor", frames)
            archive("stream_resource", resource)
            assert archive.wait_archived(60)
            for number, temperature_k in enumerate(TEMPERATURES_K):
                send_sweep(control, number, temperature_k)
                if number == 0:
                    server.stop(signal.SIGKILL)
                    gone = time.monotonic()
                wait_sent(control, number)
                first = number * per_sweep
                archive("stream_datum", stream_datum(resource["uid"], first, first + per_sweep, frames["uid"], number))
                watcher.wait(lambda w, n=number: n in w.reports, f"report {number} without Tiled")
                assert watcher.reports[number]["frames_lost"] == 0
            control.close_run("run-1", "success")
            archive("stop", bundle.compose_stop())
            threading.Event().wait(max(0.0, gone + AWAY_S - time.monotonic()))
            server.start()
            assert archive.wait_archived(120)
            offline = fit_frames_file(path, threads=1)
            names = {f"sweep_{number:04d}" for number in offline.maps.finals}
            with catalog(server.uri) as client:
                raw = client["raw"]["run-1"]
                assert raw.metadata["stop"]["exit_status"] == "success"
                assert raw["frames"]["camera_frames"].shape == (2 * per_sweep, *shape)
                until = time.monotonic() + 120
                while not names <= known(client, offline.maps.version):
                    assert time.monotonic() < until, "the maps did not reach Tiled"
                    threading.Event().wait(0.2)
    for number, maps in offline.maps.finals.items():
        stored, _ = read_maps(maps_path(server.data_dir, "run-1", offline.maps.version, f"sweep_{number:04d}"))
        assert compare_planes(stored, maps.planes()) == "", f"sweep {number}"


def known(client, version: str) -> set[str]:
    run = client["processed"].get("run-1", None)
    return set(run[version]) if run is not None and version in run else set()
