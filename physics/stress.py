"""How stress moves the NV levels: Pi_X, Pi_Y, Pi_Z in the NV frames and in the crystal frame, and the sum rule.

Stress is six numbers XX, YY, ZZ, YZ, XZ, XY in GPa, compression positive (`physics.geometry`); shifts are in MHz.
Everything here is linear in the stress and plain numpy; `physics.spin` puts the shifts into the Hamiltonian.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from physics.constants import StressSet, stress_set
from physics.geometry import NV_AXES, NV_FRAMES, rotate_stress, stress_tensor

Array = NDArray[np.float64]


def shifts_in_nv_frame(stress_gpa: ArrayLike, constants: StressSet) -> Array:
    """Stress shifts of one NV from the stress in its own NV frame.

    Parameters
    ----------
    stress_gpa
        (..., 6) stress in the NV frame, GPa.
    constants
        Stress-susceptibility set.

    Returns
    -------
    (..., 3) Pi_X, Pi_Y, Pi_Z in MHz.
    """
    xx, yy, zz, yz, xz, xy = np.moveaxis(np.asarray(stress_gpa, dtype=np.float64), -1, 0)
    in_plane, shear = constants.transverse_in_plane, constants.transverse_shear
    pi_x = in_plane * (yy - xx) + shear * 2.0 * xz
    pi_y = in_plane * 2.0 * xy + shear * 2.0 * yz
    pi_z = constants.axial_in_plane * (xx + yy) + constants.axial_along * zz
    return np.stack([pi_x, pi_y, pi_z], axis=-1)


def shifts_in_crystal_frame(stress_gpa: ArrayLike, constants: StressSet) -> Array:
    """Shifts (..., 3) Pi_X, Pi_Y, Pi_Z, MHz, of the [111] NV from the stress (..., 6) in the cubic frame, GPa."""
    xx, yy, zz, yz, zx, xy = np.moveaxis(np.asarray(stress_gpa, dtype=np.float64), -1, 0)
    a1, a2, b, c = constants.a1.value, constants.a2.value, constants.b.value, constants.c.value
    pi_z = a1 * (xx + yy + zz) + 2.0 * a2 * (yz + zx + xy)
    pi_x = b * (2.0 * zz - xx - yy) + c * (2.0 * xy - yz - zx)
    pi_y = np.sqrt(3.0) * (b * (xx - yy) + c * (yz - zx))
    return np.stack([pi_x, pi_y, pi_z], axis=-1)


def shift_matrix(constants: StressSet) -> Array:
    """(4, 3, 6) matrix from the anvil-frame stress to Pi_X, Pi_Y, Pi_Z of the four groups, MHz/GPa."""
    unit = np.eye(6)
    columns = [shifts_in_nv_frame(rotate_stress(unit, frame), constants) for frame in NV_FRAMES]
    return np.ascontiguousarray(np.swapaxes(np.stack(columns), 1, 2))


def group_shifts(stress_gpa: ArrayLike, constants: StressSet) -> Array:
    """Stress shifts of the four groups: (..., 4, 3) Pi_X, Pi_Y, Pi_Z, MHz, of the anvil-frame stress (..., 6), GPa."""
    return np.einsum("gkc,...c->...gk", shift_matrix(constants), np.asarray(stress_gpa, dtype=np.float64))


def normal_stress(stress_gpa: ArrayLike, axis: ArrayLike) -> Array:
    """n.sigma.n in GPa of the stress (..., 6) along the unit vector `axis` (3,), both in one frame."""
    n = np.asarray(axis, dtype=np.float64)
    return np.einsum("i,...ij,j->...", n, stress_tensor(stress_gpa), n)


def axial_shifts_closed_form(stress_gpa: ArrayLike, constants: StressSet) -> Array:
    """(..., 4) Pi_Z of the groups, MHz, as (a1 - a2) Tr(sigma) + 3 a2 n.sigma.n."""
    six = np.asarray(stress_gpa, dtype=np.float64)
    trace = six[..., :3].sum(axis=-1)
    along = np.stack([normal_stress(six, axis) for axis in NV_AXES], axis=-1)
    return constants.axial_in_plane * trace[..., None] + 3.0 * constants.a2.value * along


@dataclass(frozen=True)
class SumRule:
    """sigma_ZZ and in-plane mean as linear combinations of Pi_Z of [111] and the mean Pi_Z of the tilted groups."""

    zz_per_111: float
    """d sigma_ZZ / d Pi_111, GPa/MHz."""
    zz_per_tilt: float
    """d sigma_ZZ / d <Pi_tilt>, GPa/MHz."""
    in_plane_per_111: float
    """d sigma_inplane / d Pi_111, GPa/MHz."""
    in_plane_per_tilt: float
    """d sigma_inplane / d <Pi_tilt>, GPa/MHz."""

    def sigma_zz(self, pi_111_mhz: ArrayLike, pi_tilt_mhz: ArrayLike) -> Array:
        """sigma_ZZ in GPa."""
        return self.zz_per_111 * np.asarray(pi_111_mhz) + self.zz_per_tilt * np.asarray(pi_tilt_mhz)

    def in_plane(self, pi_111_mhz: ArrayLike, pi_tilt_mhz: ArrayLike) -> Array:
        """(sigma_XX + sigma_YY)/2 in GPa."""
        return self.in_plane_per_111 * np.asarray(pi_111_mhz) + self.in_plane_per_tilt * np.asarray(pi_tilt_mhz)


def sum_rule(constants: StressSet | None = None) -> SumRule:
    """Sum rule over the four groups for a set of constants (default: the default set)."""
    chosen = stress_set() if constants is None else constants
    trace = 1.0 / (4.0 * chosen.a1.value)
    zz_tilt = -chosen.axial_in_plane * 3.0 * trace / (3.0 * chosen.a2.value)
    zz_111 = (1.0 - chosen.axial_in_plane * trace) / (3.0 * chosen.a2.value)
    return SumRule(
        zz_per_111=zz_111,
        zz_per_tilt=zz_tilt,
        in_plane_per_111=0.5 * (trace - zz_111),
        in_plane_per_tilt=0.5 * (3.0 * trace - zz_tilt),
    )
