"""A killed writer's file becomes an ordinary one: every frame checked, the ring's last ones added, nothing touched that
somebody writes."""

from __future__ import annotations

import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest

from stream.archive_hdf5 import CorruptFrameError, FrameFile, FramesError, FrameWriter, crc32c
from stream.messages import NoiseModel, RunMode, RunStart, StatePoint, SweepRole, SweepStart
from stream.paths import frames_path
from stream.recover_frames import gather, left_behind, part_again, rescue
from stream.ring import SlotKey, create_ring, run_hash
from tests.stream.wire import HEIGHT, ROOT, WIDTH, known_frame

COUNT = 10
WRITER = """
import os, signal, sys
from tests.stream.test_recover_frames import write
kept = write(sys.argv[1], int(sys.argv[2]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def sweep(number: int) -> SweepStart:
    state = StatePoint(4.0, 4.0, 4.0, 0.0)
    return SweepStart("run", number, SweepRole.SINGLE, state, np.linspace(2800.0, 2900, COUNT), 2, {"seed": 7})


def write(data_dir, frames: int) -> FrameWriter:
    """Sweep 0 whole and `frames` frames of sweep 1, flushed."""
    noise = NoiseModel("gain", 8.0)
    path = frames_path(data_dir, "run")
    writer = FrameWriter(path, RunStart("run", RunMode.SIMULATED, HEIGHT, WIDTH, "<u2", noise, {}))
    for number, count in ((0, 2 * COUNT), (1, frames)):
        writer.add_sweep(sweep(number))
        for i in range(count):
            image = known_frame(number, *divmod(i, COUNT))
            key = (number, *divmod(i, COUNT))
            writer.append(*key, float(sweep(0).frequency_mhz[i % COUNT]), image, crc32c(image), 100.0 + i)
    writer.flush()
    return writer


@pytest.fixture
def left(tmp_path):
    """The file of a writer that was killed with 13 of 20 frames of the last sweep on disk."""
    process = subprocess.run([sys.executable, "-c", WRITER, str(tmp_path), "13"], cwd=ROOT, check=False, timeout=60)
    assert process.returncode == -signal.SIGKILL
    return frames_path(tmp_path, "run")


def assert_frames(path, last: int) -> None:
    with h5py.File(path) as plain:
        assert len(plain["entry/data/frames"]) == 2 * COUNT + last
    with FrameFile(path) as file:
        assert [item.sweep for item in file.sweeps] == [0, 1]
        assert file.sweeps[1].source_state == {"seed": 7}
        for number, count in ((0, 2 * COUNT), (1, last)):
            keys = [(p, i) for p, i, _ in file.frames(number)]
            assert keys == [divmod(n, COUNT) for n in range(count)]
            assert all(np.array_equal(image, known_frame(number, p, i)) for p, i, image in file.frames(number))
        assert file.time_s(1)[:13].tolist() == [100.0 + i for i in range(13)]


def test_a_killed_writer_s_file_becomes_an_ordinary_one(tmp_path, left):
    with pytest.raises(OSError, match="already open"):
        h5py.File(left)
    assert left_behind(tmp_path) == [left]
    (left.parent / f"{left.name}.part").write_bytes(b"of a recovery that was killed too")
    parted = part_again(left)
    assert (parted.run_uid, parted.frames, parted.rescued, parted.damaged) == ("run", 33, 0, ())
    assert_frames(left, 13)
    assert left_behind(tmp_path) == []
    assert part_again(left) is None
    assert [path.name for path in left.parent.iterdir()] == ["run.h5"]


def test_frames_that_only_the_ring_has_are_added(tmp_path, left):
    ring_path = tmp_path / "ring"
    ring = create_ring(ring_path, 1, (HEIGHT, WIDTH), "<u2")
    for slot, number in enumerate((12, 13, 14, 15, 17)):
        ring.write(slot, SlotKey(run_hash("run"), 1, number), known_frame(1, *divmod(number, COUNT)), 5.0)
    ring.write(5, SlotKey(run_hash("another"), 1, 16), known_frame(1, 1, 6), 5.0)
    ((path, rescued),) = gather(tmp_path, ring_path)
    assert [(frame.sweep, frame.number) for frame in rescued] == [(1, 13), (1, 14), (1, 15)]
    parted = part_again(path, rescued)
    assert (parted.frames, parted.rescued) == (36, 3)
    assert_frames(left, 16)


def test_a_torn_frame_of_the_ring_is_not_taken(tmp_path, left):
    ring = create_ring(tmp_path / "ring", 1, (HEIGHT, WIDTH), "<u2")
    ring.write(0, SlotKey(run_hash("run"), 1, 13), known_frame(1, 1, 3), 5.0)
    ring.pixels[0, 0, 0] += 1
    assert rescue(tmp_path / "ring", left) == []
    assert rescue(tmp_path / "no-ring", left) == []


def test_a_damaged_frame_is_counted_and_keeps_its_row(tmp_path, left):
    with h5py.File(left, "r", swmr=True) as file:
        place = file["entry/data/frames"].id.get_chunk_info_by_coord((24, 0, 0)).byte_offset
    with left.open("r+b") as raw:
        raw.seek(place)
        raw.write(b"\xff\xff")
    parted = part_again(left)
    assert parted.damaged == ((1, 0, 4),)
    assert "1 are damaged" in parted.sentence()
    with FrameFile(left) as file:
        assert file.count == 33
        with pytest.raises(CorruptFrameError):
            file.frame(1, 0, 4)
        assert np.array_equal(file.frame(1, 0, 5), known_frame(1, 0, 5))


def test_a_living_writer_s_file_is_left_alone(tmp_path):
    with write(tmp_path, 5) as writer:
        assert left_behind(tmp_path) == []
        assert part_again(writer.path) is None
    assert left_behind(tmp_path) == []
    assert [path.name for path in writer.path.parent.iterdir()] == ["run.h5"]


def test_without_room_the_file_stays_as_it_was(left):
    before = left.read_bytes()
    code = f"""
import resource, pathlib
from stream.archive_hdf5 import FramesError
from stream.recover_frames import part_again
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
try:
    part_again(pathlib.Path({str(left)!r}))
except FramesError as error:
    assert "cannot be copied" in str(error)
    import os
    os._exit(3)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=60)
    assert done.returncode == 3
    assert left.read_bytes() == before
    assert part_again(left).frames == 33
    assert [path.name for path in left.parent.iterdir()] == ["run.h5"]


def test_what_is_no_frames_file_says_so(tmp_path):
    path = frames_path(tmp_path, "odd")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing")
    path.with_name("odd.h5.writing").touch()
    with pytest.raises(FramesError):
        part_again(path)
