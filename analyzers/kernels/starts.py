"""Starts of the robust fit: which there are, in which order they are tried, what the residual adds to them."""

from __future__ import annotations

import numpy as np

from analyzers.kernels.codes import Array, Pack
from analyzers.kernels.compiled import kernel
from analyzers.kernels.judge import NEAR, only_dips
from analyzers.kernels.levmar import copy, fill, minimise
from analyzers.kernels.matched import exclude_near, peel
from analyzers.kernels.pixel import (
    OVERLAPPING,
    PASSES,
    best_levels,
    judge_all,
    residual_correlation,
    same_basin,
    sigmas,
    sort_found,
    try_start,
)


@kernel
def strongest_residual(
    spectrum: Array,
    theta: Array,
    lines: int,
    model: Pack,
    bank: Pack,
    places: Array,
    padded: Array,
    corr: Array,
    weakest: int,
    found: Array,
) -> tuple[int, float]:
    """Return (index of the template, chi2 it would take off) of the strongest feature the model leaves; index -1: none.

    What lies beside a fitted line (but for the weakest) is that line's shape, not another line.
    """
    level = model[3]
    residual_correlation(spectrum, theta, lines, model, places, bank[0], padded, corr)
    kept = 0
    for k in range(lines):
        if k != weakest:
            found[0, kept] = theta[level + 3 * k + 1]
            found[1, kept] = NEAR * theta[level + 3 * k + 2]
            kept += 1
    j = exclude_near(corr, bank[1], found[:2, :kept], bank[3], False)
    if j < 0:
        return -1, 0.0
    return j, corr[j] * corr[j] * bank[3][j] * spectrum[3].sum() / spectrum.shape[1]


@kernel
def replace_weakest(
    spectrum: Array,
    places: Array,
    lines: int,
    model: Pack,
    bounds: Array,
    limits: Pack,
    bank: Pack,
    scratch: Pack,
    best: Array,
    state: Array,
) -> None:
    """Start again with what the residual holds in the weakest line's place, where that is more than the line."""
    work, _, sigma, cov, codes, padded, corr, found, strength = scratch
    level = model[3]
    for _ in range(2):
        reduced = sigmas(spectrum, best, lines, model, work, sigma, cov, strength)
        _, weakest, least = judge_all(best, sigma, strength, lines, level, limits, codes)
        j, drop = strongest_residual(spectrum, best, lines, model, bank, places, padded, corr, weakest, found)
        if j < 0 or not drop > max(least * least * max(1.0, reduced), limits[2] * limits[2]):
            break
        for k in range(lines):
            found[1, k] = best[level + 3 * k + 1]
            found[2, k] = best[level + 3 * k + 2]
        found[1, weakest] = bank[1][j]
        found[2, weakest] = bank[2][j]
        if not try_start(spectrum, found[1], found[2], lines, model, bounds, limits, scratch, best, state):
            break


@kernel
def grow(
    spectrum: Array, places: Array, lines: int, model: Pack, bounds: Array, limits: Pack, bank: Pack, scratch: Pack
) -> int:
    """Find lines one by one: fit those found so far, take the strongest feature away from them as the next.

    Slower than peeling templates, but what is left then holds no trace of a line whose width no template has.

    Returns
    -------
    lines found; centres and widths in `found`.
    """
    work, trial, _, _, _, padded, corr, found, _ = scratch
    level = model[3]
    fill(trial, level, 0.0)
    taken = np.empty((2, lines))
    for k in range(lines):
        residual_correlation(spectrum, trial, k, model, places, bank[0], padded, corr)
        for j in range(k):
            taken[0, j] = trial[level + 3 * j + 1]
            taken[1, j] = NEAR * trial[level + 3 * j + 2]
        j = exclude_near(corr, bank[1], taken[:, :k], bank[3], False)
        if j < 0:
            return k
        trial[level + 3 * k + 1] = bank[1][j]
        trial[level + 3 * k + 2] = bank[2][j]
        best_levels(spectrum, trial, k + 1, model, work)
        if k < lines - 1:
            minimise(spectrum, trial, k + 1, model, bounds, limits[3], PASSES, work)
        for j in range(k + 1):
            found[1, j] = trial[level + 3 * j + 1]
            found[2, j] = trial[level + 3 * j + 2]
    return lines


@kernel
def search(
    spectrum: Array,
    places: Array,
    padded_signal: Array,
    start: Array,
    lines: int,
    model: Pack,
    bounds: Array,
    limits: Pack,
    bank: Pack,
    scratch: Pack,
    best: Array,
    state: Array,
) -> None:
    """Fit `lines` lines from every start worth trying; the best parameters end up in `best`, its quality in `state`.

    `state` is as in `try_start`; chi2 stays inf where no start led anywhere.
    """
    _, _, _, _, _, padded, corr, found, _ = scratch
    level = model[3]
    state[0], state[1], state[2] = np.inf, np.inf, 0.0
    order = np.empty(lines, np.int64)
    for attempt in range(-1, 5):
        settled = state[0] < OVERLAPPING
        if settled and (attempt > 1 or (attempt == 1 and only_dips(best, lines, level))):
            break
        if attempt == 4 and lines < 2:
            break
        if attempt < 0 and start.shape[1] != lines:
            continue
        copy(padded_signal, padded_signal.shape[0], padded)
        if attempt < 0:
            count = lines
            copy(start[0], lines, found[1])
            copy(start[1], lines, found[2])
        elif attempt == 2:
            count = grow(spectrum, places, lines, model, bounds, limits, bank, scratch)
        elif attempt == 3:
            count = peel(bank, bank[3], padded, corr, 0.35, False, found[:, :lines])
        elif attempt < 2:
            # widths near the guess only: wide templates see the space between lines as well
            count = peel(bank, bank[4], padded, corr, 1.0, attempt == 0, found[:, :lines])
        else:
            # the strongest feature may be two lines: start with both halves of it
            count = peel(bank, bank[3], padded, corr, 1.0, False, found[:, : lines - 1])
            found[1, count] = found[1, 0] + 0.3 * found[2, 0]
            found[2, count] = found[2, 0]
            found[1, 0] -= 0.3 * found[2, 0]
            count += 1
        for k in range(count, lines):
            found[0, k] = 0.0
            found[1, k] = limits[0][0] + (limits[0][1] - limits[0][0]) * (k + 0.5) / lines
            found[2, k] = limits[4]
        sort_found(found, lines)
        if 0 <= attempt < 2 and settled and same_basin(best, lines, level, found[1], order):
            continue
        try_start(spectrum, found[1], found[2], lines, model, bounds, limits, scratch, best, state)
    if np.isfinite(state[1]):
        replace_weakest(spectrum, places, lines, model, bounds, limits, bank, scratch, best, state)
