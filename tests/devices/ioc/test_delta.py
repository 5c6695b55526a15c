"""Dialogue with a 6221 and a 2182A in delta mode, against a pair simulated on TCP."""

from __future__ import annotations

import numpy as np
import pytest

from devices.ioc.delta import DeltaMode, _mean_factor
from devices.ioc.link import LinkError, RefusedError, ReplyError, VisaLink
from devices.ioc.settings import DeltaSettings
from tests.devices.ioc.delta_simulator import DeltaSimulator
from tests.devices.ioc.test_lockin import finish


@pytest.fixture
def keithley():
    simulator = DeltaSimulator()
    yield simulator
    simulator.stop()


@pytest.fixture
def make(keithley):
    lines = []

    def connect(**changes):
        settings = DeltaSettings(keithley.address, timeout_s=0.3, **changes)
        lines.append(VisaLink(settings))
        return DeltaMode(lines[-1], settings)

    yield connect
    for line in lines:
        line.close()


def test_thermal_voltages_and_their_drift_drop_out(make, keithley):
    meter = make(readings=40, compliance_v=2.0)
    assert "6221" in meter.identify()
    meter.set_current(20.0)
    resistance, waits = finish(meter.measure())
    assert resistance.sigma_ohm < 1e-4
    assert resistance.ohm == pytest.approx(0.5, abs=4 * resistance.sigma_ohm)
    assert resistance.phase_deg == 0.0
    assert waits[0] == pytest.approx(4.0)
    assert keithley.compliance_v == 2.0
    assert not keithley.armed, "the source is off afterwards"


def test_the_standard_deviation_knows_that_readings_share_voltages(make, keithley):
    meter = make(readings=12)
    results = [finish(meter.measure())[0] for _ in range(60)]
    scatter = np.std([row.ohm for row in results], ddof=1)
    told = np.sqrt(np.mean([row.sigma_ohm**2 for row in results]))
    assert told == pytest.approx(scatter, rel=0.35)
    assert _mean_factor(1000) * np.sqrt(1000) == pytest.approx(np.sqrt(8 / 3), rel=0.01)


def test_currents_within_limits_only(make, keithley):
    meter = make(limits_ua=(0.0, 100.0))
    for wrong in (-1.0, 101.0, float("nan")):
        with pytest.raises(RefusedError, match="is outside 0 to 100 uA"):
            meter.set_current(wrong)
    assert keithley.ampere == 1e-5
    meter.set_current(0.0)
    with pytest.raises(RefusedError, match="the current is 0"):
        finish(meter.measure())
    with pytest.raises(RefusedError, match=r"took 0 uA instead of 200000 uA: Parameter data out of range"):
        make(limits_ua=(0.0, 1e6)).set_current(2e5)


def test_a_pair_that_is_no_pair_is_refused(make, keithley):
    keithley.nanovoltmeter = False
    with pytest.raises(RefusedError, match="finds no 2182A"):
        make().identify()
    with pytest.raises(RefusedError, match="does not arm"):
        finish(make().measure())


def test_an_open_lead_ends_the_measurement_with_its_reason(make, keithley):
    keithley.lead_open = True
    with pytest.raises(RefusedError, match=r"stopped after 0 of 12 readings: a lead is open, or 1 V were reached"):
        finish(make().measure())
    assert not keithley.armed


def test_lost_and_impossible_answers_end_it_too(make, keithley):
    meter = make()
    keithley.replies.extend(["1E-5", '0,"No error"', "1", "12", "9.9E37" + ",0" * 11])
    with pytest.raises(ReplyError, match="delta readings, V"):
        finish(meter.measure())
    assert not keithley.armed
    keithley.replies.extend(["1E-5", '0,"No error"', "1", None])
    with pytest.raises(LinkError, match=r"TRAC:POIN:ACT\?"):
        finish(meter.measure())
    assert not keithley.armed
