"""The expected s(T): its band holds the truth as often as it says, and it knows nothing of what is ahead."""

from __future__ import annotations

import numpy as np

from analyzers.expectation import expected_s
from analyzers.onset_forms import FORMS, response_table

NOISE, OFFSET = 0.002, 0.001
LADDER = np.arange(20.0, 68.0, 8.0)
AHEAD = np.arange(64.0, 126.0, 4.0)


def warming(rng):
    """Return s so far, and the true s ahead, of a point of unknown law, Tc and amplitude."""
    form = FORMS[rng.integers(len(FORMS))]
    tc, amplitude, shift = rng.uniform(66.0, 100.0), rng.normal(0.0, 0.06), OFFSET * rng.standard_normal()
    everywhere = np.concatenate([LADDER, AHEAD])
    truth = 1.0 + shift + amplitude * response_table(everywhere, np.array([tc]), [form])[:, 0, 0]
    return truth[: LADDER.size] + NOISE * rng.standard_normal(LADDER.size), truth[LADDER.size :]


def warmings(count, seed):
    """Return s so far (p, t) and the true s ahead (p, m) of many points."""
    rng = np.random.default_rng(seed)
    found = [warming(rng) for _ in range(count)]
    return np.array([s for s, _ in found]), np.array([truth for _, truth in found])


def foretold(s, ladder=LADDER, ahead=AHEAD):
    sigma = np.full(s.shape, np.hypot(NOISE, OFFSET))
    return expected_s(ladder, s, sigma, np.full(len(s), OFFSET), ahead)


def test_the_band_holds_the_truth_as_often_as_it_says():
    s, truth = warmings(300, 7)
    mean, sigma = foretold(s)
    pulls = (truth - mean) / sigma
    assert 0.9 < np.mean(np.abs(pulls) < 2.0) < 1.0
    assert 0.75 < np.sqrt(np.mean(pulls**2)) < 1.25


def test_far_above_every_tc_nothing_is_left_but_the_offset():
    mean, sigma = foretold(warmings(20, 3)[0], ahead=[64.0, 180.0])
    assert np.abs(mean[:, 1] - 1.0).max() < 4 * OFFSET
    assert sigma[:, 1].max() < 1.5 * OFFSET


def test_the_band_narrows_where_more_is_known():
    s, truth = warmings(20, 5)
    _, before = foretold(s)
    more = np.concatenate([s, truth[:, :6] + NOISE * np.random.default_rng(1).standard_normal((20, 6))], axis=1)
    _, after = foretold(more, np.concatenate([LADDER, AHEAD[:6]]))
    assert after[:, :6].mean() < 0.7 * before[:, :6].mean()


def test_where_nothing_is_ahead_nothing_is_expected():
    """A closing reference lies above the grid of Tc."""
    s, _ = warmings(2, 4)
    mean, sigma = foretold(np.column_stack([s, np.ones(2)]), np.append(LADDER, 150.3), np.arange(150.3, 131.0, 2.0))
    assert mean.shape == sigma.shape == (2, 0)


def test_a_point_that_was_never_resolved_expects_nothing():
    s = np.stack([np.full(LADDER.size, np.nan), np.full(LADDER.size, 0.95)])
    mean, sigma = foretold(s)
    assert np.isnan(mean[0]).all()
    assert np.isnan(sigma[0]).all()
    assert np.isfinite(mean[1]).all()
