"""Camera, workers and builder as real processes: live maps are those made offline from the same frames, bit for bit."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import pytest

from analyzers.builder import warm_up
from analyzers.offline import fit_frames_file
from analyzers.products import make_products
from stream.camera_control import CameraControl
from stream.catalog import catalog
from stream.maps_file import compare_planes, read_maps
from stream.messages import SpectrumReply, SpectrumRequest
from stream.paths import maps_path
from stream.state import StateAsker
from tests.analyzers import counted, synthetic
from tests.analyzers.processes import Processes, Watcher, open_run, send_sweep, wait_sent

TEMPERATURES_K = (150.0, 20.0, 60.0)


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    """Compile once here, so that the processes find the kernels on disk and do not compile side by side."""
    warm_up()


def assert_equals_offline(processes: Processes, frames_path: str, sweeps: int) -> None:
    """Hold that every stored map has the bits of the maps made from the frames alone."""
    offline = fit_frames_file(frames_path, threads=1)
    assert sorted(offline.maps.finals) == list(range(sweeps))
    for number, maps in offline.maps.finals.items():
        stored, _ = read_maps(stored_path(processes, offline.maps.version, f"sweep_{number:04d}"))
        assert compare_planes(stored, maps.planes()) == "", f"sweep {number}"
    products = make_products(offline.maps)
    assert products is not None
    stored, _ = read_maps(stored_path(processes, offline.maps.version, "products"))
    assert compare_planes(stored, products.planes) == ""


def stored_path(processes: Processes, version: str, name: str) -> Path:
    return maps_path(processes.stream.data_dir, "run-1", version, name)


def finished(watcher: Watcher) -> bool:
    run = watcher.newest("run")
    return run is not None and bool(run.header["finished"])


def test_live_maps_equal_offline_maps_and_are_in_tiled(tmp_path, tiled_server):
    with Processes(tmp_path, 120.0, tiled_server.data_dir, tiled_server.uri, count_compilations=True) as processes:
        processes.start_all()
        with CameraControl(processes.stream) as control, Watcher(processes.stream) as watcher:
            start = open_run(control)
            for number, temperature in enumerate(TEMPERATURES_K):
                send_sweep(control, number, temperature)
                watcher.wait(lambda w, n=number: n in w.reports, f"report {number}")
            ask_for_spectra(processes)
            control.close_run("run-1", "success")
            watcher.wait(finished, "finished run")
            assert_shown(watcher)
        assert_in_tiled(tiled_server.uri)
        codes = processes.stop()
        assert set(codes.values()) == {0}, codes
        assert_nothing_compiled(processes)
        assert_equals_offline(processes, start.frames_path, len(TEMPERATURES_K))


def assert_nothing_compiled(processes: Processes) -> None:
    """Hold that a warm installation compiles nothing, from the start of its processes to their end."""
    for name in ("worker-0", "worker-1", "builder"):
        assert processes.compiled(name) == [counted.CONTROL], name


def assert_in_tiled(uri: str) -> None:
    """Hold that every map of the run becomes known to Tiled, under the version named the latest."""
    until = time.monotonic() + 60.0
    with catalog(uri) as client:
        while True:
            processed = client["processed"]
            run = processed.get("run-1", None)
            latest = None if run is None else run.metadata.get("latest")
            names = set(run[latest]) if run is not None and latest else set[str]()
            if {"sweep_0000", "sweep_0001", "sweep_0002", "products"} <= names:
                return
            assert time.monotonic() < until, names
            time.sleep(0.2)


def ask_for_spectra(processes: Processes) -> None:
    """Hold that a pixel and a rectangle across bands are answered with fit and map values."""
    asker = StateAsker(processes.stream, "builder")
    try:
        pixel = asker.ask(SpectrumRequest("", -1, 15, 16, 17, 18), 20.0)
        across = asker.ask(SpectrumRequest("run-1", 1, 4, 28, 4, 30), 20.0)
        outside = asker.ask(SpectrumRequest("run-1", 1, 0, 99, 0, 1), 20.0)
    finally:
        asker.close()
    assert isinstance(pixel, SpectrumReply)
    assert isinstance(across, SpectrumReply)
    assert isinstance(outside, SpectrumReply)
    assert (pixel.status, pixel.sweep) == ("OK", 2)
    assert abs(float(str(pixel.values["s"])) - synthetic.true_s(60.0)[15, 17]) < 0.01
    assert pixel.values["sigma_zz_sigma_gpa"] > 0
    assert np.all(np.diff(pixel.frequency_mhz) >= 0)
    scatter = np.std((pixel.signal - pixel.model) / pixel.sigma)
    assert 0.7 < scatter < 1.3
    assert across.frequency_mhz.size == synthetic.FREQUENCY_MHZ.size
    assert across.sigma.mean() < pixel.sigma.mean() / 10
    assert outside.frequency_mhz.size == 0
    assert "not within" in outside.status


def assert_shown(watcher: Watcher) -> None:
    """Hold that the channels showed the maps growing and final, and the warming as a whole."""
    for sweep in range(len(TEMPERATURES_K)):
        finals = [u.header["final"] for u in watcher.seen["map/chi2"] if u.header["sweep"] == sweep]
        assert finals[-1] is True
        assert False in finals, f"sweep {sweep} was not shown while it ran"
    s = watcher.newest("map/s")
    assert s is not None
    assert s.arrays["value"].shape == (synthetic.HEIGHT, synthetic.WIDTH)
    assert {"film/0001", "film/0002", "map/tc", "map/sigma_zz", "map/sigma_s", "workers", "sweep"} <= set(watcher.seen)
    curve = watcher.newest("curve/s")
    assert curve is not None
    assert curve.arrays["temperature_k"].tolist() == [20.0, 60.0]
    assert curve.arrays["s"][0, 0] == pytest.approx(0.94, abs=0.005)
    expected = watcher.newest("curve/expected")
    assert expected is not None
    assert expected.header["points"] == [point["name"] for point in curve.header["points"]]
    assert expected.arrays["temperature_k"][0] == 60.0
    assert abs(expected.arrays["s"][0, -1] - 1.0) < 4 * expected.arrays["sigma_s"][0, -1]
    spectrum = watcher.newest("spectrum/mean")
    assert spectrum is not None
    assert len(spectrum.header["guides_mhz"]) == 2  # pyright: ignore[reportArgumentType]
    assert watcher.reports[1]["valid"]
    assert watcher.reports[1]["frames_lost"] == 0


@pytest.mark.parametrize("victim", ["worker-0", "worker-1"])
def test_a_killed_worker_changes_no_bit_and_loses_no_frame(tmp_path, victim):
    with Processes(tmp_path, frame_rate_hz=60.0) as processes:
        processes.start_all()
        with CameraControl(processes.stream) as control, Watcher(processes.stream) as watcher:
            start = open_run(control)
            send_sweep(control, 0, 150.0)
            watcher.wait(lambda w: frames_added(w, 0) > 20, "frames in the cubes")
            processes.kill(victim)
            wait_sent(control, 0)
            watcher.wait(lambda w: 0 in w.reports, "report 0")
            send_sweep(control, 1, 20.0)
            watcher.wait(lambda w: 1 in w.reports, "report 1")
            control.close_run("run-1", "success")
            watcher.wait(finished, "finished run")
            watcher.wait(lambda w: victim in w.events(), "event that names the worker")
            workers = watcher.newest("workers")
            assert workers is not None
            assert workers.header["frames_lost"] == 0
        processes.stop()
        assert_equals_offline(processes, start.frames_path, 2)


def frames_added(watcher: Watcher, sweep: int) -> int:
    newest = watcher.newest("sweep")
    if newest is None or newest.header["sweep"] != sweep:
        return 0
    return int(str(newest.header["frames_added"]))


def test_a_restarted_builder_takes_its_sweeps_back_from_disk(tmp_path):
    """No Tiled answers at the address given: the files are written all the same."""
    with Processes(tmp_path, frame_rate_hz=120.0, tiled_uri="http://127.0.0.1:9") as processes:
        processes.start_all()
        with CameraControl(processes.stream) as control, Watcher(processes.stream) as watcher:
            start = open_run(control)
            send_sweep(control, 0, 150.0)
            watcher.wait(lambda w: 0 in w.reports, "report 0")
            processes.kill("builder")
            send_sweep(control, 1, 20.0)
            processes.start("builder")
            watcher.wait(lambda w: 1 in w.reports, "report 1")
            assert watcher.reports[1]["valid"], watcher.reports[1]
            control.close_run("run-1", "success")
            watcher.wait(finished, "finished run")
            assert "taken back from disk" in watcher.events()
        assert processes.kill("builder", signal.SIGTERM) == 0
        assert_equals_offline(processes, start.frames_path, 2)


def test_all_workers_killed_before_the_end_the_builder_fits_the_rest_from_the_file(tmp_path):
    with Processes(tmp_path, frame_rate_hz=60.0) as processes:
        processes.start_all(workers=1)
        with CameraControl(processes.stream) as control, Watcher(processes.stream) as watcher:
            start = open_run(control)
            send_sweep(control, 0, 150.0)
            processes.kill("worker-0")
            wait_sent(control, 0)
            control.close_run("run-1", "success")
            watcher.wait(finished, "finished run")
            assert "frames file" in watcher.events()
        processes.stop()
        assert_equals_offline(processes, start.frames_path, 1)
