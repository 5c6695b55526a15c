"""Pins and vetoes as inputs of the policy: always obeyed, never out of the ladder's limits, replayed to the same."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from devices.control import ControlRecord, RefusedError, Request
from devices.wishes import Wishes
from plans.adaptive import decide
from plans.ladder import PointSummary, TemperatureLimits
from plans.records import inputs_to_json, replay_decisions, wishes_from_json

LIMITS = TemperatureLimits(tc_max_k=150.0)
GRID = tuple(float(k) for k in range(20, 152, 2))


def point(set_point_k, tc_k=60.0, **changes):
    density = [max(0.0, 0.05 - abs(k - tc_k) / 400.0) for k in GRID]
    values = {"valid": True, "candidate_temperature_k": GRID, "tc_density_per_k": tuple(density)}
    return PointSummary(set_point_k, set_point_k + 0.4, **(values | changes))


KINDS = st.sampled_from(
    [point(30.0), point(58.0), point(30.0, valid=False, reason="silent"), point(90.0, open_fraction=0.0), point(148.5)]
)


def test_without_wishes_nothing_changes():
    assert decide([point(30.0)], LIMITS, Wishes()) == decide([point(30.0)], LIMITS)


def test_a_pinned_set_point_is_next_and_the_reason_says_who_and_what_the_policy_wanted():
    alone = decide([point(30.0)], LIMITS)
    found = decide([point(30.0)], LIMITS, Wishes(pin_k=52.5, pin_by="Ann"))
    assert found.next_temperature_k == found.path_k[0] == 52.5
    assert found.step_k == 22.5
    assert "52.5 K was pinned by Ann" in found.reason
    assert f"{alone.next_temperature_k:g} K" in found.reason
    assert list(found.path_k) == sorted(found.path_k)
    assert found.path_k[-1] == LIMITS.top_k
    assert found.gain == alone.gain


def test_a_vetoed_set_point_is_not_gone_to_and_the_reason_says_so():
    alone = decide([point(30.0)], LIMITS).next_temperature_k
    found = decide([point(30.0)], LIMITS, Wishes(veto_k=(alone,), veto_by=("Ben",)))
    assert abs(found.next_temperature_k - alone) >= LIMITS.min_step_k / 2
    assert f"vetoed: {alone:g} K (Ben)" in found.reason


def test_the_end_of_the_ladder_can_be_pinned_and_ends_it():
    found = decide([point(58.0)], LIMITS, Wishes(pin_k=LIMITS.top_k, pin_by="Ann"))
    assert found.path_k == (LIMITS.top_k,)


@settings(deadline=None, max_examples=60)
@given(
    KINDS,
    st.one_of(st.none(), st.floats(0.0, 200.0)),
    st.lists(st.floats(0.0, 200.0), max_size=6).map(tuple),
)
def test_any_wishes_leave_the_ladder_ascending_inside_its_limits(last, pin_k, veto_k):
    wishes = Wishes(pin_k, "Ann" if pin_k is not None else "", veto_k, ("Ben",) * len(veto_k))
    found = decide([last], LIMITS, wishes)
    target = found.next_temperature_k
    assert last.set_point_k < target <= LIMITS.top_k
    path = found.path_k
    assert path[0] == target
    assert list(path) == sorted(set(path))
    pinned = pin_k is not None and last.set_point_k < pin_k <= LIMITS.top_k
    if pinned:
        assert target == pin_k
    elif target < LIMITS.top_k:
        assert all(abs(target - veto) >= LIMITS.min_step_k / 2 for veto in veto_k)


def test_a_steered_decision_is_replayed_from_what_was_recorded():
    rows = [point(30.0)]
    wishes = Wishes(44.0, "Ann", (47.0,), ("Ben",))
    decided = decide(rows, LIMITS, wishes)
    text = inputs_to_json(rows, LIMITS, wishes=wishes)
    assert wishes_from_json(text) == wishes
    assert wishes_from_json(inputs_to_json(rows, LIMITS)) == Wishes()
    data = {
        "decision_inputs_json": text, "decision_finished": 0,
        "decision_next_temperature_k": decided.next_temperature_k,
    }  # fmt: skip
    documents = [("descriptor", {"uid": "d", "name": "decision"}), ("event", {"descriptor": "d", "data": data})]
    (row,) = replay_decisions(documents)
    assert row.same
    assert row.replayed == decided


def refusal(record, action, kelvin):
    try:
        record.ask(Request(action, "Ann", kelvin))
    except RefusedError as error:
        return str(error)
    return ""


def test_wishes_that_cannot_be_granted_are_refused_with_the_reason():
    record = ControlRecord()
    assert "no running plan chooses" in refusal(record, "pin", 50.0)
    record.climb(40.0, 150.0, 2.0)
    assert "only goes up" in refusal(record, "pin", 40.0)
    assert "only goes up" in refusal(record, "veto", 12.0)
    assert "at least 2 K" in refusal(record, "pin", 41.0)
    assert "where the ladder ends" in refusal(record, "pin", 151.0)
    assert "cannot be left out" in refusal(record, "veto", 150.0)
    assert not record.waiting
    record.climb(150.0, 150.0, 2.0)
    assert "nothing is left to choose" in refusal(record, "pin", 150.0)


def test_a_wish_lasts_until_the_ladder_has_passed_it_and_the_newest_counts():
    record = ControlRecord()
    record.climb(40.0, 150.0, 2.0)
    assert refusal(record, "veto", 46.0) == refusal(record, "pin", 46.5) == ""
    assert record.wishes == Wishes(46.5, "Ann")  # the pin took the veto back
    assert refusal(record, "veto", 46.0) == ""
    assert record.wishes == Wishes(veto_k=(46.0,), veto_by=("Ann",))  # and the veto the pin
    assert refusal(record, "pin", 60.0) == ""
    record.climb(50.0, 150.0, 2.0)
    assert record.wishes == Wishes(60.0, "Ann")
    record.climb(60.0, 150.0, 2.0)
    assert record.wishes == Wishes()
    taken = [record.take() for _ in range(4)]
    assert [request.action for request in taken] == ["veto", "pin", "veto", "pin"]
    assert record.take() is None
