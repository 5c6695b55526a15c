"""Tiles of any order, cut and age make the same picture; questions are answered by whoever can."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.assembly import SweepAssembly
from analyzers.fitmap import FitMap
from analyzers.questions import Questions
from analyzers.run_work import RunWork
from analyzers.spectrum import refusal
from analyzers.status import StatusCode
from stream.archive_hdf5 import FrameWriter, crc32c
from stream.maps_file import compare_planes
from stream.messages import SpectrumReply, SpectrumRequest, Tile
from tests.analyzers import synthetic

HEIGHT, WIDTH = 12, 5


def _fit() -> FitMap:
    generator = np.random.default_rng(1)
    empty = FitMap.empty(4, ((0, 3), (1, 2)), HEIGHT, WIDTH)
    return dataclasses.replace(empty, chi2=generator.random((HEIGHT, WIDTH)).astype(np.float32))


def _tile(y0: int, y1: int, final: bool = True, revision: int = 1, frames: int = 174) -> Tile:
    counts = {"passes": np.full(87, 2, "<u4"), "sample": np.full(87, 7 * (y1 - y0), "<u8")}
    counts["sample_pixels"] = np.array([y1 - y0], "<u4")
    planes = _fit().rows(y0, y1).to_planes()
    return Tile("run-1", 0, y0, y1, 1, revision, final, frames, "worker-0", planes, counts)


def _assembly() -> SweepAssembly:
    maker = synthetic.SyntheticMaker()
    return SweepAssembly(synthetic.sweep_start(synthetic.sweep_request(0, 150.0), maker), HEIGHT, WIDTH)


@settings(deadline=None)
@given(cuts=st.sets(st.integers(1, HEIGHT - 1)), seed=st.randoms(use_true_random=False))
def test_any_partition_in_any_order_gives_the_same_planes_and_sums(cuts, seed):
    edges = [0, *sorted(cuts), HEIGHT]
    tiles = [_tile(low, high) for low, high in itertools.pairwise(edges)]
    seed.shuffle(tiles)
    assembly = _assembly()
    for number, tile in enumerate(tiles):
        assert not assembly.complete, number
        assembly.add(tile)
    assert assembly.complete
    assert compare_planes(assembly.planes(), _fit().to_planes()) == ""
    sums = assembly.region_sums("sample")
    assert (sums.counts == 7 * HEIGHT).all()
    assert (sums.exposures == 2 * HEIGHT).all()


def test_rows_without_a_tile_are_not_yet_measured():
    assembly = _assembly()
    assembly.add(_tile(0, 4, final=False))
    planes = assembly.planes()
    assert (planes["status"][4:] == StatusCode.NOT_YET_MEASURED).all()
    assert np.isnan(planes["centre_mhz"][:, 4:]).all()
    assert assembly.frames_added == 0
    assert not assembly.complete


def test_a_final_tile_is_never_replaced_and_a_new_cut_replaces_provisional_ones():
    assembly = _assembly()
    assembly.add(_tile(0, 6, final=False, frames=10))
    assembly.add(_tile(6, 12, final=False, frames=12))
    assert assembly.frames_added == 10
    assembly.add(_tile(3, 9))
    assert sorted(assembly.tiles) == [(3, 9)]
    assembly.add(_tile(3, 9, final=False, revision=9))
    assert assembly.tiles[3, 9].final


@pytest.fixture(scope="module")
def stored_run(tmp_path_factory):
    """A run with one sweep on disk, as the builder knows it."""
    path = tmp_path_factory.mktemp("questions") / "run-1.h5"
    maker = synthetic.SyntheticMaker()
    sweep = synthetic.sweep_start(synthetic.sweep_request(0, 150.0), maker)
    start = synthetic.run_start(frames_path=str(path))
    with FrameWriter(path, start) as writer:
        writer.add_sweep(sweep)
        for pass_index in range(sweep.passes):
            for index, frequency in enumerate(sweep.frequency_mhz):
                frame = maker.frame(pass_index, index)
                writer.append(0, pass_index, index, float(frequency), frame, crc32c(frame), 0.0)
    run = RunWork(start)
    run.begin(sweep)
    run.assemblies[0].frames_sent = 1
    return run


class _Desk:
    """Collects answers."""

    def __init__(self) -> None:
        self.answers: dict[bytes, SpectrumReply] = {}
        self._news = threading.Condition()

    def answer(self, token: bytes, reply: SpectrumReply) -> None:
        with self._news:
            assert token not in self.answers
            self.answers[token] = reply
            self._news.notify_all()

    def wait(self, token: bytes) -> SpectrumReply:
        with self._news:
            assert self._news.wait_for(lambda: token in self.answers, 60.0)
            return self.answers[token]


REQUEST = SpectrumRequest("", -1, 4, 8, 4, 8)


def test_without_a_worker_the_frames_file_answers(stored_run, tmp_path):
    desk = _Desk()
    questions = Questions(lambda _w, _r: False, lambda _u, _s, _r: "", desk.answer, str(tmp_path))
    questions.take(b"1", REQUEST, stored_run)
    reply = desk.wait(b"1")
    questions.close()
    assert reply.status == "OK"
    assert reply.values["half_splitting_mhz"] == pytest.approx(272.0, abs=0.2)
    assert reply.frequency_mhz.size == synthetic.FREQUENCY_MHZ.size


def test_a_worker_that_no_longer_has_the_cube_is_replaced_by_the_file(stored_run, tmp_path):
    desk, asked = _Desk(), list[SpectrumRequest]()

    def ask(_worker: str, request: SpectrumRequest) -> bool:
        asked.append(request)
        return True

    questions = Questions(ask, lambda _u, _s, _r: "worker-0", desk.answer, str(tmp_path))
    questions.take(b"1", REQUEST, stored_run)
    assert b"1" not in desk.answers
    assert (asked[0].run_uid, asked[0].sweep) == ("run-1", 0)
    questions.heard(refusal(asked[0], "gone"))
    assert desk.wait(b"1").frequency_mhz.size
    questions.close()


def test_a_silent_worker_is_replaced_by_the_file(stored_run, tmp_path):
    desk = _Desk()
    questions = Questions(lambda _w, _r: True, lambda _u, _s, _r: "worker-0", desk.answer, str(tmp_path))
    questions.take(b"1", REQUEST, stored_run)
    until = time.monotonic() + 30.0
    while b"1" not in desk.answers and time.monotonic() < until:
        questions.expire()
        time.sleep(0.02)
    assert desk.wait(b"1").frequency_mhz.size
    questions.close()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (dataclasses.replace(REQUEST, sweep=7), "no such sweep"),
        (dataclasses.replace(REQUEST, y1=4), "rectangle"),
        (dataclasses.replace(REQUEST, x1=4000), "rectangle"),
    ],
)
def test_impossible_questions_are_refused_with_a_reason(stored_run, tmp_path, request_, reason):
    desk = _Desk()
    questions = Questions(lambda _w, _r: True, lambda _u, _s, _r: "worker-0", desk.answer, str(tmp_path))
    questions.take(b"1", request_, stored_run)
    questions.take(b"2", request_, None)
    questions.close()
    assert reason in desk.answers[b"1"].status
    assert "no such run" in desk.answers[b"2"].status


def test_frames_that_cannot_be_read_are_a_reason(tmp_path):
    desk = _Desk()
    run = RunWork(synthetic.run_start())
    run.begin(synthetic.sweep_start(synthetic.sweep_request(0, 150.0), synthetic.SyntheticMaker()))
    questions = Questions(lambda _w, _r: False, lambda _u, _s, _r: "", desk.answer, str(tmp_path))
    questions.take(b"1", dataclasses.replace(REQUEST, sweep=0), run)
    assert "cannot be read" in desk.wait(b"1").status
    questions.close()
