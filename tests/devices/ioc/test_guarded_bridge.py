"""A bridge asks the guard before each put, and switches the microwave off where the guard is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devices.channel_access import search_variables
from devices.ioc.permit import guard_pv
from devices.ioc.settings import BridgeProcess, BridgesSettings, MicrowaveBridgeSettings
from stream.settings import StreamSettings
from tests.devices.ioc.lab import RunningBridge
from tests.devices.ioc.sg380_simulator import SourceSimulator

PREFIX = "GUARDED:"


@pytest.fixture
def guard(ca_ports):
    program = Path(__file__).with_name("guard_ioc.py")
    with subprocess.Popen(
        [sys.executable, str(program), PREFIX, str(ca_ports[-1])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert any("guard ready" in line for line in iter(process.stdout.readline, ""))
        yield process
        process.kill()


@pytest.fixture
def source():
    simulator = SourceSimulator()
    yield simulator
    simulator.stop()


@pytest.fixture
def bridge(ca_ports, guard, source, tmp_path):
    stream = StreamSettings(runtime_dir=str(tmp_path / "run"), data_dir=str(tmp_path / "data"))
    bridges = BridgesSettings(microwave=MicrowaveBridgeSettings(source.address, timeout_s=0.5, poll_s=0.1))
    process = BridgeProcess(stream, "microwave", ca_ports[-2], PREFIX, bridges, guard=True)
    running = RunningBridge(tmp_path, process, ca_ports[-2])
    running.environment |= search_variables([ca_ports[-1]], os.environ)
    running.start()
    running.wait_ready()
    yield running
    running.stop()


def test_the_guard_permits_refuses_and_is_missed(bridge, guard, source, until):
    from ophyd import EpicsSignal

    def signal(name, string=False):
        made = EpicsSignal(name, name="x", string=string)
        made.wait_for_connection(timeout=20)
        return made

    enable, reason = signal(PREFIX + "MW:ENABLE"), signal(PREFIX + "MW:REASON", string=True)
    permit = signal(guard_pv(PREFIX, "microwave", "PERMIT"))
    why = signal(guard_pv(PREFIX, "microwave", "REASON"), string=True)

    def switched_on():
        enable.put(1, wait=True)
        return source.on

    until(switched_on, 20)
    enable.put(0, wait=True)
    assert not source.on
    why.put("the vacuum failed", wait=True)
    permit.put(0, wait=True)
    until(lambda: not switched_on(), 20)
    enable.put(1, wait=True)
    assert not source.on
    assert reason.get(use_monitor=False) == "the vacuum failed"
    permit.put(1, wait=True)
    until(switched_on, 20)
    guard.kill()
    until(lambda: not source.on, 30)
    enable.put(1, wait=True)
    assert not source.on
    assert "the guard does not answer" in reason.get(use_monitor=False)
    for made in (enable, reason, permit, why):
        made.destroy()
