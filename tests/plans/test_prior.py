"""What is known beforehand, where to warm again, and which frequencies the next sweep takes."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.settings import TwinSettings
from devices.twin.resistance import resistance_curve
from devices.twin.truth import truth_of
from plans.adaptive import decide
from plans.again import again_decision, second_warming
from plans.frequencies import FrequencyLimits, inside
from plans.ladder import PointSummary, TemperatureLimits
from plans.prior import EVEN_SHARE, both, from_load, from_transport, with_prior
from plans.records import inputs_from_json, inputs_to_json
from plans.settings import SweepSettings
from plans.windows import Windows, lines_of
from tests.plans.conftest import report

GRID = np.arange(20.0, 120.0, 2.0)


def point(set_point: float, centre: float = 70.0, sigma: float = 3.0, **changes: object) -> PointSummary:
    """A point that expects Tc about `centre`; the density holds only what is ahead."""
    density = np.exp(-0.5 * ((GRID - centre) / 8.0) ** 2)
    density = np.where(set_point < GRID, density / (density.sum() * 2.0), 0.0)
    row = PointSummary(
        set_point,
        set_point,
        valid=True,
        tc_sigma_median_k=sigma,
        candidate_temperature_k=tuple(GRID),
        tc_density_per_k=tuple(density),
    )
    return dataclasses.replace(row, **changes)


def twin_cooldown(sample: str) -> tuple[np.ndarray, np.ndarray]:
    curve = resistance_curve(truth_of(TwinSettings(sample=sample, height=48, width=48, pixel_size_um=2.0), 21.0))
    temperature = np.arange(150.0, 20.0, -2.0)
    rng = np.random.default_rng(1)
    ohm = np.array([curve.ohm(float(t)) for t in temperature])
    return temperature, ohm * (1.0 + rng.normal(0.0, 1e-3, ohm.size))


def test_transport_of_s1_makes_its_kink_likelier_and_excludes_nothing() -> None:
    temperature, weight = (np.array(row) for row in from_transport(*twin_cooldown("S1"), 95.0))
    assert 60.0 < temperature[weight.argmax()] < 85.0
    assert weight.min() >= EVEN_SHARE
    assert weight.max() > 1.5


def test_transport_that_shows_nothing_says_nothing() -> None:
    """S3's stripes do not join: R has no kink, and its regions must not become less likely."""
    straight = np.arange(150.0, 20.0, -2.0)
    assert from_transport(straight, 0.02 + 4e-4 * straight, 95.0) == ((), ())
    assert from_transport([150.0, 20.0], [1.0, 0.0], 95.0) == ((), ())
    prior = from_transport(*twin_cooldown("S3"), 95.0)
    assert prior == ((), ()) or min(prior[1]) >= EVEN_SHARE


def test_a_prior_moves_the_density_and_keeps_its_share() -> None:
    load = from_load(GRID, np.exp(-0.5 * ((GRID - 50.0) / 5.0) ** 2))
    limits = TemperatureLimits(prior_tc_k=load[0], prior_weight=load[1])
    flat = dataclasses.replace(point(20.0), tc_density_per_k=tuple(np.full(GRID.size, 0.01)))
    (moved,) = with_prior([flat], limits)
    density = np.array(moved.tc_density_per_k)
    assert np.trapezoid(density, GRID) == pytest.approx(np.trapezoid(flat.tc_density_per_k, GRID))
    assert abs(GRID[density.argmax()] - 50.0) <= 2.0
    assert density.min() > 0.0
    assert both(load, ((), ())) == load
    assert both(((), ()), load) == load
    product = np.array(both(load, load)[1])
    assert product.min() > 0.0
    with pytest.raises(ValueError, match="positive weight"):
        TemperatureLimits(prior_tc_k=(1.0,), prior_weight=(0.0,))


def test_a_decision_with_a_prior_is_replayed_from_its_record() -> None:
    load = from_load(GRID, np.exp(-0.5 * ((GRID - 50.0) / 5.0) ** 2))
    limits = TemperatureLimits(prior_tc_k=load[0], prior_weight=load[1], hour_price_k=1.0, settle_h=0.05, pass_h=0.02)
    history, again = inputs_from_json(inputs_to_json([point(30.0)], limits))
    assert again == limits
    assert decide(history, again) == decide([point(30.0)], limits)


def test_points_that_cost_more_hours_are_fewer() -> None:
    quick = TemperatureLimits(hour_price_k=1.0, settle_h=0.02, min_step_k=1.0)
    slow = dataclasses.replace(quick, settle_h=0.4)
    assert len(decide([point(30.0)], quick).path_k) > len(decide([point(30.0)], slow).path_k)
    assert TemperatureLimits().price_k == TemperatureLimits().point_price_k


def test_a_second_warming_goes_to_the_middles_of_the_cells_that_hide_most() -> None:
    limits = TemperatureLimits(tc_goal_k=1.0)
    coarse = [point(value) for value in (20.0, 40.0, 60.0, 80.0, 100.0, 150.0)]
    path = second_warming(coarse, limits)
    assert path[-1] == limits.top_k
    assert {50.0, 70.0} & set(path)
    assert 30.0 not in path
    assert second_warming([dataclasses.replace(row, tc_sigma_median_k=0.5) for row in coarse], limits) == ()
    assert second_warming(coarse[:2], limits) == ()
    first, last = again_decision(path, 0), again_decision(path, len(path))
    assert first.next_temperature_k == path[0]
    assert "second warming" in first.reason
    assert last.next_temperature_k is None


@given(
    steps=st.lists(st.floats(2.0, 30.0), min_size=3, max_size=12),
    centre=st.floats(20.0, 110.0),
    sigma=st.floats(0.0, 20.0),
)
def test_a_second_warming_only_rises_and_stays_inside(steps: list[float], centre: float, sigma: float) -> None:
    limits = TemperatureLimits()
    set_points = [20.0 + sum(steps[:n]) for n in range(len(steps)) if 20.0 + sum(steps[:n]) < 150.0]
    path = second_warming([point(value, centre, sigma) for value in (*set_points, 150.0)], limits)
    assert all(a < b for a, b in itertools.pairwise(path))
    assert all(20.0 < value <= limits.top_k for value in path)


def lines(shift: float = 0.0) -> dict[str, np.ndarray]:
    spread = np.linspace(-10.0, 10.0, 9)
    centres = np.array([2857.0, 3100.0, 3285.0, 3401.0])[:, None] + spread + shift
    return {"line_centre_mhz": centres, "line_fwhm_mhz": np.full(4, 14.0), "line_dense": np.array([1.0, 0, 0, 1.0])}


def test_windows_follow_the_lines_and_give_the_whole_list_back_when_one_leaves() -> None:
    whole = SweepSettings(tuple(np.arange(2800.0, 3460.0, 2.0)))
    windows = Windows(whole, FrequencyLimits())
    assert windows.look(report("run", 0, **lines()), valid=True) == ""
    assert windows.sweep is whole
    said = windows.look(report("run", 1, **lines(2.0)), valid=True)
    assert "frequencies" in said
    few = windows.sweep.frequency_mhz
    assert len(few) < 0.6 * len(whole.frequency_mhz)
    assert any(3140.0 < value < 3240.0 for value in few), "guards watch what is between the lines"
    assert windows.look(report("run", 2, **lines(1.0)), valid=True) == ""
    assert windows.sweep.frequency_mhz == few
    assert "whole list of frequencies again: lines at" in windows.look(report("run", 3, **lines(25.0)), valid=True)
    assert windows.sweep is whole
    assert windows.look(report("run", 4, **lines(25.0)), valid=True)
    moved = Windows(whole, FrequencyLimits())
    for sweep in range(2):
        moved.look(report("run", sweep, **lines()), valid=True)
    assert "no lines seen" in moved.look(report("run", 2), valid=False)
    assert Windows(whole, None).look(report("run", 0, **lines()), valid=True) == ""


def test_lines_of_a_report() -> None:
    found = lines_of(report("run", 0, **lines()))
    assert [line.dense for line in found] == [True, False, False, True]
    assert lines_of(report("run", 0)) == ()
    assert inside(2857.0, ((2850.0, 2860.0),))
    assert json.dumps([line.fwhm_mhz for line in found]) == "[14.0, 14.0, 14.0, 14.0]"
