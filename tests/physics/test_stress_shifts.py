"""Stress shifts: the two published forms agree, the sum rule holds, the numbers are those of the notes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from physics.constants import stress_set
from physics.geometry import CRYSTAL_FROM_ANVIL, NV_FRAMES, rotate_stress
from physics.stress import (
    axial_shifts_closed_form,
    group_shifts,
    shifts_in_crystal_frame,
    shifts_in_nv_frame,
    sum_rule,
)

BARSON = stress_set("barson2017")
stresses = arrays(np.float64, 6, elements=st.floats(-30, 30))


@pytest.mark.parametrize("name", ["barson2017", "hsieh2019"])
@given(stress=stresses)
def test_crystal_frame_and_nv_frame_forms_agree_to_1e_12(name, stress):
    constants = stress_set(name)
    in_crystal = rotate_stress(stress, CRYSTAL_FROM_ANVIL)
    scale = 30 * 20
    np.testing.assert_allclose(
        shifts_in_crystal_frame(in_crystal, constants), shifts_in_nv_frame(stress, constants), atol=1e-12 * scale
    )


def test_flipping_x_and_z_about_y_changes_the_transverse_shift():
    # Only 120 degree turns about the axis are harmless: a half turn about z breaks the crystal's symmetry.
    stress = np.array([18.0, 13.0, 21.0, 1.0, 2.0, 0.5])
    half_turn = np.diag([-1.0, -1.0, 1.0])
    right = shifts_in_nv_frame(stress, BARSON)
    wrong = shifts_in_nv_frame(rotate_stress(stress, half_turn), BARSON)
    assert abs(np.hypot(*right[:2]) - np.hypot(*wrong[:2])) > 1.0
    third = np.array([[-0.5, -(0.75**0.5), 0], [0.75**0.5, -0.5, 0], [0, 0, 1]])
    turned = shifts_in_nv_frame(rotate_stress(stress, third), BARSON)
    assert np.hypot(*turned[:2]) == pytest.approx(np.hypot(*right[:2]), rel=1e-12)


@given(stress=stresses)
def test_sum_rule_and_closed_form_of_the_axial_shifts(stress):
    shifts = group_shifts(stress, BARSON)
    np.testing.assert_allclose(shifts[:, 2], axial_shifts_closed_form(stress, BARSON), atol=1e-10)
    assert shifts[:, 2].sum() == pytest.approx(4 * BARSON.a1.value * stress[:3].sum(), abs=1e-9)
    rule = sum_rule(BARSON)
    assert rule.sigma_zz(shifts[0, 2], shifts[1:, 2].mean()) == pytest.approx(stress[2], abs=1e-10)
    assert rule.in_plane(shifts[0, 2], shifts[1:, 2].mean()) == pytest.approx(stress[:2].mean(), abs=1e-10)


def test_sum_rule_coefficients_of_barsons_constants():
    rule = sum_rule(BARSON)
    assert rule.zz_per_tilt == pytest.approx(0.11901, abs=5e-6)
    assert rule.zz_per_111 == pytest.approx(-0.05042, abs=5e-6)
    assert rule.in_plane_per_111 == pytest.approx(0.0509, abs=5e-5)
    assert rule.in_plane_per_tilt == pytest.approx(0.0177, abs=5e-5)


def test_hydrostatic_pressure_shifts_all_groups_alike_by_3_a1():
    shifts = group_shifts([10, 10, 10, 0, 0, 0], BARSON)
    np.testing.assert_allclose(shifts, np.broadcast_to([0, 0, 145.8], (4, 3)), atol=1e-12)


def test_two_gpa_of_shear_gives_22_9_mhz_on_the_111_group():
    shifts = group_shifts([17, 17, 21, 0, 2, 0], BARSON)
    assert np.hypot(*shifts[0, :2]) == pytest.approx(22.9, abs=0.05)


def test_shifts_keep_the_shape_of_a_map():
    assert group_shifts(np.zeros((3, 5, 6)), BARSON).shape == (3, 5, 4, 3)
    frames_seen = [shifts_in_nv_frame(rotate_stress([1, 2, 3, 4, 5, 6], frame), BARSON) for frame in NV_FRAMES]
    np.testing.assert_allclose(group_shifts([1, 2, 3, 4, 5, 6], BARSON), frames_seen)
