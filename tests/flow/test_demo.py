"""The main job as a user runs it: `nvdac demo` with a worker and the builder killed, then its run replayed and fitted.

One demo serves all these tests: it takes minutes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import processes, site
from plans.records import replay_decisions
from stream.archive_hdf5 import FrameFile
from stream.document_log import read_documents
from stream.maps_file import compare_planes, read_maps
from stream.messages import StateUpdate
from stream.paths import documents_path, frames_path
from stream.settings import StreamSettings
from stream.state import StateSubscriber
from tests.conftest import KEY, TiledServer
from tests.dashboard.browser import CHROMIUM, DRIVER, browser, complaints
from tests.flow.notebooks import executed

NVDAC = [sys.executable, "-m", "deploy.cli"]
DEMO_TIMEOUT_S = 900.0
LOOK_S = 0.7
"""Interval of looks at the page, s."""
PIXELS = """(() => {
  const canvas = document.querySelector('[data-key=s] canvas.base');
  if (!canvas || !canvas.width) return null;
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let hash = 0;
  for (let i = 0; i < data.length; i += 4) hash = (hash * 31 + data[i] + 7 * data[i + 2]) | 0;
  return hash;
})()"""
"""Hash of the pixels of the s map."""
LOST = """
window.lost = {};
const note = (name) => { window.lost[name] ??= Date.now() / 1000; };
new MutationObserver(() => {
  for (const b of document.querySelectorAll('.worker[data-alive="false"] b')) note(b.textContent.replace('✕ ', ''));
  for (const chip of document.querySelectorAll('.source[data-heard="lost"]')) note(chip.dataset.source);
}).observe(document.body, { subtree: true, childList: true, attributes: true });
"""
"""Notes when the page first shows a process as lost, s since the epoch."""
KILL_WORKER_AT_SWEEP = 3
KILL_BUILDER_AT_SWEEP = 6
"""Sweeps of the warming in whose middle a worker and the map builder are killed."""
KILLS = (("worker-1", KILL_WORKER_AT_SWEEP), ("builder", KILL_BUILDER_AT_SWEEP))


@dataclass
class Demo:
    """A demo that has ended."""

    numbers: dict[str, Any]
    data: Path
    output: str
    killed: list[str]
    s_maps: int
    changed_within_a_sweep: bool
    events: list[str]
    lost_leases: int
    pictures: dict[int, set[int]]
    badge: str
    complaints: list[str]
    killed_at: dict[str, float]
    lost: dict[str, float]

    @property
    def run_uid(self) -> str:
        return self.numbers["run_uids"][0]

    @property
    def maps(self) -> Path:
        return self.data / "processed" / self.run_uid / self.numbers["version"]


class Watcher:
    """Follows a running demo's state plane, and kills processes in the middle of sweeps."""

    def __init__(self, running: site.Site) -> None:
        self.site = running
        self.killed: list[str] = []
        self.killed_at: dict[str, float] = {}
        self.lost: dict[str, float] = {}
        self.photographed: set[int] = set()
        self.s_maps = 0
        self.revisions: set[tuple[int, int]] = set()
        self.events: set[str] = set()
        self.lost_leases = 0
        self.sweep = -1
        self.pictures: dict[int, set[int]] = {}
        self.badge = ""
        self.complaints: list[str] = []

    def take(self, update: StateUpdate) -> None:
        header: dict[str, Any] = dict(update.header)
        if update.channel == "map/s":
            self.s_maps += 1
            self.sweep = header["sweep"]
            self.revisions.add((header["sweep"], header["revision"]))
        if update.channel == "events":
            self.events |= {event["text"] for event in header["events"]}
        if update.channel == "workers":
            self.lost_leases = max(self.lost_leases, sum(row["leases_lost"] for row in header["workers"]))
        middle = header.get("frames_total", 0) // 3
        for name, sweep in KILLS:
            if update.channel == "camera" and header["sweep"] >= sweep and header["frames_sent"] > middle:
                self.kill(name)

    def look(self, page: Any) -> None:
        """Look at the s map in the browser: how many different pictures does it show of one sweep?"""
        before = self.sweep
        picture = page.execute_script(f"return {PIXELS}")
        if picture is not None and before == self.sweep:
            self.pictures.setdefault(before, set()).add(picture)
        self.badge = page.execute_script("return document.querySelector('#badge').textContent.trim()")
        self.lost = page.execute_script("return window.lost")
        self.photograph(page)

    def photograph(self, page: Any) -> None:
        """Leave a picture of each sweep in the folder NVDAC_SCREENSHOTS, where it is set; README's is one of them."""
        folder = os.environ.get("NVDAC_SCREENSHOTS")
        if folder and self.sweep not in self.photographed:
            self.photographed.add(self.sweep)
            page.save_screenshot(str(Path(folder) / f"demo-{len(self.photographed):02d}.png"))

    def kill(self, name: str) -> None:
        if name not in self.killed:
            pid = next(state.pid for state in processes.states(self.site) if state.name == name)
            os.kill(pid, signal.SIGKILL)
            self.killed_at[name] = time.time()
            self.killed.append(name)


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str], timeout_s: float) -> Any:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        assert process.poll() is None, "the demo ended early"
        time.sleep(0.2)
    raise AssertionError("timed out")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    # short: ipc paths end at 107 characters
    folder = Path("/tmp") / f"nvdac-test-{os.getpid()}"
    folder.mkdir(mode=0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    yield folder
    del os.environ["XDG_RUNTIME_DIR"]
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def demo(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    data, numbers, log = folder / "data", folder / "demo.json", folder / "demo.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*NVDAC, "demo", "--exit", "--json", str(numbers), "--data", str(data)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        watcher = _watch(process, folder)
        assert process.wait(60) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    sweeps = [sweep for sweep, _ in watcher.revisions]
    return Demo(
        numbers=json.loads(numbers.read_text()),
        data=data,
        output=log.read_text(),
        killed=watcher.killed,
        s_maps=watcher.s_maps,
        changed_within_a_sweep=any(sweeps.count(sweep) > 1 for sweep in set(sweeps)),
        events=sorted(watcher.events),
        lost_leases=watcher.lost_leases,
        pictures=watcher.pictures,
        badge=watcher.badge,
        complaints=watcher.complaints,
        killed_at=watcher.killed_at,
        lost=watcher.lost,
    )


@contextlib.contextmanager
def _page(folder: Path, url: str) -> Iterator[Any]:
    """Give the live page in headless Chromium; None where there is no browser (`make test` says so)."""
    if CHROMIUM is None or DRIVER is None:
        yield None
        return
    with browser(folder / "browser") as driver:
        driver.get(url)
        driver.execute_script(LOST)
        yield driver


def _watch(process: subprocess.Popen[str], folder: Path) -> Watcher:
    """Follow the demo until it ends; the plane of a site that has gone simply says nothing more."""
    running: site.Site = wait_for(lambda: next(iter(site.running_sites()), None), process, 60)
    watcher = Watcher(running)
    settings = StreamSettings(running.runtime_dir, running.data_dir)
    deadline = time.monotonic() + DEMO_TIMEOUT_S
    wait_for((Path(running.runtime_dir) / "ready" / "web").exists, process, 60)
    with StateSubscriber(settings, ("builder", "camera")) as state, _page(folder, running.web_url) as page:
        looked = time.monotonic()
        while process.poll() is None and time.monotonic() < deadline:
            for update in state.poll(0.5):
                watcher.take(update)
            if not Path(running.runtime_dir).exists():
                break
            if page is not None and time.monotonic() - looked > LOOK_S:
                watcher.look(page)
                looked = time.monotonic()
            if page is not None and watcher.sweep <= KILL_WORKER_AT_SWEEP:
                watcher.complaints = complaints(page)
    return watcher


@pytest.mark.timeout(DEMO_TIMEOUT_S + 120)
def test_no_frame_is_lost_and_the_numbers_hold(demo: Demo) -> None:
    numbers = demo.numbers
    assert numbers["frames_sent"] > 0
    assert numbers["frames_lost"] == 0
    assert numbers["tc_error_k"] <= 2.0
    assert numbers["tc_resolved_fraction"] >= 0.9
    assert numbers["sigma_zz_error_gpa"] <= 0.5
    assert numbers["sigma_zz_resolved_fraction"] > 0.8
    assert numbers["temperature_points"] > 5
    assert {"fixed_ladder_points", "tc_local_error_k", "seconds", "comparison_seconds", "run_uids"} <= set(numbers)


def test_the_page_is_named_first_and_the_data_last(demo: Demo) -> None:
    lines = [line for line in demo.output.splitlines() if line.strip()]
    assert lines[0].startswith("live page: http://127.0.0.1:")
    assert lines[-1].startswith(f"data: {demo.data}")
    assert f"plan done: run {demo.run_uid}" in lines
    assert not any("generator zfc_field_warming" in line for line in lines)


def test_the_map_changed_while_sweeps_ran(demo: Demo) -> None:
    assert demo.s_maps > demo.numbers["temperature_points"]
    assert demo.changed_within_a_sweep


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium and chromium-driver")
def test_the_page_showed_the_map_change_within_a_sweep(demo: Demo) -> None:
    assert "SIMULATED" in demo.badge
    assert max(len(pictures) for pictures in demo.pictures.values()) > 1
    assert demo.complaints == []


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium and chromium-driver")
def test_the_page_showed_the_killed_worker_and_the_killed_builder_as_lost(demo: Demo) -> None:
    for name in ("worker-1", "builder"):
        shown_s = demo.lost[name] - demo.killed_at[name]
        assert 0.0 < shown_s < 20.0, name  # two seconds at rest; the machine that runs tests is not at rest


def test_the_killed_worker_s_bands_were_reassigned_and_it_was_said(demo: Demo) -> None:
    assert "worker-1" in demo.killed
    assert demo.numbers["reassignments"] > 0
    assert demo.lost_leases > 0
    assert any("worker-1" in text for text in demo.events), demo.events


def test_the_killed_builder_took_its_maps_back_and_no_decision_was_made_without_it(demo: Demo) -> None:
    assert "builder" in demo.killed
    assert f"builder restarted: {KILL_BUILDER_AT_SWEEP} sweeps taken back from disk" in demo.events
    documents = list(read_documents(documents_path(demo.data, demo.run_uid)))
    streams = {document["uid"]: document["name"] for name, document in documents if name == "descriptor"}
    events = [document for name, document in documents if name == "event"]
    decided = [event["data"] for event in events if streams[event["descriptor"]] == "decision"]
    heard = [event["data"] for event in events if streams[event["descriptor"]] == "analysis"]
    assert len(decided) == demo.numbers["temperature_points"]
    assert [row["decision_reason"] for row in decided if row["decision_fallback"]] == []
    assert [row["analysis_reason"] for row in heard if not row["analysis_valid"] and row["analysis_sweep"] > 0] == []


def test_everything_ended(demo: Demo, runtime: Path) -> None:
    assert site.running_sites() == []
    assert not list((runtime / "nvdac").iterdir())


def test_the_frames_on_disk_are_those_sent(demo: Demo) -> None:
    with FrameFile(frames_path(demo.data, demo.run_uid)) as file:
        total = sum(sweep.frequency_mhz.size * sweep.passes for sweep in file.sweeps)
        assert total == demo.numbers["frames_sent"]
        assert sum(1 for _ in file.frames(file.sweeps[KILL_WORKER_AT_SWEEP].sweep)) == total // len(file.sweeps)


def test_a_fit_of_the_frames_gives_the_same_bits(demo: Demo, tmp_path: Path) -> None:
    out = tmp_path / "maps.h5"
    result = subprocess.run(
        [*NVDAC, "fit", demo.run_uid[:8], "--data", str(demo.data), "--out", str(out), "--json", "-"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["version"] == demo.numbers["version"]
    assert_same_maps(demo, lambda name: read_maps(out, name)[0])


@pytest.mark.timeout(400)
def test_an_undisturbed_replay_gives_the_same_bits(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    shutil.copy(frames_path(demo.data, demo.run_uid), tmp_path / "frames")
    result = subprocess.run(
        [*NVDAC, "replay", demo.run_uid, "--data", str(tmp_path), "--json", "-"],
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    replayed = json.loads(result.stdout)
    assert (replayed["version"], replayed["frames_lost"]) == (demo.numbers["version"], 0)
    assert replayed["frames_sent"] == demo.numbers["frames_sent"]
    assert_same_maps(demo, lambda name: read_maps(Path(replayed["maps"]) / f"{name}.h5")[0])


def assert_same_maps(demo: Demo, other: Callable[[str], dict[str, Any]]) -> None:
    names = sorted(path.stem for path in demo.maps.glob("*.h5"))
    assert len(names) == demo.numbers["temperature_points"] + 2  # the opening reference, and the products
    for name in names:
        assert compare_planes(read_maps(demo.maps / f"{name}.h5")[0], other(name)) == "", name


def test_the_policy_replayed_on_the_stored_decisions_gives_the_same_set_points(demo: Demo) -> None:
    rows = replay_decisions(read_documents(documents_path(demo.data, demo.run_uid)))
    assert len(rows) == demo.numbers["temperature_points"]
    assert all(row.same for row in rows)
    assert not any(row.replayed.fallback for row in rows)
    steps = [row.replayed.step_k for row in rows[:-1]]
    assert min(steps) < 4 < max(steps)


def test_figures_were_drawn(demo: Demo) -> None:
    for name in ("s-against-temperature", "s-and-resistance", "sigma-zz"):
        assert (demo.data / "figures" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"


def test_the_notebooks_read_the_run_and_its_maps(demo: Demo, runtime: Path, tmp_path: Path) -> None:
    server = TiledServer(demo.data.parent)
    profile = tmp_path / "profiles" / "nvdac.yml"
    profile.parent.mkdir()
    profile.write_text(json.dumps({"nvdac": {"uri": f"{server.uri}/api/v1/metadata/raw"}}))
    environment = {
        **os.environ,
        "TILED_PROFILES": str(profile.parent),
        "TILED_API_KEY": KEY,
        "NVDAC_TILED_URI": server.uri,
        "IPYTHONDIR": str(tmp_path),
        "JUPYTER_RUNTIME_DIR": str(runtime),
    }
    server.start()
    try:
        broker = executed(
            "read-with-databroker",
            '[run.start["uid"], some.values[3].tolist(), primary.sizes["time"], names.count("stop"), '
            'databroker.from_profile("nvdac")[run.start["uid"][:8]].start["uid"]]',
            environment,
        )
        tiled = executed("read-with-tiled", "[uid, len(runs), frame.tolist(), cold.tolist()]", environment)
    finally:
        server.stop()
    with FrameFile(frames_path(demo.data, demo.run_uid)) as file:
        taken = [frame for (_, _, frame), _ in zip(file.frames(0), range(104), strict=False)]
    products = read_maps(demo.maps / "products.h5")[0]
    assert broker[:2] == [demo.run_uid, taken[103][40:56, 40:56].tolist()]
    assert broker[2:] == [demo.numbers["temperature_points"] + 1, 1, demo.run_uid]
    assert tiled[:2] == [demo.run_uid, 1]
    assert tiled[2] == taken[0].tolist()
    coldest = products["s"][int(np.argmin(products["temperature_k"]))]
    assert np.array_equal(np.array(tiled[3], np.float32), coldest, equal_nan=True)
