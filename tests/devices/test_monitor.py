"""The device monitor: what it publishes when values change, instruments fall silent and come back."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager

import pytest

from devices.monitor import Monitor, watched_devices
from devices.settings import DevicesSettings, LaserSettings, MagnetSettings, RubySettings, all_devices


class Heard:
    """Keeps what is published and lets a test wait for it."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.channels: dict[str, dict] = {}
        self.events: list[tuple[str, str]] = []
        self.times: dict[str, deque[float]] = {}

    def publish(self, channel, header) -> None:
        with self.condition:
            self.channels[channel] = header
            self.times.setdefault(channel, deque(maxlen=200)).append(time.monotonic())
            self.condition.notify_all()

    def event(self, severity, text, about="") -> None:
        with self.condition:
            self.events.append((str(severity), text))
            self.condition.notify_all()

    def until(self, check, timeout_s=5.0):
        with self.condition:
            assert self.condition.wait_for(lambda: check(self), timeout_s), (self.channels, self.events)


@contextmanager
def running(rows):
    heard = Heard()
    monitor = Monitor(rows, heard)
    thread = threading.Thread(target=monitor.run, daemon=True)
    thread.start()
    try:
        yield monitor, heard
    finally:
        monitor.stop()
        thread.join(2)
        assert not thread.is_alive()


def test_every_instrument_of_the_rig_and_no_other_is_watched():
    keys = [row.key for row in watched_devices(all_devices("X:"))]
    assert sorted(keys) == sorted(
        ["cryostat", "sample_temperature", "magnet", "microwave", "laser", "transport", "pressure", "ruby"]
    )
    only = watched_devices(DevicesSettings(prefix="Y:", magnet=MagnetSettings()))
    assert [(row.key, row.value_pv) for row in only] == [("magnet", "Y:MAG:FIELD_Z_GAUSS_RBV")]


def test_values_set_points_and_switches_are_published():
    rows = watched_devices(DevicesSettings(prefix="X:", laser=LaserSettings()))
    with running(rows) as (monitor, heard):
        monitor.heard("X:LASER:POWER_MW_RBV", 179.9, 0, 1000.0)
        monitor.heard("X:LASER:POWER_MW", 180.0, 0, 1000.0)
        monitor.heard("X:LASER:SHUTTER_RBV", 0, 0, 1000.0)
        heard.until(lambda h: h.channels.get("device/laser", {}).get("note") == "shutter closed")
        header = heard.channels["device/laser"]
        assert (header["value"], header["setpoint"], header["unit"]) == (179.9, 180.0, "mW")
        assert (header["severity"], header["connected"], header["time_s"]) == ("NO_ALARM", True, 1000.0)
        monitor.heard("X:LASER:SHUTTER_RBV", 1, 0, 1001.0)
        heard.until(lambda h: "note" not in h.channels["device/laser"])


def test_a_silent_instrument_is_said_to_be_silent_within_two_seconds():
    rows = watched_devices(DevicesSettings(prefix="X:", magnet=MagnetSettings()))
    with running(rows) as (monitor, heard):
        monitor.heard("X:MAG:FIELD_Z_GAUSS_RBV", 97.0, 0, 1000.0)
        heard.until(lambda h: h.channels.get("device/magnet", {}).get("connected") is True)
        monitor.lost("X:MAG:FIELD_Z_GAUSS_RBV")
        heard.until(lambda h: h.channels["device/magnet"]["connected"] is False, 2.0)
        header = heard.channels["device/magnet"]
        assert (header["severity"], header["value"]) == ("INVALID", 97.0)
        heard.until(lambda h: any(level == "MAJOR" and "Field H" in text for level, text in h.events))
        assert len(heard.events) == 1
        monitor.heard("X:MAG:FIELD_Z_GAUSS_RBV", 97.0, 1, 1001.0)
        heard.until(lambda h: h.channels["device/magnet"]["severity"] == "MINOR")
        heard.until(lambda h: h.events[-1] == ("NO_ALARM", "Field H answers again"))


def test_what_was_never_measured_has_no_value():
    rows = watched_devices(DevicesSettings(prefix="X:", ruby=RubySettings()))
    with running(rows) as (monitor, heard):
        monitor.heard("X:RUBY:PRESSURE_GPA_RBV", 0.0, 0, 1000.0)
        monitor.heard("X:RUBY:COUNT_RBV", 0, 0, 1000.0)
        heard.until(lambda h: h.channels.get("device/ruby", {}).get("note") == "not measured yet")
        assert heard.channels["device/ruby"]["value"] is None
        monitor.heard("X:RUBY:PRESSURE_GPA_RBV", 21.3, 0, 1001.0)
        monitor.heard("X:RUBY:COUNT_RBV", 1, 0, 1001.0)
        heard.until(lambda h: h.channels["device/ruby"]["value"] == 21.3)
        assert heard.events == []


def test_a_quiet_instrument_is_published_every_second_and_a_noisy_one_is_not_flooded():
    rows = watched_devices(DevicesSettings(prefix="X:", magnet=MagnetSettings()))
    with running(rows) as (monitor, heard):
        heard.until(lambda h: len(h.times.get("device/magnet", ())) >= 3, 5.0)
        stop = time.monotonic() + 0.6
        before = len(heard.times["device/magnet"])
        while time.monotonic() < stop:
            monitor.heard("X:MAG:FIELD_Z_GAUSS_RBV", time.monotonic(), 0, 1000.0)
        assert len(heard.times["device/magnet"]) - before <= 7


IOC = """
import sys
from softioc import asyncio_dispatcher, builder, softioc
builder.SetDeviceName("MON")
field = builder.aOut("MAG:FIELD_Z_GAUSS_RBV", initial_value=97.25, HIGH=150.0, HSV="MINOR", HIHI=200.0, HHSV="MAJOR")
builder.LoadDatabase()
softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher())
print("up", flush=True)
for line in sys.stdin:
    field.set(float(line))
"""

WATCH = """
import json, os, sys, threading
from devices.monitor import Monitor, connect, watched_devices
from devices.settings import DevicesSettings, MagnetSettings
class Say:
    def publish(self, channel, header): print(json.dumps({"channel": channel, **header}), flush=True)
    def event(self, severity, text, about=""): print(json.dumps({"event": text, "severity": str(severity)}), flush=True)
monitor = Monitor(watched_devices(DevicesSettings(prefix="MON:", magnet=MagnetSettings(field_z_gauss=""))), Say())
kept = connect(monitor)
monitor.run()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the IOC runs on Linux")
def test_a_real_ioc_is_watched_and_its_death_is_seen():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = dict(os.environ) | {
        "EPICS_CA_AUTO_ADDR_LIST": "NO", "EPICS_CA_ADDR_LIST": "127.0.0.1", "EPICS_CA_SERVER_PORT": str(port),
        "EPICS_CAS_SERVER_PORT": str(port), "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1", "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "PVXS_QSRV_ENABLE": "NO", "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
    }  # fmt: skip
    start = {"stdout": subprocess.PIPE, "env": environment, "text": True}
    with (
        subprocess.Popen([sys.executable, "-c", IOC], stdin=subprocess.PIPE, **start) as ioc,
        subprocess.Popen([sys.executable, "-c", WATCH], **start) as watch,
    ):
        try:
            lines: deque[dict] = deque()
            condition = threading.Condition()

            def read() -> None:
                for line in watch.stdout:
                    with condition:
                        lines.append(json.loads(line))
                        condition.notify_all()

            threading.Thread(target=read, daemon=True).start()

            def until(check, timeout_s):
                with condition:
                    assert condition.wait_for(lambda: any(check(line) for line in lines), timeout_s), list(lines)[-5:]

            until(lambda line: line.get("value") == 97.25 and line["connected"], 20)
            ioc.stdin.write("160\n")
            ioc.stdin.flush()
            until(lambda line: line.get("value") == 160.0 and line["severity"] == "MINOR", 5)
            ioc.send_signal(signal.SIGKILL)
            until(lambda line: line.get("value") == 160.0 and not line["connected"], 5)
            until(lambda line: line.get("severity") == "MAJOR" and "no answer" in line.get("event", ""), 5)
        finally:
            for process in (ioc, watch):
                process.kill()
                process.wait(5)
