"""Real processes around one runtime folder: camera, workers, builder; started, killed and started again by tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from analyzers.settings import BuilderProcess, WorkerProcess
from stream.camera_control import CameraControl
from stream.health import ready_path
from stream.messages import Json, RunStart, StateUpdate
from stream.settings import StreamSettings, dump_settings
from stream.state import StateSubscriber
from tests.analyzers import counted, synthetic

ROOT = Path(__file__).parents[2]
PATIENCE_S = 180.0
"""Longest wait for anything: a first start compiles the kernels."""


class Processes:
    """The stream's processes; `start`, `kill` and `wait_ready` by name."""

    def __init__(
        self,
        folder: Path,
        frame_rate_hz: float = 0.0,
        data_dir: Path | None = None,
        tiled_uri: str = "",
        tcp_port: int = 0,
        count_compilations: bool = False,
        **settings: Any,
    ) -> None:
        data = folder / "data" if data_dir is None else data_dir
        chosen: dict[str, Any] = {"ring_mib": 16, "dead_after_missed": 20, "tcp_port": tcp_port, **settings}
        self.stream = StreamSettings(runtime_dir=str(folder / "run"), data_dir=str(data), **chosen)
        self._tiled_uri = tiled_uri
        Path(self.stream.runtime_dir).mkdir(mode=0o700, parents=True)
        self._folder = folder
        self._rate = frame_rate_hz
        self._counted = count_compilations
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Start `camera`, `builder`, `worker-N`, or `away-N`: a worker that has the camera's TCP address alone."""
        settings = self._folder / f"{name}.json"
        if name == "camera":
            dump_settings(self.stream, settings)
            command = ["tests.analyzers.fake_camera", str(settings), str(self._rate)]
        elif name == "builder":
            dump_settings(BuilderProcess(self.stream, self._tiled_uri), settings)
            command = ["analyzers.builder", str(settings)]
        else:
            dump_settings(WorkerProcess(self._seen_by(name), name), settings)
            command = ["analyzers.worker", str(settings)]
        if self._counted and name != "camera":
            command = ["tests.analyzers.counted", *command]
        ready_path(self._seen_by(name), name).unlink(missing_ok=True)
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env={**os.environ, "NUMBA_NUM_THREADS": "1", counted.FILE: str(self._compilations(name))},
            )

    def _compilations(self, name: str) -> Path:
        return self._folder / f"{name}.compiled"

    def compiled(self, name: str) -> list[str]:
        """Return the functions that a process compiled, its own control first."""
        return self._compilations(name).read_text().split()

    def _seen_by(self, name: str) -> StreamSettings:
        """Return the stream as a process sees it."""
        if not name.startswith("away-"):
            return self.stream
        home = self._folder / "hosts" / name
        home.mkdir(parents=True, exist_ok=True)
        connect = f"tcp://127.0.0.1:{self.stream.tcp_port}"
        return replace(self.stream, runtime_dir=str(home), data_dir=str(home), connect=connect, tcp_port=0)

    def start_all(self, workers: int = 2) -> None:
        """Start everything and wait until it serves."""
        names = ["camera", "builder", *(f"worker-{i}" for i in range(workers))]
        for name in names:
            self.start(name)
        for name in names:
            self.wait_ready(name)

    def wait_ready(self, name: str) -> None:
        """Wait until a process says that it serves."""
        until = time.monotonic() + PATIENCE_S
        while not ready_path(self._seen_by(name), name).exists():
            assert self._running[name].poll() is None, self.log(name)
            assert time.monotonic() < until, self.log(name)
            time.sleep(0.02)

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end."""
        process = self._running.pop(name)
        process.send_signal(number)
        return process.wait(20)

    def log(self, name: str) -> str:
        """Return what a process wrote."""
        return (self._folder / f"{name}.log").read_text()

    def stop(self) -> dict[str, int]:
        """End everything in order; returns the exit codes."""
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        codes: dict[str, int] = {}
        for name, process in self._running.items():
            try:
                codes[name] = process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[name] = process.wait()
        self._running.clear()
        return codes

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


class Watcher:
    """Follows the state plane and remembers every final report."""

    def __init__(self, stream: StreamSettings) -> None:
        self._subscriber = StateSubscriber(stream, sources=("builder", "camera"))
        self.reports: dict[int, Json] = {}
        self.seen: dict[str, list[StateUpdate]] = {}

    def wait(self, condition: Callable[[Watcher], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
        """Take updates until the condition holds."""
        until = time.monotonic() + timeout_s
        while not condition(self):
            assert time.monotonic() < until, f"no {what} within {timeout_s:g} s; channels: {sorted(self.seen)}"
            for update in self._subscriber.poll(0.2):
                if update.source != "builder":
                    continue
                self.seen.setdefault(update.channel, []).append(update)
                if update.channel == "analysis" and update.header["final"]:
                    self.reports[int(str(update.header["sweep"]))] = update.header

    def newest(self, channel: str) -> StateUpdate | None:
        """Return the newest update of a builder's channel."""
        updates = self.seen.get(channel)
        return updates[-1] if updates else None

    def events(self) -> str:
        """Return the texts of all events."""
        newest = self.newest("events")
        lines: Any = [] if newest is None else newest.header["events"]
        return "\n".join(str(line["text"]) for line in lines)

    def close(self) -> None:
        """Stop following."""
        self._subscriber.close()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_run(control: CameraControl, **changes: object) -> RunStart:
    """Open a synthetic run."""
    return control.open_run(synthetic.run_start(**changes))


def send_sweep(control: CameraControl, number: int, temperature_k: float, passes: int = 2) -> None:
    """Arm and trigger one sweep."""
    control.arm(synthetic.sweep_request(number, temperature_k, passes))
    control.trigger("run-1", number)


def wait_sent(control: CameraControl, number: int) -> None:
    """Wait until a sweep's frames are all sent."""
    control.wait_sent("run-1", number, PATIENCE_S)
