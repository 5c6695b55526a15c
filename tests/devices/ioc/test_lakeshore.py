"""Dialogue with a Lake Shore 336, against one simulated on TCP: ramps, settling, sensors and heaters that fail."""

from __future__ import annotations

import time

import pytest

from devices.ioc.lakeshore import Cryostat, LakeShore, Settling
from devices.ioc.link import LinkError, RefusedError, ReplyError, VisaLink
from devices.ioc.settings import CryostatBridgeSettings
from tests.devices.ioc.lakeshore_simulator import LakeShoreSimulator

SPEED = 2000.0


@pytest.fixture
def lakeshore():
    simulator = LakeShoreSimulator(SPEED)
    yield simulator
    simulator.stop()


@pytest.fixture
def make(lakeshore):
    lines = []

    def connect(**changes):
        chosen = {"rate_k_per_min": 3.0, "heater_range": 3, "window_s": 0.2, "settled_k_per_min": 0.05 * SPEED}
        settings = CryostatBridgeSettings(lakeshore.address, timeout_s=0.3, **{**chosen, **changes})
        lines.append(VisaLink(settings))
        return Cryostat(LakeShore(lines[-1], settings), settings)

    yield connect
    for line in lines:
        line.close()


def run(cryostat, until=lambda cryostat: cryostat.settled, seconds=20.0):
    end = time.monotonic() + seconds
    while not until(cryostat):
        assert time.monotonic() < end, cryostat.reading
        cryostat.read(time.monotonic())


def test_a_set_point_is_ramped_and_settled_when_stage_and_sample_rest(make, lakeshore):
    cryostat = make()
    cryostat.adopt()
    cryostat.read(time.monotonic())
    assert (cryostat.target_k, cryostat.reading.ramp_k) == (150.0, 150.0)
    assert cryostat.ask_for(120.0) == ""
    assert not cryostat.settled
    assert lakeshore.ramp_on
    assert lakeshore.heater_range == 3
    cryostat.read(time.monotonic())
    assert 120.0 < cryostat.reading.ramp_k <= 150.0
    assert cryostat.reading.ramping
    run(cryostat)
    assert cryostat.reading.stage_k == pytest.approx(120.0, abs=0.05)
    assert cryostat.reading.sample_k > cryostat.reading.stage_k
    order = [line.split()[0] for line in lakeshore.heard if line.startswith(("RAMP ", "SETP "))]
    assert order == ["RAMP", "SETP"], "the ramp is on before the set point changes"


def test_the_same_set_point_again_stays_settled(make):
    cryostat = make()
    cryostat.adopt()
    run(cryostat)
    cryostat.ask_for(150.0)
    cryostat.read(time.monotonic())
    assert cryostat.settled


def test_what_is_outside_the_limits_changes_nothing(make, lakeshore):
    cryostat = make(limits_k=(4.0, 300.0))
    cryostat.adopt()
    for kelvin in (3.9, 301.0, float("nan")):
        with pytest.raises(RefusedError, match="outside 4 to 300 K"):
            cryostat.ask_for(kelvin)
    with pytest.raises(RefusedError, match=r"outside 0\.1 to 5 K/min"):
        cryostat.ask_rate(7.0)
    assert not [line for line in lakeshore.heard if line.startswith(("SETP ", "RAMP "))]


def test_a_set_point_that_the_controller_does_not_take_is_refused(make, lakeshore):
    lakeshore.highest_k = 200.0
    cryostat = make()
    cryostat.adopt()
    with pytest.raises(RefusedError, match="did not take a set point of 250 K"):
        cryostat.ask_for(250.0)


def test_a_heater_that_is_off_is_refused_unless_told_to_switch_it_on(make, lakeshore):
    cryostat = make(heater_range=0)
    cryostat.adopt()
    with pytest.raises(RefusedError, match="heater of output 1 is off"):
        cryostat.ask_for(120.0)
    assert lakeshore.body.target_k == 150.0
    lakeshore.heater_range, lakeshore.heater_error = 2, 1
    cryostat.ask_for(149.0)
    assert lakeshore.heater_range == 2, "one that is on stays as it is"
    cryostat.read(time.monotonic())
    assert cryostat.trouble == "heater open"


def test_a_broken_thermometer_is_no_reading(make, lakeshore):
    cryostat = make()
    cryostat.adopt()
    lakeshore.status["B"] = 128
    with pytest.raises(RefusedError, match="thermometer B: sensor over range"):
        cryostat.read(time.monotonic())
    lakeshore.status["B"] = 0
    lakeshore.replies.extend(["000", "+999.99"] * 3)
    with pytest.raises(ReplyError, match="thermometer A, K"):
        cryostat.read(time.monotonic())
    cryostat.read(time.monotonic())
    lakeshore.replies.extend(["000", "garbage"])
    assert cryostat.read(time.monotonic()).stage_k == pytest.approx(150.0)


def test_a_lost_line_keeps_the_ramp_and_the_target(make, lakeshore):
    cryostat = make()
    cryostat.adopt()
    cryostat.ask_for(140.0)
    lakeshore.stop()
    with pytest.raises(LinkError):
        cryostat.read(time.monotonic())
    lakeshore.start()
    cryostat.adopt()
    assert cryostat.target_k == 140.0
    run(cryostat)
    assert cryostat.trouble == ""


def test_a_ramp_that_is_under_way_at_the_start_is_settled_where_it_ends(make, lakeshore):
    lakeshore.ramp_on = True
    lakeshore.speed = 100.0
    lakeshore.turn_knob(145.0)
    cryostat = make()
    cryostat.adopt()
    cryostat.read(time.monotonic())
    assert cryostat.target_k is None
    assert not cryostat.settled
    lakeshore.speed = SPEED
    run(cryostat)
    assert cryostat.target_k == 145.0


def test_a_set_point_changed_by_hand_is_said(make, lakeshore):
    cryostat = make()
    cryostat.adopt()
    run(cryostat)
    lakeshore.turn_knob(200.0)
    run(cryostat, lambda cryostat: cryostat.trouble)
    assert cryostat.trouble == "the set point was changed at the controller, from 150 to 200 K"
    assert not cryostat.settled


def test_a_slow_drift_is_measured_and_is_not_rest():
    settling = Settling(60.0)
    for second in range(0, 70, 2):
        settling.add(second, 20.0 + 0.1 * second / 60.0, 20.5)
    assert settling.full
    assert settling.drifts_k_per_min() == pytest.approx((0.1, 0.0))
    settling.restart()
    assert not settling.full
    for second in (0, 100, 200):
        settling.add(second, 20.0, 20.5)
    assert settling.full, "readings further apart than the window count as well"
    settling.restart()
    assert settling.drifts_k_per_min() == (0.0, 0.0)


def test_rates_and_limits_of_the_section_must_fit():
    with pytest.raises(ValueError, match="rate_limits_k_per_min"):
        CryostatBridgeSettings("GPIB0::12::INSTR", rate_k_per_min=20.0)
    with pytest.raises(ValueError, match="limits_k"):
        CryostatBridgeSettings("GPIB0::12::INSTR", limits_k=(300.0, 4.0))
