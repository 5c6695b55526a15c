"""Each fault that the twin can have: what the guard does, why in a PV, and how a plan sees it. Real processes."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from deploy.rig_file import RIGS, load_rig
from tests.devices.guard.conftest import RULES, GuardedTwin

INPUTS = load_rig(RIGS / "twin-s1.toml").guard.inputs
LIGHT = ("laser.shutter=1", "microwave.enable=1")
EVERYTHING = (*LIGHT, "magnet=97", "pressure=43", "cryostat=149", "transport=20")


class Driven:
    """A guarded twin with the inputs of the rig file that comes with nvdac, and a session that drives it."""

    def __init__(self, folder) -> None:
        self.rig = GuardedTwin(folder, guard=replace(RULES, inputs=INPUTS, coil_highest_k=370.0))
        self.session = self.rig.session()
        self.ready()

    def ask(self, command: str) -> str:
        """Return what becomes of the status of one command in the session's process."""
        self.session.stdin.write(command + "\n")
        self.session.stdin.flush()
        return self.session.stdout.readline().strip()

    def fault(self, name: str, value: int) -> None:
        self.rig.put(f"TWIN:FAULT:{name}", value)

    def said(self) -> str:
        return self.rig.get("GUARD:FAULTS", text=True)

    def until_said(self, wanted) -> None:
        deadline = time.monotonic() + 30
        while not wanted(self.said()):
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def acknowledge(self, fault: str, reason: str = "mended", who: str = "Ada") -> str:
        self.rig.put("GUARD:ACKNOWLEDGE", json.dumps({"fault": fault, "by": who, "reason": reason}))
        return self.rig.get("GUARD:ACKNOWLEDGE_REASON", text=True)

    def ready(self) -> None:
        """Light on, 50 G: what every fault finds."""
        self.until_said(lambda text: text == "")
        self.rig.until("GUARD:LEASE_HELD", 1)
        for command in (*LIGHT, "magnet=50"):
            assert self.ask(command) == "done", command


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    one = Driven(tmp_path_factory.mktemp("faults"))
    yield one
    one.rig.close()


@pytest.mark.parametrize(
    ("fault", "says", "dark", "refused"),
    [
        ("COMPRESSOR_FAILED", "the compressor failed", True, (*LIGHT, "magnet=97", "pressure=43")),
        ("VACUUM_LOST", "the vacuum failed", True, (*LIGHT, "magnet=97", "pressure=43")),
        ("CRYOGEN_LOST", "the cryogen supply failed", True, (*LIGHT, "magnet=97", "pressure=43")),
        ("DOOR_OPEN", "a door is open", True, LIGHT),
        ("THERMOMETER_WRONG", "K apart", True, (*LIGHT, "magnet=97", "pressure=43", "cryostat=149")),
        ("MAINS_LOST", "mains were lost", True, EVERYTHING),
        ("COIL_HOT", "the coil is at", False, ("magnet=97",)),
        ("COIL_LEAD_OPEN", "a lead of the coil is open", False, ("magnet=97",)),
    ],
)
def test_a_fault_acts_and_a_plan_sees_a_failed_status_with_its_reason(driven, fault, says, dark, refused):
    rig = driven.rig
    driven.fault(fault, 1)
    driven.until_said(lambda text: says in text)
    if dark:
        rig.until("LASER:SHUTTER_RBV", 0)
        rig.until("MW:ENABLE_RBV", 0)
    else:
        rig.until("MAG:FIELD_Z_GAUSS_RBV", -0.01, 0.01)
        assert (rig.get("LASER:SHUTTER_RBV"), rig.get("MW:ENABLE_RBV")) == (1, 1)
    for command in refused:
        answer = driven.ask(command)
        assert answer.startswith("failed: "), (command, answer)
        assert says in answer
        instrument = command.split("=")[0].split(".")[0]
        assert says in rig.get(f"GUARD:{instrument.upper()}:REASON", text=True)
    if fault not in ("MAINS_LOST", "COIL_HOT", "COIL_LEAD_OPEN"):
        assert rig.get("MAG:FIELD_Z_GAUSS_RBV") == 50.0, "the field holds"
    # nothing comes back by itself; what is latched waits for a person, and not while the cause stands
    latched = rig.get("GUARD:LATCHED", text=True)
    assert latched == {"MAINS_LOST": "mains", "COIL_HOT": "coil", "COIL_LEAD_OPEN": "coil lead"}.get(fault, "")
    if latched:
        assert "that still stands; mend it first" in driven.acknowledge(latched)
    driven.fault(fault, 0)
    if latched:
        if fault == "COIL_HOT":
            rig.until("MAG:COIL_K_RBV", 0.0, 369.0)
        rig.until("TWIN:MAINS_OK_RBV", 1)
        rig.until("MAG:LEAD_OK_RBV", 1)
        assert says in driven.said()
        assert "say who looked" in driven.acknowledge(latched, who=" ")
        until_acknowledged(driven, latched)
    if dark:
        assert (rig.get("LASER:SHUTTER_RBV"), rig.get("MW:ENABLE_RBV")) == (0, 0)
    if fault in ("COMPRESSOR_FAILED", "MAINS_LOST"):
        assert driven.ask("cryostat=150") == "done", "a set point starts the compressor again"
        rig.put("LASER:POWER_MW", 100.0)
    driven.ready()


def until_acknowledged(driven: Driven, name: str) -> None:
    """Let go of a fault as soon as the guard sees that its cause has passed."""
    deadline = time.monotonic() + 30
    while why := driven.acknowledge(name):
        assert "still stands" in why, why
        assert time.monotonic() < deadline, why
        time.sleep(0.1)
    ledger = "".join(path.read_text() for path in driven.rig.folder.glob("data/ledger/*.jsonl"))
    assert f"{name} acknowledged by Ada: mended" in ledger


@pytest.mark.parametrize(("device", "start", "end"), [("magnet", 50.0, 150.0), ("pressure", 42.0, 50.0)])
def test_a_ramp_that_a_fault_stops_fails_at_once_with_its_reason(driven, device, start, end):
    rig, readback = driven.rig, {"magnet": "MAG:FIELD_Z_GAUSS_RBV", "pressure": "DAC:MEMBRANE_BAR_RBV"}[device]
    speed = {"magnet": 1.0, "pressure": 50.0}[device]
    rig.put("TWIN:SPEED", speed)
    began = time.monotonic()
    driven.session.stdin.write(f"{device}={end}\n")
    driven.session.stdin.flush()
    rig.until(readback, start + 0.5, end)
    driven.fault("VACUUM_LOST", 1)
    answer = driven.session.stdout.readline().strip()
    assert answer.startswith(f"failed: {device}: {end:g} refused, it stays at"), answer
    assert "the vacuum failed" in answer
    assert time.monotonic() - began < 100.0, "not the time-out of a ramp"
    assert start < rig.get(readback) < end
    driven.fault("VACUUM_LOST", 0)
    rig.put("TWIN:SPEED", 2000.0)
    driven.ready()


def test_an_input_that_does_not_answer_permits_nothing(make_guarded):
    rig = make_guarded(guard=replace(RULES, inputs=replace(INPUTS, vacuum_ok="{P}NO:SUCH:GAUGE")))
    rig.session()
    deadline = time.monotonic() + 30
    while "vacuum_ok does not answer, which [guard.inputs] names" not in rig.get("GUARD:FAULTS", text=True):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    rig.put("LASER:SHUTTER", 1)
    assert rig.get("LASER:SHUTTER_RBV") == 0
    assert "vacuum_ok does not answer" in rig.get("LASER:REASON", text=True)
