"""The NV ground state, exactly: transition frequencies and line strengths of the S = 1 Hamiltonian, compiled.

H/h = (D + Pi_Z) Sz^2 + Pi_X (Sy^2 - Sx^2) + Pi_Y (Sx Sy + Sy Sx) + gamma B.S

The three eigenvalues are the roots of a cubic. Solving for the small shift delta of the |0> level instead of the level
itself gives the splitting of the other two without cancellation, so near-degenerate lines stay exact:

    delta^3 + 2 D delta^2 + (D^2 - |b|^2 - E^2) delta = D b_perp^2 + (bx^2 - by^2) Pi_X - 2 bx by Pi_Y
    f = D + 3/2 delta -+ sqrt(|b|^2 + E^2 - D delta - 3/4 delta^2),    b = gamma B, E = |Pi_perp|, D with Pi_Z

Near and above the level crossing (|b|^2 + E^2 > D^2/2, about 720 G) the trigonometric solution takes over.
Frequencies are MHz, fields G; a NaN anywhere gives NaN frequencies of that pixel and group only.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from physics.constants import GAMMA_MHZ_PER_GAUSS, StressSet
from physics.geometry import NV_FRAMES
from physics.stress import shift_matrix

Array = NDArray[np.float64]

GAMMA = GAMMA_MHZ_PER_GAUSS.value
"""Gyromagnetic ratio, MHz/G."""


@njit(cache=True, nogil=True)
def _trigonometric(p2: float, det: float) -> tuple[float, float]:
    """Transitions from the lowest root of x^3 - p2 x - det = 0 with three real roots."""
    radius = math.sqrt(p2 / 3.0)
    cosine = min(1.0, max(-1.0, 0.5 * det / (radius * radius * radius)))
    angle = math.acos(cosine) / 3.0
    high = 2.0 * radius * math.cos(angle)
    low = 2.0 * radius * math.cos(angle + 2.0 * math.pi / 3.0)
    return -(high + low) - low, high - low


@njit(cache=True, nogil=True)
def transitions(
    d_mhz: float, pi_x_mhz: float, pi_y_mhz: float, bx_gauss: float, by_gauss: float, bz_gauss: float
) -> tuple[float, float]:
    """Transition frequencies of one NV.

    Parameters
    ----------
    d_mhz
        D(T) + Pi_Z, MHz.
    pi_x_mhz, pi_y_mhz
        Transverse stress shifts in the NV frame, MHz.
    bx_gauss, by_gauss, bz_gauss
        Field in the NV frame, G.

    Returns
    -------
    Lower and upper transition frequency from the lowest level, MHz.
    """
    bx, by, bz = GAMMA * bx_gauss, GAMMA * by_gauss, GAMMA * bz_gauss
    perp2 = bx * bx + by * by
    strength2 = perp2 + bz * bz + pi_x_mhz * pi_x_mhz + pi_y_mhz * pi_y_mhz
    mixed = (bx * bx - by * by) * pi_x_mhz - 2.0 * bx * by * pi_y_mhz
    d2 = d_mhz * d_mhz
    if not (math.isfinite(strength2) and math.isfinite(d_mhz)):
        return math.nan, math.nan
    if 2.0 * strength2 > d2:
        e2 = pi_x_mhz * pi_x_mhz + pi_y_mhz * pi_y_mhz
        det = d_mhz * (-2.0 * d2 / 27.0 + 2.0 / 3.0 * (bz * bz + e2) - perp2 / 3.0) - mixed
        return _trigonometric(d2 / 3.0 + strength2, det)
    right = d_mhz * perp2 + mixed
    linear = d2 - strength2
    # The cubic is convex and rising for delta >= 0 and the start lies above the root: Newton falls onto it.
    delta = right / linear
    for _ in range(20):
        value = ((delta + 2.0 * d_mhz) * delta + linear) * delta - right
        step = value / ((3.0 * delta + 4.0 * d_mhz) * delta + linear)
        delta -= step
        if abs(step) <= 1e-15 * delta:
            break
    half = math.sqrt(max(0.0, strength2 - d_mhz * delta - 0.75 * delta * delta))
    centre = d_mhz + 1.5 * delta
    return centre - half, centre + half


@njit(cache=True, nogil=True)
def transition_gradients(
    d_mhz: float, pi_x_mhz: float, pi_y_mhz: float, bx_gauss: float, by_gauss: float, bz_gauss: float, out: Array
) -> tuple[float, float]:
    """Transition frequencies of one NV and their derivatives, from the cubic differentiated where it is solved.

    Parameters
    ----------
    d_mhz, pi_x_mhz, pi_y_mhz, bx_gauss, by_gauss, bz_gauss
        As for `transitions`.
    out
        (2, 6) receives the derivatives of the lower and the upper frequency with respect to D + Pi_Z, Pi_X, Pi_Y
        (no unit) and to the field's x, y, z (MHz/G). Where the two coincide (no transverse shift, no field) their
        splitting has no derivative and counts as one that does not move.

    Returns
    -------
    Lower and upper transition frequency from the lowest level, MHz.
    """
    low, high = transitions(d_mhz, pi_x_mhz, pi_y_mhz, bx_gauss, by_gauss, bz_gauss)
    bx, by, bz = GAMMA * bx_gauss, GAMMA * by_gauss, GAMMA * bz_gauss
    perp2 = bx * bx + by * by
    strength2 = perp2 + bz * bz + pi_x_mhz * pi_x_mhz + pi_y_mhz * pi_y_mhz
    half = 0.5 * (high - low)
    delta = (low + high - 2.0 * d_mhz) / 3.0
    # F(delta) = delta^3 + 2 D delta^2 + (D^2 - strength2) delta - D perp2 - mixed = 0 holds for the lowest level
    # at any field, so d delta = -dF / F'; half^2 = strength2 - D delta - 3/4 delta^2 gives the splitting.
    slope = (3.0 * delta + 4.0 * d_mhz) * delta + d_mhz * d_mhz - strength2
    per_half = 0.5 / half if half > 0.0 else 0.0
    for k in range(6):
        by_d, by_strength2, by_perp2, by_mixed, unit = 0.0, 0.0, 0.0, 0.0, 1.0
        if k == 0:
            by_d = 1.0
        elif k == 1:
            by_strength2, by_mixed = 2.0 * pi_x_mhz, bx * bx - by * by
        elif k == 2:
            by_strength2, by_mixed = 2.0 * pi_y_mhz, -2.0 * bx * by
        elif k == 3:
            by_strength2, by_perp2, unit = 2.0 * bx, 2.0 * bx, GAMMA
            by_mixed = 2.0 * (bx * pi_x_mhz - by * pi_y_mhz)
        elif k == 4:
            by_strength2, by_perp2, unit = 2.0 * by, 2.0 * by, GAMMA
            by_mixed = -2.0 * (by * pi_x_mhz + bx * pi_y_mhz)
        else:
            by_strength2, unit = 2.0 * bz, GAMMA
        change = (2.0 * delta * (delta + d_mhz) - perp2) * by_d
        change -= delta * by_strength2 + d_mhz * by_perp2 + by_mixed
        by_delta = -change / slope
        by_centre = by_d + 1.5 * by_delta
        by_half = (by_strength2 - delta * by_d - (d_mhz + 1.5 * delta) * by_delta) * per_half
        out[0, k] = unit * (by_centre - by_half)
        out[1, k] = unit * (by_centre + by_half)
    return low, high


@njit(cache=True, nogil=True)
def _eigenvector(d: float, px: float, py: float, b: Array, level: float) -> NDArray[np.complex128]:
    """Return the unit eigenvector (+1, 0, -1) at energy `level`: the longest cross product of two rows of H - level."""
    flip = complex(b[0], -b[1]) / math.sqrt(2.0)
    mix = complex(-px, -py)
    rows = np.empty((3, 3), dtype=np.complex128)
    rows[0, 0], rows[0, 1], rows[0, 2] = d + b[2] - level, flip, mix
    rows[1, 0], rows[1, 1], rows[1, 2] = flip.conjugate(), -level, flip
    rows[2, 0], rows[2, 1], rows[2, 2] = mix.conjugate(), flip.conjugate(), d - b[2] - level
    best = np.zeros(3, dtype=np.complex128)
    longest = 0.0
    trial = np.empty(3, dtype=np.complex128)
    for i in range(3):
        r, q = rows[i], rows[(i + 1) % 3]
        trial[0] = r[1] * q[2] - r[2] * q[1]
        trial[1] = r[2] * q[0] - r[0] * q[2]
        trial[2] = r[0] * q[1] - r[1] * q[0]
        length = 0.0
        for k in range(3):
            length += trial[k].real ** 2 + trial[k].imag ** 2
        if length > longest:
            longest = length
            best[:] = trial
    if longest > 0.0:
        best /= math.sqrt(longest)
    return best


@njit(cache=True, nogil=True)
def _drive(state: NDArray[np.complex128], w: Array) -> NDArray[np.complex128]:
    """(w.S) applied to a state (+1, 0, -1)."""
    flip = complex(w[0], -w[1]) / math.sqrt(2.0)
    out = np.empty(3, dtype=np.complex128)
    out[0] = w[2] * state[0] + flip * state[1]
    out[1] = flip.conjugate() * state[0] + flip * state[2]
    out[2] = flip.conjugate() * state[1] - w[2] * state[2]
    return out


@njit(cache=True, nogil=True)
def transition_strengths(
    d_mhz: float, pi_x_mhz: float, pi_y_mhz: float, field_gauss: Array, drive: Array
) -> tuple[float, float]:
    """Line strengths |<0|S.w|->|^2 and |<0|S.w|+>|^2 of a linearly polarised microwave field.

    Parameters
    ----------
    d_mhz, pi_x_mhz, pi_y_mhz
        As for `transitions`.
    field_gauss
        (3,) static field in the NV frame, G.
    drive
        (3,) unit vector w of the microwave field in the NV frame.

    Returns
    -------
    Strength of the lower and of the upper line; both halves of the sum where the two levels coincide.
    """
    low, high = transitions(d_mhz, pi_x_mhz, pi_y_mhz, field_gauss[0], field_gauss[1], field_gauss[2])
    if not math.isfinite(low):
        return math.nan, math.nan
    b = GAMMA * field_gauss
    ground_level = (2.0 * d_mhz - low - high) / 3.0
    ground = _eigenvector(d_mhz, pi_x_mhz, pi_y_mhz, b, ground_level)
    driven = _drive(ground, drive)
    total, stay, up = 0.0, 0j, 0j
    upper = _eigenvector(d_mhz, pi_x_mhz, pi_y_mhz, b, ground_level + high)
    for k in range(3):
        total += driven[k].real ** 2 + driven[k].imag ** 2
        stay += ground[k].conjugate() * driven[k]
        up += upper[k].conjugate() * driven[k]
    total -= stay.real**2 + stay.imag**2
    if high - low < 1e-6:
        return 0.5 * total, 0.5 * total
    plus = up.real**2 + up.imag**2
    return max(0.0, total - plus), plus


@njit(cache=True, nogil=True)
def _group_frequencies(stress: Array, field: Array, d_mhz: Array, matrix: Array, frames: Array, out: Array) -> None:
    """Fill out (n, 4, 2) from stress (n, 6), field (n, 3), D (n,), the shift matrix (4, 3, 6) and the NV frames."""
    pi = np.empty(3)
    b = np.empty(3)
    for pixel in range(stress.shape[0]):
        for group in range(4):
            for axis in range(3):
                shift = 0.0
                for component in range(6):
                    shift += matrix[group, axis, component] * stress[pixel, component]
                pi[axis] = shift
                along = 0.0
                for component in range(3):
                    along += frames[group, axis, component] * field[pixel, component]
                b[axis] = along
            low, high = transitions(d_mhz[pixel] + pi[2], pi[0], pi[1], b[0], b[1], b[2])
            out[pixel, group, 0] = low
            out[pixel, group, 1] = high


def group_frequencies(stress_gpa: ArrayLike, field_gauss: ArrayLike, d_mhz: ArrayLike, constants: StressSet) -> Array:
    """Transition frequencies of the four groups.

    Parameters
    ----------
    stress_gpa
        (..., 6) stress in the anvil frame (Z = [111]), GPa.
    field_gauss
        (..., 3) or (3,) field in the anvil frame, G; broadcast against the stress.
    d_mhz
        (...) or scalar zero-field splitting without stress, MHz.
    constants
        Stress-susceptibility set.

    Returns
    -------
    (..., 4, 2) lower and upper frequency per group, MHz; group 0 is [111].
    """
    stress = np.asarray(stress_gpa, dtype=np.float64)
    field = np.asarray(field_gauss, dtype=np.float64)
    d = np.asarray(d_mhz, dtype=np.float64)
    shape = np.broadcast_shapes(stress.shape[:-1], field.shape[:-1], d.shape)
    count = math.prod(shape)
    out = np.empty((count, 4, 2))
    _group_frequencies(
        np.ascontiguousarray(np.broadcast_to(stress, (*shape, 6))).reshape(count, 6),
        np.ascontiguousarray(np.broadcast_to(field, (*shape, 3))).reshape(count, 3),
        np.ascontiguousarray(np.broadcast_to(d, shape)).reshape(count),
        shift_matrix(constants),
        np.array(NV_FRAMES),
        out,
    )
    return out.reshape(*shape, 4, 2)


def field_magnitude_gauss(low_mhz: ArrayLike, high_mhz: ArrayLike, d_mhz: ArrayLike, e_perp_mhz: ArrayLike) -> Array:
    """|B| in G from both lines of one group, exact for any field direction; NaN where no real field fits.

    `d_mhz` is D + Pi_Z and `e_perp_mhz` is |Pi_perp| of the group, MHz.
    """
    f1, f2 = np.asarray(low_mhz, dtype=np.float64), np.asarray(high_mhz, dtype=np.float64)
    square = f1**2 + f2**2 - f1 * f2 - np.square(d_mhz) - 3.0 * np.square(e_perp_mhz)
    return np.sqrt(np.where(square >= 0.0, square, np.nan)) / (math.sqrt(3.0) * GAMMA)


def effective_splitting_mhz(
    low_mhz: ArrayLike, high_mhz: ArrayLike, field_gauss: ArrayLike, e_perp_mhz: ArrayLike = 0.0
) -> Array:
    """D + Pi_Z of one group, MHz, from both its lines and |B| in G, exact for any field direction; NaN where none."""
    f1, f2 = np.asarray(low_mhz, dtype=np.float64), np.asarray(high_mhz, dtype=np.float64)
    square = f1**2 + f2**2 - f1 * f2 - 3.0 * (GAMMA * np.asarray(field_gauss)) ** 2 - 3.0 * np.square(e_perp_mhz)
    return np.sqrt(np.where(square >= 0.0, square, np.nan))
