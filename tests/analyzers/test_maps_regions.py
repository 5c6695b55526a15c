"""Masks from polygons in um: where they lie, which pixels stand for s = 1, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.regions import RegionError, make_regions


def _disk(radius_um: float, centre: tuple[float, float] = (0.0, 0.0)) -> list[list[float]]:
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    return [[centre[0] + radius_um * np.cos(a), centre[1] + radius_um * np.sin(a)] for a in angles]


def test_origin_is_the_image_centre_x_right_y_down():
    square = [[0.0, 0.0], [4.0, 0.0], [4.0, 2.0], [0.0, 2.0]]
    regions = make_regions({"sample": square, "points": {"star": [3.5, 1.5]}}, 1.0, 20, 20)
    rows, columns = np.nonzero(regions.sample)
    assert rows.min() == 10
    assert columns.max() == 13
    assert regions.points == {"star": (11, 13)}


def test_far_region_is_more_than_one_sample_radius_away():
    regions = make_regions({"sample": _disk(10)}, 1.0, 96, 96)
    rows, columns = np.nonzero(regions.off_sample)
    assert regions.off_sample_name == "far"
    assert np.hypot(rows - 47.5, columns - 47.5).min() > 19


def test_a_tight_view_falls_back_to_the_farthest_pixels_and_says_so():
    regions = make_regions({"sample": _disk(40), "ruby": _disk(4, (44, 44))}, 1.0, 96, 96)
    assert regions.off_sample_name == "farthest_pixels"
    assert regions.off_sample.sum() >= 32
    assert not (regions.off_sample & (regions.sample | regions.ruby)).any()


def test_without_an_outline_everything_is_judged_and_nothing_is_far():
    regions = make_regions({}, 1.0, 8, 9)
    assert regions.judged.all()
    assert not regions.has_outline
    assert regions.off_sample_name == "none"


def test_ruby_is_not_judged():
    regions = make_regions({"sample": _disk(10), "ruby": _disk(3)}, 0.5, 96, 96)
    assert regions.sample[48, 48]
    assert not regions.judged[48, 48]


def test_several_leads_of_different_length():
    leads = [[[-40, -40], [-30, -40], [-30, -30]], [[30, 30], [40, 30], [40, 40], [30, 40]]]
    regions = make_regions({"sample": _disk(10), "leads": leads}, 1.0, 96, 96)
    assert not regions.off_sample[82, 82]


@pytest.mark.parametrize(
    "bad",
    [
        {"sample": [[0, 0], [1, 1]]},
        {"sample": "circle"},
        {"points": {"a": [1]}},
        {"ruby": [[0, 0], [1, float("nan")], [2, 2]]},
    ],
)
def test_unreadable_regions_are_refused_by_name(bad):
    with pytest.raises(RegionError, match=next(iter(bad)) if "points" not in bad else "point"):
        make_regions(bad, 1.0, 16, 16)
