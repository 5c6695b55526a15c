"""Dialogue with a PACE 5000, against one simulated on TCP: the membrane is only ever loaded, slowly, in small steps."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.ioc.link import InstrumentError, LinkError, RefusedError, ReplyError, VisaLink
from devices.ioc.pace import Membrane, Pace
from devices.ioc.settings import PressureBridgeSettings
from tests.devices.ioc.pace_simulator import PaceSimulator


@pytest.fixture
def pace():
    simulator = PaceSimulator(speed=100.0)
    yield simulator
    simulator.stop()


@pytest.fixture
def make(pace):
    lines = []

    def connect(**changes):
        chosen = PressureBridgeSettings(pace.address, timeout_s=0.3, **changes)
        lines.append(VisaLink(chosen))
        return Membrane(Pace(lines[-1], chosen), chosen, 3)

    yield connect
    for line in lines:
        line.close()


def run(membrane, seconds=10.0):
    end = time.monotonic() + seconds
    membrane.read()
    while not membrane.done:
        assert time.monotonic() < end
        membrane.read()


def test_the_membrane_is_loaded_at_the_rate_without_overshoot(make, pace):
    membrane = make(rate_bar_per_s=0.03)
    membrane.adopt()
    membrane.read()
    assert (membrane.pressure_bar, membrane.target_bar, membrane.done) == (20.0, 20.0, True)
    assert not pace.control, "nothing moves at the start"
    assert membrane.ask_for(22.0) == ""
    membrane.read()
    assert not membrane.done
    run(membrane)
    assert membrane.pressure_bar == pytest.approx(22.0, abs=0.05)
    assert (pace.mode, pace.overshoot, pace.rate) == ("LIN", "0", 0.03)
    assert membrane.load_index == 4
    puts = [line.split()[0] for line in pace.heard if "?" not in line]
    assert puts == [":SOUR:PRES:SLEW:MODE", ":SOUR:PRES:SLEW:OVER", ":SOUR:PRES:SLEW", ":SOUR:PRES", ":OUTP:STAT"]


def test_pressure_never_decreases(make, pace):
    membrane = make()
    membrane.adopt()
    with pytest.raises(RefusedError, match=r"19 bar is below the present 19\.95 bar: pressure only increases"):
        membrane.ask_for(19.0)
    membrane.ask_for(25.0)
    with pytest.raises(RefusedError, match=r"24\.9 bar is below the present 25 bar"):
        membrane.ask_for(24.9)
    membrane.ask_for(25.0)
    assert (membrane.load_index, pace.set_bar) == (4, 25.0), "the same again is no new point"


def test_jumps_and_the_limit_are_refused(make, pace):
    membrane = make(limit_bar=40.0, step_limit_bar=5.0)
    membrane.adopt()
    with pytest.raises(RefusedError, match="at most 5 bar at once"):
        membrane.ask_for(30.0)
    for bar in (41.0, float("nan"), float("inf")):
        with pytest.raises(RefusedError, match="above the limit of 40 bar"):
            membrane.ask_for(bar)
    assert pace.set_points == []


def test_after_a_mains_loss_the_membrane_is_not_let_down(make, pace):
    membrane = make()
    membrane.adopt()
    membrane.ask_for(24.0)
    run(membrane)
    pace.stop()
    pace.switch_off()
    with pytest.raises(LinkError):
        membrane.read()
    pace.start()
    membrane.adopt()
    membrane.read()
    assert not pace.control
    assert "stopped controlling" in membrane.trouble
    assert membrane.target_bar == pytest.approx(24.0, abs=0.05)
    with pytest.raises(RefusedError, match="below the present"):
        membrane.ask_for(1.0)
    membrane.ask_for(24.5)
    run(membrane)
    assert min(pace.set_points) == 24.0
    assert membrane.trouble == ""


def test_a_set_point_changed_by_hand_is_said(make, pace):
    membrane = make()
    membrane.adopt()
    membrane.ask_for(21.0)
    pace.set_bar = 26.0
    membrane.read()
    assert membrane.trouble == "the set point was changed at the controller, from 21 to 26 bar"


def test_what_the_controller_does_not_take_is_refused_with_its_reason(make, pace):
    pace.highest_bar = 21.0
    membrane = make()
    membrane.adopt()
    with pytest.raises(RefusedError, match=r"took :SOUR:PRES 0\.00000 instead of 22\.0000: Data out of range"):
        membrane.ask_for(22.0)
    assert not pace.control
    assert membrane.load_index == 3


def test_what_cannot_be_is_refused(make, pace):
    membrane = make()
    membrane.adopt()
    pace.replies.extend([":SENS:PRES 9999.0"] * 3)
    with pytest.raises(ReplyError, match="pressure, bar"):
        membrane.read()
    membrane.read()
    pace.replies.extend([":OUTP:STAT 1"] * 3)
    with pytest.raises(ReplyError, match="belongs to another question"):
        membrane.read()
    pace.unit = "MPA"
    with pytest.raises(RefusedError, match="counts in MPA: set its unit to BAR"):
        membrane.adopt()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(st.floats(0.0, 60.0), max_size=6))
def test_no_order_of_puts_ever_lets_the_pressure_down(make, pace, asked):
    membrane = make()
    membrane.adopt()
    for bar in asked:
        before, point = pace.membrane.value, len(pace.set_points)
        try:
            membrane.ask_for(bar)
        except InstrumentError:
            assert len(pace.set_points) == point
        assert pace.membrane.value >= before - 1e-9
        assert pace.set_points == sorted(pace.set_points)
