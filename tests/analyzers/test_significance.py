"""What counts as changed, judged on maps whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.significance import FALSE_DISCOVERY_RATE, benjamini_hochberg, changed_elements, probability_below

SIGMA = 0.001


def _noise(seed: int, shape: tuple[int, int] = (64, 64)) -> np.ndarray:
    return (1.0 + SIGMA * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def _masks(shape: tuple[int, int] = (64, 64)) -> tuple[np.ndarray, np.ndarray]:
    judged = np.zeros(shape, dtype=bool)
    judged[8:56, 8:56] = True
    return judged, ~judged


def test_nothing_changed_reports_nothing():
    judged, far = _masks()
    fractions = [
        changed_elements(_noise(seed), np.full((64, 64), SIGMA, np.float32), judged, far).fraction for seed in range(20)
    ]
    assert max(fractions) < 0.002


@pytest.mark.parametrize("sign", [-1, 1])
def test_either_sign_is_found_at_its_share(sign):
    judged, far = _masks()
    s = _noise(3)
    s[10:30, 10:40] += sign * 0.01
    change = changed_elements(s, np.full(s.shape, SIGMA, np.float32), judged, far)
    truth = 20 * 30 / judged.sum()
    assert change.fraction == pytest.approx(truth, rel=0.05)
    assert change.changed[10:30, 10:40].mean() > 0.99


def test_single_pixels_do_not_count():
    judged, far = _masks()
    s = _noise(4)
    s[20, 20] = 0.9
    assert not changed_elements(s, np.full(s.shape, SIGMA, np.float32), judged, far).changed[20, 20]


def test_too_small_sigma_is_scaled_by_the_off_sample_scatter():
    judged, far = _masks()
    s = (1.0 + 3 * SIGMA * np.random.default_rng(5).standard_normal((64, 64))).astype(np.float32)
    change = changed_elements(s, np.full(s.shape, SIGMA, np.float32), judged, far)
    assert change.sigma_scale == pytest.approx(3.0, rel=0.1)
    assert change.fraction < 0.002


def test_unresolved_pixels_are_not_judged():
    judged, far = _masks()
    s = _noise(6)
    s[8:32] = np.nan
    change = changed_elements(s, np.full(s.shape, SIGMA, np.float32), judged, far)
    assert change.elements == 24 * 48


def test_all_unresolved_is_zero_elements():
    judged, far = _masks()
    nothing = np.full((64, 64), np.nan, np.float32)
    change = changed_elements(nothing, nothing, judged, far)
    assert (change.elements, change.fraction) == (0, 0.0)


def test_elements_of_several_pixels_average_their_noise():
    judged, far = _masks((65, 63))
    s = _noise(7, (65, 63))
    s[8:56, 8:32] -= 2.5 * SIGMA
    sigma = np.full(s.shape, SIGMA, np.float32)
    fine = changed_elements(s, sigma, judged, far)
    coarse = changed_elements(s, sigma, judged, far, element_px=4)
    assert coarse.changed.shape == s.shape
    assert coarse.fraction > 0.45
    assert coarse.fraction > fine.fraction


def test_benjamini_hochberg_by_hand():
    p_values = np.array([0.001, 0.5, 0.004, 0.9, 0.0076])
    assert benjamini_hochberg(p_values, 0.01).tolist() == [True, False, True, False, False]
    assert benjamini_hochberg(np.zeros(0)).size == 0


def _discoveries(s: np.ndarray, truth: np.ndarray, sigma=SIGMA, **options) -> tuple[int, int]:
    """Return (false, all) pixels reported as changed."""
    judged, far = _masks(s.shape)
    change = changed_elements(s, np.full(s.shape, sigma, np.float32), judged, far, **options)
    false = change.changed & (change.sign != truth)
    return int(false.sum()), int(change.changed.sum())


def _false_share(found: list[tuple[int, int]]) -> float:
    """Return the false-discovery proportion averaged over maps."""
    return float(np.mean([false / total if total else 0.0 for false, total in found]))


def test_pure_noise_stays_below_the_stated_rate():
    nothing = np.zeros((64, 64))
    found = [_discoveries(_noise(seed), nothing) for seed in range(400)]
    assert _false_share(found) <= FALSE_DISCOVERY_RATE


def test_noise_with_a_sigma_too_small_stays_below_the_stated_rate():
    nothing = np.zeros((64, 64))
    found = [_discoveries(_noise(seed), nothing, sigma=SIGMA / 1.5) for seed in range(300)]
    assert _false_share(found) <= FALSE_DISCOVERY_RATE


@pytest.mark.parametrize("amplitude", [0.003, 0.005, 0.02])
def test_beside_true_changes_of_either_sign_the_rate_holds(amplitude):
    truth = np.zeros((64, 64))
    truth[12:30, 12:30], truth[36:50, 30:50] = -1, 1
    found = [_discoveries(_noise(seed) + np.float32(amplitude) * truth, truth) for seed in range(200)]
    assert _false_share(found) <= FALSE_DISCOVERY_RATE
    detected = np.mean([total for _, total in found]) / np.count_nonzero(truth)
    assert detected > (0.9 if amplitude >= 0.005 else 0.3)


def test_an_error_common_to_all_pixels_is_no_discovery():
    nothing = np.zeros((64, 64))
    shared = 0.6 * SIGMA * np.random.default_rng(1).standard_normal(200)
    maps = [_noise(seed) + np.float32(shift) for seed, shift in enumerate(shared)]
    options = {"element_px": 4}
    assert _false_share([_discoveries(s, nothing, **options) for s in maps]) > FALSE_DISCOVERY_RATE
    aware = [_discoveries(s, nothing, common_sigma=0.6 * SIGMA, **options) for s in maps]
    assert _false_share(aware) <= FALSE_DISCOVERY_RATE


def test_probability_below_the_papers_limit():
    s = np.array([[0.97, 0.96, 0.98, np.nan]], np.float32)
    found = probability_below(s, np.full(s.shape, 0.01, np.float32))
    np.testing.assert_allclose(found[0, :3], [0.5, 0.841345, 0.158655], atol=1e-4)
    assert np.isnan(found[0, 3])
