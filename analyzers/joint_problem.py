"""What a joint fit is given besides spectra: exact line model, priors, template banks, swaps of the tilted groups.

The stress is that of the culet frame (Z is the culet normal), as six numbers in the order of `PARAMETERS`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analyzers.kernels.hamiltonian import BLOCK, OWN, RAW, SHARED
from physics.constants import DEFAULT_STRESS_SET, StressSet, stress_set
from physics.geometry import NV_FRAMES, miscut_rotation, rotate_stress
from physics.spin import transitions
from physics.stress import shift_matrix, sum_rule
from physics.zero_field import DEFAULT_ZERO_FIELD_MODEL, zero_field_splitting_mhz

Array = NDArray[np.float64]

PARAMETERS = ("in_plane", "half_difference", "zz", "yz", "xz", "xy")
"""Stress parameters of the fit: (XX + YY)/2, (XX - YY)/2, ZZ, YZ, XZ, XY, GPa."""
_BASIS = np.array(
    [
        [1, 1, 0, 0, 0, 0],
        [1, -1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ],
    dtype=np.float64,
)
LEAST_FIELD_GAUSS = 30.0
"""Least field along [111] of one sweep, G: below, the groups overlap and a fit lands in wrong ones."""
_SHIFTS_MHZ = (-40.0, 480.0)
_SHIFT_STEPS_MHZ = (8.0, 10.0)
_TEMPLATE_FWHM_MHZ = (18.0, 26.0)
_LEAST_LENGTH = 0.35
_TELLING = 0.8
_TRIAL_SPREAD = (0.05, 0.03, 0.05, 0.02)
_TRIAL_SHEAR_GPA = 1.2
_TYPICAL_ALPHA = 0.85


@dataclass(frozen=True)
class JointSettings:
    """What the joint fit takes as known, and how far it trusts that lines of one kind are alike."""

    constants: str = DEFAULT_STRESS_SET
    """Name of the stress-susceptibility set."""
    zero_field_splitting: str = DEFAULT_ZERO_FIELD_MODEL
    """Name of the D(T) model."""
    miscut_deg: float = 0.0
    """Angle between culet normal and [111], degrees."""
    miscut_azimuth_deg: float = 0.0
    """Azimuth of the culet normal from X, the projection of a tilted axis, degrees."""
    significance: float = 4.5
    """Least depth of the [111] and of the tilted lines in standard deviations, centres and widths held."""
    shear_prior_gpa: float = 1.5
    """Standard deviation expected of YZ and XZ before the measurement, GPa."""
    in_plane_prior_gpa: float = 0.5
    """The same for (XX - YY)/2 and XY, GPa."""
    field_prior: float = 0.2
    """Standard deviation expected of local over applied field before the measurement."""
    spread: tuple[float, float, float, float] = (0.2, 0.3, 0.1, 0.1)
    """Relative standard deviation of depths between fields, of depths between lines, and of widths likewise."""
    field_ratios: tuple[float, ...] = (1.0,)
    """Ratios of local to applied field from which a fit may begin."""


@dataclass(frozen=True)
class FieldList:
    """One field: its frequency list and state."""

    frequency_mhz: Array
    """(f,) ascending, MHz."""
    passes: Array
    """(f,) passes of each."""
    field_gauss: tuple[float, float, float]
    """Applied field in the culet frame, G."""
    d_mhz: float
    """D without stress at its temperature, MHz."""


@dataclass(frozen=True)
class Problem:
    """All that the kernels need besides the spectra, as `analyzers.kernels.joint_pixels.fit_joint` wants it."""

    settings: JointSettings
    constants: StressSet
    lists: tuple[FieldList, ...]
    f: Array
    u: Array
    passes: Array
    edges: NDArray[np.int64]
    shift: Array
    field: Array
    d_mhz: Array
    banks: tuple[Array, Array, Array, Array]
    along: Array
    tilted: Array

    @property
    def fields(self) -> int:
        """Fields fitted together."""
        return len(self.lists)

    @property
    def points(self) -> int:
        """Frequencies that count, of all fields."""
        return int(np.count_nonzero(self.passes))

    @property
    def model(self) -> tuple[Array, Array, Array]:
        """Shifts by the stress, fields, D."""
        return self.shift, self.field, self.d_mhz

    @property
    def spreads(self) -> Array:
        """(2, 4) relative spreads of the trials and of the fit."""
        return np.array([_TRIAL_SPREAD, self.settings.spread])

    def prior(self) -> tuple[Array, Array, Array, Array]:
        """Return mean and weight of the shared numbers, mean and scratch for the weights of a field's own."""
        s = self.settings
        mean = np.array([15.0, 0.0, 18.0, 0.0, 0.0, 0.0, 1.0, 0.01, 0.004, 15.0, 22.0])
        # the normal stresses and the depths are left to the data: these widths only keep matrices invertible
        shear, flat = s.shear_prior_gpa, s.in_plane_prior_gpa
        sigma = np.array([50.0, flat, 50.0, shear, shear, flat, s.field_prior, 0.2, 0.2, 5.0, 7.0])
        own = np.zeros(OWN)
        own[20] = 1.0
        return mean, sigma**-2.0, own, np.zeros(OWN)

    def start(self) -> tuple[object, ...]:
        """Return the template banks with scratch of their own."""
        rule = sum_rule(self.constants)
        numbers = np.array([rule.zz_per_111, rule.zz_per_tilt, rule.in_plane_per_111, rule.in_plane_per_tilt])
        first, second = len(self.along), len(self.tilted)
        parts = np.empty((self.fields, first)), np.empty(first), np.empty((self.fields, second)), np.empty(second)
        return self.banks, self.along, self.tilted, numbers, parts, np.empty(len(self.f)), np.empty((self.fields, 2))

    def moved(self, constants: StressSet | None = None, d_offset_mhz: float = 0.0) -> Problem:
        """Return the problem with other constants or another D; its template banks stay."""
        chosen = constants or self.constants
        shift = culet_shift(chosen, miscut_rotation(self.settings.miscut_deg, self.settings.miscut_azimuth_deg))
        return replace(self, constants=chosen, shift=shift, d_mhz=self.d_mhz + d_offset_mhz)


def culet_shift(constants: StressSet, rotation: Array) -> Array:
    """Return (4, 3, 6) Pi_X, Pi_Y, Pi_Z of the groups by the stress parameters in the culet frame, MHz/GPa."""
    columns = rotate_stress(_BASIS, rotation)
    return np.ascontiguousarray(np.einsum("gkc,pc->gkp", shift_matrix(constants), columns))


def swaps(rotation: Array) -> Array:
    """Return (8, 6, 6): what stress parameters become in solutions that resemble each other.

    Six ways in which the three tilted groups can change places (the first leaves them), then without any difference in
    the plane (which near zero field looks like shear), hardly any shear and a usual sigma_ZZ, and without that
    difference alone.
    """
    made: list[Array] = []
    inverse = np.linalg.inv(_BASIS.T)
    for mirror in (1.0, -1.0):
        for turn in range(3):
            angle = 2.0 * math.pi * turn / 3.0
            c, s = math.cos(angle), math.sin(angle)
            about = np.array([[c, -s * mirror, 0.0], [s, c * mirror, 0.0], [0.0, 0.0, 1.0]])
            in_culet = rotation.T @ about @ rotation
            made.append(inverse @ rotate_stress(_BASIS, in_culet).T)
    plain = np.diag([1.0, 0.0, 0.0, 0.1, 0.1, 0.0])
    plain[2, 0] = 1.0 / _TYPICAL_ALPHA
    made += [plain, np.diag([1.0, 0.0, 1.0, 1.0, 1.0, 0.0])]
    return np.ascontiguousarray(np.stack(made))


def trial_shears() -> Array:
    """Return (7, 2) YZ and XZ from which a fit without a neighbour begins, GPa."""
    angles = np.arange(6) * math.pi / 3.0
    ring = _TRIAL_SHEAR_GPA * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return np.ascontiguousarray(np.concatenate([np.zeros((1, 2)), ring]))


def make_problem(lists: Sequence[FieldList], settings: JointSettings) -> Problem:
    """Prepare a joint fit.

    Raises
    ------
    ValueError
        Unknown constants, no field at all, or none along the culet normal that tells the groups apart.
    """
    if not lists:
        raise ValueError("a joint fit needs at least one field")
    constants = stress_set(settings.constants)
    rotation = miscut_rotation(settings.miscut_deg, settings.miscut_azimuth_deg)
    field = np.stack([NV_FRAMES @ (rotation @ np.array(one.field_gauss)) for one in lists])
    if np.abs(field[:, 0, 2]).max() < LEAST_FIELD_GAUSS:
        raise ValueError(f"no sweep has {LEAST_FIELD_GAUSS:g} G along [111]: the groups cannot be told apart")
    f, u, passes, edges = _points(lists)
    d_mhz = np.array([one.d_mhz for one in lists])
    low, high = _SHIFTS_MHZ
    shifts = np.arange(low, high, _SHIFT_STEPS_MHZ[0])
    along = np.array([(shift, ratio) for ratio in settings.field_ratios for shift in shifts])
    tilted = np.arange(low, high, _SHIFT_STEPS_MHZ[1])
    banks = _banks((f, u, passes, edges), field, d_mhz, along, tilted)
    shift = culet_shift(constants, rotation)
    return Problem(settings, constants, tuple(lists), f, u, passes, edges, shift, field, d_mhz, banks, along, tilted)


def field_list(
    frequency_mhz: Array, passes: Array, field_gauss: tuple[float, float, float], temperature_k: float, model: str
) -> FieldList:
    """Return a field with its D; ValueError where the temperature is outside the range of the model."""
    return FieldList(frequency_mhz, passes, field_gauss, float(zero_field_splitting_mhz(temperature_k, model)))


def scratch(fields: int) -> tuple[object, object]:
    """Return what `descend` and `judge` work in."""
    both, lines = SHARED + OWN, 8 * fields
    inner = np.zeros((3, 8)), np.zeros((2, 6)), np.zeros((BLOCK + 1, RAW + 8)), np.zeros((both, RAW))
    system = (
        np.zeros((2, fields, RAW, RAW)),
        np.zeros((2, fields, 8, 7)),
        np.zeros((2, fields, both, both)),
        np.zeros((2, fields, both)),
        inner,
    )
    reduced = np.zeros((SHARED, SHARED + 1)), np.zeros((fields, OWN, OWN)), np.zeros((fields, OWN, SHARED + 1))
    trial = np.zeros(SHARED), np.zeros((fields, OWN)), np.zeros((both, 1))
    free = np.zeros((lines, lines + 1)), np.zeros((8, SHARED)), np.zeros((OWN, 8)), np.zeros((SHARED, lines))
    covariance, inverse = np.zeros((SHARED, SHARED)), np.zeros((OWN, OWN))
    extra = (
        covariance,
        inverse,
        np.zeros(OWN),
        np.zeros(SHARED),
        free,
        np.zeros((lines, lines)),
        np.zeros((lines, lines + 1)),
    )
    return (system, reduced, trial), extra


def _points(lists: Sequence[FieldList]) -> tuple[Array, Array, Array, NDArray[np.int64]]:
    """Lay the lists one after the other, each filled up to whole blocks with points of weight 0."""
    f: list[Array] = []
    u: list[Array] = []
    passes: list[Array] = []
    for one in lists:
        fill = -len(one.frequency_mhz) % BLOCK
        values = np.concatenate([one.frequency_mhz, np.full(fill, one.frequency_mhz[-1])])
        f.append(values)
        u.append(2.0 * (values - values[0]) / (values[-1] - values[0]) - 1.0)
        passes.append(np.concatenate([one.passes, np.zeros(fill)]))
    edges = np.concatenate([[0], np.cumsum([len(values) for values in f])]).astype(np.int64)
    return np.concatenate(f), np.concatenate(u), np.concatenate(passes), edges


def _banks(
    points: tuple[Array, Array, Array, NDArray[np.int64]], field: Array, d_mhz: Array, along: Array, tilted: Array
) -> tuple[Array, Array, Array, Array]:
    """Return both banks (n, templates) and the lengths (fields, templates) of their templates.

    Only fields nearly as large along [111] as the largest tell: near zero the lines of all groups lie together.
    """
    f, u, passes, edges = points
    axial = np.abs(field[:, 0, 2])
    banks = [np.zeros((len(f), len(along))), np.zeros((len(f), len(tilted)))]
    lengths = [np.full((len(d_mhz), len(along)), np.inf), np.full((len(d_mhz), len(tilted)), np.inf)]
    for k in np.flatnonzero(axial >= _TELLING * axial.max()):
        part = slice(int(edges[k]), int(edges[k + 1]))
        weight = f[part], u[part], passes[part]
        centres = [np.array([transitions(d_mhz[k] + pi, 0.0, 0.0, *(r * field[k, 0])) for pi, r in along])]
        groups = [[transitions(d_mhz[k] + pi, 0.0, 0.0, *field[k, g]) for g in (1, 2, 3)] for pi in tilted]
        centres.append(np.array(groups).reshape(len(tilted), 6))
        for bank, length, lines, fwhm in zip(banks, lengths, centres, _TEMPLATE_FWHM_MHZ, strict=True):
            bank[part], length[k] = _unit(weight, lines, fwhm)
    return banks[0], banks[1], lengths[0], lengths[1]


def _unit(points: tuple[Array, Array, Array], lines: Array, fwhm: float) -> tuple[Array, Array]:
    """Return templates (n, t) times the root of the passes, freed of level and slope; and the lengths they had."""
    f, u, passes = points
    root = np.sqrt(passes)[:, None]
    shape = (1.0 / (1.0 + (2.0 * (f[:, None, None] - lines) / fwhm) ** 2)).sum(axis=2) * root
    # freed of (1, u) by hand: the bits must not depend on a library's decomposition
    first = root[:, 0] / math.sqrt(float(passes.sum()))
    second = root[:, 0] * u
    second = second - first * float((first * second).sum())
    second = second / math.sqrt(float((second * second).sum()))
    for base in (first, second):
        shape = shape - base[:, None] * (base[:, None] * shape).sum(axis=0)
    length = np.sqrt((shape * shape).sum(axis=0))
    seen = length > _LEAST_LENGTH * length.max()
    return np.where(seen, shape / np.where(seen, length, 1.0), 0.0), np.where(seen, length, np.inf)
