"""The S = 1 Hamiltonian against numpy's diagonalisation and the closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physics.constants import stress_set
from physics.geometry import field_along_culet_normal
from physics.spin import (
    GAMMA,
    effective_splitting_mhz,
    field_magnitude_gauss,
    group_frequencies,
    transition_gradients,
    transition_strengths,
    transitions,
)
from physics.stress import group_shifts

BARSON = stress_set("barson2017")
HYDROSTATIC_15 = np.array([15.0, 15.0, 15.0, 0.0, 0.0, 0.0])
SX = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]) / np.sqrt(2)
SY = np.array([[0, -1j, 0], [1j, 0, -1j], [0, 1j, 0]]) / np.sqrt(2)
SZ = np.diag([1.0, 0.0, -1.0])


def hamiltonian(d, px, py, field):
    zeeman = GAMMA * (field[0] * SX + field[1] * SY + field[2] * SZ)
    return d * SZ @ SZ + px * (SY @ SY - SX @ SX) + py * (SX @ SY + SY @ SX) + zeeman


@pytest.mark.parametrize("gauss", [0.0, 1e-6, 1.0, 97.0, 205.0, 500.0, 1500.0])
@pytest.mark.parametrize("e_mhz", [0.0, 1e-6, 1.0, 23.0, 60.0])
def test_transitions_agree_with_eigh_to_1e_9(gauss, e_mhz):
    rng = np.random.default_rng(4)
    for _ in range(20):
        d = rng.uniform(2800, 3300)
        px, py = e_mhz * rng.normal(size=2)
        field = gauss * rng.normal(size=3)
        levels = np.linalg.eigvalsh(hamiltonian(d, px, py, field))
        np.testing.assert_allclose(transitions(d, px, py, *field), levels[1:] - levels[0], rtol=1e-9)


def numeric_gradients(point):
    out = np.empty((2, 6))
    for k in range(6):
        step = np.zeros(6)
        step[k] = 1e-3
        above, below = (np.array(transitions(*(point + sign * step))) for sign in (1, -1))
        out[:, k] = (above - below) / 2e-3
    return out


@pytest.mark.parametrize("gauss", [0.0, 1.0, 48.0, 97.0, 205.0, 1500.0])
@pytest.mark.parametrize("e_mhz", [1.0, 23.0, 60.0])
def test_gradients_agree_with_differences(gauss, e_mhz):
    rng = np.random.default_rng(6)
    found = np.empty((2, 6))
    for _ in range(20):
        point = np.concatenate([[rng.uniform(2800, 3300)], e_mhz * rng.normal(size=2), gauss * rng.normal(size=3)])
        assert transition_gradients(*point, found) == transitions(*point)
        np.testing.assert_allclose(found, numeric_gradients(point), atol=2e-6, rtol=1e-3)


def test_gradients_are_the_expectation_values_of_the_states():
    rng = np.random.default_rng(7)
    found = np.empty((2, 6))
    operators = [SZ @ SZ, SY @ SY - SX @ SX, SX @ SY + SY @ SX, GAMMA * SX, GAMMA * SY, GAMMA * SZ]
    for _ in range(50):
        d, px, py, field = rng.uniform(2800, 3300), *(20 * rng.normal(size=2)), 100 * rng.normal(size=3)
        _, states = np.linalg.eigh(hamiltonian(d, px, py, field))
        means = np.array([[(state.conj() @ o @ state).real for o in operators] for state in states.T])
        transition_gradients(d, px, py, *field, found)
        np.testing.assert_allclose(found, means[1:] - means[0], atol=1e-9)


def test_without_splitting_the_gradient_is_that_of_the_centre():
    found = np.empty((2, 6))
    transition_gradients(2870.0, 0.0, 0.0, 0.0, 0.0, 0.0, found)
    np.testing.assert_allclose(found, [[1, 0, 0, 0, 0, 0]] * 2, atol=1e-12)


def test_near_degenerate_lines_keep_their_splitting():
    low, high = transitions(2870.0, 1e-7, 0.0, 0.0, 0.0, 0.0)
    assert (high - low) == pytest.approx(2e-7, rel=1e-4)


def test_line_strengths_agree_with_eigh():
    rng = np.random.default_rng(5)
    for _ in range(100):
        d, (px, py), field = rng.uniform(2800, 3300), 20 * rng.normal(size=2), 100 * rng.normal(size=3)
        drive = rng.normal(size=3)
        drive /= np.linalg.norm(drive)
        _, states = np.linalg.eigh(hamiltonian(d, px, py, field))
        operator = drive[0] * SX + drive[1] * SY + drive[2] * SZ
        expected = [abs(states[:, 0].conj() @ operator @ states[:, j]) ** 2 for j in (1, 2)]
        np.testing.assert_allclose(transition_strengths(d, px, py, field, drive), expected, atol=1e-9)


def test_a_drive_along_the_axis_excites_nothing_at_zero_field():
    np.testing.assert_allclose(
        transition_strengths(2870.0, 0.0, 0.0, np.zeros(3), np.array([0.0, 0.0, 1.0])), 0.0, atol=1e-12
    )
    strengths = transition_strengths(2870.0, 0.0, 0.0, np.zeros(3), np.array([1.0, 0.0, 0.0]))
    np.testing.assert_allclose(strengths, 0.5, atol=1e-12)


def test_97_gauss_on_axis_is_543_7_mhz_between_the_lines():
    lines = group_frequencies(np.zeros(6), [0.0, 0.0, 97.0], 2877.0, BARSON)
    assert lines[0, 1] - lines[0, 0] == pytest.approx(2 * GAMMA * 97, rel=1e-12)
    assert lines[0, 1] - lines[0, 0] == pytest.approx(543.7, abs=0.05)


@pytest.mark.parametrize(("gauss", "ratio"), [(30, 2.999), (97, 2.990), (205, 2.957)])
def test_tilted_half_splitting_is_a_third(gauss, ratio):
    lines = group_frequencies(HYDROSTATIC_15, [0.0, 0.0, gauss], 2877.0, BARSON)
    half = 0.5 * (lines[:, 1] - lines[:, 0])
    np.testing.assert_allclose(half[0] / half[1:], ratio, atol=6e-4)


@pytest.mark.parametrize(("gauss", "ratio"), [(70, 2.92), (145, 3.02)])
def test_uniaxial_stress_moves_the_ratio(gauss, ratio):
    lines = group_frequencies([16.5, 16.5, 21, 0, 0, 0], [0.0, 0.0, gauss], 2877.0, BARSON)
    half = 0.5 * (lines[:, 1] - lines[:, 0])
    assert half[0] / half[1:].mean() == pytest.approx(ratio, abs=0.005)


@pytest.mark.parametrize(("gauss", "mhz"), [(30, 3.1), (48, 7.9), (70, 16.6), (97, 31.8), (145, 70.5), (205, 139)])
def test_tilted_centre_rises_with_the_field(gauss, mhz):
    lines = group_frequencies(HYDROSTATIC_15, [0.0, 0.0, gauss], 2877.0, BARSON)
    rest = group_frequencies(HYDROSTATIC_15, [0.0, 0.0, 0.0], 2877.0, BARSON)
    assert lines[1].mean() - rest[1].mean() == pytest.approx(mhz, rel=0.02)


@given(
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    st.floats(0.5, 205),
    st.lists(st.floats(-1, 1), min_size=3, max_size=3).filter(lambda v: np.linalg.norm(v) > 0.1),
)
def test_field_and_effective_splitting_closed_forms_hold_for_any_direction(shear, gauss, direction):
    stress = np.array([18.0, 17.0, 21.0, *shear])
    field = gauss * np.array(direction) / np.linalg.norm(direction)
    lines = group_frequencies(stress, field, 2876.8, BARSON)
    shifts = group_shifts(stress, BARSON)
    e_perp = np.hypot(shifts[:, 0], shifts[:, 1])
    d_eff = 2876.8 + shifts[:, 2]
    low, high = lines[:, 0], lines[:, 1]
    np.testing.assert_allclose(field_magnitude_gauss(low, high, d_eff, e_perp) ** 2, gauss**2, atol=1e-7)
    np.testing.assert_allclose(effective_splitting_mhz(low, high, gauss, e_perp), d_eff, rtol=1e-11)


def test_maps_broadcast_and_nan_stays_in_its_pixel():
    stress = np.zeros((2, 3, 6))
    stress[1, 2] = np.nan
    lines = group_frequencies(stress, field_along_culet_normal(np.full((2, 3), 97.0), 3.0, 0.0), 2877.0, BARSON)
    assert lines.shape == (2, 3, 4, 2)
    assert np.isnan(lines[1, 2]).all()
    assert np.isfinite(np.delete(lines.reshape(6, 8), 5, axis=0)).all()
