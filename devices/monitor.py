"""The device monitor: what the instruments say now, for everyone who looks. `python -m devices.monitor SETTINGS.json`.

It watches PVs and sets none. A channel `device/<key>` is published when something of it changes, and once a second in
any case, so that silence means that the monitor is gone and not that nothing happens. An instrument that does not
answer is shown as not connected, with the last value it gave.
"""

from __future__ import annotations

import logging
import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any, Protocol

from devices.processes import MonitorProcess
from devices.settings import DevicesSettings
from stream.health import clear_ready, mark_ready
from stream.logs import log_to_stderr
from stream.messages import Json, Severity
from stream.metrics import ProcessMetrics
from stream.settings import load_settings

log = logging.getLogger("monitor")

BEAT_S = 1.0
"""Longest time between two updates of a device, s."""
PACE_S = 0.15
"""Shortest time between two rounds of updates, s: a ramp is shown, not flooded."""
NOT_YET = "not measured yet"
"""Said of a device that measures on demand and has not done so."""
SEVERITIES = (Severity.NO_ALARM, Severity.MINOR, Severity.MAJOR, Severity.INVALID)
"""By EPICS number."""


class Publisher(Protocol):
    """What is needed of `stream.state.StatePublisher`."""

    def publish(self, channel: str, header: Json) -> None:
        """Make this the newest value of the channel."""
        ...

    def event(self, severity: Severity | str, text: str, about: str = "") -> None:
        """Add a line to the events."""
        ...


@dataclass(frozen=True)
class Watched:
    """One device as it is shown."""

    key: str
    """Name of the channel after `device/`."""
    label: str
    """What a person calls it."""
    unit: str
    """Unit of value and set point."""
    value_pv: str
    """PV of the value."""
    setpoint_pv: str = ""
    """PV of the set point; empty without one."""
    switch_pv: str = ""
    """PV that is 0 where the device is off, or has not measured yet; empty without one."""
    off_note: str = ""
    """What is said where that is 0."""
    on_demand: bool = False
    """Whether a value comes only when a measurement is asked for, so that its own time matters."""

    @property
    def pvs(self) -> list[str]:
        """Return the names of all PVs of the device."""
        return [name for name in (self.value_pv, self.setpoint_pv, self.switch_pv) if name]


def watched_devices(devices: DevicesSettings) -> list[Watched]:
    """Return what is shown of the instruments that the rig has."""
    rows: list[Watched] = []
    if (cryo := devices.cryostat) is not None:
        rows.append(Watched("sample_temperature", "Sample T", "K", cryo.sample_k))
        rows.append(Watched("cryostat", "Stage T", "K", cryo.stage_k, cryo.temperature_k))
    if (magnet := devices.magnet) is not None:
        rows.append(Watched("magnet", "Field H", "G", magnet.field_z_gauss_rbv, magnet.field_z_gauss))
    if (source := devices.microwave) is not None:
        names = (source.power_dbm_rbv, source.power_dbm, source.enable_rbv)
        rows.append(Watched("microwave", "Microwave", "dBm", *names, off_note="off"))
    if (laser := devices.laser) is not None:
        names = (laser.power_mw_rbv, laser.power_mw, laser.shutter_rbv)
        rows.append(Watched("laser", "Laser", "mW", *names, off_note="shutter closed"))
    if (membrane := devices.pressure) is not None:
        rows.append(Watched("pressure", "Membrane", "bar", membrane.membrane_bar_rbv, membrane.membrane_bar))
    if (meter := devices.transport) is not None:
        rows.append(Watched("transport", "Resistance", "Ω", meter.resistance_ohm, "", meter.count, NOT_YET, True))
    if (ruby := devices.ruby) is not None:
        rows.append(Watched("ruby", "Ruby", "GPa", ruby.pressure_gpa, "", ruby.count, NOT_YET, True))
    return [_with_prefix(row, devices.prefix) for row in rows]


def _with_prefix(row: Watched, prefix: str) -> Watched:
    names = {name: getattr(row, name).replace("{P}", prefix) for name in ("value_pv", "setpoint_pv", "switch_pv")}
    return replace(row, **names)


@dataclass
class _Reading:
    """Newest news of one PV; written by the Channel Access thread as a whole object."""

    value: float = math.nan
    severity: Severity = Severity.INVALID
    time_s: float = 0.0
    connected: bool = False


@dataclass
class Monitor:
    """Watches PVs and publishes devices until told to stop.

    Parameters
    ----------
    rows
        What to watch.
    publisher
        Where to say it.
    """

    rows: list[Watched]
    publisher: Publisher
    _readings: dict[str, _Reading] = field(default_factory=dict[str, _Reading])
    _shown: dict[str, tuple[bool, Severity]] = field(default_factory=dict[str, tuple[bool, Severity]])
    _met: set[str] = field(default_factory=set[str])
    _dirty: set[str] = field(default_factory=set[str])
    _wake: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopping: bool = False

    def heard(self, pv: str, value: object, severity: int, time_s: float) -> None:
        """Take a new value of a PV; called from any thread."""
        number = float(value) if isinstance(value, int | float) else math.nan
        level = SEVERITIES[severity] if 0 <= severity < len(SEVERITIES) else Severity.INVALID
        self._take(pv, _Reading(number, level, time_s, connected=True))

    def lost(self, pv: str) -> None:
        """Take note that a PV does not answer any more; called from any thread."""
        last = self._readings.get(pv, _Reading())
        self._take(pv, _Reading(last.value, Severity.INVALID, last.time_s, connected=False))

    def stop(self) -> None:
        """End `run` soon. Takes no lock, so that a signal handler may call it."""
        self._stopping = True

    def run(self) -> None:
        """Publish changes as they come and every device once a second, until stopped."""
        beat, pause = 0.0, threading.Event()
        while not self._stopping:
            began = time.monotonic()
            self._wake.wait(PACE_S)
            self._wake.clear()
            with self._lock:
                changed, self._dirty = self._dirty, set()
            everything = began - beat >= BEAT_S
            if everything:
                beat = began
            for row in self.rows:
                if everything or changed.intersection(row.pvs):
                    self.show(row)
            # Paces the rounds: what comes meanwhile is collected and goes out together.
            pause.wait(max(0.0, began + PACE_S - time.monotonic()))

    def show(self, row: Watched) -> None:
        """Publish one device, and an event where it came, went or changed its severity."""
        header = self.header(row)
        self.publisher.publish(f"device/{row.key}", header)
        now = (bool(header["connected"]), Severity(str(header["severity"])))
        before = self._shown.get(row.key)
        self._shown[row.key] = now
        first = row.key not in self._met
        if now[0]:
            self._met.add(row.key)
        if before is None or before == now or first:
            return
        if before[0] != now[0]:
            text = f"{row.label} answers again" if now[0] else f"{row.label}: no answer from {row.value_pv}"
            self.publisher.event(Severity.NO_ALARM if now[0] else Severity.MAJOR, text, f"{row.key} link")
        else:
            value = f"{header['value']:.5g} {row.unit}" if isinstance(header["value"], float) else "no value"
            self.publisher.event(now[1], f"{row.label}: {now[1]} at {value}", row.key)

    def header(self, row: Watched) -> Json:
        """Return what is published of a device."""
        value = self._readings.get(row.value_pv, _Reading())
        switch = self._readings.get(row.switch_pv)
        header: Json = {
            "label": row.label,
            "value": value.value if math.isfinite(value.value) else None,
            "setpoint": self._number(row.setpoint_pv),
            "unit": row.unit,
            "severity": str(value.severity if value.connected else Severity.INVALID),
            "time_s": value.time_s,
            "connected": value.connected,
            "on_demand": row.on_demand,
        }
        if switch is not None and switch.connected and switch.value == 0:
            header["note"] = row.off_note
            if row.on_demand:
                header["value"] = None
        return header

    def _number(self, pv: str) -> float | None:
        value = self._readings.get(pv, _Reading()).value
        return value if math.isfinite(value) else None

    def _take(self, pv: str, reading: _Reading) -> None:
        with self._lock:
            self._readings[pv] = reading
            self._dirty.add(pv)
        self._wake.set()


def connect(monitor: Monitor) -> list[object]:
    """Watch the PVs of a monitor over Channel Access; returns what must be kept alive."""
    from devices.channel_access import quiet_repeater

    quiet_repeater()
    names = sorted({pv for row in monitor.rows for pv in row.pvs})
    return [_watch(name, monitor) for name in names]


def _watch(name: str, monitor: Monitor) -> object:
    import epics

    make_pv: Callable[..., object] = epics.PV

    def on_value(value: object = None, severity: Any = 3, timestamp: Any = None, **_others: object) -> None:
        monitor.heard(name, value, int(severity or 0), float(timestamp or time.time()))

    def on_connection(conn: bool = False, **_others: object) -> None:
        if not conn:
            monitor.lost(name)

    return make_pv(name, form="time", auto_monitor=True, callback=on_value, connection_callback=on_connection)


def main(arguments: list[str]) -> None:
    """Run the monitor from its settings file."""
    from stream.state import StatePublisher

    log_to_stderr("monitor")
    process = load_settings(MonitorProcess, arguments[0])
    clear_ready(process.stream, "monitor")
    port = process.stream.metrics_port
    with StatePublisher(process.stream, "monitor") as publisher, ProcessMetrics("monitor", port):
        monitor = Monitor(watched_devices(process.devices), publisher)

        def end(_number: int, _frame: FrameType | None) -> None:
            monitor.stop()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        kept = connect(monitor)
        log.info("watching %d PVs of %d devices", len(kept), len(monitor.rows))
        mark_ready(process.stream, "monitor")
        monitor.run()
    clear_ready(process.stream, "monitor")


if __name__ == "__main__":
    main(sys.argv[1:])
