"""A laboratory: simulated instruments on TCP, and the bridge of each as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from devices.ioc.settings import (
    BridgeProcess,
    BridgesSettings,
    CryostatBridgeSettings,
    LockinSettings,
    MicrowaveBridgeSettings,
    PressureBridgeSettings,
    SupplySettings,
)
from stream.health import ready_path
from stream.settings import StreamSettings, dump_settings
from tests.devices.ioc.lakeshore_simulator import LakeShoreSimulator
from tests.devices.ioc.lockin_simulator import LockinSimulator
from tests.devices.ioc.pace_simulator import PaceSimulator
from tests.devices.ioc.sg380_simulator import SourceSimulator
from tests.devices.ioc.supply_simulator import SupplySimulator

PREFIX = "BRIDGE:"
SPEED = 2000.0
"""Simulated seconds per second of what is slow."""


class RunningBridge:
    """One bridge; it can be ended and started again."""

    def __init__(self, folder, process, port):
        self.file = folder / f"{process.name}.json"
        self.log = folder / f"{process.name}.log"
        self.ready = ready_path(process.stream, process.name)
        self.module = f"devices.ioc.{process.name}"
        self.environment = {**os.environ, "EPICS_CA_SERVER_PORT": str(port)}
        self.process = None
        dump_settings(process, self.file)

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, str(self.file)], env=self.environment, stdout=log, stderr=log
            )

    def wait_ready(self):
        deadline = time.monotonic() + 60
        while not self.ready.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop(self):
        process, self.process = self.process, None
        if process is None:
            return 0
        process.terminate()
        return process.wait(20)


class Lab:
    """Instruments by name, and their bridges."""

    def __init__(self, folder, ports):
        self.prefix = PREFIX
        self.magnet = SupplySimulator()
        self.magnet_x = SupplySimulator()
        self.cryostat = LakeShoreSimulator(SPEED)
        self.microwave = SourceSimulator()
        self.pressure = PaceSimulator(speed=500.0)
        self.lockin = LockinSimulator("SR860", series_ohm=1e4)
        self.simulators = (
            self.magnet,
            self.magnet_x,
            self.cryostat,
            self.microwave,
            self.pressure,
            self.lockin,
        )
        self.settings = BridgesSettings(
            magnet=SupplySettings(
                self.magnet.address,
                x_address=self.magnet_x.address,
                kind="kepco",
                timeout_s=0.5,
                poll_s=0.05,
                rate_a_per_s=20.0,
                rate_limit_a_per_s=50.0,
                limit_a=8.0,
            ),
            cryostat=CryostatBridgeSettings(
                self.cryostat.address,
                timeout_s=0.5,
                poll_s=0.05,
                rate_k_per_min=3.0,
                heater_range=3,
                window_s=0.3,
                settled_k_per_min=0.05 * SPEED,
            ),
            microwave=MicrowaveBridgeSettings(self.microwave.address, timeout_s=0.5, poll_s=0.1),
            pressure=PressureBridgeSettings(self.pressure.address, timeout_s=0.5, poll_s=0.05),
            lockin=LockinSettings(
                self.lockin.address, model="sr860", timeout_s=0.5, poll_s=0.2, series_ohm=1e4, power_limit_uw=1000.0
            ),
        )
        stream = StreamSettings(runtime_dir=str(folder / "run"), data_dir=str(folder / "data"))
        self.bridges = {
            name: RunningBridge(folder, BridgeProcess(stream, name, port, PREFIX, self.settings), port)
            for name, port in zip(self.settings.names(), ports, strict=False)
        }
        for bridge in self.bridges.values():
            bridge.start()
        for bridge in self.bridges.values():
            bridge.wait_ready()

    def close(self):
        for bridge in self.bridges.values():
            bridge.stop()
        for simulator in self.simulators:
            simulator.stop()
