"""Estimators of a campaign against fields whose statistics are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from analyzers.campaign.bins import FEWEST_BLOCKS, binned_mean
from analyzers.campaign.blocks import block_labels, correlation_length_um, trend_residual
from analyzers.campaign.bootstrap import bootstrap, draw_weights
from analyzers.campaign.rows import Units
from analyzers.campaign.transport import transport_onsets
from devices.twin.resistance import resistance_curve
from devices.twin.truth import truth_of
from tests.analyzers.campaign.twin_loads import twin


def _smooth_noise(seed: int, length_px: float, edge: int = 96) -> np.ndarray:
    white = np.random.default_rng(seed).standard_normal((edge, edge))
    smooth = ndimage.gaussian_filter(white, length_px, mode="wrap")
    return smooth / smooth.std()


def test_correlation_length_grows_with_the_field_and_ignores_white_noise():
    mask = np.ones((96, 96), np.bool_)
    lengths = [correlation_length_um(_smooth_noise(1, px), mask, 0.5) for px in (1.0, 2.0, 4.0)]
    # a Gaussian filter of width w leaves exp(-r^2 / 4 w^2): 1/e at 2 w
    assert lengths == pytest.approx([1.0, 2.0, 4.0], rel=0.25)
    noisy = _smooth_noise(1, 4.0) + np.random.default_rng(2).standard_normal((96, 96))
    assert correlation_length_um(noisy, mask, 0.5) == pytest.approx(4.0, rel=0.3)
    white = np.random.default_rng(3).standard_normal((96, 96))
    assert correlation_length_um(white, mask, 0.5) == 0.5


def test_a_field_without_values_has_the_length_of_a_pixel():
    assert correlation_length_um(np.full((8, 8), np.nan), np.ones((8, 8), np.bool_), 0.7) == 0.7


def test_errors_of_binned_means_cover_the_truth_in_correlated_fields():
    """Over many fields, the mean of a bin lies within its error about as often as a normal law says."""
    pulls: list[float] = []
    naive: list[float] = []
    for seed in range(60):
        field = _smooth_noise(seed, 2.0, 72)
        mask = np.ones(field.shape, np.bool_)
        block = block_labels(field.shape, 1.0, correlation_length_um(field, mask, 1.0))
        x = np.broadcast_to(np.linspace(0.0, 1.0, 72), field.shape)
        found = binned_mean((x.ravel(),), (np.array([0.0, 0.5, 1.01]),), field.ravel(), block.ravel())
        pulls += list(found.mean / found.error)
        naive += list(found.mean / (found.scatter / np.sqrt(found.count)))
    # about a dozen blocks each: the error itself is known to a fifth, which widens the pulls
    assert 0.8 < np.std(pulls) < 1.35
    assert np.std(naive) > 4.0


def test_errors_of_bins_of_few_blocks_cover_the_truth_too():
    """Bins cut out of smooth maps hold few blocks, of unequal size: their errors still hold the truth two in three."""
    edges = np.array([-3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
    hits: dict[bool, list[bool]] = {True: [], False: []}
    label = block_labels((48, 48), 1.0, 3.0).ravel()
    for seed in range(250):
        place = _smooth_noise(1000 + seed, 8.0, 48).ravel()
        found = binned_mean((place,), (edges,), _smooth_noise(seed, 1.5, 48).ravel(), label)
        for mean, error, blocks in zip(found.mean, found.error, found.blocks, strict=True):
            if np.isfinite(error):
                hits[bool(blocks < 12)].append(abs(mean) < error)
    assert len(hits[True]) > 300
    assert 0.60 < np.mean(hits[True]) < 0.75
    assert 0.60 < np.mean(hits[False]) < 0.75


def test_bins_count_and_never_extrapolate():
    values = np.array([1.0, 2.0, 3.0, np.nan, 5.0])
    place = np.array([0.5, 0.5, 1.5, 1.5, 9.0])
    found = binned_mean((place,), (np.array([0.0, 1.0, 2.0, 3.0]),), values, np.arange(5))
    assert found.count.tolist() == [2, 1, 0]
    assert found.mean[:2].tolist() == [1.5, 3.0]
    assert np.isnan(found.mean[2])
    assert found.blocks[0] < FEWEST_BLOCKS
    assert np.isnan(found.error).all()
    nothing = binned_mean((place,), (np.array([0.0, 1.0]),), np.full(5, np.nan), np.arange(5))
    assert nothing.count.tolist() == [0]


def test_what_a_whole_map_shares_does_not_average_away():
    values = np.zeros(400)
    block = np.arange(400)
    sweep = np.repeat([0, 1], 200)
    found = binned_mean((values,), (np.array([-1.0, 1.0]),), values, block, sweep, np.full(400, 0.01))
    assert found.error[0] == pytest.approx(0.01 / np.sqrt(2))


def test_edges_that_do_not_rise_are_refused():
    with pytest.raises(ValueError, match="rise"):
        binned_mean((np.zeros(3),), (np.array([1.0, 0.0]),), np.zeros(3), np.zeros(3, np.int64))


def _nested(samples: int, loads: int, blocks: int, pixels: int) -> Units:
    block = np.repeat(np.arange(samples * loads * blocks), pixels)
    return Units(block // (loads * blocks), block // blocks, block)


def test_draws_keep_blocks_whole_and_loads_within_samples():
    units = _nested(3, 2, 4, 5)
    weight = draw_weights(units, np.random.default_rng(0))
    by_block = weight.reshape(-1, 5)
    assert (by_block == by_block[:, :1]).all()
    assert weight.sum() == 3 * 2 * 4 * 5


def test_intervals_hold_what_samples_differ_by():
    """The mean over three samples that differ is as uncertain as they differ, however many pixels each has."""
    units = _nested(3, 2, 20, 10)
    random = np.random.default_rng(1)
    level = np.array([-1.0, 0.0, 1.0])[units.sample] + 0.01 * random.standard_normal(units.block.size)

    def mean(weight):
        return np.array([np.average(level, weights=weight)])

    found = bootstrap(mean, units, draws=200)
    assert found.levels == ("sample", "load", "block")
    assert found.units == (3, 6, 120)
    assert 0.3 < 0.5 * (found.high[0] - found.low[0]) < 0.7
    one = units.sample == 0
    alone = Units(units.sample[one], units.load[one], units.block[one])
    kept = bootstrap(lambda w: np.array([np.average(level[one], weights=w)]), alone, draws=200)
    assert kept.levels == ("load", "block")
    assert kept.high[0] - kept.low[0] < 0.01


def test_a_bootstrap_is_the_same_twice():
    units = _nested(2, 2, 5, 3)
    values = np.random.default_rng(2).standard_normal(units.block.size)

    def mean(weight):
        return np.array([np.average(values, weights=weight)])

    assert bootstrap(mean, units, draws=50).low == bootstrap(mean, units, draws=50).low


def test_the_trend_of_covariates_is_taken_off():
    x, y = np.meshgrid(np.linspace(-1, 1, 30), np.linspace(-1, 1, 30))
    left = trend_residual(3.0 + x - 2.0 * y**2, np.ones(x.shape, np.bool_), (x, y))
    assert np.abs(left).max() < 1e-9


def test_resistance_onsets_of_a_kink_and_of_none():
    temperature = np.linspace(9.0, 160.0, 120)
    noise = 1.0 + 1e-3 * np.random.default_rng(0).standard_normal(120)
    curve = resistance_curve(truth_of(twin("S1"), 21.0))
    found = transport_onsets(temperature, np.array([curve.ohm(float(t)) for t in temperature]) * noise)
    assert not found.reason
    assert 70.0 < found.at_90_k <= found.onset_k < 80.0
    assert found.at_50_k < found.at_90_k
    assert abs(found.first_deviation_k - found.onset_k) < 4.0
    assert np.isnan(found.zero_k)  # the drop is partial
    flat = transport_onsets(temperature, (0.02 + 0.0006 * temperature) * noise)
    assert "no more than" in flat.reason
    assert np.isnan(flat.onset_k)


@pytest.mark.parametrize("load_gpa", [18.0, 21.0, 23.0])
def test_stripes_across_every_path_leave_no_kink_whatever_the_noise(load_gpa):
    """A normal-state line through few noisy points, extrapolated to base, once made drops of 8 % and more of it."""
    temperature = np.linspace(9.0, 150.0, 120)
    curve = resistance_curve(truth_of(twin("S3"), load_gpa))
    smooth = np.array([curve.ohm(float(t)) for t in temperature])
    for seed in range(20):
        noise = 1.0 + 1e-3 * np.random.default_rng(seed).standard_normal(120)
        found = transport_onsets(temperature, smooth * noise)
        assert np.isnan(found.onset_k), (seed, found)


def test_few_temperatures_give_no_onset_but_a_reason():
    assert "8 are needed" in transport_onsets(np.arange(5.0), np.arange(5.0)).reason
