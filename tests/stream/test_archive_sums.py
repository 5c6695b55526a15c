"""The sums archive: whatever happens, the file holds the exact sums of all frames up to the last flush."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.archive_hdf5 import CorruptFrameError, FrameFile, FramesError, crc32c
from stream.archive_sums import SumsWriter
from stream.messages import Archive, NoiseModel, RunMode, RunStart, StatePoint, SweepRole, SweepStart
from stream.recover_frames import Rescued, part_again
from stream.sums import SPARE, SUMS, SumsError
from tests.stream.wire import HEIGHT, WIDTH, known_cube, known_frame

START = RunStart("run", RunMode.SIMULATED, HEIGHT, WIDTH, "<u2", NoiseModel("gain", 8.0), {}, archive=Archive.SUMS)
COUNT, PASSES = 3, 4


def opening(sweep: int = 0, count: int = COUNT, passes: int = PASSES) -> SweepStart:
    state = StatePoint(4.0, 4.0, 4.0, 0.0)
    return SweepStart("run", sweep, SweepRole.SINGLE, state, np.linspace(2800.0, 2900.0, count), passes)


def append(writer: SumsWriter, sweep: int, number: int, count: int = COUNT) -> None:
    pass_index, index = divmod(number, count)
    frame = known_frame(sweep, pass_index, index)
    writer.append(sweep, pass_index, index, 2800.0, frame, crc32c(frame), 1.0 + number)


def sums_of(path, sweep: int) -> dict[int, tuple[int, np.ndarray]]:
    with FrameFile(path) as file:
        return {plane.index: (plane.frames, plane.pixels) for plane in file.planes(sweep)}


def assert_first(path, sweep: int, frames: int, count: int = COUNT) -> None:
    """Hold that the file has the sums of exactly the first frames of a sweep."""
    found = sums_of(path, sweep)
    expected = [(frames - index + count - 1) // count for index in range(count)]
    assert {index: got for index, (got, _) in found.items()} == {i: n for i, n in enumerate(expected) if n}
    for index, (got, pixels) in found.items():
        assert np.array_equal(pixels, known_cube(sweep, count, got)[index]), (index, got)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_kill_at_any_moment_leaves_the_sums_of_all_that_was_flushed(tmp_path_factory, data):
    """What a killed process leaves is what it has written: a copy of the file as it is, some writes half done."""
    folder = tmp_path_factory.mktemp("sums")
    flush_at = data.draw(st.sets(st.integers(0, 2 * COUNT * PASSES)))
    killed_at = data.draw(st.integers(0, 2 * COUNT * PASSES - 1))
    writer = SumsWriter(folder / "run.h5", START)
    durable = 0
    for step in range(2 * COUNT * PASSES):
        sweep, number = divmod(step, COUNT * PASSES)
        if number == 0:
            writer.add_sweep(opening(sweep))
            durable = step  # it flushes
        if step in flush_at:
            writer.flush()
            durable = step
        if step == killed_at:
            break
        append(writer, sweep, number)
    shutil.copy(folder / "run.h5", folder / "killed.h5")
    sweep, done = divmod(killed_at, COUNT * PASSES)
    with FrameFile(folder / "killed.h5") as file:
        assert durable <= file.count <= killed_at
        kept = file.count - sweep * COUNT * PASSES
    for whole in range(sweep):
        assert_first(folder / "killed.h5", whole, COUNT * PASSES)
    assert kept <= done
    assert_first(folder / "killed.h5", sweep, max(kept, 0))
    writer.close()


def test_a_half_written_sum_is_never_the_only_one(tmp_path):
    path = tmp_path / "run.h5"
    with SumsWriter(path, START) as writer:
        writer.add_sweep(opening())
        for number in range(COUNT * PASSES - 1):
            append(writer, 0, number)
            writer.flush()
            shutil.copy(path, tmp_path / "killed.h5")
            # the next frame's sum was being written when the process died: garbage where it goes
            index = (number + 1) % COUNT
            with FrameFile(path) as file:
                place = {SUMS: file._dataset(SUMS).id, SPARE: file._dataset(SPARE).id}
                frames = sums_of(path, 0).get(index, (0, None))[0]
                if not frames:
                    continue
                info = (
                    place[SUMS if frames % 2 == 0 else SPARE].get_chunk_info_by_coord((index, 0, 0))
                    if frames > 1
                    else None
                )
            if info is not None:
                with (tmp_path / "killed.h5").open("r+b") as raw:
                    raw.seek(info.byte_offset)
                    raw.write(b"\x5a" * (info.size // 2))
            assert_first(tmp_path / "killed.h5", 0, number + 1)


def test_a_whole_sweep_is_in_one_dataset_for_everyone_who_reads_hdf5(tmp_path):
    import h5py

    path = tmp_path / "run.h5"
    with SumsWriter(path, START) as writer:
        for sweep, passes in enumerate((1, 2, 3)):
            writer.add_sweep(opening(sweep, passes=passes))
            for number in range(COUNT * passes):
                append(writer, sweep, number)
    with h5py.File(path) as plain:
        found = plain["entry/data/sums"][...]
        assert plain["entry/data/sums_spare"].shape[0] == COUNT
    assert np.array_equal(found, np.concatenate([known_cube(sweep, COUNT, sweep + 1) for sweep in range(3)]))


def test_a_reader_beside_the_writer_sees_sums_of_whole_frames_only(tmp_path):
    path = tmp_path / "run.h5"
    with SumsWriter(path, START) as writer, FrameFile(path) as file:
        writer.add_sweep(opening(passes=40))
        for number in range(COUNT * 40):
            append(writer, 0, number)
            if number % 7 == 0:
                writer.flush()
            for plane in file.planes(0):
                assert np.array_equal(plane.pixels, known_cube(0, COUNT, plane.frames)[plane.index])


def test_what_cannot_be_summed_exactly_is_refused_and_changes_nothing(tmp_path):
    from dataclasses import replace

    with SumsWriter(tmp_path / "u4.h5", replace(START, dtype="<u4")) as writer:
        writer.add_sweep(opening())
        big = np.full((HEIGHT, WIDTH), 2**31, "<u4")
        writer.append(0, 0, 0, 2800.0, big, crc32c(big), 1.0)
        with pytest.raises(SumsError, match="overflow 32 bits: use fewer passes, or archive = frames"):
            writer.append(0, 1, 0, 2800.0, big, crc32c(big), 1.0)
    assert np.array_equal(sums_of(tmp_path / "u4.h5", 0)[0][1], big)
    with SumsWriter(tmp_path / "f4.h5", replace(START, dtype="<f4")) as writer:
        writer.add_sweep(opening())
        light = np.linspace(0, 1, HEIGHT * WIDTH, dtype="<f4").reshape(HEIGHT, WIDTH)
        writer.append(0, 0, 1, 2800.0, light, crc32c(light), 1.0)
        with pytest.raises(SumsError, match="one pass"):
            writer.append(0, 1, 1, 2800.0, light, crc32c(light), 1.0)
    assert np.array_equal(sums_of(tmp_path / "f4.h5", 0)[1][1], light)


def test_frames_of_a_run_of_sums_are_refused_with_what_to_do(tmp_path):
    with SumsWriter(tmp_path / "run.h5", START) as writer:
        writer.add_sweep(opening())
        append(writer, 0, 0)
    with FrameFile(tmp_path / "run.h5") as file:
        with pytest.raises(FramesError, match="keeps the sums of the passes, not frames"):
            list(file.frames(0))
        with pytest.raises(KeyError, match="has 1 passes"):
            file.plane(0, 0, passes=2)


def test_a_damaged_sum_is_said(tmp_path):
    path = tmp_path / "run.h5"
    with SumsWriter(path, START) as writer:
        writer.add_sweep(opening(passes=1))
        for number in range(COUNT):
            append(writer, 0, number)
    with FrameFile(path) as file:
        place = file._dataset(SUMS).id.get_chunk_info_by_coord((1, 0, 0)).byte_offset
    with path.open("r+b") as raw:
        raw.seek(place)
        raw.write(b"\0\0\0\0")
    with FrameFile(path) as file, pytest.raises(CorruptFrameError, match="frequency 1 of sweep 0"):
        list(file.planes(0))


def test_a_damaged_sum_stays_damaged_when_a_killed_camera_s_frames_are_added(tmp_path):
    path = tmp_path / "killed.h5"
    with SumsWriter(tmp_path / "run.h5", START) as writer:
        writer.add_sweep(opening())
        for number in range(2 * COUNT):
            append(writer, 0, number)
        writer.flush()
        shutil.copy(writer.path, path)
    path.with_name("killed.h5.writing").touch()
    with FrameFile(path) as file:
        places = [file._dataset(name).id.get_chunk_info_by_coord((1, 0, 0)).byte_offset for name in (SUMS, SPARE)]
    with path.open("r+b") as raw:
        for place in places:
            raw.seek(place)
            raw.write(b"\x5a\x5a\x5a\x5a")
    frames = [(number, known_frame(0, *divmod(number, COUNT))) for number in range(2 * COUNT, COUNT * PASSES)]
    parted = part_again(path, [Rescued(0, number, 1.0, crc32c(frame), frame) for number, frame in frames])
    assert parted is not None
    assert (parted.damaged, parted.rescued) == (((0, 1, 1),), 1)
    with FrameFile(path) as file:
        assert file.complete_sweeps() == []
        assert np.array_equal(file.plane(0, 0).pixels, known_cube(0, COUNT, 3)[0])
        with pytest.raises(CorruptFrameError, match="frequency 1 of sweep 0"):
            file.plane(0, 1)


def test_holes_count_as_passes_done(tmp_path):
    path = tmp_path / "run.h5"
    with SumsWriter(path, START) as writer:
        writer.add_sweep(opening(passes=3))
        for number in range(COUNT * 3):
            if number in (1, 4, 8):
                writer.add_hole(0, *divmod(number, COUNT))
            else:
                append(writer, 0, number)
    with FrameFile(path) as file:
        assert file.holes(0) == {(0, 1), (1, 1), (2, 2)}
        assert [sweep.sweep for sweep in file.complete_sweeps()] == [0]
        assert [(p.index, p.passes_done, p.frames) for p in file.planes(0)] == [(0, 3, 3), (1, 3, 1), (2, 3, 2)]
        assert np.array_equal(file.plane(0, 1).pixels, known_frame(0, 2, 1))


def test_a_hole_that_is_on_disk_has_every_frame_before_it(tmp_path):
    """Else a sum would claim a pass whose frame is not in it."""
    path = tmp_path / "run.h5"
    with SumsWriter(path, START) as writer:
        writer.add_sweep(opening())
        for number in range(COUNT + 1):
            append(writer, 0, number)
        writer.add_hole(0, 1, 1)
        append(writer, 0, COUNT + 2)
        shutil.copy(path, tmp_path / "killed.h5")
    with FrameFile(tmp_path / "killed.h5") as file:
        assert [(p.index, p.passes_done, p.frames) for p in file.planes(0)] == [(0, 2, 2), (1, 2, 1), (2, 1, 1)]
