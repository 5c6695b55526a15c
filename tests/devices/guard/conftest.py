"""A twin IOC and its guard, each in its own process, and a Channel Access client in another."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from devices.channel_access import loopback_variables
from devices.guard_settings import GuardDeviceSettings, GuardSettings
from devices.processes import GuardProcess, TwinProcess
from devices.settings import TwinSettings, all_devices
from stream.health import ready_path
from stream.settings import StreamSettings, dump_settings
from tests.devices.twin.conftest import Client

PREFIX = "GUARDED:"
SMALL = TwinSettings(height=16, width=16, pixel_size_um=6.0, speed=2000.0)
RULES = GuardSettings(normal_above_k=115.0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class GuardedTwin:
    """The processes of one rig without camera; each can be killed and started again."""

    def __init__(self, folder, twin: TwinSettings = SMALL, guard: GuardSettings = RULES) -> None:
        self.folder = folder
        self.ports = {"ioc": free_port(), "guard": free_port()}
        self.environment = {**os.environ, **loopback_variables(self.ports["ioc"], self.ports["guard"])}
        self.stream = StreamSettings(runtime_dir=str(folder / "run"), data_dir=str(folder / "data"))
        self.devices = replace(all_devices(PREFIX), camera=None, guard=GuardDeviceSettings())
        (folder / "data").mkdir(exist_ok=True)
        dump_settings(TwinProcess(self.stream, twin, PREFIX, guard=True), folder / "ioc.json")
        dump_settings(
            GuardProcess(self.stream, guard, self.devices, "test", self.ports["guard"]), folder / "guard.json"
        )
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.others: list[subprocess.Popen] = []
        self.start("guard")
        self.start("ioc")
        self.client = Client(self.environment, PREFIX)

    def start(self, name: str) -> None:
        module = {"ioc": "devices.twin.ioc", "guard": "devices.ioc.guard"}[name]
        ready = ready_path(self.stream, name)
        ready.unlink(missing_ok=True)
        path = self.folder / f"{name}.log"
        with path.open("ab") as log:
            command = [sys.executable, "-m", module, str(self.folder / f"{name}.json")]
            process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        self.processes[name] = process
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None, path.read_text()
            assert time.monotonic() < deadline, path.read_text()
            time.sleep(0.02)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(20)

    def session(self, *commands: str) -> subprocess.Popen:
        """Start a session's process and wait until it has done `commands`."""
        dump_settings(self.devices, self.folder / "devices.json")
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.devices.guard.session_process", str(self.folder / "devices.json"), *commands],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.others.append(process)
        line = process.stdout.readline().strip()
        assert line == "ready", line
        return process

    def get(self, name: str, *, text: bool = False):
        return self.client.get(name, text=text)

    def put(self, name: str, value) -> None:
        self.client.put(name, value)

    def until(self, name: str, low: float, high: float | None = None, timeout_s: float = 30.0) -> None:
        assert self.client.until(name, low, low if high is None else high, timeout_s), (name, self.get(name))

    def history(self) -> str:
        self.put("GUARD:ASK", 1)
        return self.get("GUARD:HISTORY", text=True)

    def go(self, temperature_k: float) -> None:
        self.put("CRYO:TEMPERATURE_K", temperature_k)
        self.until("CRYO:SETTLED", 1)

    def field(self, gauss: float) -> None:
        self.put("MAG:FIELD_Z_GAUSS", gauss)
        self.until("MAG:DONE", 1)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def close(self) -> None:
        for process in self.others:
            process.kill()
            process.wait(10)
            process.stdin.close()
            process.stdout.close()
        self.client.close()
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(20)


@pytest.fixture
def make_guarded(tmp_path):
    """Makes a guarded twin of the test's own."""
    made = []

    def make(twin: TwinSettings = SMALL, guard: GuardSettings = RULES) -> GuardedTwin:
        made.append(GuardedTwin(tmp_path, twin, guard))
        return made[-1]

    yield make
    for one in made:
        one.close()
