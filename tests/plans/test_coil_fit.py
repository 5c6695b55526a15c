"""The coil's scale and remanence where lines of other groups were taken for [111]."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plans.coil import fit_coil

GAMMA_MHZ_PER_GAUSS = 2.8025
FIELD = np.array([-48.0, -24.0, 0.0, 24.0, 48.0])
SHAPE = (32, 32)


def measured(seed: int, wrong: np.ndarray, scale: float = 0.9986, remanence: float = 0.0, noise_mhz: float = 0.3):
    """Half splittings (5, y, x) of [111]; `wrong` is the share of other pairs at every field, or (5, y, x) where."""
    rng = np.random.default_rng(seed)
    along = GAMMA_MHZ_PER_GAUSS * (scale * FIELD + remanence)[:, None, None]
    right = np.hypot(along, rng.uniform(5.0, 25.0, SHAPE))
    other = np.hypot(along / 3, rng.uniform(5.0, 45.0, SHAPE))
    # Both lines of another group, one of each group, or any two dips that the noise offered.
    pairs = np.stack([other, 0.5 * (right + other), rng.uniform(2.0, 150.0, right.shape)])
    taken = np.take_along_axis(pairs, rng.integers(3, size=(1, *right.shape)), 0)[0]
    mistaken = wrong if wrong.ndim == 3 else rng.random(right.shape) < wrong[:, None, None]
    return np.where(mistaken, taken, right) + rng.normal(0.0, noise_mhz, right.shape)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000),
    st.lists(st.floats(0.0, 0.4), min_size=5, max_size=5),
    st.floats(0.98, 1.02),
    st.floats(-0.4, 0.4),
)
def test_up_to_forty_percent_of_wrong_pairs_at_every_field_move_neither_scale_nor_remanence(seed, shares, scale, b):
    found = fit_coil(FIELD, np.abs(measured(seed, np.array(shares), scale, b)), 0.3)
    assert found.scale == pytest.approx(scale, rel=0.0015)
    assert found.remanence_gauss == pytest.approx(b, abs=0.055)
    assert found.scale_sigma < 0.0015
    assert found.remanence_sigma_gauss < 0.055


@pytest.mark.parametrize(("share", "stated_mhz"), [(0.0, 0.3), (0.4, 0.3), (0.4, 0.12)])
def test_the_uncertainty_is_honest_with_wrong_pairs_and_with_sigmas_that_are_too_small(share, stated_mhz):
    pulls = []
    for seed in range(24):
        found = fit_coil(FIELD, np.abs(measured(seed, np.full(5, share))), stated_mhz)
        pulls.append([(found.scale - 0.9986) / found.scale_sigma, found.remanence_gauss / found.remanence_sigma_gauss])
    spread = np.sqrt(np.mean(np.square(pulls), axis=0))
    assert np.all((spread > 0.6) & (spread < 1.5)), spread


def test_neighbours_that_share_their_errors_count_as_one():
    pulls = []
    for seed in range(24):
        rng = np.random.default_rng(1000 + seed)
        shared = np.repeat(np.repeat(rng.normal(0.0, 0.3, (5, 8, 8)), 4, axis=1), 4, axis=2)
        halves = measured(seed, np.zeros(5), noise_mhz=0.05) + shared
        found = fit_coil(FIELD, np.abs(halves), 0.3)
        pulls.append([(found.scale - 0.9986) / found.scale_sigma, found.remanence_gauss / found.remanence_sigma_gauss])
    spread = np.sqrt(np.mean(np.square(pulls), axis=0))
    assert np.all((spread > 0.6) & (spread < 1.5)), spread


def test_whole_pixels_of_another_group_are_left_out():
    wrong = np.broadcast_to(np.random.default_rng(5).random(SHAPE) < 0.4, (5, *SHAPE))
    found = fit_coil(FIELD, np.abs(measured(5, wrong)), 0.3)
    assert found.scale == pytest.approx(0.9986, abs=4 * found.scale_sigma)
    assert found.agreeing_share == pytest.approx(0.6, abs=0.08)


def test_a_bend_that_no_coil_has_widens_the_uncertainty():
    plain = fit_coil(FIELD, measured(7, np.zeros(5)), 0.3)
    bent = measured(7, np.zeros(5))
    bent[3] += 0.3
    found = fit_coil(FIELD, bent, 0.3)
    assert found.scale_sigma > 3 * plain.scale_sigma


def test_too_few_pixels_that_agree_are_refused():
    with pytest.raises(ValueError, match=r"only \d+% of 1024 pixels agree"):
        fit_coil(FIELD, np.random.default_rng(1).uniform(2.0, 150.0, (5, *SHAPE)), 0.3)


def test_a_field_at_which_a_pixel_has_none_does_not_take_the_pixel_away():
    halves = measured(9, np.zeros(5))
    halves[4, ::2] = np.nan
    assert fit_coil(FIELD, halves, 0.3).agreeing_share > 0.97
