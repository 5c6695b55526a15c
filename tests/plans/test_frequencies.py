"""Adaptive frequencies: inside the range, every line covered on both slopes, nothing can hide, most frames useful."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plans.frequencies import FrequencyLimits, LineSeen, inside, plan_frequencies, strays, window_of

LIMITS = FrequencyLimits()


def line(low, high, fwhm=14.0, **options):
    return LineSeen(tuple(np.linspace(low, high, 9).tolist()), fwhm, **options)


PAIR = [line(2840.0, 2880.0), line(3380.0, 3420.0)]
TILTED = [line(3080.0, 3150.0, 22.0, dense=False), line(3240.0, 3310.0, 22.0, dense=False)]


@st.composite
def lines_of(draw):
    rows = []
    for _ in range(draw(st.integers(0, 5))):
        low = draw(st.floats(2700.0, 3500.0))
        rows.append(line(low, low + draw(st.floats(0.0, 120.0)), draw(st.floats(3.0, 40.0)), dense=draw(st.booleans())))
    return rows


@settings(max_examples=80, deadline=None)
@given(lines=lines_of())
def test_a_list_stays_in_its_range_and_leaves_no_gap_in_which_a_line_could_hide(lines):
    plan = plan_frequencies(lines, LIMITS)
    assert plan == plan_frequencies(lines, LIMITS), "the rule is a pure function"
    found = plan.frequency_mhz
    assert all(a < b for a, b in itertools.pairwise(found))
    assert found[0] == LIMITS.first_mhz
    assert found[-1] == LIMITS.last_mhz
    narrowest = min((row.fwhm_mhz for row in lines), default=10.0)
    assert max(b - a for a, b in itertools.pairwise(found)) <= narrowest / LIMITS.guard_per_width + 1e-2
    for row in lines:
        if row.dense:
            low, high = window_of(row, LIMITS)
            steps = [b - a for a, b in itertools.pairwise(found) if low <= a and b <= high]
            assert not steps or max(steps) <= 0.55 * max(r.fwhm_mhz for r in lines)


def test_most_frames_are_on_the_slopes_of_the_lines_seen():
    plan = plan_frequencies([*PAIR, *TILTED], LIMITS)
    on_windows = [value for value in plan.frequency_mhz if inside(value, plan.windows_mhz)]
    assert len(plan.windows_mhz) == 2
    assert len(on_windows) > 0.7 * len(plan.frequency_mhz)
    tilted = [value for value in plan.frequency_mhz if 3080.0 <= value <= 3310.0]
    assert len(tilted) >= 5, "sigma_ZZ stays measurable"
    assert "where the lines were seen" in plan.reason


def test_points_lie_closer_where_more_pixels_have_their_lines():
    crowded = LineSeen((2840.0, 2868.0, 2870.0, 2872.0, 2900.0), 10.0)
    found = np.array(plan_frequencies([crowded, PAIR[1]], LIMITS).frequency_mhz)
    steps = np.diff(found)
    middle = steps[(found[:-1] > 2860.0) & (found[:-1] < 2880.0)]
    edge = steps[(found[:-1] > 2835.0) & (found[:-1] < 2850.0)]
    assert middle.mean() < 0.75 * edge.mean()


def test_a_line_that_leaves_its_window_is_noticed():
    plan = plan_frequencies([*PAIR, *TILTED], LIMITS)
    assert strays(PAIR, plan, LIMITS) == ()
    moved = line(2840.0, 2905.0)
    assert strays([moved, PAIR[1]], plan, LIMITS) == (moved,)
    assert strays([moved, PAIR[1]], plan_frequencies([moved, PAIR[1]], LIMITS), LIMITS) == ()


def test_without_a_line_the_whole_range_is_measured():
    plan = plan_frequencies(TILTED, LIMITS)
    assert plan.windows_mhz == ()
    assert "whole range" in plan.reason


def test_limits_and_lines_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="below"):
        FrequencyLimits(first_mhz=3000.0, last_mhz=2900.0)
    with pytest.raises(ValueError, match="reach"):
        FrequencyLimits(reach=0.1)
    with pytest.raises(ValueError, match="drift"):
        dataclasses.replace(LIMITS, drift_mhz=-1.0)
    with pytest.raises(ValueError, match="quantiles"):
        LineSeen((2900.0, 2800.0), 10.0)
    with pytest.raises(ValueError, match="fwhm"):
        LineSeen((2800.0, 2900.0), 0.0)
