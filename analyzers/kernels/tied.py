"""Lines that share a width or a depth: fitted once more, from their free solution, with one value for each group.

Finding and judging lines is the free fit's work; here the normal equations of tied parameters are added up, so that
values, sigmas and chi2 are those of the model with fewer parameters.
"""

from __future__ import annotations

import numpy as np

from analyzers.kernels.codes import NOT_CONVERGED, OK, Array, Pack
from analyzers.kernels.compiled import kernel
from analyzers.kernels.levmar import (
    cholesky,
    copy,
    covariance,
    expectation,
    hold_bounds,
    normal_equations,
    solve,
    take_step,
)
from analyzers.kernels.pixel import PASSES, best_levels
from analyzers.kernels.robust import write_lines
from analyzers.kernels.spectra import load_pixel


@kernel
def choose_leaders(theta: Array, slots: Array, lines: int, level: int, groups: Array, leader: Array) -> int:
    """Write which parameter each one follows (itself: free), set tied ones to their mean; return how many follow.

    `groups` is (2, all lines): group of width and of amplitude, -1: free. A dip and a peak never share a depth.
    """
    for a in range(leader.shape[0]):
        leader[a] = a
    follow = 0
    for c in range(2):
        column = 2 if c == 0 else 0
        for k in range(lines):
            first = level + 3 * k + column
            if groups[c, slots[k]] < 0 or leader[first] != first:
                continue
            total, count = theta[first], 1
            for j in range(k + 1, lines):
                at = level + 3 * j + column
                alike = column == 2 or theta[at] * theta[first] > 0.0
                if groups[c, slots[j]] == groups[c, slots[k]] and alike:
                    leader[at] = first
                    total += theta[at]
                    count += 1
            for j in range(k, lines):
                at = level + 3 * j + column
                if leader[at] == first:
                    theta[at] = total / count
            follow += count - 1
    return follow


@kernel
def tie(matrix: Array, gradient: Array, p: int, leader: Array) -> None:
    """Add rows and columns of the parameters that follow to those of their leaders; the own step becomes zero."""
    for a in range(p):
        r = leader[a]
        if r == a:
            continue
        gradient[r] += gradient[a]
        gradient[a] = 0.0
        for b in range(p):
            matrix[r, b] += matrix[a, b]
        for b in range(p):
            matrix[b, r] += matrix[b, a]
        for b in range(p):
            matrix[a, b] = 0.0
            matrix[b, a] = 0.0
        matrix[a, a] = 1.0


@kernel
def minimise_tied(
    spectrum: Array, theta: Array, lines: int, model: Pack, bounds: Array, stop: float, leader: Array, work: Array
) -> bool:
    """Minimise chi2 from theta (changed in place) with tied parameters; return whether it came to rest.

    `stop` is the predicted decrease, in units of chi2, below which it has.
    """
    level = model[3]
    p = level + 3 * lines
    matrix, trial_matrix, factor, vectors = work[0], work[1], work[2], work[3]
    gradient, trial_gradient, step, trial, row = vectors[0], vectors[1], vectors[2], vectors[3], vectors[4]
    chi2, damping = np.inf, 1e-3
    copy(theta, p, trial)
    for _ in range(PASSES):
        found = normal_equations(spectrum, trial, lines, model, trial_matrix, trial_gradient, row)
        if found < chi2:
            damping = max(damping * 0.1, 1e-7)
            chi2 = found
            copy(trial, p, theta)
            copy(trial_gradient, p, gradient)
            for a in range(p):
                copy(trial_matrix[a], p, matrix[a])
            tie(matrix, gradient, p, leader)
            hold_bounds(theta, lines, level, bounds, matrix, gradient)
        else:
            damping = max(damping * 10.0, 1e-2)
        if damping > 1e8 or not cholesky(matrix, p, damping, factor):
            return False
        solve(factor, p, gradient, step)
        predicted = 0.0
        for a in range(p):
            predicted += step[a] * gradient[a]
        for a in range(p):
            step[a] = step[leader[a]]
        take_step(theta, step, lines, level, bounds, trial)
        if damping <= 1.0 and predicted * (1.0 + damping) < stop * chi2:
            copy(trial, p, theta)
            return True
    return False


@kernel
def tied_sigmas(
    spectrum: Array, theta: Array, lines: int, model: Pack, leader: Array, follow: int, work: Array, sigma: Array,
    cov: Array,
) -> float:  # fmt: skip
    """Write standard deviations (p,) and covariance (p, p) of the tied model, scaled; return reduced chi2."""
    p = model[3] + 3 * lines
    chi2 = normal_equations(spectrum, theta, lines, model, work[0], work[3, 0], work[3, 4])
    reduced = (chi2 - expectation(theta, lines, model)) / max(1, spectrum.shape[1] - p + follow)
    tie(work[0], work[3, 0], p, leader)
    if not cholesky(work[0], p, 0.0, work[2]):
        return np.inf
    covariance(work[2], p, cov)
    scale = max(1.0, reduced)
    for a in range(p):
        for b in range(p):
            cov[a, b] *= scale
        sigma[a] = np.sqrt(cov[a, a])
    for a in range(p):
        sigma[a] = sigma[leader[a]]
    return reduced


@kernel
def fit_tied(
    values: Array, which: Array, passes: Array, frequency: Array, noise: Pack, saturation: float, model: Pack,
    limits: Pack, bounds: Array, groups: Array, pairs: Array, out: Pack,
) -> None:  # fmt: skip
    """Fit the resolved lines of the pixels listed in `which` with shared parameters; arguments as `robust.fit_pixels`.

    `groups` as in `choose_leaders`. A pixel whose tied fit does not come to rest loses its lines.
    """
    line_planes, pair_correlation, baseline, slope, chi2_plane, doublet_status, status = out
    centre_plane, fwhm_plane, codes_plane = line_planes[0], line_planes[2], line_planes[6]
    n, total = values.shape[1], groups.shape[1]
    level = model[3]
    size = level + 3 * total
    spectrum_all, places, padded = np.empty((4, n)), np.empty(n, np.int64), np.empty(n)
    theta, sigma, cov = np.empty(size), np.empty(size), np.empty((size, size))
    work = np.zeros((4, max(size, 5), size))
    leader_all, slots_all = np.empty(size, np.int64), np.empty(total, np.int64)
    good = np.zeros(total, np.int64)
    middle, half_span = 0.5 * (limits[0][0] + limits[0][1]), 0.5 * (limits[0][1] - limits[0][0])
    for row in range(which.shape[0]):
        pixel = which[row]
        lines = 0
        for s in range(total):
            if codes_plane[s, pixel] == OK:
                theta[level + 3 * lines] = 0.0
                theta[level + 3 * lines + 1] = centre_plane[s, pixel]
                theta[level + 3 * lines + 2] = fwhm_plane[s, pixel]
                slots_all[lines] = s
                lines += 1
        kept, reference = load_pixel(values[row], passes, saturation, noise, spectrum_all, places, padded, frequency)
        p = level + 3 * lines
        spectrum, slots, leader = spectrum_all[:, :kept], slots_all[:lines], leader_all[:p]
        best_levels(spectrum, theta, lines, model, work)
        follow = choose_leaders(theta, slots, lines, level, groups, leader)
        if follow == 0:
            continue
        stop = limits[3] / max(1, kept - p + follow)
        settled = minimise_tied(spectrum, theta, lines, model, bounds, stop, leader, work)
        reduced = np.inf
        if settled:
            reduced = tied_sigmas(spectrum, theta, lines, model, leader, follow, work, sigma, cov)
        pair_correlation[:, pixel] = np.nan
        if not np.isfinite(reduced):
            for s in range(total):
                for plane in line_planes[:6]:
                    plane[s, pixel] = np.nan
            codes_plane[:, pixel] = NOT_CONVERGED
            doublet_status[:, pixel] = NOT_CONVERGED
            status[pixel] = NOT_CONVERGED
            continue
        order = np.arange(lines)
        write_lines(theta, lines, model, middle, sigma, cov, good, order, slots, pixel, line_planes, half_span)
        for d in range(pairs.shape[0]):
            low, high = -1, -1
            for j in range(lines):
                if slots[j] == pairs[d, 0]:
                    low = level + 3 * j + 1
                if slots[j] == pairs[d, 1]:
                    high = level + 3 * j + 1
            if low >= 0 and high >= 0:
                pair_correlation[d, pixel] = cov[low, high] / (sigma[low] * sigma[high])
        baseline[pixel] = reference * (1.0 + theta[0])
        slope[pixel] = theta[1] / ((1.0 + theta[0]) * half_span) if level > 1 else 0.0
        chi2_plane[pixel] = reduced
