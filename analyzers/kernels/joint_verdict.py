"""What a joint fit says of itself: covariance, significance of the lines, consistency with the Hamiltonian."""

from __future__ import annotations

import math

from analyzers.kernels.codes import Array, Pack
from analyzers.kernels.compiled import kernel
from analyzers.kernels.hamiltonian import OWN, SHARED, backward, factor, forward
from analyzers.kernels.joint_descent import eliminate

OFFSET_MHZ = 5.0
"""Scale on which lines may leave the Hamiltonian in the test of consistency, MHz."""


@kernel
def _own_variances(own: Array, cross: Array, covariance: Array, inverse: Array, part: Array, out: Array) -> None:
    """Fill out (22,) with the variances of a field's own numbers, from its factor and cross terms."""
    inverse[:] = 0.0
    for i in range(OWN):
        inverse[i, i] = 1.0
    forward(own, OWN, inverse)
    for j in range(OWN):
        total = 0.0
        part[:] = 0.0
        for i in range(j, OWN):
            by = inverse[i, j]
            total += by * by
            for b in range(SHARED):
                part[b] += by * cross[i, b]
        for a in range(SHARED):
            along = 0.0
            for b in range(SHARED):
                along += covariance[a, b] * part[b]
            total += along * part[a]
        out[j] = total


@kernel
def _behind(raw: Array, slope: Array, along: Array, behind: Array) -> None:
    """Fill products of a field's line centres with the shared numbers, along (8, 11), and with its own, behind (22, 8).

    They are the leading columns of `half` of `normal_equations`, which does not outlive the next evaluation.
    """
    for line in range(8):
        for c in range(7):
            total = 0.0
            for other in range(8):
                total += slope[other, c] * raw[other, line]
            along[line, c] = total
        for of in range(2):
            depth, fwhm = 0.0, 0.0
            for other in range(2 * of, 2 + 6 * of):
                behind[2 + other, line] = raw[8 + other, line]
                behind[12 + other, line] = raw[16 + other, line]
                depth += raw[8 + other, line]
                fwhm += raw[16 + other, line]
            along[line, 7 + of] = depth
            along[line, 9 + of] = fwhm
            behind[of, line] = depth
            behind[10 + of, line] = fwhm
        behind[20, line] = raw[24, line]
        behind[21, line] = raw[25, line]


@kernel
def _offsets(fields: int, system: Pack, side: int, reduced: Pack, extra: Pack) -> None:
    """Fill the information on free offsets of all lines, lower triangle of (8 fields, 8 fields + 1), and their pull."""
    raw, slope = system[0], system[1]
    shared, own, cross = reduced
    offsets, along, behind, turned = extra
    offsets[:] = 0.0
    for k in range(fields):
        first = 8 * k
        _behind(raw[side, k], slope[side, k], along, behind)
        forward(own[k], OWN, behind)
        for i in range(OWN):
            for a in range(8):
                by = behind[i, a]
                for b in range(a + 1):
                    offsets[first + a, first + b] -= by * behind[i, b]
                for c in range(SHARED):
                    along[a, c] -= by * cross[k, i, c]
        for a in range(8):
            for b in range(a + 1):
                offsets[first + a, first + b] += raw[side, k, a, b]
            for c in range(SHARED):
                turned[c, first + a] = along[a, c]
            offsets[first + a, 8 * fields] = raw[side, k, a, 26]
    forward(shared, SHARED, turned)
    for c in range(SHARED):
        for a in range(8 * fields):
            by = turned[c, a]
            for b in range(a + 1):
                offsets[a, b] -= by * turned[c, b]


@kernel
def _consistency(fields: int, extra: Pack, damped: Array, solved: Array) -> tuple[float, float]:
    """Return how much chi2 would fall if every line were free within `OFFSET_MHZ`, and what noise alone gives."""
    offsets = extra[0]
    n = 8 * fields
    for a in range(n):
        for b in range(a + 1):
            damped[a, b] = offsets[a, b]
            solved[a, b] = offsets[a, b]
            solved[b, a] = offsets[a, b]
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
        covariance (11, 11), inverse (22, 22), variances (22,), scratch (11,), pack of `_offsets`, damped and solved of
        `_consistency`.
    out
        (94,) theta 11, its covariance 66 (lower triangle by rows), consistency, its expectation, how many parameters
        the data determine; from 90 on the significance of [111] and of the tilted lines, and their mean depths.
    """
    covariance, inverse, variances, part, free, damped, solved = extra
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
        _own_variances(own[k], cross[k], covariance, inverse, part, variances)
        for j in range(OWN):
            determined += 1.0 - prior[3][j] * variances[j]
    _offsets(q.shape[0], system, side, reduced, free)
    out[at], out[at + 1] = _consistency(q.shape[0], free, damped, solved)
    out[at + 2] = determined
    for of in range(2):
        out[90 + of], out[92 + of] = _significance(q, theta, system[2], side, of)
    return True
