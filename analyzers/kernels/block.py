"""The fast fit: blocks of sixteen pixels in float32, matched-filter starts; what is not clean goes to `robust`.

A pixel's result never depends on its neighbours in the block: lanes are independent, a lane that is done stays as it
is, and the last block is filled up by repeating its last pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.kernels.codes import OK, Array, Pack
from analyzers.kernels.compiled import kernel
from analyzers.kernels.judge import NEAR, judge_doublets, judge_line, nearest, only_dips, order_by_centre
from analyzers.kernels.lanes import WIDTH
from analyzers.kernels.programs import CHUNK, accumulate, advance, correlate_block, residuals, strongest, uncertainty

PASSES = 12
"""Most passes of a block; pixels not done by then go to the robust path."""
EXCLUSION = np.float32(0.7)
"""Least distance of two first guesses, in widths of the stronger."""


@kernel
def load_block(
    flat: Array,
    stride: int,
    order: Array,
    first: int,
    pixels: int,
    inverse_passes: Array,
    roots: Array,
    noise: Pack,
    signal: Array,
    reference: Array,
    good: Array,
) -> None:
    """Turn the sums of sixteen pixels into signals times the weight root.

    Parameters
    ----------
    flat, stride
        Sums as one contiguous array, and the distance between two frequencies' planes.
    order
        (n,) planes by ascending frequency.
    first, pixels
        First pixel of the block, pixels of the band.
    inverse_passes, roots
        (n,) float32: 1 / passes, and weight roots.
    noise
        (offset, shot variance per count, read variance per pass, saturation), counts.
    signal, reference, good
        Outputs: (n, 16), (16,) mean counts, (16,) whether the pixel is one for the fast path.
    """
    n = order.shape[0]
    count = min(WIDTH, pixels - first)
    total = np.zeros(WIDTH, np.float32)
    top = np.full(WIDTH, np.float32(-np.inf))
    offset = np.float32(noise[0])
    for i in range(n):
        at = order[i] * stride + first
        scale = inverse_passes[i]
        if count == WIDTH:
            for j in range(WIDTH):
                signal[i, j] = np.float32(flat[at + j]) * scale - offset
        else:
            for j in range(WIDTH):
                signal[i, j] = np.float32(flat[at + min(j, count - 1)]) * scale - offset
        for j in range(WIDTH):
            total[j] += signal[i, j]
            top[j] = max(top[j], signal[i, j])
    inverse = np.empty(WIDTH, np.float32)
    for j in range(WIDTH):
        mean = total[j] / np.float32(n)
        reference[j] = mean
        inverse[j] = np.float32(1.0) / mean
        good[j] = mean > np.float32(0.0) and mean < np.float32(np.inf)
        if noise[3] > 0.0 and top[j] >= noise[3] - noise[0]:
            good[j] = False
    repeated = np.zeros(WIDTH, np.float32)
    for i in range(n):
        root = roots[i]
        for j in range(WIDTH):
            value = signal[i, j]
            repeated[j] += np.float32(1.0) if value == top[j] else np.float32(0.0)
            signal[i, j] = (value * inverse[j] - np.float32(1.0)) * root
    for j in range(WIDTH):
        if not good[j] or repeated[j] > np.float32(0.25) * np.float32(n):
            good[j] = False
            for i in range(n):
                signal[i, j] = np.float32(0.0)


@kernel
def set_rows(array: Array, rows: int, value: np.float32) -> None:
    """Set the first rows of an (m, 16) array."""
    for a in range(rows):
        for j in range(WIDTH):
            array[a, j] = value


@kernel
def pick_lines(
    bank: Pack,
    scores: Array,
    corr: Array,
    taken: Array,
    side: Array,
    choice: Array,
    trial: Array,
    level: int,
    width: np.float32,
    lines_tag: Array,
) -> None:
    """Peel the lines of sixteen pixels off their correlations, as `matched.peel` does, and write them to `trial`."""
    _, centres, widths, score, _, gram = bank
    lines = len(lines_tag)
    m = corr.shape[0]
    set_rows(taken, taken.shape[0], np.float32(0.0))
    for k in range(lines):
        strongest(corr, scores, centres, m, taken, side, choice, lines_tag)
        at = level + 3 * k
        for j in range(WIDTH):
            t = int(choice[0, j])
            if t < 0:
                trial[at, j] = np.float32(0.0)
                trial[at + 1, j] = centres[0] * (np.float32(1.0) - np.float32(2 * k + 1) / np.float32(lines))
                trial[at + 2, j] = width
                continue
            amplitude = corr[t, j] * score[t]
            trial[at, j] = amplitude
            trial[at + 1, j] = centres[t] + top_of_parabola(corr, score, centres, widths, t, j)
            trial[at + 2, j] = widths[t]
            taken[k, j] = centres[t]
            taken[lines + k, j] = EXCLUSION * widths[t]
            if k < lines - 1:
                for i in range(m):
                    corr[i, j] -= amplitude * gram[t, i]


@kernel
def top_of_parabola(corr: Array, score: Array, centres: Array, widths: Array, t: int, j: int) -> np.float32:
    """Return how far from template t the filter's output has its top, MHz: near it, it is a parabola."""
    zero = np.float32(0.0)
    if t == 0 or t == corr.shape[0] - 1 or widths[t - 1] != widths[t] or widths[t + 1] != widths[t]:
        return zero
    if score[t - 1] <= zero or score[t + 1] <= zero:
        return zero
    left = corr[t - 1, j] * np.sqrt(score[t - 1])
    mid = corr[t, j] * np.sqrt(score[t])
    right = corr[t + 1, j] * np.sqrt(score[t + 1])
    bend = left - mid - mid + right
    if not bend * mid < zero:
        return zero
    half = np.float32(0.5)
    return min(max(half * (left - right) / bend, -half), half) * (centres[t + 1] - centres[t])


@kernel
def warm_start(warm: Array, first: int, pixels: int, middle: float, trial: Array, level: int) -> None:
    """Start from an earlier result; a pixel without one gets no amplitude and soon another start."""
    for j in range(WIDTH):
        pixel = min(first + j, pixels - 1)
        for k in range(warm.shape[1]):
            at = level + 3 * k
            known = np.isfinite(warm[0, k, pixel])
            trial[at, j] = warm[2, k, pixel] if known else np.float32(0.0)
            trial[at + 1, j] = warm[0, k, pixel] - middle if known else np.float32(0.0)
            trial[at + 2, j] = warm[1, k, pixel] if known else np.float32(10.0)


@kernel
def mask_lines(theta: Array, variance: Array, lines: int, level: int, taken: Array) -> None:
    """Mark all lines but the weakest: what the fit leaves beside them is their shape, not another line."""
    held = variance.shape[0] - lines
    for j in range(WIDTH):
        weakest = 0
        for k in range(1, lines):
            here, there = theta[level + 3 * k, j], theta[level + 3 * weakest, j]
            if here * here * variance[held + weakest, j] < there * there * variance[held + k, j]:
                weakest = k
        for k in range(lines):
            taken[k, j] = theta[level + 3 * k + 1, j]
            taken[lines + k, j] = np.float32(0.0) if k == weakest else np.float32(NEAR) * theta[level + 3 * k + 2, j]


@kernel
def iterate(
    signal: Array,
    grid: Array,
    offsets: Array,
    baseline: Array,
    limits: Pack,
    trial: Array,
    theta: Array,
    trial_sums: Array,
    sums: Array,
    state: Array,
    scratch: Array,
    tags: Pack,
) -> None:
    """Run Levenberg-Marquardt passes until all sixteen are done or PASSES are over."""
    lines_tag, level_tag, parts_tag, shape_tag = tags
    bounds, stop = limits
    for _ in range(PASSES):
        accumulate(
            signal, grid, signal.shape[0], offsets, baseline, trial, trial_sums, scratch,
            lines_tag, level_tag, parts_tag, shape_tag,
        )  # fmt: skip
        advance(trial_sums, sums, theta, trial, state, bounds, stop, lines_tag, level_tag, shape_tag)
        finished = np.float32(0.0)
        for j in range(WIDTH):
            finished += state[1, j]
        if finished == np.float32(WIDTH):
            break


@kernel
def write_pixel(
    theta: Array,
    sigma: Array,
    order: Array,
    lines: int,
    level: int,
    middle: float,
    half_span: float,
    pixel: int,
    planes: Pack,
) -> None:
    """Write the lines of a clean pixel, ascending."""
    centre, centre_sigma, fwhm, fwhm_sigma, contrast, contrast_sigma, line_status = planes
    for s in range(lines):
        at = level + 3 * order[s]
        base = 1.0 + theta[0]
        if level > 1:
            base += theta[1] * theta[at + 1] / half_span
        contrast[s, pixel] = theta[at] / base
        contrast_sigma[s, pixel] = sigma[at] / base
        centre[s, pixel] = middle + theta[at + 1]
        centre_sigma[s, pixel] = sigma[at + 1]
        fwhm[s, pixel] = theta[at + 2]
        fwhm_sigma[s, pixel] = sigma[at + 2]
        line_status[s, pixel] = OK


@kernel
def judge_lane(
    theta: Array, sigma: Array, strength: Array, lines: int, level: int, limits: Pack, guesses: Array
) -> tuple[bool, float]:
    """Return whether every line of a lane is OK (and near its guess, if there is one), and the least strength."""
    least = np.inf
    half = 0.5 * (limits[0][1] - limits[0][0])
    centred = ((-half, half), limits[1], limits[2], limits[3], limits[4])
    clean = True
    for k in range(lines):
        clean = clean and judge_line(theta, sigma, strength, lines, level, k, centred) == OK
        clean = clean and nearest(theta, lines, level, k)[1] >= NEAR
        least = min(least, strength[k])
    if clean and guesses.shape[0] == lines:
        order = np.empty(lines, np.int64)
        order_by_centre(theta, lines, level, order)
        middle = 0.5 * (limits[0][1] + limits[0][0])
        for s in range(lines):
            clean = clean and abs(theta[level + 3 * order[s] + 1] + middle - guesses[s]) < 4.0 * limits[4]
    return clean, least


@kernel
def load_blocks(
    flat: Array,
    stride: int,
    order: Array,
    first: int,
    last: int,
    inverse_passes: Array,
    roots: Array,
    noise: Pack,
    signals: Array,
    references: Array,
    good: Array,
) -> None:
    """Load pixels first ... last - 1 block by block: signals (blocks, n, 16), references and good (blocks, 16)."""
    for start in range(first, last, WIDTH):
        b = (start - first) // WIDTH
        load_block(flat, stride, order, start, last, inverse_passes, roots, noise, signals[b], references[b], good[b])


def make_workspace(lines: int, level: int, points: int, templates: int) -> tuple[NDArray[Any], ...]:
    """Return the arrays `fit_blocks` works in: one set for each thread."""
    p = level + 3 * lines
    sums = p * (p + 1) // 2 + p + 1
    shapes = [points, templates, p, p, sums, sums, 3, p + lines * (lines + 1) // 2, CHUNK * (p + 1), 2 * lines, 2, 1]
    singles = [np.zeros((rows, WIDTH), np.float32) for rows in shapes]
    return *singles, np.zeros((WIDTH, p)), np.zeros((WIDTH, p)), np.zeros((4, WIDTH)), np.zeros(WIDTH, np.bool_)


@kernel
def fit_blocks(
    loaded: Pack,
    first: int,
    last: int,
    tables: Pack,
    noise: Pack,
    limits: Pack,
    bank: Pack,
    guesses: Array,
    warm: Array,
    pairs: Array,
    work: Pack,
    out: Pack,
    stragglers: Array,
    tags: Pack,
) -> int:
    """Fit pixels first ... last - 1 block by block.

    Parameters
    ----------
    loaded
        (signals (blocks, n, 16), references (blocks, 16), good (blocks, 16)) of `load_blocks`.
    tables
        (grid, offsets, baseline sums, bounds, stop, sides of `strongest`: dips only, any), float32.
    noise
        (offset, shot, read, saturation, passes per unit weight, measured frequencies).
    limits
        (window, width limits, significance, tolerance, width guess).
    bank
        (tiles (m / 8, n, 8), centres (m,), widths (m,), score (m,), the same at the width guess only, gram (m, m)),
        float32.
    guesses
        (lines,) MHz, or (0,).
    warm
        (3, lines, pixels) centre, fwhm, contrast of an earlier result, or (3, 0, 0).
    work
        As made by `make_workspace`.
    out
        Planes as in `robust.fit_pixels`.
    stragglers
        (pixels,) output: numbers of the pixels that need the robust path.

    Returns
    -------
    how many stragglers there are.
    """
    signals, references, goods = loaded
    grid, offsets, baseline_sums, bounds, stop, dips, anything = tables
    rest, corr, trial, theta, trial_sums, sums, state, variance, scratch, taken, choice, chi2 = work[:12]
    lane_theta, lane_sigma, facts, open_lanes = work[12:]
    least_chi2 = chi2[0]
    lines_tag, level_tag, _, _ = tags
    lines, level = len(lines_tag), len(level_tag)
    p = level + 3 * lines
    n = noise[5]
    padded = grid.shape[0]
    sums_rows = sums.shape[0]
    window, width_guess = limits[0], np.float32(limits[4])
    middle, half_span = 0.5 * (window[0] + window[1]), 0.5 * (window[1] - window[0])
    count = 0
    for start in range(first, last, WIDTH):
        b = (start - first) // WIDTH
        signal, reference, good = signals[b], references[b], goods[b]
        for j in range(WIDTH):
            open_lanes[j] = good[j]
            least_chi2[j] = np.float32(np.inf)
        for attempt in range(0 if warm.shape[1] == lines else 1, 3):
            if attempt == 0:
                set_rows(trial, level, np.float32(0.0))
                warm_start(warm, start, last, middle, trial, level)
            else:
                set_rows(trial, level, np.float32(0.0))
                correlate_block(bank[0], corr.shape[0], padded, signal, corr)
                # dips of any width; then, of the width guessed, peaks too
                scores, side = (bank[3], dips) if attempt == 1 else (bank[4], anything)
                pick_lines(bank, scores, corr, taken, side, choice, trial, level, width_guess, lines_tag)
            for a in range(p):
                for j in range(WIDTH):
                    theta[a, j] = trial[a, j]
            for j in range(WIDTH):
                sums[sums_rows - 1, j] = np.float32(np.inf)
                state[0, j] = np.float32(1e-2)
                state[2, j] = np.float32(1.0)
                state[1, j] = np.float32(0.0) if open_lanes[j] else np.float32(1.0)
            iterate(
                signal, grid, offsets, baseline_sums, (bounds, stop), trial, theta, trial_sums, sums, state, scratch,
                tags,
            )  # fmt: skip
            uncertainty(sums, theta, variance, lines_tag, level_tag, tags[3])
            check = measure_block(
                theta, variance, sums, state, open_lanes, reference, noise, limits, guesses, n, lines, level,
                (lane_theta, lane_sigma, facts),
            )  # fmt: skip
            if check:
                residuals(signal, grid, padded, offsets, theta, rest, lines_tag, level_tag, tags[2], tags[3])
                correlate_block(bank[0], corr.shape[0], padded, rest, corr)
                mask_lines(theta, variance, lines, level, taken)
                strongest(corr, bank[3], bank[1], corr.shape[0], taken, anything, choice, lines_tag)
            left = False
            for j in range(WIDTH):
                if not open_lanes[j]:
                    continue
                clean = facts[0, j] > 0.0
                if clean and facts[3, j] > 0.0:
                    clean = choice[1, j] / facts[2, j] <= facts[3, j]
                if clean and attempt == 1:
                    clean = only_dips(lane_theta[j], lines, level)
                # a start that may take peaks must do better than the one that took dips only
                if not (clean and sums[sums_rows - 1, j] < least_chi2[j]):
                    left = True
                    least_chi2[j] = min(least_chi2[j], sums[sums_rows - 1, j])
                    continue
                open_lanes[j] = False
                if start + j < last:
                    finish_lane(
                        lane_theta[j], lane_sigma[j], variance[:, j], facts[:, j], reference[j], lines, level,
                        (middle, half_span), pairs, start + j, out,
                    )  # fmt: skip
            if not left:
                break
        for j in range(min(WIDTH, last - start)):
            if open_lanes[j] or not good[j]:
                stragglers[count] = start + j
                count += 1
    return count


@kernel
def measure_block(
    theta: Array,
    variance: Array,
    sums: Array,
    state: Array,
    good: Array,
    reference: Array,
    noise: Pack,
    limits: Pack,
    guesses: Array,
    n: int,
    lines: int,
    level: int,
    lanes: Pack,
) -> bool:
    """Turn a block's result into parameters and sigmas per lane.

    `lanes` is (theta (16, p), sigma (16, p), facts (4, 16)); facts: clean, reduced chi2, variance of the signal at
    weight 1, largest chi2 that may hide in the residual (0: nothing can). Returns whether any lane needs its residual
    looked at.
    """
    lane_theta, lane_sigma, facts = lanes
    p = level + 3 * lines
    strength = np.empty(lines)
    check = False
    for j in range(WIDTH):
        facts[0, j] = 0.0
        facts[3, j] = 0.0
        if not good[j] or state[1, j] != np.float32(1.0):
            continue
        mean = float(reference[j])
        unit = (noise[1] * mean + noise[2]) / (mean * mean * noise[4])
        chi2 = float(sums[sums.shape[0] - 1, j]) / unit
        reduced = chi2 / max(1, n - p)
        scale = unit * max(1.0, reduced)
        facts[1, j] = reduced
        facts[2, j] = unit
        for a in range(p):
            lane_theta[j, a] = theta[a, j]
            lane_sigma[j, a] = np.sqrt(variance[a, j] * scale)
        for k in range(lines):
            held = variance[p + lines * (lines - 1) // 2 + k, j] * scale
            strength[k] = abs(lane_theta[j, level + 3 * k]) / np.sqrt(held)
        clean, least = judge_lane(lane_theta[j], lane_sigma[j], strength, lines, level, limits, guesses)
        if not clean:
            continue
        facts[0, j] = 1.0
        allowed = max(least * least * max(1.0, reduced), limits[2] * limits[2])
        # a feature that strong would show in chi2: look only where there is room for it
        if chi2 - (n - p) + 4.0 * np.sqrt(2.0 * (n - p)) > allowed:
            facts[3, j] = allowed
            check = True
    return check


@kernel
def finish_lane(
    theta: Array,
    sigma: Array,
    variance: Array,
    facts: Array,
    reference: float,
    lines: int,
    level: int,
    frame: Pack,
    pairs: Array,
    pixel: int,
    out: Pack,
) -> None:
    """Write the planes of one clean pixel."""
    middle, half_span = frame
    line_planes, pair_correlation, baseline, slope, chi2_plane, doublet_status, status = out
    p = level + 3 * lines
    order = np.empty(lines, np.int64)
    order_by_centre(theta, lines, level, order)
    write_pixel(theta, sigma, order, lines, level, middle, half_span, pixel, line_planes)
    for d in range(pairs.shape[0]):
        low, high = order[pairs[d, 0]], order[pairs[d, 1]]
        a, b = min(low, high), max(low, high)
        product = np.sqrt(float(variance[level + 3 * a + 1]) * float(variance[level + 3 * b + 1]))
        pair_correlation[d, pixel] = variance[p + b * (b - 1) // 2 + a] / product
    baseline[pixel] = reference * (1.0 + theta[0])
    slope[pixel] = theta[1] / ((1.0 + theta[0]) * half_span) if level > 1 else 0.0
    chi2_plane[pixel] = facts[1]
    status[pixel] = judge_doublets(
        pairs, line_planes[6][:, pixel], line_planes[4][:, pixel], True, doublet_status[:, pixel]
    )
