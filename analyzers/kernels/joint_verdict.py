"""What a joint fit says of itself: covariance, significance of the lines, consistency with the Hamiltonian."""

from __future__ import annotations

import math

from analyzers.kernels.codes import Array, Pack
from analyzers.kernels.compiled import kernel
from analyzers.kernels.hamiltonian import OWN, SHARED, backward, factor, forward, normal_equations
from analyzers.kernels.joint_descent import eliminate

OFFSET_MHZ = 5.0
"""Scale on which lines may leave the Hamiltonian in the test of consistency, MHz."""


@kernel
def _own_variances(own: Array, cross: Array, covariance: Array, inverse: Array, out: Array) -> None:
    """Fill out (22,) with the variances of a field's own numbers, from its factor and cross terms."""
    inverse[:] = 0.0
    for i in range(OWN):
        inverse[i, i] = 1.0
    forward(own, OWN, inverse)
    for j in range(OWN):
        total = 0.0
        for i in range(j, OWN):
            total += inverse[i, j] * inverse[i, j]
        for a in range(SHARED):
            along = 0.0
            for b in range(SHARED):
                part = 0.0
                for i in range(j, OWN):
                    part += inverse[i, j] * cross[i, b]
                along += covariance[a, b] * part
            part = 0.0
            for i in range(j, OWN):
                part += inverse[i, j] * cross[i, a]
            total += along * part
        out[j] = total


@kernel
def _offsets(fields: int, system: Pack, side: int, reduced: Pack, covariance: Array, extra: Pack) -> None:
    """Fill the information (8 fields, 8 fields + 1) on free offsets of all lines, and its last column, their pull."""
    raw, slope, matrix, right, scratch = system
    own, cross = reduced[1], reduced[2]
    half = scratch[3]
    offsets, along, behind = extra
    offsets[:] = 0.0
    for k in range(fields):
        normal_equations(raw[side, k], slope[side, k], half, matrix[side, k], right[side, k])
        for i in range(OWN):
            for line in range(8):
                behind[i, line] = half[SHARED + i, line]
        forward(own[k], OWN, behind)
        for a in range(8):
            for b in range(8):
                total = raw[side, k, a, b]
                for i in range(OWN):
                    total -= behind[i, a] * behind[i, b]
                offsets[8 * k + a, 8 * k + b] = total
            for c in range(SHARED):
                total = half[c, a]
                for i in range(OWN):
                    total -= behind[i, a] * cross[k, i, c]
                along[8 * k + a, c] = total
            offsets[8 * k + a, 8 * fields] = raw[side, k, a, 26]
    for a in range(8 * fields):
        for b in range(8 * fields):
            total = 0.0
            for c in range(SHARED):
                for d in range(SHARED):
                    total += along[a, c] * covariance[c, d] * along[b, d]
            offsets[a, b] -= total


@kernel
def _consistency(fields: int, extra: Pack, damped: Array, solved: Array) -> tuple[float, float]:
    """Return how much chi2 would fall if every line were free within `OFFSET_MHZ`, and what noise alone gives."""
    offsets = extra[0]
    n = 8 * fields
    for a in range(n):
        for b in range(n):
            damped[a, b] = offsets[a, b]
            solved[a, b] = offsets[a, b]
        damped[a, a] += 1.0 / OFFSET_MHZ**2
        solved[a, n] = offsets[a, n]
    if not factor(damped, n):
        return math.nan, math.nan
    forward(damped, n, solved)
    fall, expected = 0.0, 0.0
    for a in range(n):
        fall += solved[a, n] ** 2
    backward(damped, n, solved)
    for a in range(n):
        expected += solved[a, a]
    return fall, expected


@kernel
def _significance(q: Array, theta: Array, matrix: Array, side: int, of: int) -> tuple[float, float]:
    """Return how many standard deviations the lines of a class are deep (centres and widths held), and how deep."""
    total, depth = 0.0, 0.0
    first, last = 2 * of, 2 + 6 * of
    for k in range(q.shape[0]):
        own = theta[7 + of] + q[k, of]
        for line in range(first, last):
            own += q[k, 2 + line] / (last - first)
        m = matrix[side, k]
        information = m[7 + of, 7 + of] - m[7 + of, SHARED + 20] ** 2 / m[SHARED + 20, SHARED + 20]
        total += own * own * max(0.0, information)
        depth += own / q.shape[0]
    return math.sqrt(total), depth


@kernel
def judge(q: Array, theta: Array, prior: Pack, system: Pack, side: int, reduced: Pack, extra: Pack, out: Array) -> bool:
    """Fill what a finished fit says of itself; False where the curvature has no inverse.

    Parameters
    ----------
    extra
        covariance (11, 11), inverse (22, 22), variances (22,), pack of `_offsets`, damped and solved of `_consistency`.
    out
        (94,) theta 11, its covariance 66 (lower triangle by rows), consistency, its expectation, how many parameters
        the data determine; from 90 on the significance of [111] and of the tilted lines, and their mean depths.
    """
    covariance, inverse, variances, free, damped, solved = extra
    if not eliminate(theta, q, prior, system, side, 0.0, reduced):
        return False
    shared, own, cross = reduced
    covariance[:] = 0.0
    for a in range(SHARED):
        covariance[a, a] = 1.0
    forward(shared, SHARED, covariance)
    backward(shared, SHARED, covariance)
    at = SHARED
    determined = 0.0
    for a in range(SHARED):
        out[a] = theta[a]
        determined += 1.0 - prior[1][a] * covariance[a, a]
        for b in range(a + 1):
            out[at] = covariance[a, b]
            at += 1
    for k in range(q.shape[0]):
        _own_variances(own[k], cross[k], covariance, inverse, variances)
        for j in range(OWN):
            determined += 1.0 - prior[3][j] * variances[j]
    _offsets(q.shape[0], system, side, reduced, covariance, free)
    out[at], out[at + 1] = _consistency(q.shape[0], free, damped, solved)
    out[at + 2] = determined
    for of in range(2):
        out[90 + of], out[92 + of] = _significance(q, theta, system[2], side, of)
    return True
