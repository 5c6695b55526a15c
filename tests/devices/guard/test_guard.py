"""The guard beside a twin: real processes, real signals."""

from __future__ import annotations

import signal
import time

FIELD_ON = ("cryostat=60", "magnet=97", "laser.shutter=1", "microwave.enable=1")


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
