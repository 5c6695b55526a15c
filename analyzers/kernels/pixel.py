"""Steps of the robust fit of one spectrum: uncertainties, judging a result, one start."""

from __future__ import annotations

import numpy as np

from analyzers.kernels.codes import OK, Array, Pack
from analyzers.kernels.compiled import kernel
from analyzers.kernels.judge import NEAR, PEAK_PENALTY, judge_line, nearest, order_by_centre
from analyzers.kernels.levmar import cholesky, copy, covariance, expectation, fill, minimise, normal_equations
from analyzers.kernels.matched import correlate
from analyzers.kernels.shapes import line

OVERLAPPING = 1e9
INVALID = 1e12
"""Added to the score of a fit with overlapping lines, and of one with a line that is not valid."""
PASSES = 40
"""Most Levenberg-Marquardt passes of one start."""


@kernel
def best_levels(spectrum: Array, theta: Array, lines: int, model: Pack, work: Array) -> None:
    """Set level, slope and amplitudes of theta to their least-squares values at its centres and widths."""
    level = model[3]
    count = level + lines
    matrix, factor, vectors = work[0], work[2], work[3]
    right, out, row = vectors[1], vectors[2], vectors[4]
    for a in range(count):
        fill(matrix[a], count, 0.0)
    fill(right, count, 0.0)
    for i in range(spectrum.shape[1]):
        row[0] = 1.0
        if level > 1:
            row[1] = spectrum[1, i]
        for k in range(lines):
            at = level + 3 * k
            row[level + k] = line(model[0], model[1], model[2], spectrum[0, i], theta[at + 1], theta[at + 2])[0]
        for a in range(count):
            weighted = spectrum[3, i] * row[a]
            right[a] += weighted * spectrum[2, i]
            for b in range(a + 1):
                matrix[a, b] += weighted * row[b]
    if not cholesky(matrix, count, 1e-9, factor):
        return
    for a in range(count):
        total = right[a]
        for b in range(a):
            total -= factor[a, b] * out[b]
        out[a] = total / factor[a, a]
    for a in range(count - 1, -1, -1):
        total = out[a]
        for b in range(a + 1, count):
            total -= factor[b, a] * out[b]
        out[a] = total / factor[a, a]
    for a in range(level):
        theta[a] = out[a]
    for k in range(lines):
        theta[level + 3 * k] = out[level + k]


@kernel
def residual_correlation(
    spectrum: Array,
    theta: Array,
    lines: int,
    model: Pack,
    places: Array,
    bank_by_point: Array,
    padded: Array,
    corr: Array,
) -> None:
    """Correlate what the model leaves with the template bank (`places`: index in the list of each point)."""
    level = model[3]
    fill(padded, padded.shape[0], 0.0)
    for i in range(spectrum.shape[1]):
        value = theta[0]
        if level > 1:
            value += theta[1] * spectrum[1, i]
        for k in range(lines):
            at = level + 3 * k
            value += theta[at] * line(model[0], model[1], model[2], spectrum[0, i], theta[at + 1], theta[at + 2])[0]
        padded[places[i]] = spectrum[2, i] - value
    correlate(bank_by_point, padded, corr)


@kernel
def strengths(matrix: Array, theta: Array, lines: int, level: int, scale: float, strength: Array) -> None:
    """Write |amplitude| / sigma of each line with centres and widths held."""
    count = level + lines
    small = np.empty((count, count))
    factor = np.zeros((count, count))
    for a in range(count):
        row = a if a < level else level + 3 * (a - level)
        for b in range(a + 1):
            small[a, b] = matrix[row, b if b < level else level + 3 * (b - level)]
    if not cholesky(small, count, 0.0, factor):
        fill(strength, lines, 0.0)
        return
    inverse = np.empty((count, count))
    covariance(factor, count, inverse)
    for k in range(lines):
        strength[k] = abs(theta[level + 3 * k]) / np.sqrt(inverse[level + k, level + k] * scale)


@kernel
def sigmas(
    spectrum: Array, theta: Array, lines: int, model: Pack, work: Array, sigma: Array, cov: Array, strength: Array
) -> float:
    """Write standard deviations (p,), covariance (p, p) and strengths at theta, all scaled; return reduced chi2."""
    p = model[3] + 3 * lines
    chi2 = normal_equations(spectrum, theta, lines, model, work[0], work[3, 0], work[3, 4])
    reduced = (chi2 - expectation(theta, lines, model)) / max(1, spectrum.shape[1] - p)
    scale = max(1.0, reduced)
    strengths(work[0], theta, lines, model[3], scale, strength)
    if not cholesky(work[0], p, 0.0, work[2]):
        fill(sigma, p, np.inf)
        return reduced
    covariance(work[2], p, cov)
    for a in range(p):
        for b in range(p):
            cov[a, b] *= scale
        sigma[a] = np.sqrt(cov[a, a])
    return reduced


@kernel
def peak_penalty(theta: Array, lines: int, level: int) -> float:
    """Return what peaks cost when starts compete."""
    total = 0.0
    for k in range(lines):
        if theta[level + 3 * k] > 0.0:
            total += PEAK_PENALTY
    return total


@kernel
def judge_all(
    theta: Array, sigma: Array, strength: Array, lines: int, level: int, limits: Pack, codes: Array
) -> tuple[int, int, float]:
    """Write the status code of every line; return how many are not OK, the weakest line and its strength."""
    bad = 0
    weakest = 0
    least = np.inf
    for k in range(lines):
        codes[k] = judge_line(theta, sigma, strength, lines, level, k, limits)
        if codes[k] != OK:
            bad += 1
        if not strength[k] >= least:
            least = strength[k] if np.isfinite(strength[k]) else 0.0
            weakest = k
    return bad, weakest, least


@kernel
def rank(spectrum: Array, theta: Array, lines: int, model: Pack, limits: Pack, scratch: Pack, chi2: float) -> float:
    """Return the score by which starts compete: lower is better.

    Spectra with every line valid and apart come first, then those with overlapping lines, then all others: a real
    line is never exactly the model, and a second line beside it would always lower chi2. Within a class chi2 counts,
    and believable widths: at low SNR the lowest chi2 alone is often a narrow spike of noise.
    """
    work, _, sigma, cov, codes, _, _, _, strength = scratch
    level = model[3]
    reduced = sigmas(spectrum, theta, lines, model, work, sigma, cov, strength)
    bad, _, _ = judge_all(theta, sigma, strength, lines, level, limits, codes)
    score = chi2 + max(1.0, reduced) * peak_penalty(theta, lines, level)
    if bad > 0:
        return score + INVALID
    for k in range(lines):
        if nearest(theta, lines, level, k)[1] < NEAR:
            return score + OVERLAPPING
    return score


@kernel
def try_start(
    spectrum: Array,
    centres: Array,
    widths: Array,
    lines: int,
    model: Pack,
    bounds: Array,
    limits: Pack,
    scratch: Pack,
    best: Array,
    state: Array,
) -> bool:
    """Fit from the given centres and widths; keep the result in `best` where it ranks better.

    Parameters
    ----------
    state
        (3,) score (see `rank`), chi2, converged (1.0 or 0.0) of the best so far; updated.

    Returns
    -------
    whether the new result was taken.
    """
    work, trial = scratch[0], scratch[1]
    level = model[3]
    p = level + 3 * lines
    for k in range(lines):
        trial[level + 3 * k + 1] = min(max(centres[k], bounds[0, 2 * k]), bounds[1, 2 * k])
        trial[level + 3 * k + 2] = min(max(widths[k], bounds[0, 2 * k + 1]), bounds[1, 2 * k + 1])
    best_levels(spectrum, trial, lines, model, work)
    chi2, converged = minimise(spectrum, trial, lines, model, bounds, limits[3], PASSES, work)
    if not np.isfinite(chi2):
        return False
    score = rank(spectrum, trial, lines, model, limits, scratch, chi2)
    if not converged:
        score += INVALID
    if not score < state[0]:
        return False
    copy(trial, p, best)
    state[0], state[1], state[2] = score, chi2, 1.0 if converged else 0.0
    return True


@kernel
def same_basin(theta: Array, lines: int, level: int, centres: Array, order: Array) -> bool:
    """Tell whether each of the sorted centres lies within 0.35 widths of the line of the same rank."""
    order_by_centre(theta, lines, level, order)
    for k in range(lines):
        at = level + 3 * order[k]
        if not abs(theta[at + 1] - centres[k]) < 0.35 * theta[at + 2]:
            return False
    return True


@kernel
def sort_found(found: Array, count: int) -> None:
    """Sort the columns of `found` (amplitude, centre, fwhm) by centre."""
    for k in range(1, count):
        j = k
        while j > 0 and found[1, j] < found[1, j - 1]:
            for r in range(3):
                found[r, j], found[r, j - 1] = found[r, j - 1], found[r, j]
            j -= 1
