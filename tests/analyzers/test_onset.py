"""Tc per pixel: accuracy on ladders of several spacings, calibrated errors, incremental use, honesty about noise."""

import time

import numpy as np
import pytest

from analyzers.onset import OnsetSettings, estimate_onset, tc_density
from analyzers.onset_forms import OnsetForm, response_table
from analyzers.status import StatusCode

SIGMA_S = 1e-3


def ladder(step_k, top_k=110.0):
    return np.append(np.arange(20.0, top_k, step_k), 150.0)


def superconductor(count, temperature_k, seed=1, spread_k=1.0, offset=0.0):
    """Pixels of known Tc, either sign, unknown exponent and a three-valued spread of Tc; noise-free and noisy s."""
    rng = np.random.default_rng(seed)
    tc = rng.uniform(20, 80, count)
    amplitude = rng.uniform(0.01, 0.06, count) * rng.choice([-1, 1], count, p=[0.7, 0.3])
    exponent = rng.uniform(1, 4, count)
    s = np.ones((temperature_k.size, count))
    for shift in (-spread_k, 0.0, spread_k):
        s += amplitude / 3 * np.maximum(0, 1 - np.minimum(temperature_k[:, None] / (tc + shift), 1) ** exponent)
    noise = SIGMA_S * rng.normal(size=s.shape) + offset * rng.normal(size=count)
    return tc, s, s + noise


@pytest.mark.parametrize(("step_k", "median_k"), [(2, 0.5), (3, 0.6), (5, 0.75), (8, 1.1), (10, 1.3)])
def test_ladders_of_several_spacings(step_k, median_k):
    temperature = ladder(step_k)
    tc, clean, noisy = superconductor(3000, temperature)
    found = estimate_onset(temperature, noisy, SIGMA_S)
    resolved = found.status == StatusCode.OK
    error = np.abs(np.where(resolved, found.tc_k, 20.0) - tc)[np.abs(clean[0] - 1) > 0.01]
    assert np.median(error) <= median_k
    assert resolved.mean() >= 0.95


def test_the_uncertainty_covers_the_truth():
    temperature = ladder(4)
    tc, clean, noisy = superconductor(4000, temperature)
    found = estimate_onset(temperature, noisy, SIGMA_S)
    chosen = np.abs(clean[0] - 1) > 0.01
    covered = (np.abs(found.tc_k - tc) < found.tc_sigma_k)[chosen].mean()
    assert 0.62 < covered < 0.76
    assert abs(np.median((found.tc_k - tc)[chosen])) < 0.25


def test_noise_of_the_reference_is_common_to_all_temperatures():
    temperature = ladder(4)
    reference = 1.5e-3
    tc, clean, noisy = superconductor(4000, temperature, offset=reference)
    chosen = np.abs(clean[0] - 1) > 0.01
    total = np.hypot(SIGMA_S, reference)
    plain = estimate_onset(temperature, noisy, total)
    aware = estimate_onset(temperature, noisy, total, reference)
    error, error_aware = (np.abs(found.tc_k - tc)[chosen] for found in (plain, aware))
    assert np.median(error_aware) < 0.9 * np.median(error)
    assert 0.6 < (error_aware < aware.tc_sigma_k[chosen]).mean() < 0.78


def test_no_onset_is_found_in_noise():
    rng = np.random.default_rng(3)
    temperature = ladder(4)
    found = estimate_onset(temperature, 1 + SIGMA_S * rng.normal(size=(temperature.size, 5000)), SIGMA_S)
    assert found.superconducting.mean() < 2e-3
    assert (found.status == StatusCode.LOW_SNR).mean() > 0.998


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_nothing_below_three_sigma_is_resolved(sign):
    temperature = ladder(4)
    tc = np.linspace(30, 70, 50)
    table = response_table(temperature, tc, [OnsetForm(2.0)])[:, 0]
    strength = 2.5 * SIGMA_S / np.sqrt((table**2).sum(axis=0))
    found = estimate_onset(temperature, 1 + sign * strength * table, SIGMA_S)
    assert (found.significance < 3.0).all()
    assert (found.status != StatusCode.OK).all()


def test_dense_noise_free_curves_give_back_tc_for_every_exponent():
    temperature = np.arange(20.0, 151.0)
    exponent = np.array([1.0, 1.3, 1.75, 2.2, 3.3, 4.0])
    for tc in (35.0, 57.3, 79.0):
        s = 1 - 0.05 * np.maximum(0, 1 - np.minimum(temperature[:, None] / tc, 1) ** exponent)
        found = estimate_onset(temperature, s, SIGMA_S)
        np.testing.assert_allclose(found.tc_k, tc, atol=0.6)
    # Far below Tc the amplitude is seen, not extrapolated.
    np.testing.assert_allclose(found.amplitude, -0.05, rtol=0.12)


def test_one_temperature_is_enough_to_start():
    s = np.array([0.95, 0.998, 1.0, 1.05, np.nan])
    found = estimate_onset([20.0], s[None], SIGMA_S)
    np.testing.assert_array_equal(found.superconducting, [True, False, False, True, False])
    expected = [StatusCode.NOT_YET_MEASURED, *[StatusCode.LOW_SNR] * 2, StatusCode.NOT_YET_MEASURED, StatusCode.LOW_SNR]
    np.testing.assert_array_equal(found.status, expected)
    density = tc_density(found)
    assert density.superconducting == 2
    assert density.open_fraction == 1.0
    assert density.candidate_temperature_k[0] == 21.0
    flat = (density.candidate_temperature_k > 40) & (density.candidate_temperature_k <= 100)
    assert np.ptp(density.tc_density_per_k[flat]) < 0.3 * density.tc_density_per_k[flat].mean()
    assert density.tc_density_per_k.sum() == pytest.approx(1.0, abs=0.03)


def test_density_follows_the_warming_and_closes():
    temperature = ladder(4)
    tc, _, noisy = superconductor(3000, temperature)
    strong = tc > 40
    for last in (5, 10, temperature.size):
        found = estimate_onset(temperature[:last], noisy[:last], SIGMA_S)
        density = tc_density(found, judged=strong)
        ahead = (tc[strong] > temperature[last - 1]).mean()
        assert density.open_fraction == pytest.approx(ahead, abs=0.1)
        assert density.tc_density_per_k.sum() == pytest.approx(ahead, abs=0.1)
        assert (density.candidate_temperature_k > temperature[last - 1]).all()
    assert density.open_fraction < 0.005
    assert density.tc_sigma_median_k < 1.5


LAWS = {
    "linear": lambda t: 1 - t,
    "two_fluid": lambda t: 1 - t**4,
    "s_wave": lambda t: np.tanh(1.74 * np.sqrt(1 / t - 1)) * np.tanh(0.882 / t * np.tanh(1.74 * np.sqrt(1 / t - 1))),
    "d_wave": lambda t: 1 - 0.6 * t - 0.4 * t**4,
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("spread_k", [0.5, 2.0])
def test_sigma_is_calibrated_for_laws_inside_and_outside_the_family(law, spread_k):
    """Tc forms of the twin and of theory, the latter not among those that the estimator sums over."""
    rng = np.random.default_rng(7)
    temperature = ladder(4)
    tc = rng.uniform(35, 80, 600)
    amplitude = rng.uniform(0.01, 0.06, 600) * rng.choice([-1, 1], 600)
    s = 1 + SIGMA_S * rng.normal(size=(temperature.size, 600))
    for shift in (-spread_k, 0.0, spread_k):
        reduced = temperature[:, None] / (tc + shift)
        s += amplitude / 3 * np.where(reduced < 1, LAWS[law](np.minimum(reduced, 1 - 1e-9)), 0)
    found = estimate_onset(temperature, s, SIGMA_S)
    resolved = found.status == StatusCode.OK
    pull = ((found.tc_k - tc) / found.tc_sigma_k)[resolved]
    assert resolved.mean() > 0.95
    assert 0.6 < (np.abs(pull) < 1).mean() < 0.85
    assert 0.7 < 1.4826 * np.median(np.abs(pull)) < 1.25
    assert abs(np.median((found.tc_k - tc)[resolved])) < 1.0


def test_expected_information_is_what_a_point_then_says():
    """The next point is measured at each of several candidates: what it really said follows what was expected."""
    start = np.arange(20.0, 53.0, 4.0)
    _, _, noisy = superconductor(400, start, seed=5)
    tc_next = np.arange(54.0, 110.0, 6.0)
    before = estimate_onset(start, noisy, SIGMA_S)
    density = tc_density(before)
    expected = np.interp(tc_next, density.candidate_temperature_k, density.information_bits)
    said = []
    for temperature in tc_next:
        every = np.append(start, temperature)
        _, _, more = superconductor(400, every, seed=5)
        more[:-1] = noisy
        after = estimate_onset(every, more, SIGMA_S)
        chosen = before.superconducting

        def entropy(estimate, chosen=chosen):
            chance = estimate.posterior[chosen].astype(np.float64)
            return -np.sum(chance * np.log2(np.maximum(chance, 1e-12)), axis=1)

        said.append(np.mean(entropy(before) - entropy(after)))
    assert np.corrcoef(expected, said)[0, 1] > 0.8
    assert 0.4 < expected.sum() / np.sum(said) < 2.5
    assert abs(tc_next[np.argmax(expected)] - tc_next[np.argmax(said)]) <= 12


def test_nothing_is_expected_where_no_tc_is_left():
    temperature = ladder(4)
    _, _, noisy = superconductor(500, temperature)
    density = tc_density(estimate_onset(temperature[:12], noisy[:12], SIGMA_S))
    above = density.candidate_temperature_k > 100
    assert density.information_bits.max() > 0.1
    assert density.information_bits[above].max() < 0.2 * density.information_bits.max()
    assert tc_density(estimate_onset(temperature, noisy, SIGMA_S)).information_bits.size == 0


def test_density_without_superconducting_pixels_is_finite():
    found = estimate_onset([20.0, 30.0], np.ones((2, 4, 4)), SIGMA_S)
    density = tc_density(found, top_k=100.0)
    assert density.candidate_temperature_k.tolist() == list(range(31, 101))
    assert not density.tc_density_per_k.any()
    assert (density.open_fraction, density.tc_sigma_median_k, density.superconducting) == (0.0, 0.0, 0)


def test_order_and_missing_points_do_not_matter_and_bits_repeat():
    temperature = ladder(5)
    _, _, noisy = superconductor(200, temperature)
    maps = noisy.reshape(temperature.size, 10, 20)
    found = estimate_onset(temperature, maps, SIGMA_S)
    again = estimate_onset(temperature, maps, SIGMA_S)
    assert found.tc_k.shape == (10, 20)
    assert found.posterior.shape == (10, 20, found.tc_grid_k.size)
    np.testing.assert_array_equal(found.tc_k, again.tc_k)
    shuffled = estimate_onset(temperature[::-1], maps[::-1], SIGMA_S)
    np.testing.assert_allclose(shuffled.tc_k, found.tc_k, atol=1e-4)
    # A temperature that every pixel lacks says nothing; a pixel without any point is NaN.
    holes = np.insert(maps, 3, np.nan, axis=0)
    holes[:, 0, 0] = np.nan
    gaps = estimate_onset(np.insert(temperature, 3, 32.5), holes, SIGMA_S)
    np.testing.assert_allclose(gaps.tc_k.ravel()[1:], found.tc_k.ravel()[1:], atol=1e-9)
    assert np.isnan(gaps.tc_k[0, 0])
    assert gaps.status[0, 0] == StatusCode.LOW_SNR
    np.testing.assert_allclose(found.posterior.sum(axis=-1), 1.0, atol=1e-5)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="expected one map for each of 2 temperatures"):
        estimate_onset([20.0, 30.0], np.ones((3, 4)), SIGMA_S)
    with pytest.raises(ValueError, match="0 temperatures"):
        estimate_onset([], np.ones((0, 4)), SIGMA_S)


def test_five_thousand_pixels_and_25_temperatures_are_fast():
    temperature = np.linspace(20, 150, 25)
    _, _, noisy = superconductor(5000, temperature)
    estimate_onset(temperature, noisy[:, :2], SIGMA_S)
    started = time.perf_counter()
    estimate_onset(temperature, noisy, SIGMA_S)
    # 0.15 s on an idle core; the margin is for a busy machine.
    assert time.perf_counter() - started < 2.0


def test_the_forms_are_settings():
    temperature = ladder(3)
    s = 1 - 0.04 * response_table(temperature, [60.0], [OnsetForm(4.0, rounding_k=3.0)])[:, 0]
    fixed = estimate_onset(temperature, s, SIGMA_S, settings=OnsetSettings(forms=(OnsetForm(4.0, rounding_k=3.0),)))
    assert fixed.tc_k[0] == pytest.approx(60.0, abs=0.3)
    assert fixed.exponent[0] == pytest.approx(4.0)


def test_a_ladder_that_begins_above_every_tc_has_no_onset_and_no_error() -> None:
    estimate = estimate_onset([150.0], np.ones((1, 4)), 0.001)
    assert not estimate.superconducting.any()
    assert tc_density(estimate).superconducting == 0
