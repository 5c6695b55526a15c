"""Normal equations of the joint fit: spectra of several fields, one stress tensor, exact lines of four NV groups.

What all fields of a pixel share, theta (11): mean in-plane stress, half the in-plane difference, sigma_ZZ, YZ, XZ, XY
(GPa, in a frame that `shift` belongs to), the ratio of the local to the applied field, depth of the [111] and of the
tilted lines, their widths (MHz). What each field has of its own, q (22): what the depth of either class deviates by,
and that of each of the eight lines on top; the same for the widths; level and slope of the baseline. Deviations add,
so that they cannot trade scale with what they deviate from.

    y = (b0 + b1 u) (1 - sum of depth L((f - f0) / fwhm)),   L a Lorentzian of unit height

theta couples the fields, the q do not couple with each other: each field's q is eliminated on its own.
"""

from __future__ import annotations

import math

from analyzers.kernels.codes import Array, Pack
from analyzers.kernels.compiled import kernel
from physics.spin import transition_gradients

STRESS = 6
"""Components of the stress: the first shared numbers."""
SHARED = 11
"""Numbers that all fields share."""
OWN = 22
"""Numbers that each field has of its own."""
RAW = 28
"""Columns of a field's raw sums: centre, depth, width of 8 lines, 2 of the baseline, residual, one empty."""
NARROWEST_MHZ = 3.0
"""Least width of a line, MHz."""
BLOCK = 8
"""Points taken at a time: the lists are padded to a multiple of it with weight 0."""


@kernel
def place_lines(
    theta: Array, shift: Array, field: Array, d_mhz: float, work: Array, centre: Array, slope: Array
) -> None:
    """Fill centre (8,) MHz and slope (8, 7) by theta; lines in the order group 0 low, high, group 1 low, ...

    Parameters
    ----------
    theta
        (11,) shared numbers, of which the stress and the field ratio count here.
    shift
        (4, 3, 6) Pi_X, Pi_Y, Pi_Z of each group by the stress, MHz/GPa.
    field
        (4, 3) applied field in the NV frames, G.
    d_mhz
        D without stress.
    work
        (2, 6) scratch.
    """
    ratio = theta[6]
    for group in range(4):
        pi_x, pi_y, pi_z = 0.0, 0.0, 0.0
        for c in range(6):
            pi_x += shift[group, 0, c] * theta[c]
            pi_y += shift[group, 1, c] * theta[c]
            pi_z += shift[group, 2, c] * theta[c]
        bx, by, bz = field[group, 0], field[group, 1], field[group, 2]
        low, high = transition_gradients(d_mhz + pi_z, pi_x, pi_y, ratio * bx, ratio * by, ratio * bz, work)
        centre[2 * group] = low
        centre[2 * group + 1] = high
        for side in range(2):
            line = 2 * group + side
            by_z, by_x, by_y = work[side, 0], work[side, 1], work[side, 2]
            for c in range(6):
                slope[line, c] = by_z * shift[group, 2, c] + by_x * shift[group, 0, c] + by_y * shift[group, 1, c]
            slope[line, 6] = work[side, 3] * bx + work[side, 4] * by + work[side, 5] * bz


@kernel
def line_values(theta: Array, q: Array, depth: Array, fwhm: Array) -> None:
    """Fill depth (8,) and fwhm (8,) of a field's lines."""
    for line in range(8):
        of = 0 if line < 2 else 1
        depth[line] = theta[7 + of] + q[of] + q[2 + line]
        fwhm[line] = max(NARROWEST_MHZ, theta[9 + of] + q[10 + of] + q[12 + line])


@kernel
def raw_sums(
    points: Pack, y: Array, centre: Array, depth: Array, fwhm: Array, base: Array, rows: Array, out: Array
) -> None:
    """Fill out (28, 28) with the products of the raw columns, summed over a field's points; upper triangle.

    Parameters
    ----------
    points
        f (n,) MHz, u (n,) in -1 ... 1, and root (n,) square roots of the weights; n a multiple of `BLOCK`.
    y
        (n,) spectrum over its level.
    base
        (2,) level and slope.
    rows
        (BLOCK + 1, 36) scratch.
    """
    f, u, root = points
    out[:] = 0.0
    inverses = rows[BLOCK]
    for line in range(8):
        inverses[line] = 1.0 / fwhm[line]
    for first in range(0, f.shape[0], BLOCK):
        for k in range(BLOCK):
            i = first + k
            row = rows[k]
            w = root[i]
            level = base[0] + base[1] * u[i]
            scale = w * level
            light = 1.0
            for line in range(8):
                inverse = inverses[line]
                x = 2.0 * (f[i] - centre[line]) * inverse
                height = 1.0 / (1.0 + x * x)
                dip = depth[line] * height
                light -= dip
                common = -2.0 * scale * dip * height * inverse * x
                row[line] = 2.0 * common
                row[8 + line] = -scale * height
                row[16 + line] = common * x
            row[24] = w * light
            row[25] = w * light * u[i]
            row[26] = w * (y[i] - level * light)
            row[27] = 0.0
        for a in range(27):
            c0, c1, c2, c3 = rows[0, a], rows[1, a], rows[2, a], rows[3, a]
            c4, c5, c6, c7 = rows[4, a], rows[5, a], rows[6, a], rows[7, a]
            for b in range(a // 4 * 4, RAW):
                one = c0 * rows[0, b] + c1 * rows[1, b] + c2 * rows[2, b] + c3 * rows[3, b]
                two = c4 * rows[4, b] + c5 * rows[5, b] + c6 * rows[6, b] + c7 * rows[7, b]
                out[a, b] += one + two


@kernel
def normal_equations(raw: Array, slope: Array, half: Array, out: Array, right: Array) -> None:
    """Turn raw sums into the normal matrix out (33, 33) and right-hand side (33,) by theta (11) and q (22).

    Parameters
    ----------
    raw
        (28, 28) upper triangle; the lower one is filled here.
    slope
        (8, 7) of `place_lines`.
    half
        (33, 28) scratch; leaves the products of the parameters' columns with the raw ones.
    """
    for a in range(RAW):
        for b in range(a):
            raw[a, b] = raw[b, a]
    half[:] = 0.0
    for line in range(8):
        of = 0 if line < 2 else 1
        for c in range(7):
            by = slope[line, c]
            for b in range(RAW):
                half[c, b] += by * raw[line, b]
        for b in range(RAW):
            half[7 + of, b] += raw[8 + line, b]
            half[9 + of, b] += raw[16 + line, b]
            half[13 + line, b] = raw[8 + line, b]
            half[23 + line, b] = raw[16 + line, b]
    for of in range(2):
        for b in range(RAW):
            half[11 + of, b] = half[7 + of, b]
            half[21 + of, b] = half[9 + of, b]
    for b in range(RAW):
        half[31, b] = raw[24, b]
        half[32, b] = raw[25, b]
    for a in range(SHARED + OWN):
        row = half[a]
        for c in range(7):
            total = 0.0
            for line in range(8):
                total += slope[line, c] * row[line]
            out[a, c] = total
        for of in range(2):
            depth, fwhm = 0.0, 0.0
            for line in range(2 * of, 2 + 6 * of):
                depth += row[8 + line]
                fwhm += row[16 + line]
                out[a, 13 + line] = row[8 + line]
                out[a, 23 + line] = row[16 + line]
            out[a, 7 + of] = depth
            out[a, 11 + of] = depth
            out[a, 9 + of] = fwhm
            out[a, 21 + of] = fwhm
        out[a, 31] = row[24]
        out[a, 32] = row[25]
        right[a] = row[26]


@kernel
def factor(matrix: Array, n: int) -> bool:
    """Overwrite the lower triangle of the leading (n, n) block with its Cholesky factor; False where it has none."""
    for j in range(n):
        for k in range(j):
            value = matrix[j, k]
            for i in range(j, n):
                matrix[i, j] -= value * matrix[i, k]
        pivot = matrix[j, j]
        if not pivot > 0.0:
            return False
        inverse = 1.0 / math.sqrt(pivot)
        for i in range(j, n):
            matrix[i, j] *= inverse
    return True


@kernel
def forward(matrix: Array, n: int, values: Array) -> None:
    """Solve L x = values in place, rows of values (n, m)."""
    for j in range(n):
        inverse = 1.0 / matrix[j, j]
        for c in range(values.shape[1]):
            values[j, c] *= inverse
        for i in range(j + 1, n):
            by = matrix[i, j]
            for c in range(values.shape[1]):
                values[i, c] -= by * values[j, c]


@kernel
def backward(matrix: Array, n: int, values: Array) -> None:
    """Solve L^T x = values in place, rows of values (n, m)."""
    for j in range(n - 1, -1, -1):
        for i in range(j + 1, n):
            by = matrix[i, j]
            for c in range(values.shape[1]):
                values[j, c] -= by * values[i, c]
        inverse = 1.0 / matrix[j, j]
        for c in range(values.shape[1]):
            values[j, c] *= inverse
