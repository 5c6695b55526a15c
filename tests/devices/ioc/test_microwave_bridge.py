"""The microwave source through its bridge, as plans see it, on a simulated SG384."""

from __future__ import annotations

import pytest

from devices.epics import DeviceError
from devices.microwave import MicrowaveSource
from devices.settings import MicrowaveSettings


@pytest.fixture
def source(connect):
    return connect(MicrowaveSource, MicrowaveSettings())


def test_power_list_and_output(source, lab):
    source.set(-20.0).wait(10)
    assert lab.microwave.power_dbm == -20.0
    frequencies = [2800.0 + 5.0 * i for i in range(120)]
    source.prepare(frequencies).wait(20)
    assert source.list_count.get(use_monitor=False) == 120
    assert float(lab.microwave.states[-1].split(",")[0]) == pytest.approx(1e6 * frequencies[-1])
    source.enable.set(1).wait(10)
    assert lab.microwave.on
    lab.microwave.trigger()
    source.enable.set(0).wait(10)
    assert not lab.microwave.on
    assert source.frequency_mhz.get(use_monitor=False) == pytest.approx(2800.0)


def test_a_list_beyond_the_model_fails_the_plan(source, pv):
    with pytest.raises(DeviceError, match="took 120 of 2 frequencies"):
        source.prepare([2870.0, 4500.0]).wait(20)
    assert "4500 MHz is outside" in pv("MW:REASON", string=True).get(use_monitor=False)


def test_the_output_goes_off_with_the_bridge_and_at_its_start(source, lab, pv, until):
    source.enable.set(1).wait(10)
    bridge = lab.bridges["microwave"]
    assert bridge.stop() == 0
    assert not lab.microwave.on
    lab.microwave.on = True
    bridge.start()
    bridge.wait_ready()
    until(lambda: not lab.microwave.on)
    enable = pv("MW:ENABLE_RBV")
    until(lambda: enable.connected and enable.get(use_monitor=False) == 0)


def test_a_source_that_comes_back_on_is_switched_off_again(lab, until, pv):
    lab.microwave.stop()
    pv("MW:ENABLE_RBV")
    until(lambda: "SOCKET" in pv("MW:REASON", string=True).get(use_monitor=False))
    lab.microwave.on = True
    lab.microwave.start()
    until(lambda: not lab.microwave.on)
    until(lambda: pv("MW:REASON", string=True).get(use_monitor=False) == "")
