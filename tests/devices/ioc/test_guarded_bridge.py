"""A bridge asks the guard before each put, and switches the microwave off where the guard is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devices.channel_access import search_variables
from devices.ioc.permit import guard_pv
from devices.ioc.settings import (
    BridgeProcess,
    BridgesSettings,
    CryostatBridgeSettings,
    LockinSettings,
    MicrowaveBridgeSettings,
    PressureBridgeSettings,
    SupplySettings,
)
from stream.settings import StreamSettings
from tests.devices.ioc.lab import RunningBridge
from tests.devices.ioc.lakeshore_simulator import LakeShoreSimulator
from tests.devices.ioc.lockin_simulator import LockinSimulator
from tests.devices.ioc.pace_simulator import PaceSimulator
from tests.devices.ioc.sg380_simulator import SourceSimulator
from tests.devices.ioc.supply_simulator import SupplySimulator

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
def make_bridge(ca_ports, guard, tmp_path):
    made = []

    def make(name: str, bridges: BridgesSettings) -> RunningBridge:
        stream = StreamSettings(runtime_dir=str(tmp_path / "run"), data_dir=str(tmp_path / "data"))
        process = BridgeProcess(stream, name, ca_ports[-2], PREFIX, bridges, guard=True)
        running = RunningBridge(tmp_path, process, ca_ports[-2])
        running.environment |= search_variables([ca_ports[-1]], os.environ)
        made.append(running)
        running.start()
        running.wait_ready()
        return running

    yield make
    for running in made:
        running.stop()


@pytest.fixture
def bridge(make_bridge, source):
    quick = MicrowaveBridgeSettings(source.address, timeout_s=0.5, poll_s=0.1)
    return make_bridge("microwave", BridgesSettings(microwave=quick))


@pytest.fixture
def signal():
    """Gives the signal of a PV, connected."""
    from ophyd import EpicsSignal

    made = {}

    def find(name, string=False):
        if name not in made:
            made[name] = EpicsSignal(name, name="x", string=string)
            made[name].wait_for_connection(timeout=30)
        return made[name]

    yield find
    for one in made.values():
        one.destroy()


OTHERS = {
    "magnet": (
        SupplySimulator,
        lambda at: SupplySettings(at, kind="kepco", timeout_s=0.5, poll_s=0.05),
        "MAG",
        "FIELD_Z_GAUSS",
    ),
    "cryostat": (
        lambda: LakeShoreSimulator(2000.0),
        lambda at: CryostatBridgeSettings(at, timeout_s=0.5, poll_s=0.05, heater_range=3),
        "CRYO",
        "TEMPERATURE_K",
    ),
    "pressure": (
        lambda: PaceSimulator(speed=500.0),
        lambda at: PressureBridgeSettings(at, timeout_s=0.5, poll_s=0.05),
        "DAC",
        "MEMBRANE_BAR",
    ),
    "transport": (
        lambda: LockinSimulator("SR860", series_ohm=1e4),
        lambda at: LockinSettings(at, model="sr860", timeout_s=0.5, poll_s=0.2, series_ohm=1e4, power_limit_uw=1000.0),
        "TRANSPORT",
        "CURRENT_UA",
    ),
}
"""Bridge -> its simulator, its settings, and where a put of it goes."""


@pytest.mark.parametrize("name", OTHERS)
def test_every_bridge_takes_what_is_permitted_and_says_why_it_refuses_the_rest(name, make_bridge, signal, until):
    make_simulator, settings, place, setting = OTHERS[name]
    simulator = make_simulator()
    try:
        section = "lockin" if name == "transport" else name
        make_bridge(name, BridgesSettings(**{section: settings(simulator.address)}))
        put, reason = signal(f"{PREFIX}{place}:{setting}"), signal(f"{PREFIX}{place}:REASON", string=True)
        permit = signal(guard_pv(PREFIX, name, "PERMIT"))
        why = signal(guard_pv(PREFIX, name, "REASON"), string=True)

        def tried(value):
            put.put(value, wait=True)
            return reason.get(use_monitor=False)

        readback = signal(f"{PREFIX}{place}:{setting}_RBV")
        until(lambda: readback.get(use_monitor=False) is not None and readback.alarm_severity == 0, 30)
        before = put.get(use_monitor=False)
        until(lambda: tried(before + 1.0) == "", 30)
        assert put.get(use_monitor=False) == pytest.approx(before + 1.0)
        why.put("the vacuum failed", wait=True)
        permit.put(0, wait=True)
        until(lambda: tried(before + 2.0) == "the vacuum failed", 30)
        assert put.get(use_monitor=False) == pytest.approx(before + 1.0)
        if name == "transport":
            count = signal(f"{PREFIX}TRANSPORT:COUNT_RBV")
            measured = count.get(use_monitor=False)
            signal(f"{PREFIX}TRANSPORT:MEASURE").put(1, wait=True)
            assert reason.get(use_monitor=False) == "the vacuum failed"
            assert count.get(use_monitor=False) == measured
        permit.put(1, wait=True)
        until(lambda: tried(before + 2.0) == "", 30)
    finally:
        simulator.stop()


def test_the_guard_permits_refuses_and_is_missed(bridge, guard, source, until, signal):
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
