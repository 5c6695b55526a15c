"""A fitting worker over TCP beside one on the host: the maps have the bits of those made offline, also when it dies."""

from __future__ import annotations

import pytest

from analyzers.builder import warm_up
from analyzers.offline import fit_frames_file
from stream.camera_control import CameraControl
from stream.maps_file import compare_planes, read_maps
from stream.paths import maps_path
from tests.analyzers.processes import Processes, Watcher, open_run, send_sweep
from tests.stream.wire import free_ports

TEMPERATURES_K = (150.0, 20.0)


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    """Compile once here, so that the processes find the kernels on disk and do not compile side by side."""
    warm_up()


def rows_of(watcher: Watcher) -> dict[str, dict]:
    newest = watcher.newest("workers")
    return {} if newest is None else {row["name"]: row for row in newest.header["workers"]}


def test_maps_of_a_run_shared_with_a_worker_over_tcp_have_the_same_bits(tmp_path):
    with Processes(tmp_path, 60.0, tcp_port=free_ports()) as processes:
        for name in ("camera", "builder", "worker-0", "away-0"):
            processes.start(name)
        for name in ("camera", "builder", "worker-0", "away-0"):
            processes.wait_ready(name)
        with CameraControl(processes.stream, timeout_s=60) as control, Watcher(processes.stream) as watcher:
            start = open_run(control)
            watcher.wait(lambda w: {"worker-0", "away-0"} <= set(rows_of(w)), "both workers")
            send_sweep(control, 0, TEMPERATURES_K[0])
            watcher.wait(lambda w: 0 in w.reports, "report 0")
            assert rows_of(watcher)["away-0"]["frames_added"] > 0
            send_sweep(control, 1, TEMPERATURES_K[1])
            processes.kill("away-0")
            watcher.wait(lambda w: 1 in w.reports, "report 1")
            control.close_run("run-1", "success")
        offline = fit_frames_file(start.frames_path, threads=1)
        assert sorted(offline.maps.finals) == [0, 1]
        for number, maps in offline.maps.finals.items():
            path = maps_path(processes.stream.data_dir, "run-1", offline.maps.version, f"sweep_{number:04d}")
            assert compare_planes(read_maps(path)[0], maps.planes()) == "", f"sweep {number}"
