"""What the guard sees: the newest value of each PV it watches, and every reading that belongs into the ledger."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from devices.guard_settings import GuardInputs
from devices.ioc.history import READINGS, Record
from devices.settings import DevicesSettings

_OF_DEVICES: dict[str, dict[str, str]] = {
    "laser": {"shutter": "shutter_rbv", "laser_mw": "power_mw_rbv"},
    "microwave": {"microwave_on": "enable_rbv"},
    "transport": {"transport_ua": "current_ua_rbv"},
    "magnet": {
        "field_z_gauss": "field_z_gauss_rbv",
        "field_x_gauss": "field_x_gauss_rbv",
        "field_z_set_gauss": "field_z_gauss",
        "field_x_set_gauss": "field_x_gauss",
        "field_rate_gauss_per_s": "rate_gauss_per_s",
    },
    "cryostat": {
        "sample_k": "sample_k",
        "stage_k": "stage_k",
        "temperature_set_k": "temperature_k",
        "temperature_ramp_k": "temperature_k_rbv",
    },
    "pressure": {"membrane_bar": "membrane_bar_rbv", "membrane_set_bar": "membrane_bar"},
    "ruby": {"ruby_gpa": "pressure_gpa", "ruby_count": "count"},
}
"""Device -> reading -> field of its settings."""
_PUT_TO: dict[str, tuple[str, str]] = {
    "shutter": ("laser", "shutter"),
    "microwave_on": ("microwave", "enable"),
    "transport_ua": ("transport", "current_ua"),
}
"""Readings that are put to another PV than they are read from -> device, field of its settings."""


@dataclass(frozen=True)
class WatchedPvs:
    """Which PVs the guard watches and writes."""

    read: Mapping[str, str]
    """Reading -> PV."""
    put: Mapping[str, str]
    """Reading of a switch or a set point -> PV that is put."""


def watched_pvs(devices: DevicesSettings, inputs: GuardInputs) -> WatchedPvs:
    """Return the PVs of the instruments that a rig has."""
    read: dict[str, str] = {}
    put: dict[str, str] = {}
    for device, names in _OF_DEVICES.items():
        section: Any = getattr(devices, device)
        if section is not None:
            read |= {name: getattr(section, key) for name, key in names.items()}
    for name, (device, key) in _PUT_TO.items():
        if name in read:
            put[name] = getattr(getattr(devices, device), key)
    put |= {name: pv for name, pv in read.items() if "_set_" in name}
    read |= {item.name: getattr(inputs, item.name) for item in fields(inputs)}
    prefixed = [{name: pv.replace("{P}", devices.prefix) for name, pv in table.items() if pv} for table in (read, put)]
    return WatchedPvs(*prefixed)


SILENT_S = 3.0
"""How long a PV may be away before it counts as silent, s: a guard that starts finds them one after the other."""
START_S = 30.0
"""How long a PV that has never answered is awaited before that is told, s: a guard may start before its IOC."""


class Watcher:
    """Newest values and the records that the ledger has not got yet; all in the loop's thread.

    Parameters
    ----------
    pvs
        What to watch.
    heard
        Called after each change.
    """

    def __init__(self, pvs: WatchedPvs, heard: Callable[[], None] | None = None) -> None:
        self.pvs = pvs
        self.values: dict[str, float] = {}
        self.lost: dict[str, float] = dict.fromkeys(pvs.read, time.monotonic())
        """Readings whose PV does not answer -> since when, s."""
        self._heard = heard or (lambda: None)
        self._never = set(pvs.read)
        self._begun = time.monotonic()
        self._records: list[Record] = []
        self._kept: list[Any] = []

    def start(self) -> None:
        """Begin to watch; in the loop, after the EPICS environment is set."""
        import aioca

        for name, pv in self.pvs.read.items():
            every = name in READINGS
            taker = self._taker(name)
            self._kept.append(aioca.camonitor(pv, taker, all_updates=every, notify_disconnect=True))

    def take(self, name: str, value: float) -> None:
        """Take a reading."""
        self.lost.pop(name, None)
        self._never.discard(name)
        if not math.isfinite(value):
            return
        self.values[name] = value
        if name in READINGS:
            self._records.append(Record(time.time(), "reading", name, value))
        self._heard()

    def lose(self, name: str) -> None:
        """Take note that a PV does not answer any more."""
        if name in self.lost:
            return
        self.lost[name] = time.monotonic()
        self.values.pop(name, None)
        if name in READINGS:
            text = f"{self.pvs.read[name]} stopped answering"
            self._records.append(Record(time.time(), "lost", name, text=text))
        self._heard()

    def silent(self) -> frozenset[str]:
        """Return the readings whose PV has not answered for longer than `SILENT_S`."""
        now = time.monotonic()
        return frozenset(name for name, since in self.lost.items() if now - since > SILENT_S)

    def awaited(self) -> frozenset[str]:
        """Return the readings that have not answered yet since the start, while that is to be expected (`START_S`)."""
        return frozenset(self._never if time.monotonic() - self._begun < START_S else ())

    def add(self, record: Record) -> None:
        """Add what else belongs into the ledger."""
        self._records.append(record)

    def taken(self) -> list[Record]:
        """Return the records since the last call."""
        records, self._records = self._records, []
        return records

    async def refresh(self) -> None:
        """Read what the ledger is made of, now."""
        import aioca

        names = [name for name in READINGS if name in self.pvs.read and name not in self.lost]
        values: Any = await aioca.caget([self.pvs.read[name] for name in names], timeout=5.0, throw=False)
        for name, value in zip(names, values, strict=True):
            if value.ok:
                self.take(name, float(value))

    def _taker(self, name: str) -> Callable[[Any], None]:
        def take(value: Any) -> None:
            if value.ok:
                self.take(name, float(value))
            else:
                self.lose(name)

        return take
