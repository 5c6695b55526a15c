"""A band takes each frame once and in order, whatever the descriptors say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.archive_hdf5 import FrameWriter
from stream.bands import Band, FrameSource
from stream.crc import crc32c
from stream.link_messages import ABANDONED, NOT_IN_RING, BandSums, FramesReady
from stream.messages import NoiseModel, RunMode, RunStart, StatePoint, SweepRole, SweepStart
from stream.ring import SlotKey, create_ring, run_hash
from tests.stream.wire import HEIGHT, WIDTH, known_frame

COUNT, PASSES = 5, 2
TOTAL = COUNT * PASSES
SWEEP = SweepStart("run", 0, SweepRole.SINGLE, StatePoint(4, 4, 4, 0), np.linspace(2800.0, 2900, COUNT), PASSES)


def run(path: str = "") -> RunStart:
    return RunStart("run", RunMode.SIMULATED, HEIGHT, WIDTH, "<u2", NoiseModel("gain", 8.0), {}, frames_path=path)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A ring with every frame of the sweep, slot = number."""
    path = tmp_path_factory.mktemp("ring") / "ring"
    ring = create_ring(path, 1, (HEIGHT, WIDTH), "<u2")
    sequences = [
        ring.write(n, SlotKey(run_hash("run"), 0, n), known_frame(0, *divmod(n, COUNT)), 0.0) for n in range(TOTAL)
    ]
    return path, ring, sequences


def source_of(filled, copy: bool = False) -> FrameSource:
    source = FrameSource(copy)
    source.open(str(filled[0]), filled[1].epoch)
    return source


def ready(filled, first: int, count: int) -> FramesReady:
    slots = np.arange(first, first + count, dtype=np.uint32)
    return FramesReady("run", 0, 6, 3, first, slots, np.array(filled[2][first : first + count], np.uint64))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_order_of_batches_gives_every_frame_once(filled, data):
    source, band = source_of(filled), Band(run(), SWEEP, 6, 12, 3)
    cube, given_ = np.zeros((COUNT, 6, WIDTH), np.uint32), []
    next_ = 0
    for _ in range(400):
        if band.added == TOTAL:
            break
        first = data.draw(st.integers(0, TOTAL - 1)) if data.draw(st.booleans()) else next_
        batch = ready(filled, first, min(data.draw(st.integers(1, 4)), TOTAL - first))
        while batch is not None:
            taken = band.take(batch, source, data.draw(st.integers(1, 3)))
            for frame in taken.frames:
                cube[frame.index] += frame.pixels
                given_.append(frame.pass_index * COUNT + frame.index)
            order = data.draw(st.permutations(taken.frames))
            assert all(band.add(frame.pass_index * COUNT + frame.index, source) for frame in order)
            batch = taken.rest
        # what the server does with a replay request: it begins again at the first missing frame
        next_ = band.added if taken.missing is None else taken.missing
    assert given_ == list(range(TOTAL))
    expected = sum(
        np.stack([known_frame(0, p, i)[6:12].astype(np.uint32) for i in range(COUNT)]) for p in range(PASSES)
    )
    assert np.array_equal(cube, expected)


def test_a_gap_is_asked_for_within_one_message(filled):
    band, source = Band(run(), SWEEP, 6, 12, 3), source_of(filled)
    assert len(band.take(ready(filled, 0, 2), source, 10).frames) == 2
    taken = band.take(ready(filled, 4, 2), source, 10)
    assert (taken.missing, taken.frames) == (2, [])
    taken = band.take(ready(filled, 1, 3), source, 10)
    assert (taken.duplicates, len(taken.frames), taken.missing) == (1, 2, None)


def test_a_slot_overwritten_before_it_was_read_is_asked_for_again(filled):
    band, source = Band(run(), SWEEP, 6, 12, 3), source_of(filled)
    stale = ready(filled, 0, 3)
    stale = replace(stale, sequences=stale.sequences - np.array([0, 2, 0], np.uint64))
    taken = band.take(stale, source, 10)
    assert (len(taken.frames), taken.missing) == (1, 1)


@pytest.mark.parametrize("copy", [False, True])
def test_a_slot_overwritten_while_it_was_read_spoils_the_view_but_not_the_copy(tmp_path, copy):
    ring = create_ring(tmp_path / "ring", 1, (HEIGHT, WIDTH), "<u2")
    frame = known_frame(0, 0, 0)
    sequence = ring.write(0, SlotKey(run_hash("run"), 0, 0), frame, 0.0)
    source = FrameSource(copy)
    source.open(str(tmp_path / "ring"), ring.epoch)
    band = Band(run(), SWEEP, 6, 12, 3)
    slots = np.zeros(1, np.uint32)
    (taken,) = band.take(FramesReady("run", 0, 6, 3, 0, slots, np.array([sequence], np.uint64)), source, 1).frames
    ring.write(0, SlotKey(run_hash("run"), 1, 0), frame * 0, 0.0)
    assert band.add(0, source) is copy
    assert np.array_equal(taken.pixels, frame[6:12]) is copy


def test_frames_that_left_the_ring_come_from_the_file(tmp_path, filled):
    path = tmp_path / "run.h5"
    with FrameWriter(path, run(str(path))) as writer:
        writer.add_sweep(SWEEP)
        for number in range(4):
            frame = known_frame(0, *divmod(number, COUNT))
            writer.append(0, *divmod(number, COUNT), 2800.0, frame, crc32c(frame), 0.0)
        writer.flush()
        source, band = source_of(filled), Band(run(str(path)), SWEEP, 6, 12, 3)
        source.paths["run"] = str(path)
        batch = ready(filled, 0, 6)
        batch = replace(batch, slots=np.array([NOT_IN_RING] * 5 + [5], np.uint32))
        taken = band.take(batch, source, 10)
        assert (len(taken.frames), taken.missing) == (4, 4)
        assert np.array_equal(taken.frames[3].pixels, known_frame(0, 0, 3)[6:12])
        frame = known_frame(0, 0, 4)
        writer.append(0, 0, 4, 2800.0, frame, crc32c(frame), 0.0)
        writer.flush()
        taken = band.take(replace(batch, first=4, slots=batch.slots[4:], sequences=batch.sequences[4:]), source, 10)
        assert len(taken.frames) == 2
        source.close()


def test_an_abandoned_frame_is_a_hole_and_the_band_is_never_whole(filled):
    band, source = Band(run(), SWEEP, 6, 12, 3), source_of(filled)
    batch = ready(filled, 0, TOTAL)
    slots = batch.slots.copy()
    slots[3] = ABANDONED
    taken = band.take(replace(batch, slots=slots), source, 100)
    assert (len(taken.frames), band.holes) == (TOTAL - 1, 1)
    for frame in taken.frames:
        band.add(frame.pass_index * COUNT + frame.index, source)
    assert band.added == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"first_index": 2**31 - 1},
        {"passes_done": np.full(2, 2**32 - 1, np.uint32)},
        {"frames": np.full(2, 9, np.uint32)},
        {"passes_done": np.ones(1, np.uint32)},
        {"sums": (np.zeros((2, 2), np.uint32),) * 2},
        {"sums": (np.zeros((HEIGHT, WIDTH), np.float64),) * 2},
    ],
)
def test_sums_that_do_not_fit_the_band_are_not_believed(changes):
    band = Band(run(), SWEEP, 0, HEIGHT, 1)
    good = BandSums("run", 0, 0, 1, 0, *(np.ones(2, np.uint32),) * 2, (np.ones((HEIGHT, WIDTH), np.uint32),) * 2)
    with pytest.raises(ValueError, match="sums that do not fit"):
        band.take_sums(replace(good, **changes))
    assert [part.index for part in band.take_sums(good).frames] == [0, 1]
