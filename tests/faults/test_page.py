"""The page's process frozen during a sweep: nobody waits for it, memory stays bounded, and it comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest

from dashboard.settings import DashboardProcess, DashboardSettings
from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl
from stream.health import ready_path
from stream.settings import dump_settings
from stream.state import StateSubscriber
from tests.faults.flow import BIG, alive, measure
from tests.stream.wire import Gathered, known_cube, run_start, wait_for

pytestmark = pytest.mark.timeout(240)
GROWTH_MIB = 64
"""What a publisher may keep for a subscriber that sleeps: its queue of 200 messages, at most."""


def test_a_frozen_page_delays_nobody_and_memory_stays_bounded(rig):
    flow = rig(ring_mib=8)
    camera = flow.camera(rate_hz=150, **BIG)
    flow.worker("worker-0")
    path = flow.folder / "web.json"
    dump_settings(DashboardProcess(flow.settings, DashboardSettings(port=0)), path)
    page = subprocess.Popen([sys.executable, "-m", "dashboard.server", str(path)])
    try:
        wait_for(ready_path(flow.settings, "web").exists, 60, "the page")
        with BuilderInbox(flow.settings) as inbox, CameraControl(flow.settings) as control:
            gathered = Gathered(inbox)
            control.open_run(run_start("run-p"))
            gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "the worker")
            measure(control, "run-p", 0)
            assert np.array_equal(gathered.until_cube("run-p", 0), known_cube(0, 10, 4, **BIG))
            before = psutil.Process(camera.pid).memory_info().rss
            os.kill(page.pid, signal.SIGSTOP)
            with StateSubscriber(flow.settings, ["camera"]) as state:
                measure(control, "run-p", 1, passes=60)
                assert np.array_equal(gathered.until_cube("run-p", 1), known_cube(1, 10, 60, **BIG))
                newest = wait_for(lambda: state.poll(0.1) is not None and header(state), 60, "the whole sweep shown")
                assert newest["frames_sent"] == 600
            assert psutil.Process(camera.pid).memory_info().rss - before < GROWTH_MIB * 2**20
            os.kill(page.pid, signal.SIGCONT)
            measure(control, "run-p", 2)
            assert np.array_equal(gathered.until_cube("run-p", 2), known_cube(2, 10, 4, **BIG))
        page.send_signal(signal.SIGTERM)
        assert page.wait(20) == 0
    finally:
        page.kill()
        page.wait(5)


def header(state: StateSubscriber) -> dict | None:
    update = state.latest.get(("camera", "camera"))
    return update.header if update is not None and update.header["frames_sent"] == 600 else None
