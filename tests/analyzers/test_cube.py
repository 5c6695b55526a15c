"""The cube adds exactly, in any order, and refuses what would not be exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.cube import Cube, CubeError


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(12)))
def test_any_order_of_frames_gives_the_same_bits(order: list[int]) -> None:
    random = np.random.default_rng(1)
    frames = random.integers(0, 65_536, (3, 4, 5, 7)).astype("<u2")
    cube = Cube(4, 5, 7, "<u2")
    for number in order:
        cube.add(number % 4, frames[number // 4, number % 4])
    assert cube.sums.dtype == np.uint32
    assert np.array_equal(cube.sums, frames.astype(np.uint64).sum(axis=0))
    assert cube.passes_added.tolist() == [3, 3, 3, 3]
    assert cube.frames_added == 12


def test_sums_that_were_kept_go_on_as_if_never_interrupted() -> None:
    frames = np.random.default_rng(2).integers(0, 65_536, (4, 3, 5)).astype("<u2")
    whole, first, second = (Cube(2, 3, 5, "<u2") for _ in range(3))
    for number, frame in enumerate(frames):
        whole.add(number % 2, frame)
        if number < 3:
            first.add(number % 2, frame)
    second.restore(first.sums, first.passes_added)
    second.add(1, frames[3])
    assert np.array_equal(second.sums, whole.sums)
    assert (second.frames_added, second.passes_added.tolist()) == (4, [2, 2])
    with pytest.raises(CubeError, match="do not fit"):
        second.restore(first.sums[:, :2], first.passes_added)


def test_u4_sums_refuse_to_wrap_around() -> None:
    cube = Cube(1, 1, 1, "<u4")
    cube.add(0, np.array([[4_000_000_000]], "<u4"))
    with pytest.raises(CubeError, match="overflow"):
        cube.add(0, np.array([[400_000_000]], "<u4"))
    assert int(cube.sums[0, 0, 0]) == 4_000_000_000


def test_float_frames_are_kept_as_they_are_and_take_one_pass() -> None:
    cube = Cube(2, 1, 2, "<f4")
    frame = np.array([[0.1, np.nan]], "<f4")
    cube.add(1, frame)
    assert np.array_equal(cube.sums[1], frame, equal_nan=True)
    with pytest.raises(CubeError, match="one pass"):
        cube.add(1, frame)


@pytest.mark.parametrize(
    ("index", "pixels"),
    [(2, np.zeros((1, 2), "<u2")), (-1, np.zeros((1, 2), "<u2")), (0, np.zeros((2, 2), "<u2")), (0, np.zeros((1, 2)))],
)
def test_a_frame_that_does_not_fit_is_refused(index: int, pixels: np.ndarray) -> None:
    cube = Cube(2, 1, 2, "<u2")
    with pytest.raises(CubeError):
        cube.add(index, pixels)
    assert cube.frames_added == 0


def test_a_dtype_that_cannot_be_summed_is_refused() -> None:
    with pytest.raises(CubeError, match="f8"):
        Cube(1, 1, 1, "<f8")


def test_clear_forgets_everything() -> None:
    cube = Cube(1, 1, 1, "<u2")
    cube.add(0, np.ones((1, 1), "<u2"))
    cube.clear()
    assert cube.frames_added == 0
    assert not cube.sums.any()
