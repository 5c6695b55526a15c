"""A twin IOC in its own process and a Channel Access client in another, on a free port."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devices.processes import TwinProcess
from devices.settings import TwinSettings
from devices.twin.loopback import LOOPBACK
from stream.health import ready_path
from stream.settings import StreamSettings, dump_settings

SMALL = TwinSettings(height=48, width=48, pixel_size_um=2.0, speed=2000.0)


class Client:
    """Speaks to `ca_client.py`."""

    def __init__(self, environment, prefix):
        self.prefix = prefix
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "ca_client.py")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def get(self, name, text=False):
        return self._ask(do="get", pv=self.prefix + name, text=text)

    def put(self, name, value):
        return self._ask(do="put", pv=self.prefix + name, value=value)

    def until(self, name, low, high, timeout_s=30.0):
        return self._ask(do="until", pv=self.prefix + name, low=low, high=high, timeout_s=timeout_s)

    def state(self):
        return json.loads(self.get("TWIN:STATE", text=True))

    def close(self):
        """Safe to call twice."""
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class RunningTwin:
    """The IOC, a client for it and the environment that both use."""

    def __init__(self, folder, settings, prefix="TWIN-TEST:"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.environment = {**os.environ, **LOOPBACK, "EPICS_CA_SERVER_PORT": str(port)}
        self.environment.pop("EPICS_CAS_SERVER_PORT", None)
        stream = StreamSettings(runtime_dir=str(folder / "run"), data_dir=str(folder / "data"))
        path = folder / "ioc.json"
        dump_settings(TwinProcess(stream=stream, twin=settings, prefix=prefix), path)
        self.log = folder / "ioc.log"
        self.ready = ready_path(stream, "ioc")
        self.ready.unlink(missing_ok=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "devices.twin.ioc", str(path)], env=self.environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while not self.ready.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        self.client = Client(self.environment, prefix)

    def stop(self):
        self.client.close()
        if self.process.poll() is not None:
            return self.process.returncode
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(10)
        finally:
            self.process.kill()


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """A twin IOC that a module's tests share: for those that leave it as fit for the next as they found it."""
    running = RunningTwin(tmp_path_factory.mktemp("twin"), SMALL)
    yield running
    running.stop()


@pytest.fixture
def fresh_twin(tmp_path):
    """A twin IOC of the test's own, at rest at 150 K: histories and pressure do not run backwards."""
    running = RunningTwin(tmp_path, SMALL)
    yield running
    running.stop()
