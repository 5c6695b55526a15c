"""Adaptive loads: only upward, never above the rig's maximum, ending, and the onset bracketed as asked."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plans.pressure import LoadLimits, LoadSummary, bracket_of, decide_load

LIMITS = LoadLimits()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_loads_rise_stay_below_the_maximum_and_end(data):
    limits = LoadLimits(
        maximum_gpa=data.draw(st.floats(12.0, 30.0)),
        bracket_gpa=data.draw(st.floats(0.25, 1.0)),
        largest_step_gpa=data.draw(st.floats(1.0, 6.0)),
        step_above_gpa=data.draw(st.sampled_from([0.0, 0.5, 2.0])),
        expected_local_gpa=data.draw(st.floats(5.0, 40.0)),
    )
    history: list[LoadSummary] = []
    load = 10.0
    for _ in range(90):
        above, changed, valid = data.draw(st.tuples(st.floats(-3.0, 3.0), st.floats(0.0, 0.01), st.booleans()))
        history.append(LoadSummary(load, load + above, changed, valid))
        decision = decide_load(history, limits)
        assert decision == decide_load(history, limits)
        if decision.next_load_gpa is None:
            break
        assert load < decision.next_load_gpa <= limits.maximum_gpa
        load = decision.next_load_gpa
    assert decision.next_load_gpa is None
    assert decision.reason


def climb(onset_local_gpa, limits=LIMITS, spread=1.7):
    """Loads until superconductivity is seen where the highest local stress passes the onset."""
    history, load = [], 10.0
    while load is not None:
        highest = load + spread
        history.append(LoadSummary(load, highest, 0.05 if highest >= onset_local_gpa else 0.0))
        if bracket_of(history, limits) is not None:
            return history
        load = decide_load(history, limits).next_load_gpa
    return history


@pytest.mark.parametrize("onset", [16.5, 16.9, 17.2, 17.5, 18.0, 20.0])
def test_the_onset_is_bracketed_in_half_a_gigapascal_by_half_of_the_loads(onset):
    history = climb(onset)
    low, high = bracket_of(history, LIMITS)
    assert high - low <= 0.5 + 1e-9
    assert low + 1.7 < onset <= high + 1.7
    if onset <= 18.0:
        ladder = 1 + -(-(onset - 1.7 - 10.0) // 0.5)
        assert len(history) <= 0.5 * ladder


def test_an_onset_where_nothing_was_expected_is_not_jumped_over_again():
    history = climb(25.0)
    low, high = bracket_of(history, LIMITS)
    assert high - low <= 0.5 + 1e-9


def test_a_silent_analysis_and_a_missing_stress_map_mean_small_steps():
    blind = LoadSummary(12.0, float("nan"), 0.0)
    assert decide_load([blind], LIMITS).next_load_gpa == 12.5
    silent = LoadSummary(12.0, 13.0, 0.0, valid=False)
    assert decide_load([silent], LIMITS).next_load_gpa == 12.5


def test_above_the_onset_steps_are_wider_or_it_ends():
    found = [LoadSummary(15.5, 17.0, 0.0), LoadSummary(16.0, 17.5, 0.02)]
    decision = decide_load(found, LIMITS)
    assert decision.next_load_gpa == 18.0
    assert decision.bracket_gpa == (15.5, 16.0)
    end = decide_load(found, dataclasses.replace(LIMITS, step_above_gpa=0.0))
    assert end.next_load_gpa is None
    assert "15.5 and 16" in end.reason


def test_a_cell_loaded_by_hand_waits_for_a_person():
    assert decide_load([LoadSummary(12.0, 13.5, 0.0)], dataclasses.replace(LIMITS, by_hand=True)).ask_person


def test_limits_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="bracket_gpa"):
        LoadLimits(bracket_gpa=5.0)
    with pytest.raises(ValueError, match="risk"):
        LoadLimits(risk=0.0)
    with pytest.raises(ValueError, match="at least"):
        LoadLimits(step_above_gpa=1e-9)
