"""The membrane through its bridge, as plans see it, on a simulated PACE 5000."""

from __future__ import annotations

import pytest
from ophyd.utils import LimitError

from devices.epics import DeviceError
from devices.pressure import Membrane
from devices.settings import PressureSettings


@pytest.fixture
def membrane(connect):
    return connect(Membrane, PressureSettings())


def test_a_point_is_loaded_and_counted(membrane, lab):
    before, index = membrane.membrane_bar_rbv.get(use_monitor=False), membrane.load_index.get(use_monitor=False)
    membrane.set(before + 2.0).wait(20)
    assert membrane.membrane_bar_rbv.get(use_monitor=False) == pytest.approx(before + 2.0, abs=0.05)
    assert membrane.load_index.get(use_monitor=False) == index + 1
    with pytest.raises(LimitError, match="pressure only increases"):
        membrane.set(before)
    with pytest.raises(DeviceError, match=r"refused: .* bar is a jump from .* at most 10 bar at once"):
        membrane.set(before + 40.0).wait(20)
    assert max(lab.pressure.set_points) == pytest.approx(before + 2.0, abs=1e-3)


def test_a_decrease_past_the_device_is_refused_by_the_bridge(membrane, pv, lab):
    now = pv("DAC:MEMBRANE_BAR").get(use_monitor=False)
    pv("DAC:MEMBRANE_BAR").put(now - 5.0, wait=True)
    assert pv("DAC:MEMBRANE_BAR").get(use_monitor=False) == now
    assert "pressure only increases" in pv("DAC:REASON", string=True).get(use_monitor=False)
    assert lab.pressure.set_points == sorted(lab.pressure.set_points)


def test_a_bridge_that_restarts_keeps_the_number_of_the_point(membrane, lab, pv, until):
    membrane.set(membrane.membrane_bar_rbv.get(use_monitor=False) + 1.0).wait(20)
    index, points = membrane.load_index.get(use_monitor=False), len(lab.pressure.set_points)
    bridge = lab.bridges["pressure"]
    assert bridge.stop() == 0
    bridge.start()
    bridge.wait_ready()
    rbv = pv("DAC:LOAD_INDEX_RBV")
    until(lambda: rbv.connected and rbv.get(use_monitor=False) == index)
    assert len(lab.pressure.set_points) == points
