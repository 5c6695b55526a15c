"""The policy: inside its limits, strictly rising, ending at the top, deterministic, dense where Tc is, replayable."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plans.adaptive import PointSummary, TemperatureLimits, decide
from plans.records import inputs_from_json, inputs_to_json, replay_decisions, trim_history

FINITE = st.floats(min_value=0.0, max_value=0.2, allow_nan=False)


@st.composite
def limits_of(draw):
    least = draw(st.floats(0.5, 5.0))
    most = draw(st.floats(least, 12.0))
    return TemperatureLimits(
        top_k=draw(st.floats(60.0, 160.0)),
        min_step_k=least,
        max_step_k=most,
        closed_step_k=draw(st.floats(most, 60.0)),
        fixed_step_k=draw(st.floats(0.5, 20.0)),
        tc_max_k=draw(st.floats(40.0, 160.0)),
        open_threshold=draw(st.floats(0.0, 0.2)),
        point_price_k=draw(st.floats(0.005, 1.0)),
    )


@st.composite
def point_at(draw, set_point_k):
    count = draw(st.integers(0, 40))
    first = set_point_k + draw(st.floats(-5.0, 5.0))
    candidates = tuple(float(first + 3.0 * i) for i in range(count))
    return PointSummary(
        set_point_k=set_point_k,
        temperature_k=set_point_k + draw(st.floats(0.0, 3.0)),
        valid=draw(st.booleans()) or draw(st.booleans()),
        open_fraction=draw(st.floats(0.0, 1.0)),
        candidate_temperature_k=candidates,
        tc_density_per_k=tuple(draw(FINITE) for _ in range(count)),
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_path_is_inside_the_limits_strictly_rising_and_ends_at_the_top(data):
    limits = data.draw(limits_of())
    here = data.draw(st.floats(10.0, 50.0))
    history: tuple[PointSummary, ...] = ()
    for _ in range(400):
        history = (*history, data.draw(point_at(here)))
        decision = decide(trim_history(history), limits)
        assert decision == decide(trim_history(history), limits), "the policy is a pure function"
        if decision.next_temperature_k is None:
            break
        following = decision.next_temperature_k
        assert here < following <= limits.top_k
        last = history[-1]
        if last.valid:
            longest = max(limits.max_step_k, limits.closed_step_k) if decision.path_k else limits.closed_step_k
            assert following - here <= longest + limits.min_step_k + 0.5
            if following < limits.top_k:
                assert following - here >= limits.min_step_k - 0.5
        assert decision.path_k[0] == following
        assert decision.path_k[-1] == limits.top_k
        assert all(a < b for a, b in itertools.pairwise(decision.path_k))
        assert len(decision.gain) == len(decision.candidate_temperature_k)
        assert all(0.0 <= value <= 1.0 for value in decision.gain)
        here = following
    assert decision.next_temperature_k is None
    assert here == limits.top_k


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_inputs_survive_json_bit_by_bit(data):
    limits = data.draw(limits_of())
    history = trim_history([data.draw(point_at(20.0)), data.draw(point_at(25.0))])
    text = inputs_to_json(history, limits)
    again = inputs_from_json(text)
    assert again == (history, limits)
    assert decide(*again) == decide(history, limits)


def crowd(seed=1):
    """Tc of 1000 pixels: an optimum near 72 K and a tail below."""
    rng = np.random.default_rng(seed)
    tc = np.concatenate([rng.normal(72.0, 5.0, 600), rng.uniform(22.0, 75.0, 400)])
    return tc[(tc > 20.0) & (tc < 82.0)]


def climb(tc, limits, blur_k=5.0):
    """Ladder of the policy where the maps know each open Tc to `blur_k`."""
    here, path = 20.0, [20.0]
    while here < limits.top_k:
        still = tc[tc > here]
        grid = np.arange(here + 1.0, 151.0)
        density = np.exp(-0.5 * ((grid[:, None] - still[None, :]) / blur_k) ** 2).sum(axis=1)
        share = still.size / tc.size
        density *= share / max(density.sum(), 1e-12)
        row = PointSummary(
            here,
            here,
            valid=True,
            open_fraction=share,
            candidate_temperature_k=tuple(grid.tolist()),
            tc_density_per_k=tuple(density.tolist()),
        )
        here = decide((row,), limits).next_temperature_k
        path.append(here)
    return path


def bracket_error(tc, path):
    edges = np.asarray(path)
    above = np.searchsorted(edges, tc)
    return float(np.mean(np.abs(tc - 0.5 * (edges[above] + edges[above - 1]))))


@pytest.mark.parametrize("seed", range(5))
def test_fewer_points_than_the_smallest_even_ladder_that_is_no_worse(seed):
    tc = crowd(seed)
    path = climb(tc, TemperatureLimits())
    error = bracket_error(tc, path)
    for points in range(5, 200):
        if bracket_error(tc, np.linspace(20.0, 150.0, points)) <= error:
            break
    assert len(path) <= 0.6 * points
    assert 12 <= len(path) <= 28


def test_steps_are_small_where_the_crowd_is():
    path = np.array(climb(crowd(), TemperatureLimits()))
    steps = np.diff(path)
    dense = steps[(path[:-1] > 62.0) & (path[:-1] < 74.0)]
    assert dense.max() < 5.0
    assert steps[path[:-1] < 45.0].min() > dense.max()
    assert steps[-1] > 20.0


def test_no_open_pixel_is_ever_jumped_over_by_more_than_the_largest_step():
    limits = TemperatureLimits(point_price_k=0.5)
    tc = np.array([30.0] * 50 + [90.0] * 50)
    path = np.array(climb(tc, limits))
    for value in (30.0, 90.0):
        cell = np.searchsorted(path, value)
        assert path[cell] - path[cell - 1] <= limits.max_step_k + 1e-9


def test_reasons_are_sentences_with_numbers():
    grid = tuple(np.arange(70.0, 90.0).tolist())
    row = PointSummary(
        72.0, 72.0, valid=True, open_fraction=0.6, candidate_temperature_k=grid, tc_density_per_k=(0.04,) * 20
    )
    text = decide((row,), TemperatureLimits()).reason
    assert "superconducting pixels are expected to lose diamagnetism between 72 and" in text
    silent = dataclasses.replace(row, valid=False, reason="analysis silent: no final map of sweep 3 within 60 s")
    fallback = decide((silent,), TemperatureLimits())
    assert fallback.fallback
    assert "analysis silent" in fallback.reason
    done = dataclasses.replace(row, open_fraction=0.0)
    assert "only 0 %" in decide((done,), TemperatureLimits()).reason
    assert "nothing superconducts above 70 K" in decide((row,), TemperatureLimits(tc_max_k=70.0)).reason
    assert decide((dataclasses.replace(row, set_point_k=150.0),), TemperatureLimits()).next_temperature_k is None


def test_limits_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="min_step_k"):
        TemperatureLimits(min_step_k=9.0)
    with pytest.raises(ValueError, match="positive"):
        TemperatureLimits(point_price_k=0.0)
    with pytest.raises(ValueError, match="not the inputs"):
        inputs_from_json('{"history": []}')


def test_stored_decisions_replay_from_events_and_pages():
    rows = [PointSummary(20.0 + i, 20.0 + i, valid=False, reason="silent") for i in range(3)]
    limits = TemperatureLimits()
    data = [
        {
            "decision_inputs_json": inputs_to_json(rows[: i + 1], limits),
            "decision_next_temperature_k": decide(rows[: i + 1], limits).next_temperature_k,
            "decision_finished": 0,
        }
        for i in range(3)
    ]
    head = [("descriptor", {"uid": "d", "name": "decision"}), ("descriptor", {"uid": "p", "name": "primary"})]
    single = [("event", {"descriptor": "d", "data": row}) for row in data]
    page = ("event_page", {"descriptor": "d", "data": {key: [row[key] for row in data] for key in data[0]}})
    other = ("event", {"descriptor": "p", "data": {"x": 1}})
    for documents in ([*head, *single, other], [*head, page]):
        replayed = replay_decisions(documents)
        assert [row.stored_k for row in replayed] == [24.0, 25.0, 26.0]
        assert all(row.same for row in replayed)
    wider = dataclasses.replace(limits, fixed_step_k=10.0)
    assert not any(row.same for row in replay_decisions([*head, *single], wider))
