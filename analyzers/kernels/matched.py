"""Matched filter: where the lines of a spectrum may be, without any guess, for any frequency list.

A bank of template lines (several widths, centres all over the list), each freed of its overlap with the baseline, is
correlated with the signal; the strongest is peeled off, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analyzers.kernels.codes import Array, Pack
from analyzers.kernels.compiled import kernel
from analyzers.kernels.shapes import line_profile

WIDTH_FACTORS = (0.35, 1.0, 1.8, 3.2)
"""Template widths of the robust path in units of the width guess."""
FAST_FACTORS = (1.0, 2.3)
"""Those of the fast path."""


@kernel
def exclude_near(corr: Array, centres: Array, taken: Array, score: Array, dips: bool) -> int:
    """Return the best template outside every taken range (`dips`: of dips only); -1 if there is none."""
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


@kernel
def correlate(by_point: Array, signal: Array, out: Array) -> None:
    """Write the correlation of every template with the signal: out[j] = sum_i by_point[i, j] signal[i]."""
    for j in range(out.shape[0]):
        out[j] = 0.0
    for i in range(by_point.shape[0]):
        value = signal[i]
        if value != 0.0:
            for j in range(by_point.shape[1]):
                out[j] += by_point[i, j] * value


@kernel
def peel(bank: Pack, score: Array, signal: Array, corr: Array, distance: float, dips: bool, found: Array) -> int:
    """Peel lines off one after the other.

    Parameters
    ----------
    bank
        (templates (n, m), centres (m,), widths (m,), ...).
    score
        (m,) 1 / norm^2 of each template; 0: never used.
    signal
        (n,) signal; holds what is left of it afterwards.
    corr
        (m,) scratch.
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
    templates, centres, widths = bank[0], bank[1], bank[2]
    taken = np.empty((2, found.shape[1]))
    for k in range(found.shape[1]):
        correlate(templates, signal, corr)
        j = exclude_near(corr, centres, taken[:, :k], score, dips)
        if j < 0:
            return k
        found[0, k] = corr[j] * score[j]
        found[1, k] = centres[j]
        found[2, k] = widths[j]
        taken[0, k] = centres[j]
        taken[1, k] = distance * widths[j]
        for i in range(signal.shape[0]):
            signal[i] -= found[0, k] * templates[i, j]
    return found.shape[1]


@kernel
def gram_matrix(by_point: Array) -> Array:
    """Return the products of all templates (n, m), added in the order of the points."""
    n, m = by_point.shape
    out = np.zeros((m, m))
    for j in range(m):
        for i in range(n):
            factor = by_point[i, j]
            for k in range(m):
                out[j, k] += factor * by_point[i, k]
    return out


@kernel
def fill_templates(
    frequency: Array,
    shape: int,
    mixing: float,
    offsets_mhz: Array,
    centres: Array,
    widths: Array,
    by_point: Array,
    score: Array,
) -> None:
    """Write templates (n, m) freed of level and slope, and 1 / norm^2 (0 where fewer than two points see the line)."""
    n = frequency.shape[0]
    half_span = max(0.5 * (frequency[n - 1] - frequency[0]), 1e-9)
    u = np.empty(n)
    mean_u = 0.0
    for i in range(n):
        u[i] = (frequency[i] - frequency[0]) / half_span
        mean_u += u[i] / n
    slope_norm = 1e-12
    for i in range(n):
        slope_norm += (u[i] - mean_u) ** 2
    for j in range(centres.shape[0]):
        profile = line_profile(shape, mixing, offsets_mhz, frequency, centres[j], widths[j])
        seen = 0
        highest = 0.0
        level = 0.0
        tilt = 0.0
        for i in range(n):
            seen += 1 if profile[i] > 0.2 else 0
            highest = max(highest, profile[i])
            level += profile[i] / n
            tilt += profile[i] * (u[i] - mean_u) / slope_norm
        norm = 0.0
        for i in range(n):
            value = profile[i] - level - tilt * (u[i] - mean_u)
            by_point[i, j] = value
            norm += value * value
        score[j] = 1.0 / norm if seen >= 2 and highest > 0.4 and norm > 0.0 else 0.0


def make_bank(
    frequency: NDArray[np.float64],
    model: tuple[int, float, NDArray[np.float64]],
    widths_mhz: Sequence[float],
    per_width: float,
) -> tuple[NDArray[np.float64], ...]:
    """Make the template bank of a frequency list.

    All points weigh the same, however many passes they have: the bank serves starts, and so stays the same while a
    sweep runs.

    Parameters
    ----------
    frequency
        (n,) MHz, ascending.
    model
        Shape, mixing and hyperfine offsets as in `shapes.line`.
    widths_mhz
        Widths of the templates.
    per_width
        Centres per width.

    Returns
    -------
    templates (n, m), centres (m,), widths (m,), score (m,) = 1 / norm^2.
    """
    span = frequency[-1] - frequency[0]
    centres: list[NDArray[np.float64]] = []
    widths: list[NDArray[np.float64]] = []
    for width in widths_mhz:
        centres.append(np.linspace(frequency[0], frequency[-1], max(2, int(np.ceil(per_width * span / width)) + 1)))
        widths.append(np.full(len(centres[-1]), width))
    where, wide = np.concatenate(centres), np.concatenate(widths)
    by_point, score = np.empty((len(frequency), len(where))), np.empty(len(where))
    fill_templates(frequency, *model, where, wide, by_point, score)
    return by_point, where, wide, score
