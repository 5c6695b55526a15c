"""Suspenders on a running plan: held by a fault, on by itself afterwards; a plan's own moves are no fault."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from bluesky import RunEngine
from ophyd import Signal

from devices.stream_watch import StreamWatch
from plans.histories import zfc_field_warming
from plans.ladder import TemperatureLimits
from plans.settings import RunInfo, SweepSettings, ZfcSettings
from plans.suspenders import SuspenderSettings, rig_suspenders
from plans.sweep import odmr
from tests.plans.conftest import report

SWEEP = SweepSettings((2857.0, 2860.0, 3401.0, 3404.0), passes=5, analysis_timeout_s=20.0, collect_every_s=0.1)
INFO = RunInfo(sample="S1")
QUICK = SuspenderSettings(analysis_silent_s=1.5, calm_s=0)


@pytest.fixture
def engine(documents):
    _, take = documents
    engine = RunEngine({}, context_managers=[])
    engine.subscribe(take)
    yield engine
    engine.clear_suspenders()
    if engine.state != "idle":
        engine.abort()


class StoodStill:
    """From another thread: waits for the sweep, makes a fault, sees that the run does not end, and mends it."""

    def __init__(self, bench, rows, break_it, mend):
        self._bench, self._rows, self._break, self._mend = bench, rows, break_it, mend
        self.ended_in_the_fault: bool | None = None
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self):
        pause = threading.Event()
        while self._bench.rig.camera.get_index() < 3:
            pause.wait(0.005)
        self._break()
        pause.wait(3.0)
        self.ended_in_the_fault = any(name == "stop" for name, _ in self._rows)
        self._mend()


def stops(rows):
    return [doc for name, doc in rows if name == "stop"]


def test_a_shutter_that_closes_in_a_sweep_holds_the_plan_until_it_opens(make_bench, engine, documents):
    rows, _ = documents
    bench = make_bench(rate_hz=20.0)
    for suspender in rig_suspenders(bench.rig, settings=QUICK):
        engine.install_suspender(suspender)
    shutter = bench.rig.laser.shutter
    fault = StoodStill(bench, rows, lambda: shutter.put(0), lambda: shutter.put(1))
    engine(odmr(bench.rig, SWEEP, INFO))
    fault.thread.join(10)
    assert fault.ended_in_the_fault is False, "the sweep alone lasts a second"
    assert stops(rows)[0]["exit_status"] == "success"
    assert len(bench.maker.armed) == 2, "frames of the dark are in no map: the sweep is taken anew"
    assert bench.server is not None


@pytest.mark.parametrize("which", ["ring_fill", "analysis_silence_s"])
def test_a_full_ring_and_a_stale_analysis_hold_the_plan(make_bench, engine, documents, which):
    rows, _ = documents
    bench = make_bench(rate_hz=20.0)
    watch = SimpleNamespace(
        analysis_silence_s=Signal(name="analysis_silence_s", value=0.0), ring_fill=Signal(name="ring_fill", value=0.0)
    )
    for suspender in rig_suspenders(bench.rig, watch, QUICK):
        engine.install_suspender(suspender)
    signal = getattr(watch, which)
    fault = StoodStill(bench, rows, lambda: signal.put(9.0), lambda: signal.put(0.0))
    engine(odmr(bench.rig, SWEEP, INFO))
    fault.thread.join(10)
    assert fault.ended_in_the_fault is False
    assert stops(rows)[0]["exit_status"] == "success"


def test_the_stream_is_watched_for_real(make_bench, engine):
    bench = make_bench()
    watch = StreamWatch(bench.settings)
    try:
        engine(odmr(bench.rig, SWEEP, INFO))
        silent, filled = threading.Event(), threading.Event()
        watch.ring_fill.subscribe(lambda *, value, **_: filled.set() if value > 0.0 else None)
        watch.analysis_silence_s.subscribe(lambda *, value, **_: silent.set() if value > 1.5 else None)
        assert filled.wait(10), "frames stay in the ring where no worker takes them"
        bench.builder.close()
        assert silent.wait(20), "the silence of a builder that ended is seen"
    finally:
        watch.destroy()


def test_a_cool_with_the_shutter_closed_is_no_fault(bench, engine, documents):
    rows, _ = documents
    bench.builder.answer = lambda run, sweep: report(run, sweep, open_fraction=0.0)
    suspenders = rig_suspenders(bench.rig, settings=QUICK)
    seen: list[str] = []
    for suspender in suspenders:
        signal: Signal = suspender._sig
        signal.subscribe(lambda *, value, obj, **_: seen.append(obj.name) if value else None)
        engine.install_suspender(suspender)
    sweep = SweepSettings((2857.0, 3401.0), passes=1, analysis_timeout_s=20.0)
    limits = TemperatureLimits(closed_step_k=70.0, max_step_k=70.0)
    engine(zfc_field_warming(bench.rig, ZfcSettings(sweep, limits=limits), INFO))
    assert stops(rows)[0]["exit_status"] == "success"
    assert seen == []
