"""The simulated instruments without EPICS: lags, refusals, readings."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from devices.settings import TwinSettings
from devices.twin.resistance import resistance_curve
from devices.twin.rig import TwinRig
from devices.twin.truth import truth_of
from stream.messages import FieldHistory


def rig(**changes):
    return TwinRig(TwinSettings(**changes))


def settle(twin, temperature_k, limit_s=20_000.0):
    assert twin.set_temperature_k(temperature_k) == ""
    start = twin.clock_s
    while True:
        twin.advance(10.0)
        if twin.cryostat.settled:
            return twin.clock_s - start
        assert twin.clock_s - start < limit_s


def test_cooling_takes_as_long_as_its_rate_says():
    seconds = settle(rig(), 20.0)
    assert 2600.0 < seconds < 3200.0


def test_warming_does_not_overshoot():
    twin = rig()
    settle(twin, 20.0)
    twin.set_temperature_k(30.0)
    highest = 0.0
    while not twin.cryostat.settled:
        twin.advance(5.0)
        highest = max(highest, twin.cryostat.sample_k)
    assert highest - twin.cryostat.sample_k < 0.01


def test_the_simulation_does_not_depend_on_the_size_of_the_calls():
    coarse, fine = rig(), rig()
    for twin, step in ((coarse, 100.0), (fine, 1.0)):
        twin.set_temperature_k(100.0)
        twin.set_field_gauss("z", 50.0)
        for _ in range(int(500 / step)):
            twin.advance(step)
    assert coarse.cryostat.sample_k == pytest.approx(fine.cryostat.sample_k, abs=1e-9)
    assert coarse.field == fine.field


def test_the_field_lags_behind_the_current_and_never_turns():
    twin = rig()
    twin.set_field_gauss("z", 97.0)
    seen = [0.0]
    while not twin.field_done:
        twin.advance(0.5)
        seen.append(twin.field["z"])
    lag = twin.coils.rate_gauss_per_s * 0.8
    assert seen[10] == pytest.approx(50.0 - lag, abs=0.2 * lag)
    assert seen[-1] == 97.0
    assert np.all(np.diff(seen) > 0.0)


def test_a_ramp_held_on_its_way_stays_where_it_is():
    twin = rig()
    settle(twin, 20.0)
    twin.set_field_gauss("z", 97.0)
    twin.advance(3.0)
    held = twin.field["z"]
    assert twin.set_field_gauss("z", held) == ""
    twin.advance(30.0)
    assert twin.field["z"] == held
    assert twin.state().history is FieldHistory.ZFC_FW


def test_a_thermal_cycle_changes_the_load_for_good_and_another_seed_otherwise():
    def loads(seed):
        twin = rig(seed=seed)
        twin.cryostat.rate_k_per_min = 10.0
        found = [twin.state().load_gpa]
        for _ in range(2):
            settle(twin, 90.0)
            settle(twin, 260.0)
            found.append(twin.state().load_gpa)
        return found

    first, again, other = loads(1), loads(1), loads(2)
    assert first == again
    assert first != other
    assert len(set(first)) == 3
    assert all(abs(b - a) < 2.5 for a, b in itertools.pairwise(first))


def test_too_much_current_through_the_contacts_warms_the_sample():
    twin = rig()
    settle(twin, 20.0)
    before = twin.cryostat.sample_k
    assert twin.set_transport_current(1000.0) == ""
    twin.advance(600.0)
    assert 0.05 < twin.cryostat.sample_k - before < 0.3


def test_light_and_microwaves_warm_the_sample():
    twin = rig()
    settle(twin, 50.0)
    before = twin.cryostat.sample_k
    twin.shutter = twin.microwave_enable = 1
    twin.advance(1000.0)
    assert 0.05 < twin.cryostat.sample_k - before < 0.5


def test_a_zero_field_cool_and_warming_leave_their_name():
    twin = rig()
    settle(twin, 20.0)
    twin.set_field_gauss("z", 97.0)
    twin.advance(30.0)
    assert twin.state().history is FieldHistory.ZFC_FW
    assert [round(step.gauss, 6) for step in twin.state().field_steps] == [97.0]
    settle(twin, 60.0)
    assert twin.state().field_steps[0].temperature_max_k == pytest.approx(twin.cryostat.sample_k, abs=0.01)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda twin: twin.set_membrane_bar(30.0), "only increases"),
        (lambda twin: twin.set_membrane_bar(90.0), "above the limit"),
        (lambda twin: twin.set_membrane_bar(math.nan), "above the limit"),
        (lambda twin: twin.set_field_gauss("z", 500.0), "outside"),
        (lambda twin: twin.set_field_gauss("x", math.nan), "outside"),
        (lambda twin: twin.set_temperature_k(1.0), "outside"),
        (lambda twin: twin.set_temperature_rate(100.0), "outside"),
        (lambda twin: twin.set_field_rate(100.0), "outside"),
    ],
)
def test_refusals_change_nothing_and_say_why(call, words):
    twin = rig()
    before = twin.state()
    assert words in call(twin)
    twin.advance(100.0)
    assert twin.state().field_xyz_gauss == before.field_xyz_gauss
    assert twin.state().load_gpa == before.load_gpa
    assert twin.cryostat.target_k == 150.0


def test_loading_is_gradual_and_counted():
    twin = rig()
    assert twin.set_membrane_bar(44.0) == ""
    twin.advance(10.0)
    assert not twin.membrane_done
    assert 42.0 < twin.membrane_bar < 44.0
    twin.advance(200.0)
    assert twin.membrane_done
    assert twin.load_index == 1
    # The last 4 % of the change come by creep.
    assert twin.state().load_gpa == pytest.approx(21.96, abs=0.011)
    twin.advance(4 * 3600.0)
    assert twin.state().load_gpa == 22.0


def test_ruby_reads_the_load_and_needs_light():
    twin = rig()
    assert math.isnan(twin.take_ruby().pressure_gpa)
    twin.shutter = 1
    assert twin.take_ruby().pressure_gpa == pytest.approx(21.25, abs=0.15)
    settle(twin, 20.0)
    assert twin.take_ruby().pressure_gpa == pytest.approx(21.55, abs=0.15)


def test_resistance_reading_scatters_by_its_sigma():
    twin = rig()
    for mode in (0, 1):
        assert twin.set_transport_mode(mode) == ""
        readings = [twin.measure_resistance() for _ in range(300)]
        assert np.std([one.ohm for one in readings]) == pytest.approx(readings[0].sigma_ohm, rel=0.2)
        assert np.mean([one.ohm for one in readings]) == pytest.approx(
            twin.resistance_curve().ohm(twin.cryostat.sample_k), abs=4.0 * readings[0].sigma_ohm / 300**0.5
        )
    assert twin.set_transport_current(0.0) == ""
    assert math.isnan(twin.measure_resistance().ohm)


def curve(sample="S1", load=21.0):
    return resistance_curve(truth_of(TwinSettings(sample=sample), load))


def test_s1_drops_partially_below_its_tc():
    found = curve()
    assert found.ohm(150.0) > found.ohm(90.0) > found.ohm(70.0) > found.ohm(20.0) > 0.0
    ratio = [float(np.interp(t, found.temperature_k, found.ratio)) for t in (20.0, 70.0, 85.0)]
    assert 0.2 < ratio[0] < 0.6
    assert ratio[1] < 0.95
    assert ratio[2] == pytest.approx(1.0, abs=1e-6)


def test_s3_shows_no_kink_and_15_gpa_no_drop():
    for found in (curve("S3"), curve(load=15.0)):
        assert np.all(np.abs(found.ratio[found.temperature_k >= 20.0] - 1.0) < 0.03)
