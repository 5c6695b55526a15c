"""The coils through their bridge, as plans see them: the same device as on the twin, on a simulated Kepco."""

from __future__ import annotations

import itertools

import pytest
from ophyd.utils.epics_pvs import AlarmSeverity

from devices.epics import DeviceError
from devices.magnet import Magnet
from devices.settings import MagnetSettings
from devices.waiting import FreshReading

GAUSS_PER_AMPERE = 24.11


@pytest.fixture
def magnet(connect):
    device = connect(Magnet, MagnetSettings(tolerance_gauss=0.1))
    yield device
    device.set(0.0).wait(20)


def test_the_field_ramps_without_overshoot_and_stands(magnet, lab):
    first = len(lab.magnet.set_points)
    magnet.set(97.0).wait(20)
    assert magnet.field_z_gauss_rbv.get(use_monitor=False) == pytest.approx(97.0, abs=0.1)
    assert magnet.current_a.get(use_monitor=False) == pytest.approx(97.0 / GAUSS_PER_AMPERE, abs=0.003)
    steps = lab.magnet.set_points[first:]
    assert all(a <= b for a, b in itertools.pairwise(steps))
    assert steps[-1] == pytest.approx(97.0 / GAUSS_PER_AMPERE, abs=1e-4)


def test_both_coils_are_one_magnet(magnet, lab):
    magnet.transverse.set(12.0).wait(20)
    assert lab.magnet_x.set_a == pytest.approx(12.0 / GAUSS_PER_AMPERE, abs=1e-3)
    assert lab.magnet.set_a == 0.0
    magnet.transverse.set(0.0).wait(20)


def test_a_refusal_comes_with_its_reason_and_the_old_value_comes_back(magnet, pv):
    magnet.set(20.0).wait(20)
    with pytest.raises(DeviceError, match=r"200 G refused: 8\.295 A is beyond the limit of 8 A"):
        magnet.set(200.0).wait(20)
    assert pv("MAG:FIELD_Z_GAUSS").get(use_monitor=False) == 20.0
    rate = pv("MAG:RATE_GAUSS_PER_S")
    before = rate.get(use_monitor=False)
    rate.put(1e5, wait=True)
    assert rate.get(use_monitor=False) == before
    assert "is outside 0 to 1205.5 G/s" in magnet.reason.get(use_monitor=False)


def test_done_falls_before_the_put_returns(magnet, pv):
    pv("MAG:RATE_GAUSS_PER_S").set(40.0).wait(5)
    pv("MAG:FIELD_Z_GAUSS").put(30.0, wait=True)
    assert pv("MAG:DONE").get(use_monitor=False) == 0
    magnet.stop()
    held = pv("MAG:FIELD_Z_GAUSS").get(use_monitor=False)
    assert 0.0 <= held < 30.0, "a stop holds the field where it is"
    pv("MAG:RATE_GAUSS_PER_S").set(480.0).wait(5)


def test_a_supply_that_is_away_is_invalid_and_refuses_with_the_reason(magnet, lab, pv, until):
    magnet.set(24.0).wait(20)
    lab.magnet.stop()
    field = pv("MAG:FIELD_Z_GAUSS_RBV")
    until(lambda: field.get(use_monitor=False) is not None and field.alarm_severity == AlarmSeverity.INVALID)
    assert pv("MAG:DONE").get(use_monitor=False) == 0
    with pytest.raises(DeviceError, match=r"30 G refused: TCPIP::127\.0\.0\.1"):
        magnet.set(30.0).wait(20)
    reading = FreshReading(magnet.field_z_gauss_rbv)
    with pytest.raises(DeviceError, match=r"MAG:FIELD_Z_GAUSS_RBV is INVALID"):
        reading.trigger().wait(10)
    lab.magnet.start()
    until(lambda: pv("MAG:DONE").get(use_monitor=False) == 1)
    assert lab.magnet.set_a == pytest.approx(24.0 / GAUSS_PER_AMPERE, abs=1e-3), "the field held"
    assert magnet.reason.get(use_monitor=False) == ""
    reading.trigger().wait(10)
    assert reading.value == pytest.approx(24.0, abs=0.1)


def test_a_bridge_that_restarts_takes_the_field_over(magnet, lab, pv, until):
    magnet.set(48.0).wait(20)
    steps = len(lab.magnet.set_points)
    bridge = lab.bridges["magnet"]
    assert bridge.stop() == 0
    assert lab.magnet.output, "the field holds while nobody watches"
    bridge.start()
    bridge.wait_ready()
    field = pv("MAG:FIELD_Z_GAUSS")
    field.wait_for_connection(timeout=20)
    until(lambda: field.connected and field.get(use_monitor=False) == pytest.approx(48.0, abs=0.05))
    until(lambda: pv("MAG:DONE").get(use_monitor=False) == 1)
    assert len(lab.magnet.set_points) == steps
