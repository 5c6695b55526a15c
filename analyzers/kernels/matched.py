"""Matched filter: where the lines of a spectrum may be, without any guess, for any frequency list.

A bank of template lines (several widths, centres all over the list), each freed of its overlap with the baseline, is correlated
with the signal; the strongest is peeled off (its overlap with all others through the Gram matrix) and so on.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from analyzers.kernels.shapes import OPTIONS, line_profile

WIDTH_FACTORS = (0.6, 1.0, 1.8)
"""Template widths in units of the width guess."""


@njit(**OPTIONS)
def exclude_near(corr, centres, taken, score):
    """Return the index of the best template more than the exclusion distance from every taken centre; -1 if none."""
    best = -1
    best_score = 0.0
    for j in range(corr.shape[0]):
        if score[j] * corr[j] * corr[j] > best_score:
            free = True
            for t in range(taken.shape[1]):
                if abs(centres[j] - taken[0, t]) < taken[1, t]:
                    free = False
                    break
            if free:
                best_score = score[j] * corr[j] * corr[j]
                best = j
    return best


@njit(**OPTIONS)
def correlate(bank, signal, out):
    """Write the correlation of every template with the signal: out[j] = sum_i bank[j, i] signal[i]."""
    for j in range(bank.shape[0]):
        total = 0.0
        for i in range(bank.shape[1]):
            total += bank[j, i] * signal[i]
        out[j] = total


@njit(**OPTIONS)
def peel(corr, bank_centres, bank_widths, score, gram, distance, already, found):
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
    already
        Lines in `found` that count as peeled already (their centres are excluded).
    found
        (3, lines): amplitude, centre, fwhm of each line; written from `already` on.

    Returns
    -------
    lines found, of at most found.shape[1].
    """
    taken = np.empty((2, found.shape[1]))
    for t in range(already):
        taken[0, t] = found[1, t]
        taken[1, t] = distance * found[2, t]
    for k in range(already, found.shape[1]):
        j = exclude_near(corr, bank_centres, taken[:, :k], score)
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


def make_bank(
    frequency: NDArray[np.float64],
    weight: NDArray[np.float64],
    shape: int,
    mixing: float,
    offsets_mhz: NDArray[np.float64],
    fwhm_mhz: float,
) -> tuple[NDArray[np.float64], ...]:
    """Make the template bank of a frequency list.

    Parameters
    ----------
    frequency
        (n,) MHz, ascending.
    weight
        (n,) relative weight of each frequency (passes added).
    shape, mixing, offsets_mhz
        Line shape as in `shapes.line`.
    fwhm_mhz
        Width guess.

    Returns
    -------
    bank (m, n) (templates times weight, baseline taken out), centres (m,), widths (m,), score (m,) = 1 / norm^2, gram (m, m).
    """
    span = max(frequency[-1] - frequency[0], 1e-9)
    u = 2.0 * (frequency - frequency[0]) / span - 1.0
    total = weight.sum()
    mean_u = (weight * u).sum() / total
    slope = u - mean_u
    slope_norm = max((weight * slope * slope).sum(), 1e-12)
    templates: list[NDArray[np.float64]] = []
    places: list[tuple[float, float, float]] = []
    for factor in WIDTH_FACTORS:
        width = fwhm_mhz * factor
        # a quarter of a width between centres: the start is then always within the basin of its line
        centres = np.linspace(frequency[0], frequency[-1], max(2, int(np.ceil(4.0 * span / width)) + 1))
        for centre in centres:
            profile = line_profile(shape, mixing, offsets_mhz, frequency, centre, width)
            seen = profile.max() > 0.5 and (profile > 0.2).sum() >= 2
            profile = profile - (weight * profile).sum() / total
            profile = profile - slope * ((weight * slope * profile).sum() / slope_norm)
            norm = (weight * profile * profile).sum()
            templates.append(profile)
            places.append((centre, width, 1.0 / norm if seen and norm > 0 else 0.0))
    plain = np.array(templates)
    weighted = plain * weight
    where = np.array(places)
    # the sums must not depend on a BLAS's threads: einsum without optimisation adds in order
    gram = np.einsum("ji,mi->jm", weighted, plain, optimize=False)
    return weighted, where[:, 0].copy(), where[:, 1].copy(), where[:, 2].copy(), gram
