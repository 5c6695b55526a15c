"""Dialogue with the magnet's supply, against a simulated Kepco on TCP: ramps, limits, faults."""

from __future__ import annotations

import itertools
import time

import pytest

from devices.ioc.link import LinkError, RefusedError, ReplyError, VisaLink
from devices.ioc.settings import SupplySettings
from devices.ioc.supply import Coil, Supply
from tests.devices.ioc.supply_simulator import SupplySimulator


@pytest.fixture
def kepco():
    simulator = SupplySimulator()
    yield simulator
    simulator.stop()


@pytest.fixture
def make(kepco):
    lines = []

    def connect(**changes):
        settings = SupplySettings(kepco.address, timeout_s=0.3, kind="kepco", rate_limit_a_per_s=50.0, **changes)
        lines.append(VisaLink(settings))
        return Coil(Supply(lines[-1], settings), settings)

    yield connect
    for line in lines:
        line.close()


def run(coil, until=lambda coil: coil.done, seconds=10.0):
    """Tick as the bridge does, by wall time."""
    last = end = time.monotonic()
    end += seconds
    while not until(coil):
        assert time.monotonic() < end, (coil.measured_a, coil.trouble)
        now = time.monotonic()
        coil.tick(now - last)
        last = now


def test_a_ramp_rises_steadily_and_never_overshoots(make, kepco):
    coil = make(rate_a_per_s=8.0)
    coil.adopt()
    assert kepco.mode == "CURR"
    assert coil.done
    assert coil.ask_for(4.0234) == ""
    assert not coil.done
    began = time.monotonic()
    run(coil)
    assert kepco.output
    assert coil.measured_a == pytest.approx(4.0234, abs=0.002)
    assert time.monotonic() - began > 0.45, "no faster than its rate"
    assert all(a <= b for a, b in itertools.pairwise(kepco.set_points))
    assert max(kepco.set_points) == pytest.approx(4.0234)
    coil.ask_for(-1.0)
    run(coil)
    assert min(kepco.set_points) == -1.0


def test_a_process_that_was_held_up_makes_no_jump(make, kepco):
    coil = make(rate_a_per_s=0.5)
    coil.adopt()
    coil.ask_for(4.0)
    coil.tick(3600.0)
    assert kepco.set_points[-1] == 0.5


def test_limits_hold_before_and_at_the_supply(make, kepco):
    coil = make(limit_a=5.0)
    coil.adopt()
    assert "beyond the limit of 5 A" in coil.ask_for(5.1)
    assert "beyond the limit" in coil.ask_for(float("nan"))
    assert coil.target_a == 0.0
    kepco.largest_a = 0.5
    coil.rate_a_per_s = 1.0
    coil.ask_for(2.0)
    coil.tick(0.4)
    with pytest.raises(RefusedError, match=r"took 0.4 A instead of 1.4 A: Data out of range"):
        coil.tick(1.0)


def test_at_the_start_the_field_that_is_there_is_taken_over(make, kepco):
    kepco.output, kepco.set_a = True, 3.5
    kepco.coil.target = kepco.coil.value = 3.5
    coil = make()
    coil.adopt()
    for _ in range(3):
        coil.tick(1.0)
    assert coil.done
    assert coil.target_a == 3.5
    assert kepco.set_points == []


def test_a_cut_line_holds_the_ramp_which_goes_on_afterwards(make, kepco):
    coil = make(rate_a_per_s=4.0)
    coil.adopt()
    coil.ask_for(4.0)
    run(coil, lambda coil: coil.measured_a > 1.0)
    kepco.stop()
    held = kepco.set_a
    with pytest.raises(LinkError):
        coil.tick(1.0)
    assert kepco.set_a == held
    kepco.start()
    coil.adopt()
    assert coil.trouble == ""
    run(coil)
    assert coil.measured_a == pytest.approx(4.0, abs=0.002)
    assert all(a <= b for a, b in itertools.pairwise(kepco.set_points))


def test_after_a_mains_loss_nothing_restarts_by_itself(make, kepco):
    coil = make(rate_a_per_s=20.0)
    coil.adopt()
    coil.ask_for(4.0)
    run(coil)
    kepco.stop()
    kepco.switch_off()
    with pytest.raises(LinkError):
        coil.tick(0.1)
    kepco.start()
    before = len(kepco.set_points)
    coil.adopt()
    for _ in range(3):
        coil.tick(1.0)
    assert kepco.set_points[before:] == []
    assert not kepco.output
    assert "was left at 4 A" in coil.trouble
    assert coil.ask_for(1.0) == ""
    assert (kepco.output, kepco.set_a, coil.trouble) == (True, 0.0, ""), "on again from zero"
    run(coil)


def test_an_output_that_goes_off_is_noticed(make, kepco):
    coil = make(rate_a_per_s=20.0)
    coil.adopt()
    coil.ask_for(2.0)
    run(coil)
    kepco.output = False
    coil.tick(0.1)
    assert coil.trouble == "the supply has switched its output off"
    assert (coil.measured_a, coil.target_a) == (0.0, 0.0)


def test_a_ramp_waits_for_an_open_coil_and_says_so(make, kepco):
    coil = make(rate_a_per_s=1.0, follow_a=0.3, follow_s=1.0)
    coil.adopt()
    coil.ask_for(4.0)
    kepco.open_coil = True
    for _ in range(8):
        coil.tick(0.2)
    assert kepco.set_a <= 0.6, "it must not wind up"
    assert not coil.done
    coil.tick(0.5)
    assert "does not follow" in coil.trouble


def test_answers_that_cannot_be_are_refused(make, kepco):
    coil = make()
    coil.adopt()
    kepco.replies.extend(["0.0", "1e6"] * 3)
    with pytest.raises(ReplyError, match="measured current"):
        coil.tick(0.1)
    coil.tick(0.1)
    kepco.replies.append("TDK-LAMBDA,X,1,1")
    with pytest.raises(RefusedError, match="is no kepco"):
        coil.adopt()


def test_rates_and_limits_of_the_section_must_fit():
    with pytest.raises(ValueError, match="rate_limit_a_per_s"):
        SupplySettings("GPIB0::6::INSTR", rate_a_per_s=2.0)
    with pytest.raises(ValueError, match="limit_a"):
        SupplySettings("GPIB0::6::INSTR", limit_a=0.0)
