"""Averaging: within its limits, by the share of Tc near, by the noise measured; repeated until its goal is reached."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from bluesky import RunEngine
from hypothesis import given, settings
from hypothesis import strategies as st

from plans.adaptive import decide
from plans.averaging import amplitude_of, more_passes, noise_per_pass, share_near
from plans.histories import zfc_field_warming
from plans.ladder import PointSummary, TemperatureLimits
from plans.records import inputs_from_json, inputs_to_json, replay_decisions
from plans.settings import RunInfo, SweepSettings, ZfcSettings
from tests.plans.conftest import report

GRID = tuple(np.arange(21.0, 131.0).tolist())


def crowd(centre_k, width_k=4.0):
    shape = np.exp(-0.5 * ((np.array(GRID) - centre_k) / width_k) ** 2)
    return tuple((shape / shape.sum()).tolist())


def point(set_point_k=20.0, centre_k=60.0, **changes):
    values = {
        "s_low": 0.94,
        "s_high": 1.01,
        "sigma_s_median": 0.002,
        "passes": 8,
        "candidate_temperature_k": GRID,
        "tc_density_per_k": crowd(centre_k),
    }
    return PointSummary(set_point_k, set_point_k, True, **{**values, **changes})


LIMITS = TemperatureLimits(passes_min=2, passes_max=400)


@settings(max_examples=80, deadline=None)
@given(
    here=st.floats(20.0, 140.0),
    low=st.floats(0.5, 1.5),
    sigma=st.floats(0.0, 1.0),
    passes=st.integers(0, 1000),
    valid=st.booleans(),
    goal=st.floats(0.01, 20.0),
    reference=st.integers(0, 500),
)
def test_passes_stay_inside_their_limits_whatever_the_maps_say(here, low, sigma, passes, valid, goal, reference):
    limits = dataclasses.replace(LIMITS, tc_goal_k=goal, reference_passes=reference)
    row = dataclasses.replace(point(here, s_low=low, sigma_s_median=sigma, passes=passes), valid=valid)
    decision = decide([row], limits)
    assert 2 <= decision.passes <= 400
    assert "pass" in decision.reason
    assert 0 <= more_passes(row, 400, decision.sigma_s_goal, limits) <= 0
    again = inputs_from_json(inputs_to_json([row], limits))
    assert decide(*again) == decision


def test_averaging_goes_where_many_tc_are_near():
    near = decide([point(56.0, 64.0)], LIMITS)
    far = decide([point(20.0, 90.0)], LIMITS)
    assert near.passes > 5 * far.passes
    assert near.sigma_s_goal < far.sigma_s_goal


def test_averaging_follows_the_noise_that_was_measured():
    clear = decide([point(50.0)], LIMITS)
    dim = decide([point(50.0, sigma_s_median=0.004)], LIMITS)
    assert dim.sigma_s_goal == pytest.approx(clear.sigma_s_goal, rel=0.1)
    assert dim.passes == pytest.approx(4 * clear.passes, rel=0.25)


def test_a_weak_sample_is_averaged_longer():
    weak = decide([point(50.0, s_low=0.98)], LIMITS)
    assert weak.passes > 4 * decide([point(50.0)], LIMITS).passes


def test_amplitude_is_not_made_of_noise():
    assert amplitude_of([point(s_low=1.0 - 0.004, s_high=1.004)]) == 0.0
    assert amplitude_of([point()]) == pytest.approx(0.76 * math.sqrt(0.06**2 - 0.0046**2))
    quiet = decide([point(s_low=1.0, s_high=1.0)], LIMITS)
    assert quiet.passes == 400
    assert "nothing stands out" in quiet.reason


def test_the_reference_is_not_taken_for_the_points_own_noise():
    limits = dataclasses.replace(LIMITS, reference_passes=8)
    assert noise_per_pass(point(), limits) == pytest.approx(0.002 * math.sqrt(4.0))
    assert noise_per_pass(point(), LIMITS) == pytest.approx(0.002 * math.sqrt(8.0))


def test_a_tc_far_above_counts_less_than_one_near_and_one_below_a_little():
    assert share_near(point(20.0, 62.0), 60.0) > 2 * share_near(point(20.0, 90.0), 60.0) > 0
    assert 0.02 < share_near(point(20.0, 40.0), 80.0) < 0.3


def test_limits_without_passes_leave_the_sweep_as_it_is():
    decision = decide([point()], TemperatureLimits())
    assert decision.passes == 0
    with pytest.raises(ValueError, match="passes_min"):
        TemperatureLimits(passes_max=5)
    with pytest.raises(ValueError, match="tc_goal_k"):
        TemperatureLimits(tc_goal_k=0.0)


def test_sweeps_are_repeated_until_sigma_s_is_reached(bench, documents):
    rows, take = documents
    engine = RunEngine({}, context_managers=[])
    engine.subscribe(take)
    taken: list[int] = []

    def answer(run_uid, sweep):
        """Sweeps turn out twice as noisy as the one before the ladder's second point promised."""
        passes = bench.maker.armed[sweep].passes
        taken.append(passes)
        own = 0.004 if len(taken) < 3 else 0.006
        sigma = own / math.sqrt(passes)
        return report(run_uid, sweep, sigma_s_median=math.hypot(sigma, own / 2.0), open_fraction=1.0)

    bench.builder.answer = answer
    sweep = SweepSettings((2857.0, 3401.0), passes=2, analysis_timeout_s=20.0)
    limits = TemperatureLimits(passes_min=1, passes_max=60, tc_goal_k=1.0, closed_step_k=60.0, max_step_k=40.0)
    settings = ZfcSettings(sweep, base_temperature_k=60.0, reference_passes=4, limits=limits)
    engine(zfc_field_warming(bench.rig, settings, RunInfo(sample="S1")))
    assert taken[0] == 4
    assert taken[1] == 2
    names = {doc["uid"]: doc["name"] for name, doc in rows if name == "descriptor"}
    events = [doc for name, doc in rows if name == "event"]
    primary = [doc["data"]["cryostat_temperature_k"] for doc in events if names[doc["descriptor"]] == "primary"]
    second = primary[2]
    repeated = [passes for passes, where in zip(taken, primary, strict=True) if where == second]
    assert len(repeated) == 2, "the point was measured again, once"
    decided = next(doc["data"] for doc in events if names[doc["descriptor"]] == "decision")
    assert decided["decision_passes"] == repeated[0]
    assert sum(repeated) == pytest.approx(2.25 * repeated[0], rel=0.3)
    assert all(row.same for row in replay_decisions(rows))
