"""Joint fit of one pixel: Levenberg-Marquardt on what all fields share, each field's own numbers eliminated."""

from __future__ import annotations

from analyzers.kernels.codes import Array, Pack
from analyzers.kernels.compiled import kernel
from analyzers.kernels.hamiltonian import (
    OWN,
    SHARED,
    backward,
    factor,
    forward,
    line_values,
    normal_equations,
    place_lines,
    raw_sums,
)

LARGEST_STEP_GPA = 3.0
"""Largest change of one stress component in one step."""
LARGEST_RATIO_STEP = 0.05
"""Largest change of the field ratio in one step."""
FIRST_DAMPING = 0.001
"""Damping of the first step, relative to the curvature."""


@kernel
def evaluate(data: Pack, y: Array, model: Pack, prior: Pack, theta: Array, q: Array, system: Pack, side: int) -> float:
    """Fill matrices and right-hand sides of `side` at (theta, q); return chi2 with the priors.

    Parameters
    ----------
    data
        f, u, root (n,) of all fields one after the other, and edges (fields + 1,).
    y
        (n,) spectra.
    model
        shift (4, 3, 6), field (fields, 4, 3), d_mhz (fields,).
    prior
        mean and weight (11,) of theta, mean and weight (22,) of q.
    system
        raw (2, fields, 28, 28), slope (2, fields, 8, 7), matrix (2, fields, 33, 33), right (2, fields, 33), scratch.
    """
    f, u, root, edges = data
    shift, field, d_mhz = model
    mean, weight, own_mean, own_weight = prior
    raw, slope, matrix, right, scratch = system
    lines, gradient, rows, half = scratch
    total = 0.0
    for c in range(SHARED):
        total += weight[c] * (theta[c] - mean[c]) ** 2
    for k in range(d_mhz.shape[0]):
        a, b = edges[k], edges[k + 1]
        place_lines(theta, shift, field[k], d_mhz[k], gradient, lines[0], slope[side, k])
        line_values(theta, q[k], lines[1], lines[2])
        points = (f[a:b], u[a:b], root[a:b])
        raw_sums(points, y[a:b], lines[0], lines[1], lines[2], q[k, 20:22], rows, raw[side, k])
        normal_equations(raw[side, k], slope[side, k], half, matrix[side, k], right[side, k])
        total += raw[side, k, 26, 26]
        for c in range(OWN):
            total += own_weight[c] * (q[k, c] - own_mean[c]) ** 2
    return total


@kernel
def eliminate(theta: Array, q: Array, prior: Pack, system: Pack, side: int, damping: float, reduced: Pack) -> bool:
    """Eliminate every field's own numbers; False where a matrix is not positive.

    `reduced`: shared (11, 12) Cholesky factor and right-hand side, own (fields, 22, 22) factors, cross
    (fields, 22, 12).
    """
    mean, weight, own_mean, own_weight = prior
    matrix, right = system[2], system[3]
    shared, own, cross = reduced
    for a in range(SHARED):
        for b in range(SHARED):
            shared[a, b] = 0.0
        shared[a, a] = weight[a]
        shared[a, SHARED] = weight[a] * (mean[a] - theta[a])
    for k in range(q.shape[0]):
        m = matrix[side, k]
        for a in range(OWN):
            for b in range(a + 1):
                own[k, a, b] = m[SHARED + a, SHARED + b]
            own[k, a, a] = m[SHARED + a, SHARED + a] * (1.0 + damping) + own_weight[a]
            for c in range(SHARED):
                cross[k, a, c] = m[SHARED + a, c]
            cross[k, a, SHARED] = right[side, k, SHARED + a] + own_weight[a] * (own_mean[a] - q[k, a])
        if not factor(own[k], OWN):
            return False
        forward(own[k], OWN, cross[k])
        for a in range(SHARED):
            for b in range(a + 1):
                total = m[a, b]
                for i in range(OWN):
                    total -= cross[k, i, a] * cross[k, i, b]
                shared[a, b] += total
            shared[a, a] += damping * m[a, a]
            total = right[side, k, a]
            for i in range(OWN):
                total -= cross[k, i, a] * cross[k, i, SHARED]
            shared[a, SHARED] += total
    return factor(shared, SHARED)


@kernel
def step(theta: Array, q: Array, reduced: Pack, trial: Pack) -> float:
    """Fill trial theta (11,) and q (fields, 22); return the predicted decrease of chi2."""
    shared, own, cross = reduced
    new_theta, new_q, change = trial
    change[:, 0] = 0.0
    for c in range(SHARED):
        change[c, 0] = shared[c, SHARED]
    forward(shared, SHARED, change[:SHARED])
    predicted = 0.0
    for c in range(SHARED):
        predicted += change[c, 0] ** 2
    backward(shared, SHARED, change[:SHARED])
    limit = 1.0
    for c in range(6):
        limit = min(limit, LARGEST_STEP_GPA / max(LARGEST_STEP_GPA, abs(change[c, 0])))
    limit = min(limit, LARGEST_RATIO_STEP / max(LARGEST_RATIO_STEP, abs(change[6, 0])))
    for c in range(SHARED):
        change[c, 0] *= limit
        new_theta[c] = theta[c] + change[c, 0]
    for k in range(q.shape[0]):
        tail = change[SHARED:]
        for i in range(OWN):
            predicted += cross[k, i, SHARED] ** 2
            total = cross[k, i, SHARED]
            for c in range(SHARED):
                total -= cross[k, i, c] * change[c, 0]
            tail[i, 0] = total
        backward(own[k], OWN, tail)
        for i in range(OWN):
            new_q[k, i] = q[k, i] + tail[i, 0]
    for of in range(9, 11):
        new_theta[of] = min(80.0, max(0.5 * theta[of], 3.0, new_theta[of]))
    return predicted


@kernel
def descend(
    data: Pack, y: Array, model: Pack, prior: Pack, theta: Array, q: Array, work: Pack, most: int, tolerance: float
) -> tuple[float, int, int]:
    """Improve theta and q in place; return chi2 with priors, side that holds the matrices, turns (< 0: not done)."""
    system, reduced, trial = work
    side = 0
    best = evaluate(data, y, model, prior, theta, q, system, side)
    damping = FIRST_DAMPING
    for turn in range(most):
        if not eliminate(theta, q, prior, system, side, damping, reduced):
            damping = max(1e-3, 10.0 * damping)
            continue
        predicted = step(theta, q, reduced, trial)
        if predicted < tolerance:
            # so near the lowest point that the step needs no check
            theta[:] = trial[0]
            q[:] = trial[1]
            return best, side, turn + 1
        found = evaluate(data, y, model, prior, trial[0], trial[1], system, 1 - side)
        if found < best:
            better = best - found
            best = found
            side = 1 - side
            theta[:] = trial[0]
            q[:] = trial[1]
            if better > 0.75 * predicted:
                damping = max(1e-9, 0.2 * damping)
            elif better < 0.25 * predicted:
                damping = 3.0 * damping
        else:
            damping = 5.0 * damping
            if damping > 1e8:
                break
    return best, side, -most
