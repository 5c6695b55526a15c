"""Frames of a camera that does not wait: what it loses is a hole, said once per frame, or the end of the sweep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.frames import FrameLost
from stream.live_frames import FrameQueue, SourceLost

SHAPE = (2, 3)
TOTAL = 9


def image(number: int, dtype: str = "<u2") -> np.ndarray:
    return np.full(SHAPE, number, dtype)


def taken(queue: FrameQueue, count: int) -> list[int | None]:
    """Numbers of the next frames, None for each that is lost."""
    numbers: list[int | None] = []
    for _ in range(count):
        try:
            numbers.append(int(queue.take(5)[0, 0]))
        except FrameLost:
            numbers.append(None)
    return numbers


@given(st.sets(st.integers(0, TOTAL - 1), min_size=1))
def test_each_number_is_a_frame_or_a_hole_in_order(came):
    queue = FrameQueue(SHAPE, "<u2", 2**20, holes=True)
    queue.open(TOTAL)
    for number in sorted(came):
        queue.put(number, image(number))
        queue.put(number, image(99))  # the same again is a stray
    assert queue.strays == len(came)
    last = max(came)
    assert taken(queue, last + 1) == [number if number in came else None for number in range(last + 1)]
    queue.end("the series is over")
    assert taken(queue, TOTAL - 1 - last) == [None] * (TOTAL - 1 - last)
    assert not queue.waited_for


def test_a_frame_that_finds_no_room_is_a_hole_and_the_next_ones_come():
    queue = FrameQueue(SHAPE, "<u2", 3 * 12, holes=True)
    queue.open(TOTAL)
    for number in range(5):
        queue.put(number, image(number))
    assert taken(queue, 2) == [0, 1]
    queue.put(6, image(6))
    assert taken(queue, 5) == [2, None, None, None, 6]


def test_what_is_not_a_lost_frame_still_ends_the_sweep():
    queue = FrameQueue(SHAPE, "<u2", 2**20, holes=True)
    queue.open(TOTAL)
    queue.put(0, image(0))
    queue.put(2, np.zeros((9, 9), "<u2"))
    assert taken(queue, 1) == [0]
    with pytest.raises(SourceLost, match="restart the camera process"):
        queue.take(5)
    queue.open(TOTAL)
    queue.end("the detector ended the series")
    with pytest.raises(SourceLost, match="frame 0 of 9 does not come: the detector ended the series"):
        queue.take(5)
    queue.open(TOTAL)
    queue.put(3, image(3))
    queue.fail("it went away")
    assert taken(queue, 4) == [None, None, None, 3]
    with pytest.raises(SourceLost, match="it went away"):
        queue.take(5)
