"""The guard beside a twin: real processes, real signals."""

from __future__ import annotations

import signal
import time

FIELD_ON = ("cryostat=60", "magnet=97", "laser.shutter=1", "microwave.enable=1")


def test_a_zero_field_cool_begins_the_moment_the_field_is_off_and_refuses_a_field(make_guarded):
    rig = make_guarded()
    session = rig.session("magnet=97", "magnet=0", "guard.zero_field_cool=1", "cryostat=60")
    assert rig.get("GUARD:ZERO_FIELD_COOL") == 1
    session.stdin.write("magnet=97\n")
    session.stdin.flush()
    said = session.stdout.readline()
    assert said.startswith("failed: magnet: 97 G refused")
    assert "a zero-field cool is under way" in said
    assert rig.get("MAG:FIELD_Z_GAUSS_RBV") == 0.0
    assert rig.history() == "ZFC_FW"
    session.stdin.write("guard.zero_field_cool=0\nmagnet=97\n")
    session.stdin.flush()
    assert [session.stdout.readline().strip() for _ in range(2)] == ["done", "done"]
    # in the cold none begins
    rig.put("GUARD:ZERO_FIELD_COOL", 1)
    assert rig.get("GUARD:ZERO_FIELD_COOL") == 0


def test_killing_the_session_darkens_the_rig_and_holds_field_temperature_and_history(make_guarded):
    rig = make_guarded()
    session = rig.session(*FIELD_ON)
    assert rig.history() == "ZFC_FW"
    assert (rig.get("LASER:SHUTTER_RBV"), rig.get("MW:ENABLE_RBV")) == (1, 1)
    killed = time.monotonic()
    session.send_signal(signal.SIGKILL)
    rig.until("LASER:SHUTTER_RBV", 0, timeout_s=5)
    rig.until("MW:ENABLE_RBV", 0, timeout_s=5)
    assert time.monotonic() - killed < 2.0
    assert rig.get("GUARD:LEASE_HELD") == 0
    assert rig.get("MAG:FIELD_Z_GAUSS_RBV") == 97.0
    assert rig.get("CRYO:TEMPERATURE_K") == 60.0
    assert rig.history() == "ZFC_FW"
    # nobody holds the lease: nothing is switched on and nothing moves
    rig.put("LASER:SHUTTER", 1)
    rig.put("MAG:FIELD_Z_GAUSS", 0.0)
    assert rig.get("LASER:SHUTTER_RBV") == 0
    assert "lease" in rig.get("MAG:REASON", text=True)
    assert rig.get("MAG:FIELD_Z_GAUSS_RBV") == 97.0
    # another session goes on where this one was
    rig.session("laser.shutter=1", "magnet=98")
    assert rig.history() == "ZFC_FW"
    assert rig.get("LASER:SHUTTER_RBV") == 1
