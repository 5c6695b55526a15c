"""The plans under a real RunEngine: what they write, what they refuse, and that pause and abort leave the rig safe."""

from __future__ import annotations

import itertools
import threading

import h5py
import pytest
from bluesky import RunEngine
from bluesky.utils import FailedStatus, RunEngineInterrupted

from devices.epics import DeviceError
from plans.adaptive import TemperatureLimits
from plans.histories import zfc_field_warming
from plans.records import replay_decisions
from plans.settings import PreconditionError, RunInfo, SweepSettings, ZfcSettings, frequencies_from_windows
from plans.sweep import odmr
from stream.messages import FieldHistory, SweepRole
from stream.state import StateSubscriber

LIST = frequencies_from_windows([(2850.0, 2860.0, 6), (3395.0, 3405.0, 4)])
SWEEP = SweepSettings(LIST, passes=3, analysis_timeout_s=10.0, collect_every_s=0.1)
INFO = RunInfo(analysis={"lines": 4}, regions={"sample": [[0, 0]]}, sample="S1", constants="barson2017")


@pytest.fixture
def engine(documents):
    _, take = documents
    engine = RunEngine({}, context_managers=[])
    engine.subscribe(take)
    yield engine
    if engine.state != "idle":
        engine.abort()


def events(rows, stream):
    names = {doc["uid"]: doc["name"] for name, doc in rows if name == "descriptor"}
    return [doc for name, doc in rows if name == "event" and names[doc["descriptor"]] == stream]


def of(rows, kind):
    return [doc for name, doc in rows if name == kind]


def is_safe(rig):
    return rig.microwave.enable.get(use_monitor=False) == 0 and rig.laser.shutter.get(use_monitor=False) == 0


def test_one_sweep_writes_state_analysis_and_every_frame(bench, engine, documents):
    rows, _ = documents
    engine(odmr(bench.rig, SWEEP, INFO))
    start = of(rows, "start")[0]
    assert start["plan_name"] == "odmr"
    assert start["analysis"] == {"lines": 4}
    assert start["rig"] == "bench"
    assert start["sample"] == "S1"
    assert start["mode"] == "SIMULATED"
    assert start["camera"]["height"] == 8
    assert of(rows, "stop")[0]["exit_status"] == "success"
    state = events(rows, "primary")[0]["data"]
    assert state["camera_sweep"] == 0
    assert state["transport_resistance_ohm"] > 0
    analysis = events(rows, "analysis")[0]["data"]
    assert analysis["analysis_valid"] == 1
    assert analysis["analysis_s_low"] == pytest.approx(0.95)
    resource = of(rows, "stream_resource")
    assert len(resource) == 1
    data = of(rows, "stream_datum")
    assert data[0]["indices"]["start"] == 0
    assert data[-1]["indices"]["stop"] == 30
    assert all(a["indices"]["stop"] == b["indices"]["start"] for a, b in itertools.pairwise(data))
    bench.server.stop()
    path = resource[0]["uri"].removeprefix("file://localhost")
    with h5py.File(path, "r", swmr=True) as file:
        assert file["/entry/data/frames"].shape == (30, 8, 6)
    assert is_safe(bench.rig)


def test_the_whole_history(bench, engine, documents):
    rows, _ = documents
    settings = ZfcSettings(SWEEP, limits=TemperatureLimits(point_price_k=0.3))
    with StateSubscriber(bench.settings, sources=("session",)) as viewer:
        engine(zfc_field_warming(bench.rig, settings, INFO))
        for _ in range(20):
            viewer.poll(0.1)
        latest = {channel: update for (_, channel), update in viewer.latest.items()}
    roles = [request.role for request in bench.maker.armed]
    assert roles[0] is SweepRole.OPENING_REFERENCE
    assert roles[-1] is SweepRole.CLOSING_REFERENCE
    assert set(roles[1:-1]) == {SweepRole.WARMING}
    assert bench.maker.armed[0].history is FieldHistory.NORMAL_STATE
    assert bench.maker.armed[1].history is FieldHistory.ZFC_FW
    assert bench.maker.armed[0].load_index == 3
    primary = [row["data"] for row in events(rows, "primary")]
    set_points = [row["cryostat_temperature_k"] for row in primary]
    assert set_points[0] == 150.0
    assert set_points[1] == 20.0
    assert set_points[-1] == 150.0
    assert all(a < b for a, b in itertools.pairwise(set_points[1:]))
    assert all(row["magnet_field_z_gauss_rbv"] == pytest.approx(97.0, abs=0.05) for row in primary)
    assert [row["camera_sweep"] for row in primary] == list(range(len(primary)))
    decisions = events(rows, "decision")
    assert len(decisions) == len(primary) - 1
    assert decisions[-1]["data"]["decision_finished"] == 1
    assert "superconducting pixels" in decisions[0]["data"]["decision_reason"]
    replayed = replay_decisions(rows)
    assert len(replayed) == len(decisions)
    assert all(row.same for row in replayed)
    assert of(rows, "stop")[0]["exit_status"] == "success"
    assert of(rows, "stop")[0]["num_events"]["primary"] == len(primary)
    assert latest["plan"].header["points_done"] == len(primary)
    assert {row["state"] for row in latest["plan"].header["phases"]} == {"done"}
    assert len(latest["transport"].arrays["temperature_k"]) == len(primary)
    assert latest["decision"].header["n"] == len(decisions)
    assert is_safe(bench.rig)
    assert bench.rig.magnet.field_z_gauss_rbv.get() == pytest.approx(97.0, abs=0.05), "the field holds"


def test_a_silent_analysis_falls_back_to_the_fixed_ladder(bench, engine, documents):
    rows, _ = documents
    bench.builder.answer = lambda run, sweep: None
    sweep = SweepSettings(LIST, passes=1, analysis_timeout_s=0.2)
    settings = ZfcSettings(sweep, base_temperature_k=100.0, limits=TemperatureLimits(fixed_step_k=25.0))
    engine(zfc_field_warming(bench.rig, settings, INFO))
    decisions = [row["data"] for row in events(rows, "decision")]
    assert [row["decision_next_temperature_k"] for row in decisions] == [125.0, 150.0, 150.0]
    assert decisions[0]["decision_fallback"] == 1
    assert "analysis silent" in decisions[0]["decision_reason"]
    assert all(row["data"]["analysis_valid"] == 0 for row in events(rows, "analysis"))
    assert of(rows, "stop")[0]["exit_status"] == "success"
    assert all(row.same for row in replay_decisions(rows))


def test_needs_are_checked_before_anything_moves(bench, engine, documents, bench_ioc):
    import dataclasses

    rows, _ = documents
    poor = dataclasses.replace(bench.rig, magnet=None)
    with pytest.raises(DeviceError, match="has no magnet"):
        engine(zfc_field_warming(poor, ZfcSettings(SWEEP), INFO))
    with pytest.raises(Exception, match="outside the rig's limits"):
        engine(zfc_field_warming(bench.rig, ZfcSettings(SWEEP, field_gauss=1e4), INFO))
    assert rows == []
    with pytest.raises(ValueError, match="normal state"):
        ZfcSettings(SWEEP, limits=TemperatureLimits(top_k=100.0))


def test_a_field_that_does_not_go_off_stops_the_cool_down(bench, engine, documents):
    rows, _ = documents
    settings = ZfcSettings(SWEEP, remanence_gauss=0.0)
    bench.rig.magnet.set(97.0).wait(20)
    with pytest.raises(PreconditionError, match="a zero-field cool needs"):
        engine(zfc_field_warming(bench.rig, settings, INFO))
    assert of(rows, "stop")[0]["exit_status"] == "fail"
    assert len(bench.maker.armed) == 1
    assert is_safe(bench.rig)
    assert bench.run_is_closed(of(rows, "start")[0]["uid"])


def test_a_refused_field_fails_the_plan_with_its_reason_and_leaves_the_rig_safe(bench, engine, documents, bench_ioc):
    from ophyd import EpicsSignal

    rows, _ = documents
    knob = EpicsSignal(f"{bench_ioc}TEST:REFUSE_FIELD", name="knob")
    knob.wait_for_connection(timeout=10)
    knob.set("quench protection").wait(5)
    try:
        with pytest.raises(FailedStatus) as caught:
            engine(zfc_field_warming(bench.rig, ZfcSettings(SWEEP), INFO))
    finally:
        knob.set("").wait(5)
        knob.destroy()
    assert "quench protection" in str(caught.value.__cause__)
    assert of(rows, "stop")[0]["exit_status"] == "fail"
    assert is_safe(bench.rig)


def pause_when(engine, bench, ready):
    """Ask for an immediate pause as soon as `ready()`, from another thread."""

    def watch():
        for _ in range(2000):
            if ready():
                engine.request_pause(defer=False)
                return
            threading.Event().wait(0.005)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_a_pause_in_a_sweep_loses_and_repeats_nothing(make_bench, engine, documents):
    rows, _ = documents
    bench = make_bench(rate_hz=40.0)
    thread = pause_when(engine, bench, lambda: bench.rig.camera.get_index() >= 5)
    with pytest.raises(RunEngineInterrupted):
        engine(odmr(bench.rig, SWEEP, INFO))
    thread.join(10)
    assert engine.state == "paused"
    engine.resume()
    assert of(rows, "stop")[0]["exit_status"] == "success"
    assert len(bench.maker.armed) == 1
    indices = [doc["indices"] for doc in of(rows, "stream_datum")]
    assert [row["start"] for row in indices[1:]] == [row["stop"] for row in indices[:-1]]
    assert indices[-1]["stop"] == 30
    assert len(events(rows, "primary")) == 1


def test_an_abort_in_a_sweep_closes_everything(make_bench, engine, documents):
    rows, _ = documents
    bench = make_bench(rate_hz=20.0)
    bench.rig.magnet.set(97.0).wait(20)
    thread = pause_when(engine, bench, lambda: bench.rig.camera.get_index() >= 5)
    with pytest.raises(RunEngineInterrupted):
        engine(odmr(bench.rig, SWEEP, INFO))
    thread.join(10)
    engine.abort("enough")
    assert of(rows, "stop")[0]["exit_status"] == "abort"
    assert is_safe(bench.rig)
    assert bench.rig.magnet.field_z_gauss_rbv.get() == pytest.approx(97.0, abs=0.05), "the field holds"
    assert bench.run_is_closed(of(rows, "start")[0]["uid"])
    # and the next run is a new one from sweep 0
    rows.clear()
    engine(odmr(bench.rig, SweepSettings(LIST, passes=1, analysis_timeout_s=10.0), INFO))
    assert of(rows, "stop")[0]["exit_status"] == "success"
    assert events(rows, "primary")[0]["data"]["camera_sweep"] == 0
    bench.rig.magnet.set(0.0).wait(20)


def test_a_pause_while_settling_goes_on_to_the_same_set_point(bench, engine, documents):
    rows, _ = documents
    settings = ZfcSettings(SWEEP, base_temperature_k=60.0, limits=TemperatureLimits(point_price_k=0.3))
    cool = bench.rig.cryostat
    thread = pause_when(engine, bench, lambda: cool.stage_k.get() < 120.0)
    with pytest.raises(RunEngineInterrupted):
        engine(zfc_field_warming(bench.rig, settings, INFO))
    thread.join(20)
    engine.resume()
    assert of(rows, "stop")[0]["exit_status"] == "success"
    set_points = [row["data"]["cryostat_temperature_k"] for row in events(rows, "primary")]
    assert set_points[1] == 60.0
