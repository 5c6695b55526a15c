"""Registration of another instrument's map from control points, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.campaign.align import align, on_run_pixels, ratio_of
from analyzers.campaign.load_maps import CampaignError

POINTS = np.array([[5.0, 6.0], [50.0, 8.0], [48.0, 55.0], [7.0, 52.0], [30.0, 20.0]])
ANGLE = np.deg2rad(17.0)
TURN = 1.6 * np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])


def _there(points, matrix=TURN, noise=0.0, seed=0):
    return points @ matrix.T + [12.0, 30.0] + noise * np.random.default_rng(seed).standard_normal(points.shape)


def test_a_turned_and_scaled_picture_comes_back():
    found = align(POINTS, _there(POINTS))
    assert found.matrix == pytest.approx(TURN)
    assert np.abs(found.residual_px).max() < 1e-9


def test_the_stated_error_is_that_of_new_places():
    """Over many draws of the points' noise, places between them are off by about what is stated."""
    middle = np.array([[30.0, 30.0], [20.0, 40.0]])
    errors, stated = [], []
    for seed in range(40):
        found = align(POINTS, _there(POINTS, noise=0.8, seed=seed))
        off = (middle @ found.matrix.T + found.offset - _there(middle)) @ np.linalg.inv(TURN).T
        errors.append(np.sqrt((off**2).mean()))
        stated.append(found.sigma_px)
    assert 0.6 < np.sqrt(np.mean(np.square(stated))) / np.sqrt(np.mean(np.square(errors))) < 2.0


def test_affine_takes_a_shear():
    matrix = np.array([[1.2, 0.3], [0.0, 0.9]])
    assert align(POINTS, _there(POINTS, matrix), "affine").matrix == pytest.approx(matrix)


@pytest.mark.parametrize("kind", ["similarity", "affine"])
def test_a_mirrored_picture_is_refused_unless_it_is_said_to_be(kind):
    mirror = TURN @ np.diag([1.0, -1.0])
    with pytest.raises(CampaignError, match="mirrored"):
        align(POINTS, _there(POINTS, mirror), kind)
    assert align(POINTS, _there(POINTS, mirror), kind, mirrored=True).matrix == pytest.approx(mirror)


def test_points_that_tell_too_little_are_refused():
    with pytest.raises(CampaignError, match="needs at least 3"):
        align(POINTS[:2], _there(POINTS[:2]))
    line = np.array([[0.0, 0.0], [10.0, 10.0], [20.0, 20.0], [30.0, 30.0]])
    with pytest.raises(CampaignError, match="on one line"):
        align(line, _there(line))


def test_a_map_on_the_runs_pixels_carries_the_registrations_error_where_it_is_steep():
    rows, columns = np.indices((120, 160)).astype(float)
    step = np.where(columns > 80, 1.5, 1.2)
    found = align(POINTS, _there(POINTS, noise=0.8))
    value, sigma = on_run_pixels(step, np.full(step.shape, 0.01), found, (60, 60))
    inside = np.isfinite(value)
    assert set(np.round(value[inside & (sigma < 0.0101)], 3)) == {1.2, 1.5}
    assert np.nanmax(sigma) > 0.05
    assert np.isnan(value[~inside]).all()
    assert rows.size


def test_units_are_checked():
    la = np.full((8, 8), 20.0)
    ratio, _ = ratio_of(la, la / 1.5, "at%")
    assert ratio == pytest.approx(1.5)
    weight, _ = ratio_of(la * 138.905 / 58.693, la / 1.5, "wt%")
    assert weight == pytest.approx(1.5)
    with pytest.raises(CampaignError, match="atomic per cent given as a ratio"):
        ratio_of(la, None, "ratio")
    with pytest.raises(CampaignError, match="needs both"):
        ratio_of(la, None, "at%")
    with pytest.raises(CampaignError, match="not in at%"):
        ratio_of(la / 100.0, la / 150.0, "at%")
    with pytest.raises(CampaignError, match="unit 'ppm'"):
        ratio_of(la, None, "ppm")
