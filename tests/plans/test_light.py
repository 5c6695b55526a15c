"""A sweep that goes dark: never a map, never silent; one whose lease was lost by mistake is taken anew."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from bluesky import RunEngine
from ophyd import EpicsSignal

from devices.epics import DeviceError
from devices.guard_settings import GuardDeviceSettings
from devices.settings import all_devices
from plans.settings import SweepSettings
from plans.sweep import odmr

SETTINGS = SweepSettings(tuple(2850.0 + i for i in range(20)), passes=5)


@pytest.fixture
def guarded(bench_ioc, make_bench_at):
    """A slow camera on the bench IOC, with its guard."""
    return make_bench_at(replace(all_devices(bench_ioc), guard=GuardDeviceSettings()), 50.0)


@pytest.fixture
def knob(bench_ioc):
    made = []

    def find(name):
        made.append(EpicsSignal(bench_ioc + name, name=name))
        made[-1].wait_for_connection(timeout=20)
        return made[-1]

    yield find
    for one in made:
        one.destroy()


def dark_once(bench, knobs, also=lambda: None):
    """Close the shutter, from a thread, once some frames of the first sweep were sent."""
    done = threading.Event()

    def seen(value=0, **_):
        if value >= 20 and not done.is_set():
            done.set()
            also()
            knobs["LASER:SHUTTER"].put(0)

    bench.rig.camera.frames_sent.subscribe(seen, run=False)
    return done


def events_of(rows, stream):
    descriptors = {doc["uid"] for name, doc in rows if name == "descriptor" and doc["name"] == stream}
    return [doc["data"] for name, doc in rows if name == "event" and doc["descriptor"] in descriptors]


def test_a_sweep_that_somebody_darkens_fails_with_the_reason_and_leaves_no_map(guarded, documents, knob):
    rows, take = documents
    knobs = {"LASER:SHUTTER": knob("LASER:SHUTTER")}
    dark_once(guarded, knobs)
    engine = RunEngine({}, context_managers=[])
    with pytest.raises(DeviceError, match="the shutter is closed: nobody says why; its map is dropped"):
        engine(odmr(guarded.rig, SETTINGS), take)
    (loss,) = events_of(rows, "light_loss")
    assert (loss["light_loss_sweep"], loss["light_loss_reason"]) == (0, "the shutter is closed: nobody says why")
    assert 20 <= loss["light_loss_frames_sent"] < 100
    (stop,) = [doc for name, doc in rows if name == "stop"]
    assert stop["exit_status"] == "fail"
    assert "went dark" in stop["reason"]
    assert events_of(rows, "analysis") == []
    assert len(guarded.maker.armed) == 1, "nobody opens again what somebody closed"


def test_a_sweep_whose_lease_was_lost_by_mistake_is_flagged_and_taken_anew(guarded, documents, knob):
    rows, take = documents
    knobs = {name: knob(name) for name in ("LASER:SHUTTER", "GUARD:LEASES_LOST")}
    dark_once(guarded, knobs, lambda: knobs["GUARD:LEASES_LOST"].put(3))
    RunEngine({}, context_managers=[])(odmr(guarded.rig, SETTINGS), take)
    (loss,) = events_of(rows, "light_loss")
    assert loss["light_loss_sweep"] == 0
    assert "lease was lost" in loss["light_loss_reason"]
    (state,) = events_of(rows, "primary")
    assert state["camera_sweep"] == 1
    (answer,) = events_of(rows, "analysis")
    assert (answer["analysis_sweep"], answer["analysis_valid"]) == (1, 1)
    (stop,) = [doc for name, doc in rows if name == "stop"]
    assert stop["exit_status"] == "success"
    knobs["GUARD:LEASES_LOST"].put(0)
