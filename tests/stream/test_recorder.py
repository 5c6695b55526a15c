"""The recorder insists: a disk that refuses for a while costs time, not frames."""

from __future__ import annotations

import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest

import stream.frame_recorder
from stream.archive_hdf5 import FrameFile, FrameWriter
from stream.frame_pump import FramePump
from stream.frame_recorder import FrameRecorder
from stream.messages import NoiseModel, RunMode, RunStart, StatePoint, SweepRole, SweepStart
from stream.ring import SlotKey, create_ring, run_hash
from stream.slots import SlotLedger
from stream.sockets import Waker
from tests.stream.wire import HEIGHT, WIDTH, KnownMaker, known_frame, sweep_request, wait_for

pytestmark = pytest.mark.timeout(120)
KEY, COUNT = ("run", 0), 10
SWEEP = SweepStart("run", 0, SweepRole.SINGLE, StatePoint(4, 4, 4, 0), np.linspace(2800.0, 2900, COUNT), 1)


class Bench:
    """A ring of frames and a recorder."""

    def __init__(self, folder) -> None:
        self.path = folder / "frames" / "run.h5"
        self.ring = create_ring(folder / "ring", 1, (HEIGHT, WIDTH), "<u2")
        self.slots = SlotLedger(self.ring.slots)
        self.said: list[tuple[str, str]] = []
        self.recorder = FrameRecorder(self.ring, self.slots, lambda severity, text: self.said.append((severity, text)))
        noise = NoiseModel("gain", 8.0)
        start = RunStart("run", RunMode.SIMULATED, HEIGHT, WIDTH, "<u2", noise, {}, frames_path=str(self.path))
        self.recorder.open_run(start)
        self.slots.open_sweep(KEY, COUNT, archived=True)
        self.recorder.add_sweep(SWEEP)

    def make(self, number: int) -> None:
        slot = self.slots.acquire(0.0)
        sequence = self.ring.write(slot, SlotKey(run_hash("run"), 0, number), known_frame(0, 0, number), 1.0)
        self.slots.filled(KEY, number, slot, sequence)
        self.recorder.add_frame(KEY, number, slot)


def test_frames_are_readable_while_the_run_goes_on(tmp_path):
    bench = Bench(tmp_path)
    bench.recorder.start()
    for number in range(4):
        bench.make(number)
    with FrameFile(bench.path) as file:
        wait_for(lambda: file.count == 4, 30, "frames on disk")
        assert np.array_equal(file.frame(0, 0, 3), known_frame(0, 0, 3))
    bench.slots.consumed(KEY, 4)
    wait_for(lambda: bench.slots.pinned() == 0, 30, "slots free")
    bench.recorder.finish(10)


def test_a_full_disk_pauses_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(stream.frame_recorder, "RETRY_S", 0.02)
    full, tries = threading.Event(), []
    append = FrameWriter.append

    def refuse(self, sweep, pass_index, index, *rest):
        if full.is_set() and index == 3:
            tries.append(index)
            raise OSError(28, "No space left on device")
        append(self, sweep, pass_index, index, *rest)

    monkeypatch.setattr(FrameWriter, "append", refuse)
    full.set()
    bench = Bench(tmp_path)
    bench.recorder.start()
    for number in range(COUNT):
        bench.make(number)
    bench.slots.consumed(KEY, COUNT)
    wait_for(lambda: len(tries) > 3, 30, "several tries")
    assert "No space left" in bench.recorder.failure
    assert bench.slots.pinned() >= COUNT - 3
    full.clear()
    wait_for(lambda: bench.slots.pinned() == 0, 30, "all on disk")
    bench.recorder.finish(10)
    assert [severity for severity, _ in bench.said] == ["MAJOR", "NO_ALARM"]
    with FrameFile(bench.path) as file:
        assert [(p, i) for p, i, _ in file.frames(0)] == [(0, i) for i in range(COUNT)]
        assert all(np.array_equal(frame, known_frame(0, p, i)) for p, i, frame in file.frames(0))


def test_a_frame_of_a_closed_run_frees_its_slot(tmp_path):
    bench = Bench(tmp_path)
    bench.recorder.start()
    bench.make(0)
    bench.recorder.close_run("run")
    bench.make(1)
    bench.slots.close_sweep(KEY)
    wait_for(lambda: bench.slots.pinned() == 0, 30, "slots free")
    bench.recorder.finish(10)
    with FrameFile(bench.path) as file:
        assert file.count == 1


def test_a_frame_of_a_sweep_that_was_just_forgotten_is_not_recorded_from_a_slot_that_others_write(tmp_path):
    bench, frame, waker = Bench(tmp_path), known_frame, Waker()

    class Maker(KnownMaker):
        def frame(self, pass_index, index):
            if not held:
                # meanwhile the plan aborts the sweep, and all others' slots are taken
                pump.abort(KEY)
                bench.slots.close_sweep(KEY)
                while (slot := bench.slots.acquire(0.0)) is not None:
                    held.append(slot)
                return frame(0, 0, 0)
            return frame(1, 0, 0)

    held: list[int] = []
    pump = FramePump(Maker(), bench.ring, bench.slots, bench.recorder, waker)
    pump.start()
    pump.send(sweep_request("run", 0, COUNT, 1), archived=True)
    wait_for(lambda: pump.news and pump.news[-1].ended, 30, "the end of the aborted sweep")
    bench.slots.open_sweep(("run", 1), 1, archived=True)
    bench.recorder.add_sweep(replace(SWEEP, sweep=1, frequency_mhz=SWEEP.frequency_mhz[:1]))
    pump.send(sweep_request("run", 1, 1, 1), archived=True)
    wait_for(lambda: pump.news[-1].ended and pump.news[-1].key == ("run", 1), 30, "the next sweep")
    bench.recorder.start()
    bench.recorder.finish(10)
    pump.finish(10)
    waker.close()
    with FrameFile(bench.path) as file:
        assert np.array_equal(file.frame(1, 0, 0), frame(1, 0, 0))
        assert all(np.array_equal(image, frame(0, p, i)) for p, i, image in file.frames(0))


def test_nothing_of_a_closed_run_is_kept(tmp_path):
    bench = Bench(tmp_path)
    bench.recorder.start()
    sweep = replace(SWEEP, sweep=1)
    kept = weakref.ref(sweep)
    bench.recorder.add_sweep(sweep)
    del sweep
    bench.recorder.close_run("run")
    wait_for(lambda: kept() is None, 30, "the sweep is let go")
    bench.recorder.finish(10)


def test_a_second_file_of_the_same_run_is_refused(tmp_path):
    bench = Bench(tmp_path)
    start = RunStart("run", RunMode.LIVE, HEIGHT, WIDTH, "<u2", NoiseModel("gain", 8.0), {})
    with pytest.raises(OSError, match="cannot make the frames file"):
        bench.recorder.open_run(replace(start, frames_path=str(bench.path)))
    bench.recorder.start()
    bench.recorder.finish(10)
