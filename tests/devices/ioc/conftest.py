"""Devices and PVs on the bridges of the laboratory."""

from __future__ import annotations

import time

import pytest


@pytest.fixture
def connect(lab):
    """Connects an ophyd device to the bridges."""
    from devices.epics import wait_connected

    made = []

    def make(kind, settings):
        device = kind(lab.prefix, settings, name=kind.__name__.lower())
        made.append(device)
        wait_connected({device.name: device}, 10)
        return device

    yield make
    for device in made:
        device.destroy()


@pytest.fixture
def pv(lab):
    """Gives the PV of a name, connected."""
    from ophyd import EpicsSignal

    made = {}

    def find(name, string=False):
        if name not in made:
            made[name] = EpicsSignal(lab.prefix + name, name=name.lower().replace(":", "_"), string=string)
            made[name].wait_for_connection(timeout=10)
        return made[name]

    yield find
    for signal in made.values():
        signal.destroy()


@pytest.fixture
def until():
    """Waits for a condition on the instruments."""

    def wait(condition, seconds=10.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    return wait
