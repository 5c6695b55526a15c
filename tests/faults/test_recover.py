"""RunEngine and camera killed in the middle of a sweep: what was measured gets its maps, the rest is said."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from analyzers.builder import warm_up
from stream.archive_hdf5 import FrameFile
from stream.document_log import read_documents
from stream.messages import Archive
from stream.paths import documents_path, frames_path
from stream.settings import dump_settings
from tests.analyzers import synthetic
from tests.analyzers.processes import ROOT, Processes, Watcher
from tests.faults.undisturbed import assert_same_maps, undisturbed
from tests.stream.wire import wait_for

pytestmark = pytest.mark.timeout(300)
PER_SWEEP = 2 * len(synthetic.FREQUENCY_MHZ)


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    """Compile once here, so that the processes find the kernels on disk and do not compile side by side."""
    warm_up()


def start_plan(processes: Processes, folder: Path, sweeps: int) -> subprocess.Popen[bytes]:
    """Start a plan and wait until it is in the middle of its last sweep."""
    dump_settings(processes.stream, folder / "plan.json")
    command = [sys.executable, "-m", "tests.faults.plan_process", str(folder / "plan.json"), str(sweeps)]
    plan = subprocess.Popen(command, cwd=ROOT)
    wait_for(lambda: (folder / "measuring").exists() or plan.poll() is not None, 120, "the last sweep")
    assert plan.poll() is None
    return plan


def recover(data_dir, code: int) -> dict:
    command = [sys.executable, "-m", "deploy.cli", "recover", "--data", str(data_dir), "--no-tiled", "--json", "-"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=200)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("archive", [Archive.FRAMES, Archive.SUMS])
def test_camera_and_plan_killed_recover_finishes_what_can_be_finished(tmp_path, archive):
    with Processes(tmp_path, frame_rate_hz=100.0, archive=archive) as processes:
        processes.start("camera")
        processes.wait_ready("camera")
        plan = start_plan(processes, tmp_path, 2)
        path = frames_path(processes.stream.data_dir, "run-1")
        wait_for(lambda: on_disk(path) > 2 * PER_SWEEP, 60, "frames of the last sweep on disk")
        plan.kill()
        plan.wait(10)
        processes.kill("camera", signal.SIGKILL)
        before = on_disk(path)
        result = recover(processes.stream.data_dir, 4)
        (run,) = result["runs"]
        assert (run["run_uid"], run["frames"], run["closed"], run["maps_made"]) == ("run-1", before, True, [0, 1])
        assert run["missing"] == {"2": 3 * PER_SWEEP - before}
        assert (run["damaged"], run["frames_untold"], run["could_not"]) == (0, 0, [])
        assert_same_maps(processes.stream.data_dir, undisturbed(tmp_path, 2))
        stop = list(read_documents(documents_path(processes.stream.data_dir, "run-1")))[-1]
        assert (stop[0], stop[1]["exit_status"]) == ("stop", "abort")
        # a second time finds nothing to do
        assert recover(processes.stream.data_dir, 0)["runs"] == []


def on_disk(path: Path) -> int:
    with FrameFile(path) as file:
        return file.count


def test_a_plan_killed_within_a_sweep_loses_no_frame_and_the_sweep_gets_its_map(tmp_path):
    with Processes(tmp_path, frame_rate_hz=100.0) as processes:
        processes.start_all(workers=1)
        with Watcher(processes.stream) as watcher:
            plan = start_plan(processes, tmp_path, 1)
            plan.kill()
            plan.wait(10)
            watcher.wait(lambda w: 1 in w.reports, "report of the sweep whose plan is gone")
            assert watcher.reports[1]["frames_lost"] == 0
        assert_same_maps(processes.stream.data_dir, undisturbed(tmp_path, 2))
