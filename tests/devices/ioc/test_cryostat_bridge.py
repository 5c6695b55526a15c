"""The cryostat through its bridge, as plans see it: the same device as on the twin, on a simulated Lake Shore 336."""

from __future__ import annotations

import pytest
from ophyd.utils.epics_pvs import AlarmSeverity

from devices.cryostat import Cryostat
from devices.settings import CryostatSettings


@pytest.fixture
def cryostat(connect):
    return connect(Cryostat, CryostatSettings())


def test_settles_after_the_set_point_was_taken(cryostat):
    for target in (140.0, 145.0):
        cryostat.set(target).wait(30)
        assert cryostat.stage_k.get(use_monitor=False) == pytest.approx(target, abs=0.05)
        assert cryostat.sample_k.get(use_monitor=False) > target
    assert cryostat.overshoot_k.get() < 0.2


def test_settled_falls_before_the_put_returns_and_a_stop_holds(cryostat, pv, lab, until):
    lab.cryostat.speed = 100.0
    pv("CRYO:TEMPERATURE_K").put(150.0, wait=True)
    assert pv("CRYO:SETTLED").get(use_monitor=False) == 0
    cryostat.stop()
    until(lambda: lab.cryostat.body.target_k < 150.0)
    lab.cryostat.speed = 2000.0
    cryostat.set(145.0).wait(30)


def test_a_refusal_keeps_the_set_point_and_says_why(cryostat, pv):
    pv("CRYO:TEMPERATURE_K").put(400.0, wait=True)
    assert pv("CRYO:TEMPERATURE_K").get(use_monitor=False) == pytest.approx(145.0)
    assert pv("CRYO:REASON", string=True).get(use_monitor=False) == "400 K is outside 3 to 310 K"
    pv("CRYO:RATE_K_PER_MIN").put(50.0, wait=True)
    assert pv("CRYO:RATE_K_PER_MIN").get(use_monitor=False) == pytest.approx(3.0)


def test_a_broken_sensor_is_invalid_and_not_settled(cryostat, pv, lab, until):
    lab.cryostat.status["A"] = 64
    stage = pv("CRYO:STAGE_K_RBV")
    until(lambda: stage.get(use_monitor=False) is not None and stage.alarm_severity == AlarmSeverity.INVALID)
    assert pv("CRYO:SETTLED").get(use_monitor=False) == 0
    assert pv("CRYO:REASON", string=True).get(use_monitor=False) == "thermometer A: sensor reads zero"
    lab.cryostat.status["A"] = 0
    until(lambda: pv("CRYO:SETTLED").get(use_monitor=False) == 1)
    assert pv("CRYO:REASON", string=True).get(use_monitor=False) == ""
