"""What the doctor says of interlocks."""

from __future__ import annotations

from dataclasses import replace

from deploy.doctor_guard import guard_findings
from deploy.rig_file import RIGS, load_rig
from devices.guard_settings import CallSettings, GuardSettings


def rig(**changes):
    return replace(load_rig(RIGS / "twin-s1.toml"), **changes)


def test_on_a_twin_no_interlock_is_only_supervisory():
    ((_, good, text, _), _) = guard_findings(rig())
    assert good
    assert "supervisory" not in text


def test_foreign_instruments_are_named_and_those_of_a_bridge_are_not():
    ((_, _, text, mend), _) = guard_findings(rig(twin=None, guard=GuardSettings(obeying=("laser", "magnet"))))
    assert "supervisory only (watched, then put back) for microwave, cryostat, pressure, transport" in text
    assert "[guard] obeying" in mend


def test_a_rig_without_a_guard_says_so():
    plain = rig()
    ((_, _, text, mend),) = guard_findings(replace(plain, devices=replace(plain.devices, guard=None)))
    assert "in the plan only" in text
    assert "[devices.guard]" in mend


def test_a_webhook_without_its_secret_is_bad(monkeypatch):
    monkeypatch.delenv("NVDAC_ALARM_WEBHOOK", raising=False)
    calling = rig(guard=GuardSettings(call=CallSettings(webhook=True)))
    assert guard_findings(calling)[1][1:] == (
        False,
        "critical alarms go out by webhook",
        "set NVDAC_ALARM_WEBHOOK in the environment of `nvdac up`",
    )
    monkeypatch.setenv("NVDAC_ALARM_WEBHOOK", "https://example.org/hook")
    assert guard_findings(calling)[1][1]
    assert "nothing leaves" in guard_findings(rig())[1][2]
