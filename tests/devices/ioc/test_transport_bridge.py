"""The transport meter through its bridge, as plans see it, on a simulated SR860."""

from __future__ import annotations

import pytest

from devices.epics import DeviceError
from devices.settings import TransportSettings
from devices.transport import TransportMeter


def test_measures_once_per_trigger(connect, lab):
    meter = connect(TransportMeter, TransportSettings())
    meter.set(20.0).wait(10)
    assert lab.lockin.sine_v == pytest.approx(0.2)
    before = meter.count.get(use_monitor=False)
    meter.trigger().wait(20)
    assert meter.count.get(use_monitor=False) == before + 1
    sigma = meter.sigma_ohm.get(use_monitor=False)
    assert 0 < sigma < 0.01
    assert meter.resistance_ohm.get(use_monitor=False) == pytest.approx(2.5, abs=6 * sigma)
    assert meter.measure.get(use_monitor=False) == 0


def test_a_measurement_that_fails_is_not_counted_and_says_why(connect, lab, pv):
    meter = connect(TransportMeter, TransportSettings())
    lab.lockin.status = 8
    with pytest.raises(DeviceError, match="no resistance: lock-in: reference unlocked"):
        meter.trigger().wait(20)
    lab.lockin.status = 0
    assert pv("TRANSPORT:REASON", string=True).get(use_monitor=False) == "lock-in: reference unlocked"
    meter.trigger().wait(20)
    assert pv("TRANSPORT:REASON", string=True).get(use_monitor=False) == ""
