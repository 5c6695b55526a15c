"""Below Tc with the field on, a process of the rig is killed: what the ledger says then, and nothing restarts."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tests.devices.guard.conftest import RULES, SMALL

COLD = ("cryostat=60", "magnet=97", "laser.shutter=1", "microwave.enable=1")


def restarted_nothing(rig) -> None:
    """Hold that light is off and that there is neither a ramp nor a field that the process did not find."""
    assert (rig.get("LASER:SHUTTER_RBV"), rig.get("MW:ENABLE_RBV")) == (0, 0)


def test_an_ioc_that_is_restarted_in_the_cold_makes_the_history_unknown_and_restarts_nothing(make_guarded):
    rig = make_guarded(twin=replace(SMALL, start_temperature_k=60.0))  # cold still when it comes back
    rig.session("cryostat=150", *COLD)
    assert rig.history() == "ZFC_FW"
    assert "does not answer" not in rig.log("guard")  # it started before the IOC: that is no news
    rig.kill("ioc")
    rig.until("GUARD:MAGNET:PERMIT", 0)
    assert "field_z_gauss does not answer" in rig.get("GUARD:FAULTS", text=True)
    rig.start("ioc")
    rig.until("GUARD:MAGNET:PERMIT", 1)
    assert "field_z_gauss answers again" in rig.log("guard")
    assert rig.history() == "UNKNOWN"
    assert "stopped answering" in rig.get("GUARD:HISTORY_REASON", text=True)
    assert rig.get("CRYO:SAMPLE_K_RBV") < RULES.normal_above_k
    restarted_nothing(rig)


@pytest.mark.parametrize("away_s", [0.0, 3.0])
def test_a_guard_that_is_killed_in_the_cold_knows_the_history_only_without_a_gap(make_guarded, away_s):
    """Back within `gap_s` of its last record the history goes on; a longer absence is a gap, and makes it UNKNOWN."""
    gap_s = 60.0 if away_s == 0.0 else 5.0
    rig = make_guarded(guard=replace(RULES, gap_s=gap_s))
    rig.session(*COLD)
    assert rig.history() == "ZFC_FW"
    rig.kill("guard")
    if away_s:
        rig.until("LASER:SHUTTER_RBV", 0)  # the IOC goes dark by itself: longer than the gap
    rig.start("guard")
    rig.until("GUARD:LEASE_HELD", 1)
    assert rig.get("MAG:FIELD_Z_GAUSS_RBV") == 97.0
    assert rig.get("CRYO:TEMPERATURE_K") == 60.0
    if away_s:
        assert rig.history() == "UNKNOWN"
        assert "a gap of" in rig.get("GUARD:HISTORY_REASON", text=True)
        restarted_nothing(rig)
        # known again only once the sample was in the normal state
        rig.go(150.0)
        assert rig.history() == "NORMAL_STATE"
    else:
        assert rig.history() == "ZFC_FW"


def test_session_and_guard_killed_together_leave_field_and_temperature_and_no_light(make_guarded):
    rig = make_guarded(guard=replace(RULES, restart_grace_s=1.0))
    session = rig.session(*COLD)
    rig.kill("guard")
    session.kill()
    session.wait(10)
    rig.until("LASER:SHUTTER_RBV", 0, timeout_s=60.0)
    rig.until("MW:ENABLE_RBV", 0)
    rig.start("guard")
    deadline = time.monotonic() + 30
    while "no session holds the lease" not in rig.get("GUARD:LASER:REASON", text=True):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    rig.put("LASER:SHUTTER", 1)
    restarted_nothing(rig)
    assert rig.get("MAG:FIELD_Z_GAUSS_RBV") == 97.0
    assert rig.get("CRYO:TEMPERATURE_K") == 60.0
