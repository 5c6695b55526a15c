"""The robust fit of one spectrum: several starts, lowest chi2, lines that are not significant taken out, each value judged."""

from __future__ import annotations

import numpy as np
from numba import njit

from analyzers.kernels.codes import NOT_CONVERGED, OK
from analyzers.kernels.judge import assign_slots, judge_doublets, judge_line, order_by_centre
from analyzers.kernels.levmar import cholesky, covariance, minimise, normal_equations
from analyzers.kernels.matched import correlate, peel
from analyzers.kernels.shapes import OPTIONS, line

PASSES = 40
"""Most Levenberg-Marquardt passes of one start."""


@njit(**OPTIONS)
def best_levels(spectrum, theta, lines, model, work):
    """Set level, slope and amplitudes of theta to their least-squares values at its centres and widths (one linear solve)."""
    level = model[3]
    count = level + lines
    matrix, factor, vectors = work[0], work[2], work[3]
    right, out, row = vectors[1], vectors[2], vectors[4]
    matrix[:count, :count] = 0.0
    right[:count] = 0.0
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


@njit(**OPTIONS)
def residual_correlation(spectrum, theta, lines, model, places, bank, padded, corr):
    """Correlate what the model leaves with the template bank (`places`: index in the list of each point)."""
    level = model[3]
    padded[:] = 0.0
    for i in range(spectrum.shape[1]):
        value = theta[0]
        if level > 1:
            value += theta[1] * spectrum[1, i]
        for k in range(lines):
            at = level + 3 * k
            value += theta[at] * line(model[0], model[1], model[2], spectrum[0, i], theta[at + 1], theta[at + 2])[0]
        padded[places[i]] = spectrum[2, i] - value
    correlate(bank, padded, corr)


@njit(**OPTIONS)
def sigmas(spectrum, theta, lines, model, work, sigma, cov):
    """Write standard deviations (p,) and covariance (p, p) at theta, scaled by sqrt(max(1, chi2)); return reduced chi2."""
    p = model[3] + 3 * lines
    chi2 = normal_equations(spectrum, theta, lines, model, work[0], work[3, 0], work[3, 4])
    reduced = chi2 / max(1, spectrum.shape[1] - p)
    if not cholesky(work[0], p, 0.0, work[2]):
        sigma[:p] = np.inf
        return reduced
    covariance(work[2], p, cov)
    scale = max(1.0, reduced)
    for a in range(p):
        for b in range(p):
            cov[a, b] *= scale
        sigma[a] = np.sqrt(cov[a, a])
    return reduced


@njit(**OPTIONS)
def try_start(spectrum, centres, widths, lines, model, bounds, tolerance, work, trial, best, best_chi2):
    """Fit from the given centres and widths; keep the result in `best` where its chi2 is lower; return (chi2, converged)."""
    level = model[3]
    for k in range(lines):
        trial[level + 3 * k + 1] = min(max(centres[k], bounds[0, 2 * k]), bounds[1, 2 * k])
        trial[level + 3 * k + 2] = min(max(widths[k], bounds[0, 2 * k + 1]), bounds[1, 2 * k + 1])
    best_levels(spectrum, trial, lines, model, work)
    chi2, converged = minimise(spectrum, trial, lines, model, bounds, tolerance, PASSES, work)
    if np.isfinite(chi2) and chi2 < best_chi2:
        best[: level + 3 * lines] = trial[: level + 3 * lines]
        return chi2, converged, True
    return best_chi2, converged, False


@njit(**OPTIONS)
def same_basin(theta, lines, level, centres, order):
    """Tell whether each of the sorted centres lies within 0.35 widths of the line of the same rank."""
    order_by_centre(theta, lines, level, order)
    for k in range(lines):
        at = level + 3 * order[k]
        if not abs(theta[at + 1] - centres[k]) < 0.35 * theta[at + 2]:
            return False
    return True


@njit(**OPTIONS)
def sort_found(found, count):
    """Sort the columns of `found` (amplitude, centre, fwhm) by centre."""
    for k in range(1, count):
        j = k
        while j > 0 and found[1, j] < found[1, j - 1]:
            for r in range(3):
                found[r, j], found[r, j - 1] = found[r, j - 1], found[r, j]
            j -= 1


@njit(**OPTIONS)
def judge_all(theta, sigma, lines, level, limits, codes):
    """Write the status code of every line; return how many are not OK and the number of the least significant line."""
    bad = 0
    weakest = 0
    least = np.inf
    for k in range(lines):
        codes[k] = judge_line(theta, sigma, lines, level, k, limits[0], limits[1], limits[2])
        if codes[k] != OK:
            bad += 1
        strength = abs(theta[level + 3 * k]) / sigma[level + 3 * k]
        if not strength >= least:
            least = strength if np.isfinite(strength) else 0.0
            weakest = k
    return bad, weakest, least
