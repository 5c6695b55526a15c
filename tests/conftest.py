"""What several folders' tests share: a Tiled server, real and in its own process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.tiled_config import API_KEY_VARIABLE, write_tiled_config
from devices.channel_access import quiet_repeater, use_loopback
from stream.settings import StreamSettings

KEY = "0123456789abcdef"
BRIDGES_MOST = 7


class TiledServer:
    """A Tiled server on loopback over one data folder; it can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.settings = StreamSettings(runtime_dir=str(folder / "run"), data_dir=str(folder / "data"))
        self.data_dir = folder / "data"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.ready = folder / "run" / "ready" / "tiled"
        self.log = folder / "tiled.log"
        self.config = write_tiled_config(folder / "run" / "tiled" / "config.yml", self.data_dir, self.port)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.ready.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.tiled_server", str(self.config), str(self.ready)],
                env={**os.environ, API_KEY_VARIABLE: KEY},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 120
        while not self.ready.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(30)


@pytest.fixture(scope="session")
def tiled_server(tmp_path_factory):
    """A running server shared by the session's tests; none of them may stop it."""
    server = TiledServer(tmp_path_factory.mktemp("tiled"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_tiled_server(tmp_path):
    """A server of the test's own, not yet started."""
    server = TiledServer(tmp_path)
    yield server
    server.stop(signal.SIGKILL)


@pytest.fixture(autouse=True)
def _tiled_key(monkeypatch):
    monkeypatch.setenv(API_KEY_VARIABLE, KEY)


@pytest.fixture(scope="session")
def ca_ports():
    """Channel Access ports, searched by this process: for the bench IOC, for a twin's, and one for each bridge.

    Channel Access reads its environment once per process, so every test that uses EPICS in this process asks for this.
    """
    with ExitStack() as probes:
        ports = []
        for _ in range(2 + BRIDGES_MOST):
            probe = probes.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    use_loopback(ports[0])
    os.environ["EPICS_CA_ADDR_LIST"] = " ".join(f"127.0.0.1:{port}" for port in ports)
    quiet_repeater()
    return tuple(ports)


@pytest.fixture(scope="session")
def bench_ioc(ca_ports):
    """A small IOC with every PV of a rig, quick dynamics and refusals on demand; yields its prefix."""
    prefix = "BENCH:"
    port = str(ca_ports[0])
    environment = {**os.environ, "EPICS_CA_SERVER_PORT": port, "EPICS_CAS_SERVER_PORT": port}
    program = Path(__file__).parent / "devices" / "bench_ioc.py"
    with subprocess.Popen(
        [sys.executable, str(program), prefix],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any("bench ready" in line for line in lines)
        yield prefix
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def lab(ca_ports, tmp_path_factory):
    """Simulated instruments and their bridges; each test leaves them as fit for the next as it found them."""
    from tests.devices.ioc.lab import Lab

    laboratory = Lab(tmp_path_factory.mktemp("lab"), ca_ports[2:])
    yield laboratory
    laboratory.close()
