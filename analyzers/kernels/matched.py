"""Matched filter: where the lines of a spectrum may be, without any guess, for any frequency list.

A bank of template lines (several widths, centres all over the list), each freed of its overlap with the baseline, is correlated
with the signal; the strongest is peeled off (its overlap with all others through the Gram matrix) and so on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from analyzers.kernels.shapes import OPTIONS, line_profile

WIDTH_FACTORS = (0.35, 1.0, 1.8, 3.2)
"""Template widths in units of the width guess."""


@njit(**OPTIONS)
def exclude_near(corr, centres, taken, score, dips):
    """Return the best template more than the exclusion distance from every taken centre (`dips`: of dips only); -1 if none."""
    best = -1
    best_score = 0.0
    for j in range(corr.shape[0]):
        if score[j] * corr[j] * corr[j] > best_score:
            free = not (dips and corr[j] > 0.0)
            for t in range(taken.shape[1]):
                if abs(centres[j] - taken[0, t]) < taken[1, t]:
                    free = False
                    break
            if free:
                best_score = score[j] * corr[j] * corr[j]
                best = j
    return best


@njit(**OPTIONS)
def correlate(bank_by_point, signal, out):
    """Write the correlation of every template with the signal: out[j] = sum_i bank_by_point[i, j] signal[i]."""
    out[:] = 0.0
    for i in range(bank_by_point.shape[0]):
        value = signal[i]
        if value != 0.0:
            for j in range(bank_by_point.shape[1]):
                out[j] += bank_by_point[i, j] * value


@njit(**OPTIONS)
def peel(corr, bank_centres, bank_widths, score, gram, distance, dips, found):
    """Peel lines off one after the other.

    Parameters
    ----------
    corr
        (m,) correlations, changed in place.
    bank_centres, bank_widths
        (m,) MHz.
    score
        (m,) 1 / norm^2 of each template; 0: never used.
    gram
        (m, m) products of the templates.
    distance
        Least distance between two picks in units of the template's width.
    dips
        Take dips only.
    found
        (3, lines): amplitude, centre, fwhm of each line; written.

    Returns
    -------
    lines found, of at most found.shape[1].
    """
    taken = np.empty((2, found.shape[1]))
    for k in range(found.shape[1]):
        j = exclude_near(corr, bank_centres, taken[:, :k], score, dips)
        if j < 0:
            return k
        amplitude = corr[j] * score[j]
        found[0, k] = amplitude
        found[1, k] = bank_centres[j]
        found[2, k] = bank_widths[j]
        taken[0, k] = bank_centres[j]
        taken[1, k] = distance * bank_widths[j]
        for m in range(corr.shape[0]):
            corr[m] -= amplitude * gram[j, m]
    return found.shape[1]


@njit(**OPTIONS)
def gram_matrix(left, right_by_point):
    """Return left (m, n) times right (n, m), added in the order of the points."""
    m, n = left.shape
    out = np.zeros((m, m))
    for j in range(m):
        for i in range(n):
            factor = left[j, i]
            for k in range(m):
                out[j, k] += factor * right_by_point[i, k]
    return out


@njit(**OPTIONS)
def fill_templates(frequency, weight, shape, mixing, offsets_mhz, centres, widths, templates, score):
    """Write the templates (m, n), freed of level and slope, and 1 / norm^2 of each (0 where fewer than two points see it)."""
    n = frequency.shape[0]
    half_span = max(0.5 * (frequency[n - 1] - frequency[0]), 1e-9)
    total = 0.0
    mean_u = 0.0
    for i in range(n):
        total += weight[i]
        mean_u += weight[i] * (frequency[i] - frequency[0]) / half_span
    mean_u /= total
    slope_norm = 1e-12
    for i in range(n):
        slope_norm += weight[i] * ((frequency[i] - frequency[0]) / half_span - mean_u) ** 2
    for j in range(centres.shape[0]):
        profile = line_profile(shape, mixing, offsets_mhz, frequency, centres[j], widths[j])
        seen = 0
        level = 0.0
        tilt = 0.0
        for i in range(n):
            seen += 1 if profile[i] > 0.2 else 0
            level += weight[i] * profile[i] / total
            tilt += weight[i] * profile[i] * ((frequency[i] - frequency[0]) / half_span - mean_u) / slope_norm
        norm = 0.0
        for i in range(n):
            value = profile[i] - level - tilt * ((frequency[i] - frequency[0]) / half_span - mean_u)
            templates[j, i] = value
            norm += weight[i] * value * value
        score[j] = 1.0 / norm if seen >= 2 and profile.max() > 0.4 and norm > 0.0 else 0.0


def make_bank(
    frequency: NDArray[np.float64],
    weight: NDArray[np.float64],
    model: tuple[int, float, NDArray[np.float64]],
    widths_mhz: Sequence[float],
    per_width: float,
) -> tuple[NDArray[np.float64], ...]:
    """Make the template bank of a frequency list.

    Parameters
    ----------
    frequency
        (n,) MHz, ascending.
    weight
        (n,) relative weight of each frequency (passes added).
    model
        Shape, mixing and hyperfine offsets as in `shapes.line`.
    widths_mhz
        Widths of the templates.
    per_width
        Centres per width.

    Returns
    -------
    bank (m, n) (templates times weight), centres (m,), widths (m,), score (m,) = 1 / norm^2, gram (m, m).
    """
    span = frequency[-1] - frequency[0]
    centres: list[NDArray[np.float64]] = []
    widths: list[NDArray[np.float64]] = []
    for width in widths_mhz:
        centres.append(np.linspace(frequency[0], frequency[-1], max(2, int(np.ceil(per_width * span / width)) + 1)))
        widths.append(np.full(len(centres[-1]), width))
    where, wide = np.concatenate(centres), np.concatenate(widths)
    templates, score = np.empty((len(where), len(frequency))), np.empty(len(where))
    fill_templates(frequency, weight, *model, where, wide, templates, score)
    weighted = templates * weight
    return weighted, where, wide, score, gram_matrix(weighted, np.ascontiguousarray(templates.T))
