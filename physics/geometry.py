"""Axes and rotations of a (111)-cut anvil: the four NV groups, their frames, the miscut, stress as six numbers.

Frames
------
anvil frame: Z = [111], X = [-1 -1 2]/sqrt6, Y = [1 -1 0]/sqrt2 of the diamond. The axis of group 0 is Z.
culet frame: the anvil frame turned so that its Z is the culet normal, `miscut_deg` away from [111].
NV frame of group i: z along its axis, x along the projection of another NV axis; the stress formulas hold only there.

A stress tensor is written as six numbers in the order XX, YY, ZZ, YZ, XZ, XY, GPa, compression positive.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

STRESS_ORDER = ("xx", "yy", "zz", "yz", "xz", "xy")
"""Order of the six numbers of a stress tensor."""

_PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def _frozen(array: Array) -> Array:
    array.setflags(write=False)
    return array


def _axes() -> Array:
    a, b, c = 2.0 * math.sqrt(2.0) / 3.0, math.sqrt(2.0) / 3.0, math.sqrt(6.0) / 3.0
    return _frozen(np.array([[0.0, 0.0, 1.0], [a, 0.0, -1 / 3], [-b, c, -1 / 3], [-b, -c, -1 / 3]]))


def _frames() -> Array:
    frames = np.empty((4, 3, 3))
    for group in range(4):
        z = NV_AXES[group]
        other = NV_AXES[1 if group == 0 else 0]
        x = other - (other @ z) * z
        x = x / np.linalg.norm(x)
        frames[group] = x, np.cross(z, x), z
    return _frozen(frames)


NV_AXES = _axes()
"""(4, 3) unit vectors of the NV groups in the anvil frame; group 0 is [111], the others are the tilted ones."""

NV_FRAMES = _frames()
"""(4, 3, 3) rows x, y, z of each group's NV frame in the anvil frame: `NV_FRAMES[i] @ v` turns v into NV frame i."""

CRYSTAL_FROM_ANVIL = _frozen(
    np.array([[-1.0, -1.0, 2.0], [1.0, -1.0, 0.0], [1.0, 1.0, 1.0]]).T / np.sqrt(np.array([6.0, 2.0, 3.0]))
)
"""(3, 3) turns an anvil-frame vector into the cubic crystal frame."""


def culet_normal(miscut_deg: float, azimuth_deg: float) -> Array:
    """(3,) culet normal in the anvil frame, `miscut_deg` from [111] towards the azimuth counted from X to Y."""
    tilt, azimuth = math.radians(miscut_deg), math.radians(azimuth_deg)
    return np.array([math.sin(tilt) * math.cos(azimuth), math.sin(tilt) * math.sin(azimuth), math.cos(tilt)])


def miscut_rotation(miscut_deg: float, azimuth_deg: float) -> Array:
    """(3, 3) turns a culet-frame vector into the anvil frame, by the shortest turn from [111] to the culet normal."""
    tilt, azimuth = math.radians(miscut_deg), math.radians(azimuth_deg)
    cos_t, sin_t, cos_a, sin_a = math.cos(tilt), math.sin(tilt), math.cos(azimuth), math.sin(azimuth)
    about_z = np.array([[cos_a, -sin_a, 0.0], [sin_a, cos_a, 0.0], [0.0, 0.0, 1.0]])
    about_y = np.array([[cos_t, 0.0, sin_t], [0.0, 1.0, 0.0], [-sin_t, 0.0, cos_t]])
    return about_z @ about_y @ about_z.T


def field_along_culet_normal(field_gauss: ArrayLike, miscut_deg: float, azimuth_deg: float) -> Array:
    """(..., 3) field vector in the anvil frame, G, of a field of `field_gauss` along the culet normal."""
    return np.asarray(field_gauss, dtype=np.float64)[..., None] * culet_normal(miscut_deg, azimuth_deg)


def stress_tensor(stress_gpa: ArrayLike) -> Array:
    """(..., 3, 3) symmetric tensor of six numbers (..., 6) in the order XX, YY, ZZ, YZ, XZ, XY."""
    six = np.asarray(stress_gpa, dtype=np.float64)
    tensor = np.empty((*six.shape[:-1], 3, 3))
    for component, (row, column) in enumerate(_PAIRS):
        tensor[..., row, column] = tensor[..., column, row] = six[..., component]
    return tensor


def stress_components(tensor_gpa: ArrayLike) -> Array:
    """(..., 6) numbers XX, YY, ZZ, YZ, XZ, XY of a symmetric tensor (..., 3, 3)."""
    tensor = np.asarray(tensor_gpa, dtype=np.float64)
    return np.stack([tensor[..., row, column] for row, column in _PAIRS], axis=-1)


def rotate_stress(stress_gpa: ArrayLike, rotation: ArrayLike) -> Array:
    """(..., 6) stress in the frame that `rotation` (3, 3) turns vectors into: R sigma R^T."""
    matrix = np.asarray(rotation, dtype=np.float64)
    return stress_components(matrix @ stress_tensor(stress_gpa) @ matrix.T)
