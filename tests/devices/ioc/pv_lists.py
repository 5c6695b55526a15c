"""Writes the records of the twin and of every bridge as EPICS databases: FOLDER/twin.db and FOLDER/bridges.db."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from softioc import builder

from devices.ioc.panel import Panel
from devices.ioc.permit import NoGuard
from devices.ioc.settings import (
    BridgeProcess,
    BridgesSettings,
    CryostatBridgeSettings,
    LockinSettings,
    MicrowaveBridgeSettings,
    PressureBridgeSettings,
    SupplySettings,
)
from devices.settings import TwinSettings
from devices.twin.records import TwinRecords
from devices.twin.rig import TwinRig
from stream.settings import StreamSettings

NOWHERE = "TCPIP::127.0.0.1::9::SOCKET"
SETTINGS = BridgesSettings(
    magnet=SupplySettings(NOWHERE, kind="kepco"),
    cryostat=CryostatBridgeSettings(NOWHERE),
    microwave=MicrowaveBridgeSettings(NOWHERE),
    pressure=PressureBridgeSettings(NOWHERE),
    lockin=LockinSettings(NOWHERE, model="sr860", series_ohm=1e4),
)
REASONS = {"magnet": "MAG", "cryostat": "CRYO", "microwave": "MW", "pressure": "DAC", "transport": "TRANSPORT"}


def main(which: str, folder: Path) -> None:
    if which == "twin":
        TwinRecords(TwinRig(TwinSettings(height=16, width=16)), "X:", lambda: None, NoGuard())
    else:
        stream = StreamSettings(runtime_dir=str(folder), data_dir=str(folder))
        for name, place in REASONS.items():
            panel = Panel("X:", f"{place}:REASON", name, NoGuard())
            module = importlib.import_module(f"devices.ioc.{name}")
            module.make(panel, BridgeProcess(stream, name, 1, "X:", SETTINGS))
    builder.WriteRecords(str(folder / f"{which}.db"))


main(sys.argv[1], Path(sys.argv[2]))
