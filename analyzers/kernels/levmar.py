"""Levenberg-Marquardt for one spectrum in float64: the robust path.

Parameters theta: [level, slope (if linear), then per line: amplitude, centre, fwhm]. The signal is PL / PL0 - 1;
slope is per unit u, u = -1 ... 1 over the list. All work arrays come from the caller.
"""

from __future__ import annotations

import numpy as np

from analyzers.kernels.codes import Array, Pack
from analyzers.kernels.compiled import kernel
from analyzers.kernels.shapes import line


@kernel
def copy(source: Array, count: int, target: Array) -> None:
    """Copy the first elements (slice assignment would compile a shape check with its message each time)."""
    for a in range(count):
        target[a] = source[a]


@kernel
def fill(target: Array, count: int, value: float) -> None:
    """Set the first elements to a value."""
    for a in range(count):
        target[a] = value


@kernel
def normal_equations(
    spectrum: Array, theta: Array, lines: int, model: Pack, matrix: Array, gradient: Array, row: Array
) -> float:
    """Fill the weighted normal matrix and gradient at theta; return chi2, with what the widths add (`expectation`).

    Parameters
    ----------
    spectrum
        (4, n): frequency, u, signal, weight.
    theta
        (p,) parameters.
    lines
        Number of lines.
    model
        (shape, mixing, offsets_mhz, baseline parameters, (1 / variance of ln(width / guess), guess)).
    matrix, gradient, row
        (p, p), (p,), (p,) outputs and scratch.
    """
    shape, mixing, offsets, level, (stiffness, guess) = model
    p = level + 3 * lines
    for a in range(p):
        gradient[a] = 0.0
        for b in range(p):
            matrix[a, b] = 0.0
    chi2 = 0.0
    for i in range(spectrum.shape[1]):
        value = theta[0]
        row[0] = 1.0
        if level > 1:
            row[1] = spectrum[1, i]
            value += theta[1] * row[1]
        for k in range(lines):
            at = level + 3 * k
            height, by_centre, by_fwhm = line(shape, mixing, offsets, spectrum[0, i], theta[at + 1], theta[at + 2])
            value += theta[at] * height
            row[at] = height
            row[at + 1] = theta[at] * by_centre
            row[at + 2] = theta[at] * by_fwhm
        weight = spectrum[3, i]
        residual = spectrum[2, i] - value
        chi2 += weight * residual * residual
        for a in range(p):
            weighted = weight * row[a]
            gradient[a] += weighted * residual
            # the upper triangle too: whole rows are what the compiler vectorises
            for b in range(p):
                matrix[a, b] += weighted * row[b]
    for k in range(lines):
        at = level + 3 * k + 2
        away, by_width = departure(theta[at], guess)
        matrix[at, at] += stiffness * by_width * by_width
        gradient[at] -= stiffness * by_width * away
        chi2 += stiffness * away * away
    return chi2


@kernel
def departure(width: float, guess: float) -> tuple[float, float]:
    """Return how far a width is from the guess (ln of their ratio up to a factor of 4, at most 2), and its slope."""
    both = width + guess
    return 2.0 * (width - guess) / both, 4.0 * guess / (both * both)


@kernel
def expectation(theta: Array, lines: int, model: Pack) -> float:
    """Return what the widths' distance from the guess adds to chi2."""
    stiffness, guess = model[4]
    total = 0.0
    for k in range(lines):
        away = departure(theta[model[3] + 3 * k + 2], guess)[0]
        total += stiffness * away * away
    return total


@kernel
def cholesky(matrix: Array, p: int, damping: float, factor: Array) -> bool:
    """Factor matrix + damping * diagonal (lower triangles); False where it is not positive definite."""
    for a in range(p):
        for b in range(a + 1):
            total = matrix[a, b]
            if a == b:
                total = total * (1.0 + damping)
            for c in range(b):
                total -= factor[a, c] * factor[b, c]
            if a == b:
                if not total > 1e-14 * matrix[a, a]:
                    return False
                factor[a, a] = np.sqrt(total)
            else:
                factor[a, b] = total / factor[b, b]
    return True


@kernel
def solve(factor: Array, p: int, right: Array, out: Array) -> None:
    """Solve factor factor^T out = right."""
    for a in range(p):
        total = right[a]
        for b in range(a):
            total -= factor[a, b] * out[b]
        out[a] = total / factor[a, a]
    for a in range(p - 1, -1, -1):
        total = out[a]
        for b in range(a + 1, p):
            total -= factor[b, a] * out[b]
        out[a] = total / factor[a, a]


@kernel
def hold_bounds(theta: Array, lines: int, level: int, bounds: Array, matrix: Array, gradient: Array) -> None:
    """Take out of the step those centres and widths that sit at a bound and are pushed beyond it.

    `bounds` is (2, 2 lines): lower and upper for centre, fwhm of each line.
    """
    p = level + 3 * lines
    for k in range(lines):
        for c in range(2):
            a = level + 3 * k + 1 + c
            low, high = bounds[0, 2 * k + c], bounds[1, 2 * k + c]
            if (theta[a] <= low and gradient[a] < 0.0) or (theta[a] >= high and gradient[a] > 0.0):
                gradient[a] = 0.0
                for b in range(a):
                    matrix[a, b] = 0.0
                for b in range(a + 1, p):
                    matrix[b, a] = 0.0


@kernel
def take_step(theta: Array, step: Array, lines: int, level: int, bounds: Array, out: Array) -> None:
    """Write theta + step to `out`, each line moved by at most half a width and kept within bounds."""
    for a in range(level):
        out[a] = theta[a] + step[a]
    for k in range(lines):
        at = level + 3 * k
        out[at] = theta[at] + step[at]
        width = theta[at + 2]
        move = min(max(step[at + 1], -0.5 * width), 0.5 * width)
        grow = min(max(step[at + 2], -0.5 * width), width)
        out[at + 1] = min(max(theta[at + 1] + move, bounds[0, 2 * k]), bounds[1, 2 * k])
        out[at + 2] = min(max(width + grow, bounds[0, 2 * k + 1]), bounds[1, 2 * k + 1])


@kernel
def minimise(
    spectrum: Array, theta: Array, lines: int, model: Pack, bounds: Array, tolerance: float, passes: int, work: Array
) -> tuple[float, bool]:
    """Minimise chi2 from theta (changed in place); the final normal matrix's factor stays in `work[2]`.

    Stops when the predicted decrease of chi2 is below `tolerance` x chi2 per degree of freedom.

    Returns
    -------
    chi2, converged
        chi2 at theta (inf where nothing could be computed), and whether the stop was statistical.
    """
    level = model[3]
    p = level + 3 * lines
    matrix, trial_matrix, factor, vectors = work[0], work[1], work[2], work[3]
    gradient, trial_gradient, step, trial, row = vectors[0], vectors[1], vectors[2], vectors[3], vectors[4]
    freedom = max(1, spectrum.shape[1] - p)
    chi2 = np.inf
    damping = 1e-3
    predicted = 1.0
    copy(theta, p, trial)
    for turn in range(passes + 1):
        found = normal_equations(spectrum, trial, lines, model, trial_matrix, trial_gradient, row)
        if found < chi2:
            if turn > 0:
                damping = eased(damping, (chi2 - found) / predicted)
            chi2 = found
            copy(trial, p, theta)
            copy(trial_gradient, p, gradient)
            for a in range(p):
                copy(trial_matrix[a], p, matrix[a])
            hold_bounds(theta, lines, level, bounds, matrix, gradient)
        elif turn == 0:
            return np.inf, False
        else:
            damping = max(damping * 10.0, 1e-2)
        while not cholesky(matrix, p, damping, factor):
            damping = max(damping, 1e-4) * 10.0
            if damping > 1e8:
                return chi2, False
        if damping > 1e8:
            return chi2, False
        solve(factor, p, gradient, step)
        predicted = 0.0
        for a in range(p):
            predicted += step[a] * gradient[a]
        take_step(theta, step, lines, level, bounds, trial)
        if damping <= 1.0 and predicted * (1.0 + damping) < tolerance * chi2 / freedom:
            copy(trial, p, theta)
            return chi2 - predicted, True
    return chi2, False


@kernel
def eased(damping: float, gain: float) -> float:
    """Return the damping after a step that lowered chi2 by `gain` times what was predicted.

    Poor steps are damped: where the list has gaps a Gauss-Newton step overshoots to and fro around the minimum.
    """
    if gain < 0.3:
        return max(damping * 4.0, 0.1)
    if gain < 0.7:
        return damping
    return max(damping * 0.1, 1e-7)


@kernel
def covariance(factor: Array, p: int, out: Array) -> None:
    """Write the inverse of factor factor^T to `out` (p, p): the covariance of the parameters."""
    for a in range(p):
        for b in range(p):
            out[a, b] = 1.0 if a == b else 0.0
    for c in range(p):
        for a in range(p):
            total = out[a, c]
            for b in range(a):
                total -= factor[a, b] * out[b, c]
            out[a, c] = total / factor[a, a]
        for a in range(p - 1, -1, -1):
            total = out[a, c]
            for b in range(a + 1, p):
                total -= factor[b, a] * out[b, c]
            out[a, c] = total / factor[a, a]
