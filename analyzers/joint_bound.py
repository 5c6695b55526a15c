"""Cramer-Rao bound of the joint fit: what a set of fields can say about the stress before it is measured.

Plain numpy and derivatives by differences, nothing of the fit's kernels: what plans ask, and what the fit is tested
against. The priors of the fit count as measurements made before (`JointSettings`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.joint_problem import FieldList, JointSettings
from physics.constants import stress_set
from physics.geometry import miscut_rotation, rotate_stress
from physics.spin import group_frequencies

Array = NDArray[np.float64]

_STEP = 1e-4


@dataclass(frozen=True)
class Lines:
    """The eight lines of one field; order: group 0 ([111]) low, high, then the tilted groups."""

    fwhm_mhz: Array
    """(8,) widths, MHz."""
    depth: Array
    """(8,) depths; negative where bright."""


@dataclass(frozen=True)
class Bound:
    """Least standard deviations of an unbiased fit."""

    sigma_zz_gpa: float
    in_plane_gpa: float
    tau_gpa: float
    field_ratio: float


def cramer_rao(
    lists: Sequence[FieldList],
    lines: Sequence[Lines],
    stress_gpa: Array,
    electrons: float,
    settings: JointSettings,
) -> Bound:
    """Return the bound.

    Parameters
    ----------
    lists, lines
        Fields, and their lines.
    stress_gpa
        (6,) XX, YY, ZZ, YZ, XZ, XY in the culet frame, GPa.
    electrons
        Photo-electrons per frequency and pass.
    settings
        Geometry, constants, priors.
    """
    spread = settings.spread
    flat, shear = settings.in_plane_prior_gpa, settings.shear_prior_gpa
    weights = [np.array([0.0, flat**-2.0, 0.0, shear**-2.0, shear**-2.0, flat**-2.0, settings.field_prior**-2.0])]
    weights.append(np.zeros(4))
    shared: list[Array] = []
    own: list[Array] = []
    for one, line in zip(lists, lines, strict=True):
        root = np.sqrt(one.passes * electrons)[:, None]
        here, there = _columns(one, line, stress_gpa, settings)
        shared.append(here * root)
        own.append(there * root)
        kind = np.repeat([0, 1], [2, 6])
        scales = [np.abs([values[:2].mean(), values[2:].mean()]) for values in (line.depth, line.fwhm_mhz)]
        sigma = [
            part
            for values, between, within in ((scales[0], *spread[:2]), (scales[1], *spread[2:]))
            for part in (between * values, within * values[kind])
        ]
        weights.append(np.concatenate([np.concatenate(sigma) ** -2.0, np.zeros(2)]))
    count = own[0].shape[1]
    design = np.zeros((sum(len(rows) for rows in own), 11 + count * len(lists)))
    at = 0
    for k, (here, there) in enumerate(zip(shared, own, strict=True)):
        design[at : at + len(here), :11] = here
        design[at : at + len(here), 11 + k * count : 11 + (k + 1) * count] = there
        at += len(here)
    information = design.T @ design + np.diag(np.concatenate(weights))
    unit = np.sqrt(np.diag(information))
    covariance = np.linalg.inv(information / np.outer(unit, unit)) / np.outer(unit, unit)
    yz, xz = stress_gpa[3:5]
    along = np.array([yz, xz]) / max(float(np.hypot(yz, xz)), 1e-9)
    tau = float(along @ covariance[3:5, 3:5] @ along)
    zz, plane, ratio = (float(np.sqrt(covariance[n, n])) for n in (2, 0, 6))
    return Bound(zz, plane, float(np.sqrt(tau)), ratio)


def _columns(one: FieldList, lines: Lines, stress_gpa: Array, settings: JointSettings) -> tuple[Array, Array]:
    """Return derivatives of a spectrum by what fields share (n, 11) and by a field's own numbers (n, 22)."""
    rotation = miscut_rotation(settings.miscut_deg, settings.miscut_azimuth_deg)
    constants = stress_set(settings.constants)
    field = rotation @ np.array(one.field_gauss)

    def centres(shift: Array) -> Array:
        mean, half, zz, yz, xz, xy, ratio = shift
        change = np.array([mean + half, mean - half, zz, yz, xz, xy])
        stress = rotate_stress(stress_gpa + change, rotation)
        return group_frequencies(stress, (1.0 + ratio) * field, one.d_mhz, constants).reshape(8)

    slope = np.stack([(centres(_STEP * e) - centres(-_STEP * e)) / (2 * _STEP) for e in np.eye(7)], axis=1)
    x = 2.0 * (one.frequency_mhz[:, None] - centres(np.zeros(7))) / lines.fwhm_mhz
    height = 1.0 / (1.0 + x * x)
    by_centre = -4.0 * lines.depth * x * height**2 / lines.fwhm_mhz
    by_fwhm = -2.0 * lines.depth * x * x * height**2 / lines.fwhm_mhz
    classes = np.repeat(np.eye(2), [2, 6], axis=0)
    by_depth = -height
    f = one.frequency_mhz
    u = 2.0 * (f - f[0]) / (f[-1] - f[0]) - 1.0
    shared = np.concatenate([by_centre @ slope, by_depth @ classes, by_fwhm @ classes], axis=1)
    own = [by_depth @ classes, by_depth, by_fwhm @ classes, by_fwhm, np.ones((len(x), 1)), u[:, None]]
    return shared, np.concatenate(own, axis=1)
