"""Dialogue with a lock-in amplifier, against an SR830 and an SR860 simulated on TCP."""

from __future__ import annotations

import math

import pytest

from devices.ioc.link import RefusedError, ReplyError, VisaLink
from devices.ioc.lockin import Lockin
from devices.ioc.settings import LockinSettings
from tests.devices.ioc.lockin_simulator import LockinSimulator


@pytest.fixture(params=["SR830", "SR860"])
def amplifier(request):
    simulator = LockinSimulator(request.param, series_ohm=1e4)
    yield simulator
    simulator.stop()


@pytest.fixture
def make(amplifier):
    lines = []

    def connect(**changes):
        settings = LockinSettings(
            amplifier.address, timeout_s=0.3, model=amplifier.model.lower(), series_ohm=1e4, **changes
        )
        lines.append(VisaLink(settings))
        return Lockin(lines[-1], settings)

    yield connect
    for line in lines:
        line.close()


def finish(steps, at=None):
    """Run a measurement without its waits; `at(number)` is called before each step."""
    waits = []
    while True:
        if at is not None:
            at(len(waits))
        try:
            waits.append(next(steps))
        except StopIteration as end:
            return end.value, waits


def test_resistance_with_its_standard_deviation_and_phase(make, amplifier):
    meter = make(readings=50)
    assert amplifier.model in meter.identify()
    meter.set_current(50.0)
    assert meter.current_ua() == pytest.approx(50.0)
    resistance, waits = finish(meter.measure())
    sigma = amplifier.noise_v / 50e-6 / math.sqrt(50)
    assert resistance.sigma_ohm == pytest.approx(sigma, rel=0.4)
    assert resistance.ohm == pytest.approx(2.5, abs=4 * sigma)
    assert resistance.phase_deg == pytest.approx(math.degrees(math.atan(0.02)), abs=0.1)
    assert resistance.trouble == ""
    assert waits == pytest.approx([0.005, *[0.003] * 50]), "five and three time constants of 1 ms"


def test_the_time_constant_is_read(make, amplifier):
    amplifier.time_constant += 5
    _, waits = finish(make().measure())
    assert waits[0] == pytest.approx(5 * 0.3)


def test_excitation_within_limits_and_off_as_far_as_it_goes(make, amplifier):
    meter = make(limits_ua=(0.0, 100.0))
    for wrong in (-1.0, 100.1, float("nan")):
        with pytest.raises(RefusedError, match="is outside 0 to 100 uA"):
            meter.set_current(wrong)
    assert amplifier.sine_v == 0.1
    meter.set_current(0.0)
    assert amplifier.sine_v == (0.004 if amplifier.model == "SR830" else 1e-9)


def test_an_overload_during_a_measurement_is_no_resistance(make, amplifier):
    meter = make()

    def overload(number):
        amplifier.status = {"SR830": 1, "SR860": 16}[amplifier.model] if number > 5 else 0

    with pytest.raises(RefusedError, match="lock-in: input overload"):
        finish(meter.measure(), overload)
    amplifier.status = 0

    def unlock(number):
        amplifier.status = 8 if number > 5 else 0

    with pytest.raises(RefusedError, match="reference unlocked"):
        finish(meter.measure(), unlock)


def test_heat_and_quadrature_are_complained_of(make, amplifier):
    meter = make(power_limit_uw=0.001)
    meter.set_current(100.0)
    assert "heats the sample by 0.025 uW" in finish(meter.measure())[0].trouble
    amplifier.phase = 0.3
    assert "check phase and leads" in finish(make().measure())[0].trouble


def test_what_cannot_be_is_refused(make, amplifier):
    meter = make()
    meter.current_ua()
    amplifier.replies.extend(["1.0"] * 3)
    with pytest.raises(ReplyError, match="has 1 parts, not 2"):
        meter._link.retry(meter._xy)
    amplifier.replies.append("KEITHLEY INSTRUMENTS INC.,MODEL 6221,1,1")
    with pytest.raises(RefusedError, match="MODEL 6221"):
        meter.identify()


def test_two_transport_meters_are_refused():
    from devices.ioc.settings import BridgesSettings, DeltaSettings

    with pytest.raises(ValueError, match="keep one"):
        BridgesSettings(lockin=LockinSettings("GPIB0::8::INSTR"), delta=DeltaSettings("GPIB0::12::INSTR"))
    with pytest.raises(ValueError, match="readings"):
        LockinSettings("GPIB0::8::INSTR", readings=2)
