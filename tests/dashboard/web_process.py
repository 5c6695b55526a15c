"""The web process as deploy starts it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import contextmanager

from dashboard.settings import DashboardProcess, DashboardSettings
from stream.settings import StreamSettings, dump_settings


@contextmanager
def web_process(folder, port=0, **more):
    """Start `python -m dashboard.server`; yields the process and its stream settings."""
    stream = StreamSettings(runtime_dir=str(folder / "run"), data_dir=str(folder / "data"))
    (folder / "run").mkdir(mode=0o700, exist_ok=True)
    path = folder / "web.json"
    dump_settings(DashboardProcess(stream, DashboardSettings(port=port, **more)), path)
    command = [sys.executable, "-m", "dashboard.server", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, stream
        finally:
            process.kill()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_ready(folder, timeout_s=60.0):
    """Wait for the mark of a process that serves."""
    end = time.monotonic() + timeout_s
    while not (folder / "run" / "ready" / "web").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
