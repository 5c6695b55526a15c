"""Drivers of the robust fit: choose starts, take out lines, write the planes of every pixel."""

from __future__ import annotations

import numpy as np

from analyzers.kernels.codes import (
    BAD_FRAME,
    LOW_SNR,
    NOT_CONVERGED,
    NOT_YET_MEASURED,
    OK,
    OUT_OF_WINDOW,
    OVERLAP,
    Array,
    Pack,
)
from analyzers.kernels.compiled import kernel
from analyzers.kernels.judge import NEAR, PROOF, assign_slots, judge_doublets, nearest, only_dips, order_by_centre
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


@kernel
def without_line(theta: Array, lines: int, level: int, k: int, merge: int, out: Array) -> None:
    """Copy the parameters without line k; line `merge` (>= 0) takes its place too, as the blend of both."""
    kept = 0
    copy(theta, level, out)
    for j in range(lines):
        if j == k:
            continue
        at, to = level + 3 * j, level + 3 * kept
        for c in range(3):
            out[to + c] = theta[at + c]
        if j == merge:
            gone = level + 3 * k
            total = theta[at] + theta[gone]
            share = theta[gone] / total if theta[gone] * theta[at] > 0.0 else 0.0
            out[to] = total
            out[to + 1] += share * (theta[gone + 1] - theta[at + 1])
            out[to + 2] += 0.5 * share * abs(theta[gone + 1] - theta[at + 1])
        kept += 1


@kernel
def worst_line(codes: Array, strength: Array, lines: int) -> int:
    """Return the weakest of the lines that are not significant, -1 where all are."""
    worst = -1
    least = np.inf
    for k in range(lines):
        if codes[k] == LOW_SNR or codes[k] == OVERLAP or codes[k] == NOT_CONVERGED:
            amount = strength[k] if np.isfinite(strength[k]) else 0.0
            if worst < 0 or amount < least:
                worst, least = k, amount
    return worst


@kernel
def closest_pair(theta: Array, strength: Array, lines: int, level: int) -> tuple[int, int]:
    """Return the weaker line of the closest pair of near lines, and the other; -1, -1 where none are near."""
    least = NEAR
    first, second = -1, -1
    for k in range(lines):
        j, distance = nearest(theta, lines, level, k)
        if distance < least:
            least = distance
            first, second = (k, j) if strength[k] < strength[j] else (j, k)
    return first, second


@kernel
def take_out(
    spectrum: Array, lines: int, model: Pack, bounds: Array, limits: Pack, scratch: Pack, best: Array, state: Array
) -> tuple[int, int]:
    """Take out lines that are not significant, one after the other, and fit again.

    Two near lines, however strong each seems, must prove that they are two: the fit with one of them less must be
    clearly worse (PROOF).

    Returns
    -------
    lines left, reason of those taken out (LOW_SNR or OVERLAP). `best` and `state` are updated.
    """
    work, trial, sigma, cov, codes, _, _, _, strength = scratch
    level = model[3]
    reason = LOW_SNR
    while lines > 0:
        reduced = max(1.0, sigmas(spectrum, best, lines, model, work, sigma, cov, strength))
        _, weakest, _ = judge_all(best, sigma, strength, lines, level, limits, codes)
        worst = worst_line(codes, strength, lines)
        other = -1
        if worst < 0 and state[2] != 1.0:
            # a valley without a floor: what is least needed goes
            worst = weakest
        certain = worst >= 0
        if worst < 0:
            worst, other = closest_pair(best, strength, lines, level)
        if worst < 0:
            break
        if codes[worst] == OVERLAP:
            other, _ = nearest(best, lines, level, worst)
        without_line(best, lines, level, worst, other, trial)
        chi2, converged = minimise(spectrum, trial, lines - 1, model, bounds, limits[3], PASSES, work)
        proven = chi2 - state[1] > PROOF * limits[2] * limits[2] * reduced
        if not certain and proven:
            break
        if proven and other >= 0:
            # two lines that cannot be told apart, rather than one that is not there
            reason = OVERLAP
        lines -= 1
        copy(trial, level + 3 * lines, best)
        state[1], state[2] = chi2, 1.0 if converged else 0.0
    return lines, reason


@kernel
def gather(flat: Array, stride: int, order: Array, passes: Array, offset: float, which: Array, out: Array) -> None:
    """Write mean counts (camera offset taken off) of the pixels `which` to `out` (pixels, n), float64."""
    for i in range(order.shape[0]):
        for j in range(which.shape[0]):
            out[j, i] = float(flat[order[i] * stride + which[j]]) / passes[i] - offset


@kernel
def load_pixel(
    values: Array,
    passes: Array,
    saturation: float,
    noise: Pack,
    spectrum: Array,
    places: Array,
    padded_signal: Array,
    frequency: Array,
) -> tuple[int, float]:
    """Turn the mean counts of one pixel into signal and weights.

    Parameters
    ----------
    values
        (n,) mean counts, ascending frequency.
    passes
        (n,) passes of each frequency, > 0.
    saturation
        Mean counts from which a value counts as saturated; 0: not tested.
    noise
        (offset, shot variance per count, read variance per pass), counts.
    spectrum, places
        (4, n) and (n,): filled with the valid points.
    padded_signal
        (n,) signal, 0 at points left out.

    Returns
    -------
    points kept (0: bad pixel), PL0 in counts.
    """
    n = values.shape[0]
    total = 0.0
    highest = -np.inf
    count = 0
    for i in range(n):
        if np.isfinite(values[i]):
            total += values[i]
            count += 1
            highest = max(highest, values[i])
    if count < 0.75 * n:
        return 0, np.nan
    reference = total / count
    if not reference > 0.0 or (saturation > 0.0 and highest >= saturation - noise[0]):
        return 0, reference
    at_top = 0
    kept = 0
    for i in range(n):
        padded_signal[i] = 0.0
        if not np.isfinite(values[i]):
            continue
        if values[i] == highest:
            at_top += 1
        signal = values[i] / reference - 1.0
        padded_signal[i] = signal
        # the pixel's mean level gives the weight: the counts themselves would pull lines by 1 / electrons, and below
        # 20 % contrast weigh less than 1 % more efficiently
        variance = (noise[1] * reference + noise[2]) / passes[i]
        spectrum[0, kept] = frequency[0, i]
        spectrum[1, kept] = frequency[1, i]
        spectrum[2, kept] = signal
        spectrum[3, kept] = reference * reference / variance
        places[kept] = i
        kept += 1
    # a dead or clipped pixel repeats its highest value; photon noise would not
    if at_top > 0.25 * n and (noise[1] * reference + noise[2]) * passes[0] > 4.0:
        return 0, reference
    return kept, reference


@kernel
def write_lines(
    theta: Array,
    lines: int,
    model: Pack,
    span: float,
    sigma: Array,
    cov: Array,
    codes: Array,
    found_order: Array,
    slots: Array,
    pixel: int,
    planes: Pack,
    half_span: float,
) -> None:
    """Write the lines that are OK into their slots."""
    centre, centre_sigma, fwhm, fwhm_sigma, contrast, contrast_sigma, line_status = planes
    level = model[3]
    for j in range(slots.shape[0]):
        k = found_order[j]
        at = level + 3 * k
        base = 1.0 + theta[0]
        if level > 1:
            base += theta[1] * (theta[at + 1] - span) / half_span
        s = slots[j]
        contrast[s, pixel] = theta[at] / base
        contrast_sigma[s, pixel] = sigma[at] / abs(base)
        centre[s, pixel] = theta[at + 1]
        centre_sigma[s, pixel] = sigma[at + 1]
        fwhm[s, pixel] = theta[at + 2]
        fwhm_sigma[s, pixel] = sigma[at + 2]
        line_status[s, pixel] = codes[k]


@kernel
def fit_pixels(
    values: Array,
    which: Array,
    passes: Array,
    frequency: Array,
    noise: Pack,
    saturation: float,
    total_lines: int,
    model: Pack,
    limits: Pack,
    bounds: Array,
    bank: Pack,
    start: Array,
    pairs: Array,
    preferred: Array,
    out: Pack,
) -> None:
    """Fit the pixels listed in `which` and write their planes.

    Parameters
    ----------
    values, which
        (pixels, n) mean counts as made by `gather`, and the pixels' numbers in the planes.
    passes
        (n,) float64.
    frequency
        (2, n): MHz, and u = -1 ... 1.
    noise, saturation
        As in `load_pixel`.
    total_lines, model, limits, bounds, bank
        limits = (window, fwhm limits, threshold, tolerance, fwhm guess); bank as made by `make_bank` with the scores of
        the templates at the width guess (0 for others) appended.
    start
        (2, lines) guesses and their widths, or (2, 0).
    pairs, preferred
        (doublets, 2); (lines,) line numbers in order of preference.
    out
        (line planes (6 + status), pair correlation, baseline, slope, chi2, doublet status, status).
    """
    n = values.shape[1]
    level = model[3]
    p = level + 3 * total_lines
    spectrum_all = np.empty((4, n))
    places_all = np.empty(n, np.int64)
    padded_signal = np.empty(n)
    best = np.empty(p)
    sigma = np.empty(p)
    cov = np.empty((p, p))
    codes = np.empty(total_lines, np.int64)
    scratch = (
        np.zeros((4, max(p, 5), p)), np.empty(p), sigma, cov, codes, np.empty(n), np.empty(bank[1].shape[0]),
        np.empty((3, total_lines)), np.empty(total_lines),
    )  # fmt: skip
    order = np.empty(total_lines, np.int64)
    slots = np.empty(total_lines, np.int64)
    middle = 0.5 * (limits[0][0] + limits[0][1])
    half_span = 0.5 * (limits[0][1] - limits[0][0])
    line_planes, pair_correlation, baseline, slope, chi2_plane, doublet_status, status = out
    state = np.empty(3)
    for row in range(which.shape[0]):
        pixel = which[row]
        for s in range(total_lines):
            for plane in line_planes[:6]:
                plane[s, pixel] = np.nan
        pair_correlation[:, pixel] = np.nan
        kept, reference = load_pixel(
            values[row], passes, saturation, noise, spectrum_all, places_all, padded_signal, frequency
        )
        baseline[pixel] = reference
        slope[pixel] = np.nan
        chi2_plane[pixel] = np.nan
        if kept < p + 2:
            code = BAD_FRAME if kept == 0 else NOT_YET_MEASURED
            line_planes[6][:, pixel] = code
            doublet_status[:, pixel] = code
            status[pixel] = code
            continue
        spectrum = spectrum_all[:, :kept]
        places = places_all[:kept]
        search(spectrum, places, padded_signal, start, total_lines, model, bounds, limits, bank, scratch, best, state)
        lines = total_lines
        reason = LOW_SNR
        if np.isfinite(state[1]):
            lines, reason = take_out(spectrum, lines, model, bounds, limits, scratch, best, state)
        finish_pixel(
            spectrum, best, lines, total_lines, model, limits, scratch, start, pairs, preferred, pixel, reference,
            (state, reason), (order, slots, middle, half_span), out,
        )  # fmt: skip


@kernel
def finish_pixel(
    spectrum: Array,
    best: Array,
    lines: int,
    total_lines: int,
    model: Pack,
    limits: Pack,
    scratch: Pack,
    start: Array,
    pairs: Array,
    preferred: Array,
    pixel: int,
    reference: float,
    judged: Pack,
    tools: Pack,
    out: Pack,
) -> None:
    """Judge the final parameters of one pixel and write its planes."""
    state, reason = judged
    order, slots, middle, half_span = tools
    line_planes, pair_correlation, baseline, slope, chi2_plane, doublet_status, status = out
    work, _, sigma, cov, codes, _, _, _, strength = scratch
    level = model[3]
    if not (np.isfinite(state[1]) and state[2] == 1.0):
        line_planes[6][:, pixel] = NOT_CONVERGED
        doublet_status[:, pixel] = NOT_CONVERGED
        status[pixel] = NOT_CONVERGED
        return
    reduced = sigmas(spectrum, best, lines, model, work, sigma, cov, strength)
    judge_all(best, sigma, strength, lines, level, limits, codes)
    order_by_centre(best, lines, level, order)
    found = 0
    centres = np.empty(total_lines)
    for j in range(lines):
        k = order[j]
        if codes[k] == OK:
            order[found] = k
            centres[found] = best[level + 3 * k + 1]
            found += 1
        elif codes[k] == OUT_OF_WINDOW:
            reason = OUT_OF_WINDOW
    if found == 0 and reason == OVERLAP:
        reason = LOW_SNR
    line_planes[6][:, pixel] = reason
    assign_slots(centres, found, start[0], total_lines, preferred, slots)
    write_lines(best, lines, model, middle, sigma, cov, codes, order, slots[:found], pixel, line_planes, half_span)
    for d in range(pairs.shape[0]):
        low = -1
        high = -1
        for j in range(found):
            if slots[j] == pairs[d, 0]:
                low = level + 3 * order[j] + 1
            if slots[j] == pairs[d, 1]:
                high = level + 3 * order[j] + 1
        if low >= 0 and high >= 0:
            pair_correlation[d, pixel] = cov[low, high] / (sigma[low] * sigma[high])
    baseline[pixel] = reference * (1.0 + best[0])
    slope[pixel] = best[1] / ((1.0 + best[0]) * half_span) if level > 1 else 0.0
    chi2_plane[pixel] = reduced
    status[pixel] = judge_doublets(
        pairs, line_planes[6][:, pixel], line_planes[4][:, pixel], start.shape[1] > 0, doublet_status[:, pixel]
    )
