"""The interlocks as rules, without any process."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.guard_settings import GuardSettings, HoldThenOff, LeaseLoss
from devices.ioc.interlocks import (
    FREEZE,
    HOLD,
    OFF,
    Fault,
    Situation,
    acknowledgement_refusal,
    anvil_fault,
    corrections,
    effects_of,
    faults_now,
    held_after,
    latched_faults,
    lease_fault,
    permits,
)
from devices.ioc.lease import Lease
from devices.ioc.memory import Memory
from devices.ioc.permit import GUARDED
from devices.settings import all_devices

RULES = GuardSettings(normal_above_k=115.0)
DEVICES = all_devices("P:")
WELL = {
    "shutter": 1.0,
    "microwave_on": 1.0,
    "field_z_gauss": 97.0,
    "field_z_set_gauss": 97.0,
    "field_x_set_gauss": 0.0,
    "field_rate_gauss_per_s": 10.0,
    "sample_k": 20.9,
    "stage_k": 20.0,
    "temperature_set_k": 20.0,
    "temperature_ramp_k": 20.0,
    "membrane_bar": 42.0,
    "membrane_set_bar": 42.0,
    "compressor_ok": 1.0,
}


def situation(lease_ended_s=None, zero_field_cool=False, latched=None, **changes):
    values = {key: value for key, value in {**WELL, **changes}.items() if value is not None}
    return Situation(values, frozenset(), lease_ended_s, zero_field_cool, latched or {})


def judged(now, rules=RULES):
    """Permits and corrections, as the process applies them."""
    present = faults_now(now, rules)
    faults = {**latched_faults(now.latched, present), **present}
    lease = lease_fault(now, rules)
    everything = faults if lease is None else {**faults, "lease": lease}
    given_now = permits(now, everything, rules, DEVICES)
    return given_now, corrections(now, everything, given_now, {name: WELL[name] for name in WELL if "_set_" in name})


def test_a_rig_that_is_well_and_driven_may_do_everything_within_its_limits():
    given_now, puts = judged(situation())
    assert puts == {}
    assert given_now["laser"].refusal(1) == ""
    assert given_now["magnet"].refusal(210.0) == ""
    assert "outside" in given_now["magnet"].refusal(211.0)
    assert given_now["magnet"].rate_refusal(24.0) == ""
    assert given_now["magnet"].rate_refusal(24.1)
    assert given_now["cryostat"].refusal(400.0)
    assert given_now["cryostat"].rate_refusal(11.0)


def test_without_a_lease_light_goes_off_and_field_and_temperature_hold():
    given_now, puts = judged(situation(lease_ended_s=0.0))
    assert puts == {"shutter": 0.0, "microwave_on": 0.0}
    for name in GUARDED:
        assert "no session holds the lease" in given_now[name].refusal(1.0)


def test_a_field_that_was_held_for_long_enough_is_ramped_down():
    rules = replace(RULES, lease_loss=LeaseLoss(laser="hold", magnet=HoldThenOff(3600.0)))
    assert judged(situation(lease_ended_s=3599.0), rules)[1] == {"microwave_on": 0.0}
    given_now, puts = judged(situation(lease_ended_s=3600.0), rules)
    assert puts["field_z_set_gauss"] == 0.0
    assert given_now["magnet"].refusal(0.0) == "", "an IOC that obeys takes the guard's put"
    assert given_now["magnet"].refusal(50.0)


@pytest.mark.parametrize("name", ["compressor_ok", "vacuum_ok", "cryogen_ok"])
def test_a_fault_of_the_cryostat_switches_light_off_and_stops_field_and_load(name):
    given_now, puts = judged(situation(**{name: 0.0}))
    assert puts == {"shutter": 0.0, "microwave_on": 0.0}
    assert "failed" in given_now["magnet"].refusal(0.0)
    assert "failed" in given_now["pressure"].refusal(43.0)
    assert given_now["cryostat"].refusal(30.0) == "", "a person may still save the sample"
    assert judged(situation())[1] == {}, "passes with its cause"


def test_a_ramp_under_way_is_stopped_ahead_and_never_turned_round():
    _, puts = judged(situation(vacuum_ok=0.0, field_z_gauss=40.0))
    assert 40.0 < puts["field_z_set_gauss"] < 50.0
    _, puts = judged(situation(vacuum_ok=0.0, field_z_gauss=96.9, membrane_bar=41.0))
    assert "field_z_set_gauss" not in puts
    assert 41.0 < puts["membrane_set_bar"] < 42.0


def test_a_ramp_ends_where_it_was_going_when_the_session_dies():
    _, puts = judged(situation(lease_ended_s=5.0, field_z_gauss=40.0, temperature_ramp_k=60.0))
    assert puts == {"shutter": 0.0, "microwave_on": 0.0}


def test_a_ramp_that_was_stopped_is_not_put_back_to_where_it_was_going():
    faults = faults_now(situation(vacuum_ok=0.0), RULES)
    given_now = permits(situation(), faults, RULES, DEVICES)
    held = {"field_z_set_gauss": 97.0}
    stopped = situation(vacuum_ok=0.0, field_z_gauss=45.0, field_z_set_gauss=45.2)
    held = held_after(stopped, given_now, held)
    assert held["field_z_set_gauss"] == 45.2
    assert "field_z_set_gauss" not in corrections(stopped, faults, given_now, held)


def test_no_field_while_a_zero_field_cool_is_under_way():
    cool = situation(zero_field_cool=True, field_z_gauss=0.0, field_z_set_gauss=97.0)
    given_now, puts = judged(cool)
    assert "zero-field cool is under way" in given_now["magnet"].refusal(97.0)
    assert given_now["magnet"].refusal(0.0) == ""
    assert puts == {"field_z_set_gauss": 0.0}, "a foreign supply is brought back"


@pytest.mark.parametrize("changes", [{"coil_k": 400.0}, {"coil_lead_ok": 0.0}])
def test_the_coils_own_faults_alone_ramp_the_field_down(changes):
    given_now, puts = judged(situation(**changes))
    assert puts["field_z_set_gauss"] == 0.0
    assert given_now["magnet"].refusal(1.0)
    assert given_now["laser"].refusal(1) == ""


def test_mains_that_were_lost_and_came_back_restart_nothing():
    lost = situation(mains_ok=0.0)
    latched = latched_faults({}, faults_now(lost, RULES))
    back = situation(mains_ok=1.0, latched=latched)
    given_now, puts = judged(back)
    assert puts == {"shutter": 0.0, "microwave_on": 0.0}
    for name in GUARDED:
        assert "mains were lost" in given_now[name].refusal(1.0)
    word = {"fault": "mains", "by": "Ada", "reason": "breaker reset"}
    assert "mend it first" in acknowledgement_refusal(word, latched, faults_now(lost, RULES))
    assert acknowledgement_refusal(word, latched, faults_now(back, RULES)) == ""
    assert "mains does" in acknowledgement_refusal({**word, "fault": "anvil"}, latched, {})
    assert "say who looked" in acknowledgement_refusal({**word, "reason": ""}, latched, {})


def test_thermometers_that_disagree_stop_what_moves():
    given_now, puts = judged(situation(sample_k=60.0))
    assert "apart" in given_now["cryostat"].refusal(30.0)
    assert puts == {"shutter": 0.0, "microwave_on": 0.0}


def test_a_suspected_anvil_failure_closes_the_shutter_freezes_the_load_and_holds_the_field():
    given_now, puts = judged(situation(latched={"anvil": anvil_fault("ruby fell by 8 GPa")}))
    assert puts == {"shutter": 0.0, "microwave_on": 0.0}
    assert "anvil" in given_now["pressure"].refusal(43.0)
    assert given_now["magnet"].refusal(97.0) == ""


@given(present=st.floats(0.0, 190.0), asked=st.floats(-50.0, 250.0), under_way=st.floats(0.0, 30.0))
def test_pressure_never_decreases_and_never_jumps(present, asked, under_way):
    given_now, _ = judged(situation(membrane_bar=present, membrane_set_bar=present + under_way))
    if given_now["pressure"].refusal(asked) == "":
        assert present - 0.05 <= asked <= present + RULES.membrane_step_bar


def test_the_relief_limit_outranks_that_pressure_never_decreases():
    rules = replace(RULES, membrane_relief_bar=60.0)
    given_now, puts = judged(situation(membrane_bar=75.0, membrane_set_bar=75.0), rules)
    assert given_now["pressure"].refusal(60.0) == ""
    assert given_now["pressure"].refusal(61.0)
    assert puts == {"membrane_set_bar": 42.0} or puts["membrane_set_bar"] <= 60.0


def test_a_foreign_instrument_is_brought_back_to_what_was_permitted():
    _, puts = judged(situation(membrane_set_bar=30.0))
    assert puts == {"membrane_set_bar": 42.0}
    _, puts = judged(situation(membrane_set_bar=70.0))
    assert puts == {"membrane_set_bar": 42.0}
    _, puts = judged(situation(lease_ended_s=5.0, field_z_set_gauss=0.0, shutter=0.0, microwave_on=0.0))
    assert puts == {"field_z_set_gauss": 97.0} or puts["field_z_set_gauss"] > 90.0


def test_what_is_found_at_the_start_is_not_moved():
    found = situation(lease_ended_s=0.0, field_z_set_gauss=50.0, field_z_gauss=50.0, temperature_set_k=2.0)
    lease = lease_fault(found, RULES)
    given_now = permits(found, {"lease": lease}, RULES, DEVICES)
    held = held_after(found, given_now, {})
    assert held["field_z_set_gauss"] == 50.0
    moved = corrections(found, {"lease": lease}, given_now, held)
    assert "field_z_set_gauss" not in moved


@given(effects=st.lists(st.dictionaries(st.sampled_from(GUARDED), st.sampled_from([OFF, FREEZE, HOLD])), max_size=5))
def test_off_outranks_freeze_and_every_reason_is_said(effects):
    faults = {str(i): Fault(f"fault {i}", effect) for i, effect in enumerate(effects)}
    for name, (effect, reason) in effects_of(faults).items():
        mine = [i for i, effect in enumerate(effects) if name in effect]
        assert (effect == OFF) == any(effects[i][name] == OFF for i in mine)
        assert all(f"fault {i}" in reason for i in mine if effects[i][name] == effect)


def test_a_memory_survives_as_text():
    memory = Memory(lease=True, cool=True, latched={"anvil": anvil_fault("it fell")})
    assert Memory.from_text(memory.to_text()) == memory
    assert Memory.from_text("") == Memory()


# ---- the lease


def test_a_lease_is_held_while_the_counter_moves_and_ends_when_it_stands():
    lease = Lease(1.2, 0.0)
    assert lease.ended_s(0.1) is not None
    for beat in range(1, 50):
        lease.beat(beat, 0.2 * beat)
        assert lease.ended_s(0.2 * beat) is None
    now = 0.2 * 49
    lease.beat(49, now + 0.2)  # the same value is no beat
    for i in range(11):
        assert lease.ended_s(now + 0.1 * i) is None
    assert lease.ended_s(now + 1.3) == pytest.approx(0.1, abs=0.05)


def test_a_lease_that_is_given_back_ends_at_once():
    lease = Lease(1.2, 0.0)
    lease.beat(1, 0.1)
    lease.beat(0, 0.2)
    assert lease.ended_s(0.2) is not None


def test_a_restarted_guard_waits_for_the_session_it_knew_and_no_longer():
    lease = Lease(1.2, 100.0, assumed_until_s=108.0)
    assert lease.ended_s(100.1) is None
    lease.beat(700, 103.0)
    for i in range(60):
        assert lease.ended_s(103.0 + 0.1 * i) is None or i > 49
    assert lease.ended_s(110.0) is not None
    assert not math.isinf(lease.ended_s(110.0) or 0.0)


def test_a_guard_that_was_held_up_gives_waiting_beats_a_moment():
    lease = Lease(1.2, 0.0)
    lease.beat(1, 0.0)
    assert lease.ended_s(0.1) is None
    assert lease.ended_s(3.0) is None, "its own loop stood still for three seconds"
    lease.beat(2, 3.1)
    assert lease.ended_s(3.2) is None
