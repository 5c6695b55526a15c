"""The ring: readers see the frame they were told of, or learn that it is gone."""

from __future__ import annotations

import stat

import numpy as np
import pytest

from stream.crc import crc32c
from stream.ring import RingError, SlotKey, create_ring, open_ring, run_hash


@pytest.fixture(params=["<u2", "<u4", "<f4"])
def ring(tmp_path, request):
    return create_ring(tmp_path / "ring", 1, (30, 41), request.param)


def test_a_reader_sees_what_was_written(ring, tmp_path):
    reader = open_ring(tmp_path / "ring", ring.epoch)
    frame = np.random.default_rng(1).integers(0, 60000, (30, 41)).astype(ring.pixels.dtype)
    key = SlotKey(run_hash("a"), 3, 77)
    sequence = ring.write(5, key, frame, 12.5)
    assert reader.holds(5, sequence, key)
    assert np.array_equal(reader.pixels[5], frame)
    assert reader.crc(5) == crc32c(frame)
    assert reader.time_s(5) == 12.5
    with pytest.raises(ValueError, match="read-only"):
        reader.pixels[5][0, 0] = 1


def test_an_overwritten_slot_is_noticed(ring, tmp_path):
    reader = open_ring(tmp_path / "ring", ring.epoch)
    key, other = SlotKey(run_hash("a"), 0, 1), SlotKey(run_hash("a"), 0, 2)
    frame = np.zeros((30, 41), ring.pixels.dtype)
    first = ring.write(0, key, frame, 0.0)
    second = ring.write(0, other, frame, 0.0)
    assert (first % 2, second - first) == (0, 2)
    assert not reader.holds(0, first, key)
    assert not reader.holds(0, second, key)
    assert not reader.holds(0, second, SlotKey(run_hash("b"), 0, 2))
    assert reader.holds(0, second, other)
    assert not reader.holds(ring.slots, second, other)


def test_a_slot_being_written_is_not_readable(ring, tmp_path):
    reader = open_ring(tmp_path / "ring", ring.epoch)
    key = SlotKey(1, 0, 0)
    sequence = ring.write(0, key, np.zeros((30, 41), ring.pixels.dtype), 0.0)
    seen = []

    class Spy:
        """An array that looks at the slot while it is copied from."""

        def __array__(self, dtype=None, copy=None):
            seen.append((reader.sequence(0), reader.holds(0, sequence, key)))
            return np.ones((30, 41), dtype)

    ring.write(0, key, Spy(), 0.0)
    assert seen == [(sequence + 1, False)]


def test_the_file_is_for_its_owner_alone_and_has_its_size(ring, tmp_path):
    info = (tmp_path / "ring").stat()
    assert stat.S_IMODE(info.st_mode) == 0o600
    assert info.st_size <= 1024 * 1024 + 4096
    assert ring.slots == (1024 * 1024) // ((30 * 41 * ring.pixels.itemsize + 63) // 64 * 64 + 64)


def test_a_tiny_ring_still_has_four_slots(tmp_path):
    assert create_ring(tmp_path / "ring", 1, (1000, 1000), "<u2").slots == 4


def test_a_wrong_file_is_refused(tmp_path):
    ring = create_ring(tmp_path / "ring", 1, (4, 4), "<u2")
    with pytest.raises(RingError, match="announced"):
        open_ring(tmp_path / "ring", "another epoch")
    with pytest.raises(RingError, match="cannot open"):
        open_ring(tmp_path / "none", ring.epoch)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(RingError, match="not a ring"):
        open_ring(tmp_path / "text", ring.epoch)
    (tmp_path / "cut").write_bytes((tmp_path / "ring").read_bytes()[:8192])
    with pytest.raises(RingError, match="shorter"):
        open_ring(tmp_path / "cut", ring.epoch)


def test_a_new_ring_leaves_the_readers_of_the_old_one_alone(tmp_path):
    old = create_ring(tmp_path / "ring", 1, (4, 4), "<u2")
    sequence = old.write(0, SlotKey(1, 0, 0), np.full((4, 4), 7), 0.0)
    reader = open_ring(tmp_path / "ring", old.epoch)
    new = create_ring(tmp_path / "ring", 1, (4, 4), "<u2")
    new.write(0, SlotKey(1, 0, 0), np.full((4, 4), 9), 0.0)
    assert reader.holds(0, sequence, SlotKey(1, 0, 0))
    assert (reader.pixels[0] == 7).all()


def test_no_room_is_one_clear_line(tmp_path):
    with pytest.raises(RingError, match="no room for a ring"):
        create_ring(tmp_path / "ring", 1 << 30, (4, 4), "<u2")
    assert not (tmp_path / "ring").exists()
