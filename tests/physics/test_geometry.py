"""Axes, frames and rotations of the (111)-cut anvil."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physics.geometry import (
    CRYSTAL_FROM_ANVIL,
    NV_AXES,
    NV_FRAMES,
    culet_normal,
    field_along_culet_normal,
    miscut_rotation,
    rotate_stress,
    stress_components,
    stress_tensor,
)


def test_axes_meet_at_the_tetrahedral_angle():
    np.testing.assert_allclose(NV_AXES @ NV_AXES.T, np.where(np.eye(4), 1.0, -1 / 3), atol=1e-15)


def test_frames_are_rotations_with_x_on_the_projection_of_another_axis():
    for group in range(4):
        frame = NV_FRAMES[group]
        np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-15)
        assert np.linalg.det(frame) == pytest.approx(1.0)
        np.testing.assert_allclose(frame[2], NV_AXES[group])
        others = [frame @ NV_AXES[j] for j in range(4) if j != group]
        assert any(abs(other[1]) < 1e-15 and other[0] > 0 for other in others)


def test_anvil_axes_are_crystal_directions():
    np.testing.assert_allclose(CRYSTAL_FROM_ANVIL @ CRYSTAL_FROM_ANVIL.T, np.eye(3), atol=1e-15)
    in_crystal = np.sqrt(3.0) * NV_AXES @ CRYSTAL_FROM_ANVIL.T
    np.testing.assert_allclose(np.abs(in_crystal), np.ones((4, 3)), atol=1e-14)
    np.testing.assert_allclose(in_crystal[0], [1, 1, 1], atol=1e-14)


@given(st.floats(0, 10), st.floats(-360, 360))
def test_miscut_turns_the_culet_normal_into_the_anvil_frame(miscut_deg, azimuth_deg):
    rotation = miscut_rotation(miscut_deg, azimuth_deg)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(rotation @ [0, 0, 1], culet_normal(miscut_deg, azimuth_deg), atol=1e-14)
    assert culet_normal(miscut_deg, azimuth_deg)[2] == pytest.approx(np.cos(np.radians(miscut_deg)))


def test_field_along_the_culet_normal_keeps_its_length_over_a_map():
    field = field_along_culet_normal(np.full((2, 3), 97.0), 3.0, 40.0)
    assert field.shape == (2, 3, 3)
    np.testing.assert_allclose(np.linalg.norm(field, axis=-1), 97.0)
    assert np.hypot(field[0, 0, 0], field[0, 0, 1]) == pytest.approx(97 * np.sin(np.radians(3.0)))


def test_stress_components_and_tensor_are_inverses_and_rotation_keeps_the_invariants():
    stress = np.random.default_rng(1).normal(size=(5, 6))
    np.testing.assert_array_equal(stress_components(stress_tensor(stress)), stress)
    turned = rotate_stress(stress, miscut_rotation(3.0, 70.0))
    np.testing.assert_allclose(
        np.linalg.eigvalsh(stress_tensor(turned)), np.linalg.eigvalsh(stress_tensor(stress)), atol=1e-13
    )
