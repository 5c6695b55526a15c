"""Frames on disk: what was appended is read back, while writing, after a kill, and never when damaged."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import resource
import signal

import h5py
import numpy as np
import pytest

from stream.archive_hdf5 import CorruptFrameError, FrameFile, FramesError, FrameWriter, crc32c
from stream.archive_sums import make_writer
from stream.messages import Archive, FieldHistory, NoiseModel, RunMode, RunStart, StatePoint, SweepRole, SweepStart
from stream.records import run_start_from_json, run_start_to_json, sweep_from_record, sweep_to_record

START = RunStart(
    run_uid="run-1",
    mode=RunMode.SIMULATED,
    height=5,
    width=7,
    dtype="<u2",
    noise=NoiseModel(source="gain", electrons_per_count=8.0),
    analysis={"lines": 4, "doublets": [[0, 3], [1, 2]]},
    regions={"sample": [[-1.0, 2.0]], "points": {"a": [0.5, 1.5]}},
    sample="S1",
)


def sweep(number: int = 0) -> SweepStart:
    state = StatePoint(20.5, 20.0, 21.0, 97.0, FieldHistory.ZFC_FW, 2)
    frequency = np.array([2857.1, 2870.0, 3401.3])
    return SweepStart("run-1", number, SweepRole.WARMING, state, frequency, 2, {"seed": 2**63, "x": [1.5, None]})


def frame(pass_index: int, index: int, dtype: str = "<u2") -> np.ndarray:
    return (np.arange(35).reshape(5, 7) + 100 * index + 1000 * pass_index).astype(dtype)


def fill(writer: FrameWriter, number: int = 0, dtype: str = "<u2") -> None:
    writer.add_sweep(sweep(number))
    for p in range(2):
        for i in range(3):
            image = frame(p, i, dtype)
            writer.append(number, p, i, float(sweep().frequency_mhz[i]), image, crc32c(image), 100.0 + i)


def same(a: SweepStart, b: SweepStart) -> bool:
    left, right = dataclasses.asdict(a), dataclasses.asdict(b)
    return left.pop("frequency_mhz").tobytes() == right.pop("frequency_mhz").tobytes() and left == right


@pytest.mark.parametrize("archive", [Archive.FRAMES, Archive.SUMS])
@pytest.mark.parametrize("full_at", [(0,), (4,), (1, 4, 5)])
def test_a_frame_that_a_full_disk_refused_is_there_once_it_was_taken(tmp_path, archive, full_at):
    path, free = tmp_path / "run.h5", (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    start = dataclasses.replace(START, height=64, width=64, archive=archive)
    images = np.random.default_rng(3).integers(0, 4096, (6, 64, 64)).astype("<u2")
    with make_writer(path, start) as writer:
        writer.add_sweep(sweep())
        for number, image in enumerate(images):
            one = (0, *divmod(number, 3), 2870.0, image, crc32c(image), 100.0)
            if number in full_at:
                writer.flush()
                resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, free[1]))
                try:
                    for _ in range(3):
                        with pytest.raises((OSError, RuntimeError)):
                            writer.append(*one)
                finally:
                    resource.setrlimit(resource.RLIMIT_FSIZE, free)
            writer.append(*one)
    with FrameFile(path) as file:
        assert file.count == 6
        if archive is Archive.FRAMES:
            assert [np.array_equal(got, image) for (_, _, got), image in zip(file.frames(0), images, strict=True)] == [
                True
            ] * 6
        else:
            sums = np.stack([plane.pixels for plane in file.planes(0)])
            assert np.array_equal(sums, images.reshape(2, 3, 64, 64).astype(np.uint32).sum(axis=0))


def _take(work) -> None:
    try:
        work()
    except (OSError, RuntimeError):
        os._exit(1)


def _fill_a_disk(path, start, room: int) -> None:
    """Write three frames where the disk was full in the first; exits with 1 where it is refused ever after."""
    free, image = (resource.RLIM_INFINITY, resource.RLIM_INFINITY), np.full((64, 64), 7, "<u2")
    writer = make_writer(path, start)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, free[1]))
    opened = False
    for _ in range(3):
        with contextlib.suppress(OSError, RuntimeError):
            writer.add_sweep(sweep())
            opened = True
            break
    if not opened:
        resource.setrlimit(resource.RLIMIT_FSIZE, free)
        _take(lambda: writer.add_sweep(sweep()))
    with contextlib.suppress(OSError, RuntimeError):
        writer.append(0, 0, 0, 2870.0, image, crc32c(image), 100.0)
    for _ in range(2):
        with contextlib.suppress(OSError, RuntimeError):
            writer.flush()
    resource.setrlimit(resource.RLIMIT_FSIZE, free)
    for number in range(writer.count, 3):
        _take(lambda number=number: writer.append(0, 0, number, 2870.0, image, crc32c(image), 100.0))
    _take(writer.close)
    os._exit(0)


@pytest.mark.parametrize("archive", [Archive.FRAMES, Archive.SUMS])
def test_what_was_taken_after_the_disk_was_full_is_there(tmp_path, archive):
    """Wherever the disk ends: within pixels, columns or HDF5's own tables (which then refuse for good, aloud)."""
    start = dataclasses.replace(START, height=64, width=64, archive=archive)
    taken = 0
    for room in range(0, 53248, 2048):
        path = tmp_path / f"{room}.h5"
        process = multiprocessing.get_context("fork").Process(target=_fill_a_disk, args=(path, start, room))
        process.start()
        process.join(60)
        if process.exitcode == 0:
            taken += 1
            with FrameFile(path) as file:
                assert file.count == 3
                frames = [pixels for _, _, pixels in file.frames(0)] if archive is Archive.FRAMES else []
                for pixels in frames or [plane.pixels for plane in file.planes(0)]:
                    assert (pixels == 7).all()
    assert taken >= 8


def test_records_are_exact_inverses():
    assert run_start_from_json(run_start_to_json(START)) == START
    back = sweep_from_record(sweep_to_record(sweep()))
    assert same(back, sweep())
    assert type(back.role) is SweepRole
    assert type(back.state.history) is FieldHistory


@pytest.mark.parametrize("dtype", ["<u2", "<u4", "<f4"])
def test_round_trip(tmp_path, dtype):
    with FrameWriter(tmp_path / "new" / "f.h5", dataclasses.replace(START, dtype=dtype)) as writer:
        fill(writer, 0, dtype)
        fill(writer, 1, dtype)
        path = writer.path
    with FrameFile(path) as file:
        assert file.start == dataclasses.replace(START, dtype=dtype)
        assert [s.sweep for s in file.sweeps] == [0, 1]
        assert same(file.sweeps[1], sweep(1))
        assert file.count == 12
        got = [(p, i) for p, i, image in file.frames(1) if image.tobytes() == frame(p, i, dtype).tobytes()]
        assert got == [(p, i) for p in range(2) for i in range(3)]
        assert file.frame(0, 1, 2).dtype == np.dtype(dtype)
        assert file.time_s(1).tolist() == [100.0, 101.0, 102.0] * 2
        with pytest.raises(KeyError):
            file.frame(0, 7, 0)


def test_layout_is_the_documented_one(tmp_path):
    with FrameWriter(tmp_path / "f.h5", START) as writer:
        fill(writer)
    with h5py.File(tmp_path / "f.h5") as file:
        assert file.attrs["run_uid"] == "run-1"
        assert file["/entry/data/frames"].shape == (6, 5, 7)
        assert file["/entry/data/frames"].chunks == (1, 5, 7)
        columns = ("sweep", "pass", "index", "crc32c", "time_s", "frequency_mhz")
        assert {file[f"/entry/data/{n}"].shape for n in columns} == {(6,)}
        assert file["/entry/data/frequency_mhz"][1] == 2870.0


def test_reads_while_writing(tmp_path):
    with FrameWriter(tmp_path / "f.h5", START) as writer, FrameFile(writer.path) as file:
        assert file.sweeps == []
        assert file.count == 0
        fill(writer)
        writer.flush()
        assert file.count == 6
        assert len(file.sweeps) == 1
        assert file.frame(0, 1, 2).tobytes() == frame(1, 2).tobytes()
        fill(writer, 1)
        writer.flush()
        assert len(list(file.frames(1))) == 6


def _write_and_hang(path, ready) -> None:
    writer = FrameWriter(path, START)
    fill(writer)
    writer.flush()
    ready.set()
    signal.pause()


def test_a_killed_writers_file_is_readable(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    child = context.Process(target=_write_and_hang, args=(tmp_path / "f.h5", ready))
    child.start()
    assert ready.wait(60)
    os.kill(child.pid, signal.SIGKILL)
    child.join(30)
    with pytest.raises(OSError, match=r"."):
        h5py.File(tmp_path / "f.h5", "r")
    with FrameFile(tmp_path / "f.h5") as file:
        assert [image.tobytes() for _, _, image in file.frames(0)] == [
            frame(p, i).tobytes() for p in range(2) for i in range(3)
        ]
        assert same(file.sweeps[0], sweep(0))


def test_a_damaged_frame_is_refused(tmp_path):
    with FrameWriter(tmp_path / "f.h5", START) as writer:
        fill(writer)
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        file["/entry/data/frames"][4, 2, 3] += 1
    with FrameFile(tmp_path / "f.h5") as file:
        assert file.frame(0, 1, 0).shape == (5, 7)
        with pytest.raises(CorruptFrameError, match=r"\(0, 1, 1\).*damaged"):
            file.frame(0, 1, 1)


def test_a_repeated_frame_counts_once(tmp_path):
    with FrameWriter(tmp_path / "f.h5", START) as writer:
        fill(writer)
        writer.append(0, 0, 0, 1.0, frame(1, 1), crc32c(frame(1, 1)), 0.0)
    with FrameFile(tmp_path / "f.h5") as file:
        assert len(list(file.frames(0))) == 6
        assert file.frame(0, 0, 0).tobytes() == frame(0, 0).tobytes()


def test_refusals(tmp_path):
    with FrameWriter(tmp_path / "f.h5", START) as writer:
        with pytest.raises(ValueError, match="declared"):
            writer.append(0, 0, 0, 1.0, frame(0, 0, "<u4"), 0, 0.0)
        with pytest.raises(FramesError, match="cannot make"):
            FrameWriter(tmp_path / "f.h5", START)
    with pytest.raises(FramesError, match="cannot read"):
        FrameFile(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(FramesError, match="cannot read"):
        FrameFile(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    with pytest.raises(FramesError, match="not a frames file"):
        FrameFile(tmp_path / "other.h5")


@pytest.mark.parametrize("failing", range(1, 24, 2))
def test_a_call_that_failed_half_way_is_tried_again_and_repeats_nothing(tmp_path, monkeypatch, failing):
    flush, calls = h5py.Dataset.flush, []

    def refuse_once(self):
        calls.append(self.name)
        if len(calls) == failing:
            raise OSError(28, "No space left on device")
        flush(self)

    def insist(call) -> None:
        try:
            call()
        except OSError:
            call()

    monkeypatch.setattr("stream.archive_hdf5._AUTO_FLUSH", 4)
    with FrameWriter(tmp_path / "f.h5", START) as writer:
        monkeypatch.setattr(h5py.Dataset, "flush", refuse_once)
        for number in range(2):
            insist(lambda number=number: writer.add_sweep(sweep(number)))
            for p in range(2):
                for i in range(3):
                    image, key = frame(p, i), (number, p, i, float(sweep().frequency_mhz[i]))
                    insist(lambda key=key, image=image: writer.append(*key, image, crc32c(image), 100.0))
            insist(writer.flush)
        assert len(calls) > failing
        monkeypatch.undo()
    with h5py.File(tmp_path / "f.h5") as file:
        assert {len(column) for column in file["entry/data"].values()} == {12}
    with FrameFile(tmp_path / "f.h5") as file:
        assert [same(a, b) for a, b in zip(file.sweeps, (sweep(0), sweep(1)), strict=True)] == [True, True]
        for number in range(2):
            assert [(p, i) for p, i, _ in file.frames(number)] == [(p, i) for p in range(2) for i in range(3)]


def test_a_column_that_has_grown_before_its_values_is_no_frame_yet(tmp_path):
    path = tmp_path / "run.h5"
    with FrameWriter(path, START) as writer:
        fill(writer)
    image = frame(0, 0)
    values = {"sweep": 0, "pass": 9, "index": 2, "frequency_mhz": 2870.0, "crc32c": crc32c(image), "time_s": 200.0}
    with h5py.File(path, "r+", libver="latest") as beside:
        beside.swmr_mode = True
        data = beside["/entry/data"]
        with FrameFile(path) as reader:
            assert reader.count == 6
            for dataset in data.values():
                dataset.resize(7, axis=0)
                dataset.flush()
            assert reader.count == 6
            data["frames"].id.write_direct_chunk((6, 0, 0), image)
            for name, value in values.items():
                assert reader.count == 6, f"{name} is still to come"
                data[name][6] = value
                data[name].flush()
            assert reader.frames_of(0) == 7
            assert np.array_equal(reader.frame(0, 9, 2), image)


def write_in_steps(path, link):
    """Append as many frames as are asked for, flush, and say so; None ends it."""
    with FrameWriter(path, START) as writer:
        writer.add_sweep(sweep())
        image = frame(0, 0)
        while (count := link.recv()) is not None:
            for _ in range(count):
                writer.append(0, writer.count, 0, 2870.0, image, crc32c(image), 100.0)
            writer.flush()
            link.send(writer.count)


def test_one_reader_follows_a_writer_in_another_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    link, theirs = context.Pipe()
    process = context.Process(target=write_in_steps, args=(tmp_path / "run.h5", theirs))
    process.start()
    try:
        link.send(5)
        assert link.recv() == 5
        with FrameFile(tmp_path / "run.h5") as reader:
            assert reader.count == 5
            for more in (32, 1, 64, 3):
                link.send(more)
                count = link.recv()
                assert reader.count == reader.frames_of(0) == count
                assert np.array_equal(reader.frame(0, count - 1, 0), frame(0, 0))
    finally:
        link.send(None)
        process.join(30)
        link.close()
        theirs.close()
    assert process.exitcode == 0
