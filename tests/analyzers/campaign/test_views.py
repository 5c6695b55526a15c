"""Runs onto one view: what the light says of shift, turn and bend, and how well it is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from analyzers.campaign.views import find_view, seen_from
from devices.twin.truth import truth_of
from tests.analyzers.campaign.twin_loads import twin

EDGE = 96
NOISE = 0.002


def light_at(rows, columns, random):
    """Return the light of a view with leads, ruby and dirt, at places of the pixels, with the noise of a camera."""
    truth = truth_of(twin("S1", 1, EDGE), 21.0)
    marks = 1.0 - 0.5 * truth.leads - 0.4 * truth.ruby
    dirt = ndimage.gaussian_filter(np.random.default_rng(5).standard_normal((EDGE, EDGE)), 2.0)
    picture = ndimage.gaussian_filter(marks, 1.0) * np.exp(0.6 * dirt)
    moved = ndimage.map_coordinates(picture, [rows, columns], order=3, mode="reflect")
    return 1e4 * moved * (1.0 + NOISE * random.standard_normal(moved.shape))


def views(displacement, seed=0):
    random = np.random.default_rng(seed)
    rows, columns = np.indices((EDGE, EDGE)).astype(float)
    moving = truth_of(twin("S1", 1, EDGE), 21.0).sample
    reference = light_at(rows, columns, random)
    # what is at p in the run is at p + displacement in the other: the other shows at q what is at q - displacement
    other = light_at(rows - displacement[0], columns - displacement[1], random)
    return reference, other, moving


def turned(angle_deg, shift):
    rows, columns = np.indices((EDGE, EDGE)) - (EDGE - 1) / 2
    a = np.radians(angle_deg)
    return (
        np.stack([(np.cos(a) - 1) * rows - np.sin(a) * columns, np.sin(a) * rows + (np.cos(a) - 1) * columns])
        + (np.array(shift)[:, None, None])
    )


def rms(found, true):
    inner = (slice(None), slice(8, -8), slice(8, -8))
    return float(np.sqrt(((found.displacement_px - true)[inner] ** 2).mean()))


@pytest.mark.parametrize(("angle_deg", "shift"), [(0.0, (0.0, 0.0)), (0.0, (2.3, -1.4)), (1.0, (1.2, 0.7))])
def test_shift_and_turn_come_back_with_an_error_that_holds(angle_deg, shift):
    true = turned(angle_deg, shift)
    found = find_view(*views(true))
    assert found.kind == "affine"
    assert rms(found, true) < 0.1
    assert rms(found, true) < 2.0 * found.sigma_px + 0.02
    assert found.moved == (np.abs(true).max() > 0)


def test_a_bend_between_loads_is_followed_only_where_it_is_asked_for():
    rows, columns = np.indices((EDGE, EDGE)) / EDGE
    true = turned(0.3, (1.0, -0.5)) + 1.2 * np.stack([np.sin(np.pi * columns) * rows, np.cos(np.pi * rows) * columns])
    scene = views(true)
    stiff, bent = find_view(*scene), find_view(*scene, bend=True)
    assert (stiff.kind, bent.kind) == ("affine", "bent")
    assert rms(bent, true) < 0.6 * rms(stiff, true)
    assert bent.sigma_px < stiff.sigma_px


def test_what_the_light_does_not_tell_is_left_alone():
    blank = np.full((EDGE, EDGE), 1e4) * (1.0 + NOISE * np.random.default_rng(1).standard_normal((EDGE, EDGE)))
    found = find_view(blank, blank[::-1], np.zeros((EDGE, EDGE), bool))
    assert found.kind == "unknown"
    assert not found.moved
    assert found.about()["sigma_px"] is None


def test_a_map_of_another_view_lies_on_the_runs_pixels_with_the_views_error():
    true = turned(0.0, (3.0, -2.0))
    found = find_view(*views(true))
    rows, _ = np.indices((EDGE, EDGE)).astype(float)
    step = np.tanh((rows - true[0] - 48.0) / 2.0)
    value, sigma = seen_from(step, np.full(step.shape, 0.01), found)
    seen = np.isfinite(value)
    assert seen.mean() > 0.9
    assert np.abs(value - np.tanh((rows - 48.0) / 2.0))[seen].max() < 0.1
    steep, flat = sigma[48, 40], sigma[20, 40]
    assert flat == pytest.approx(0.01, abs=1e-3)
    assert steep > flat
