"""The fast fit: blocks of sixteen pixels in float32, matched-filter starts; what is not clean goes to `robust`.

A pixel's result never depends on its neighbours in the block: lanes are independent, a lane that is done stays as it
is, and the last block is filled up by repeating its last pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.kernels.codes import OK, Array, Pack
from analyzers.kernels.compiled import kernel
from analyzers.kernels.filters import bin_lanes, correlate_block, leading, load_lanes, strongest, subtract
from analyzers.kernels.judge import NEAR
from analyzers.kernels.lanes import WIDTH
from analyzers.kernels.programs import CHUNK, accumulate, residuals, slopes
from analyzers.kernels.steps import advance, uncertainty
from analyzers.kernels.verdict import result_rows, verdict

PASSES = 12
"""Most passes of a block over the whole list; pixels not done by then go to the robust path."""
COARSE_PASSES = 8
"""Most passes over the binned list before."""
EXCLUSION = np.float32(0.7)
"""Least distance of two first guesses, in widths of the stronger."""


@kernel
def load_blocks(
    flat: Array, stride: int, order: Array, first: int, last: int, scales: Array, limits: Array, loaded: Pack
) -> None:
    """Load pixels first ... last - 1 block by block: signals (blocks, n, 16) and facts (blocks, 2, 16)."""
    signals, facts, tail = loaded
    n = order.shape[0]
    for start in range(first, last, WIDTH):
        b = (start - first) // WIDTH
        if start + WIDTH <= last:
            load_lanes(flat, start, stride, order, scales, limits, signals[b], facts[b])
            continue
        for i in range(n):
            for j in range(WIDTH):
                tail[i * WIDTH + j] = flat[order[i] * stride + min(start + j, last - 1)]
        load_lanes(tail, 0, WIDTH, np.arange(n), scales, limits, signals[b], facts[b])


def make_workspace(lines: int, level: int, doublets: int, points: int, bins: int, templates: int) -> tuple[Any, ...]:
    """Return the arrays `fit_blocks` works in: one set for each thread."""
    p = level + 3 * lines
    sums = p * (p + 1) // 2 + p + 1
    work_rows = (points, bins, templates, p, p, sums, sums, 3, CHUNK * (p + 1))
    rows = (p + lines * (lines + 1) // 2, 2 * lines, 5, result_rows(lines, doublets), 4)
    return tuple(np.zeros((count, WIDTH), np.float32) for count in (*work_rows, *rows))


@kernel
def pick_lines(bank: Pack, scores: Array, corr: Array, rooms: Pack, side: Array, trial: Array, level: int) -> None:
    """Peel the lines of sixteen pixels off their correlations, as `matched.peel` does, and write them to `trial`."""
    _, templates, _, _, gram = bank
    taken, choice, lines_tag = rooms
    lines = len(lines_tag)
    for k in range(2 * lines):
        for j in range(WIDTH):
            taken[k, j] = np.float32(0.0)
    for k in range(lines):
        strongest(corr, templates, scores, taken, side, choice, lines_tag)
        at = level + 3 * k
        for j in range(WIDTH):
            if choice[0, j] < 0:
                # nothing to be seen: spread what is left over the list
                share = np.float32(1.0) - np.float32(2 * k + 1) / np.float32(lines)
                choice[2, j] = np.float32(0.0)
                choice[3, j] = templates[0, 0] * share
                choice[4, j] = templates[0, 1]
            trial[at, j] = choice[2, j]
            trial[at + 1, j] = choice[3, j]
            trial[at + 2, j] = choice[4, j]
            taken[k, j] = choice[3, j]
            taken[lines + k, j] = EXCLUSION * choice[4, j]
        if k < lines - 1:
            subtract(corr, gram, choice)


@kernel
def warm_start(warm: Array, start: int, last: int, middle: np.float32, trial: Array, level: int) -> None:
    """Start from an earlier result; a pixel without one gets no amplitude and soon another start."""
    for j in range(WIDTH):
        pixel = min(start + j, last - 1)
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
def iterate(data: Pack, passes: int, borrow: int, limits: Pack, state_of: Pack, tags: Pack) -> None:
    """Run Levenberg-Marquardt passes over the data until all sixteen are done or the passes are over.

    Parameters
    ----------
    data
        (signal (n, 16), grid (n, 4), baseline sums (3,)).
    borrow
        Number of the pass that computes the gradient only and takes the matrix as it stands in `sums`: that of the
        binned list, or of the pass before. The same for all lanes, whatever their neighbours need. -1: none.
    limits
        (bounds, stop, stiffness) as in `steps.advance`.
    state_of
        (offsets, trial, theta, trial sums, sums, state, scratch); lanes that `state` says are done stay as they are.
    """
    lines_tag, level_tag, parts_tag, shape_tag = tags
    signal, grid, baseline = data
    bounds, stop, stiffness = limits
    offsets, trial, theta, trial_sums, sums, state, scratch = state_of
    n = signal.shape[0]
    for turn in range(passes):
        if turn == borrow:
            for m in range(sums.shape[0]):
                for j in range(WIDTH):
                    trial_sums[m, j] = sums[m, j]
            slopes(signal, grid, n, offsets, trial, trial_sums, lines_tag, level_tag, parts_tag, shape_tag)
        else:
            accumulate(
                signal,
                grid,
                n,
                offsets,
                baseline,
                trial,
                trial_sums,
                scratch,
                lines_tag,
                level_tag,
                parts_tag,
                shape_tag,
            )
        advance(trial_sums, sums, theta, trial, state, bounds, stop, stiffness, lines_tag, level_tag, shape_tag)
        finished = np.float32(0.0)
        for j in range(WIDTH):
            finished += state[1, j]
        if finished == np.float32(WIDTH):
            break


@kernel
def sharpen(theta: Array, blur: Array, level: int, out: Array) -> None:
    """Write the parameters with what binning does to lines undone: it makes them wider and shallower.

    `blur` is (3,): the mean variance of a bin's points, MHz^2, and how much of it, over the width squared, goes into
    the width and the amplitude.
    """
    for a in range(theta.shape[0]):
        for j in range(WIDTH):
            out[a, j] = theta[a, j]
    for a in range(level, theta.shape[0], 3):
        for j in range(WIDTH):
            share = min(blur[0] / (theta[a + 2, j] * theta[a + 2, j]), np.float32(0.05))
            out[a, j] = theta[a, j] * (np.float32(1.0) + blur[2] * share)
            out[a + 2, j] = theta[a + 2, j] * (np.float32(1.0) - blur[1] * share)


@kernel
def begin(trial: Array, theta: Array, sums: Array, state: Array, still_open: Array) -> None:
    """Make a start the best point so far, of unknown chi2; closed lanes count as done."""
    for a in range(theta.shape[0]):
        for j in range(WIDTH):
            theta[a, j] = trial[a, j]
    for j in range(WIDTH):
        sums[sums.shape[0] - 1, j] = np.float32(np.inf)
        state[0, j] = np.float32(1e-2)
        state[1, j] = np.float32(1.0) - still_open[j]
        state[2, j] = np.float32(0.0)


@kernel
def close_lanes(
    flags: Array, choice: Array, results: Array, chi2: Array, lanes: Pack, start: int, last: int, planes: Array
) -> bool:
    """Write the results of the lanes that are clean and close them; return whether any stays open.

    `lanes` is (open (16,), least chi2 so far (16,), whether there is a result already (16,), correlation with the
    strongest template of the guessed width (1, 16): where that is a peak dips alone will not do; whether only dips
    count; whether the residual was looked at). Peaks must lower chi2 clearly.
    """
    still_open, least_chi2, candidate, peaks, dips_only, checked = lanes
    left = False
    everything = start + WIDTH <= last
    for j in range(WIDTH):
        clean = flags[0, j] > 0.0
        if checked and flags[2, j] > 0.0:
            clean = clean and choice[1, j] <= flags[2, j]
        dips = flags[1, j] > 0.0
        better = chi2[j] < (least_chi2[j] if dips else least_chi2[j] - flags[3, j])
        taken = still_open[j] > 0.0 and clean and better and (dips or not dips_only)
        if taken and dips_only and peaks[0, j] > 0.0:
            # a result, but the start that may take peaks has its say
            candidate[j] = np.float32(1.0)
        elif taken or (candidate[j] > 0.0 and not better):
            still_open[j] = np.float32(0.0)
        flags[0, j] = np.float32(2.0) if taken else np.float32(0.0)
        everything = everything and taken
        left = left or still_open[j] > 0.0
        least_chi2[j] = min(least_chi2[j], chi2[j])
    if everything:
        for r in range(results.shape[0]):
            for j in range(WIDTH):
                planes[r, start + j] = results[r, j]
        return left
    for j in range(min(WIDTH, last - start)):
        if flags[0, j] == np.float32(2.0):
            for r in range(results.shape[0]):
                planes[r, start + j] = results[r, j]
    return left


@kernel
def fit_blocks(
    loaded: Pack, first: int, last: int, tables: Pack, bank: Pack, warm: Array, work: Pack, planes: Array, codes: Array,
    stragglers: Array, tags: Pack, pairs_tag: Pack,
) -> int:  # fmt: skip
    """Fit pixels first ... last - 1 block by block.

    Parameters
    ----------
    loaded
        (signals (blocks, n, 16), facts (blocks, 2, 16), ...) of `load_blocks`.
    tables
        (grid, baseline sums, stop) of the whole list, then of the binned one, then (edges, shares) of `bin_lanes`, then
        (offsets, bounds, rules, guesses, pairs, sides of `strongest`: dips only, any; blur), float32; see
        `verdict.verdict` and `sharpen`.
    bank
        (tiles (m / 8, bins, 8), templates (m, 4) as in `filters.strongest`, score (m,), the same at the width guess
        only, gram (m, m)), float32, of the binned list.
    warm
        (3, lines, pixels) centre, fwhm, contrast of an earlier result, or (3, 0, 0).
    work
        As made by `make_workspace`.
    planes
        (6 lines + doublets + 3, pixels) float32 output, as `results` of `verdict.verdict`.
    codes
        (lines + doublets + 1, pixels) uint8 output: status of lines, doublets, pixel.
    stragglers
        (pixels,) output: numbers of the pixels that need the robust path.

    Returns
    -------
    how many stragglers there are.
    """
    whole, binned, (edges, shares), others = tables
    grid, baseline, stop = whole
    coarse_grid, coarse_baseline, coarse_stop = binned
    offsets, bounds, rules, guesses, pairs, dips, anything, blur = others
    (
        rest,
        coarse,
        corr,
        trial,
        theta,
        trial_sums,
        sums,
        state,
        scratch,
        variance,
        taken,
        choice,
        results,
        flags,
    ) = work
    lines_tag, level_tag, parts_tag, shape_tag = tags
    lines, level = len(lines_tag), len(level_tag)
    bins = edges.shape[0] - 1
    chi2 = sums[sums.shape[0] - 1]
    binning = 4 * coarse.shape[0] <= 3 * grid.shape[0]
    parts = (offsets, trial, theta, trial_sums, sums, state, scratch)
    still_open = np.empty(WIDTH, np.float32)
    least_chi2 = np.empty(WIDTH, np.float32)
    peaks = np.zeros((1, WIDTH), np.float32)
    candidate = np.zeros(WIDTH, np.float32)
    stiffness = np.zeros((1, WIDTH), np.float32)
    count = 0
    for start in range(first, last, WIDTH):
        b = (start - first) // WIDTH
        signal, facts = loaded[0][b], loaded[1][b]
        bin_lanes(signal, edges, shares, bins, coarse)
        for j in range(WIDTH):
            unit = (rules[5] * facts[0, j] + rules[6]) / (facts[0, j] * facts[0, j] * rules[7])
            stiffness[0, j] = unit * rules[13]
            still_open[j] = facts[1, j]
            least_chi2[j] = np.float32(np.inf)
            candidate[j] = np.float32(0.0)
        for attempt in range(0 if warm.shape[1] == lines else 1, 3):
            for a in range(level):
                for j in range(WIDTH):
                    trial[a, j] = np.float32(0.0)
            if attempt == 0:
                warm_start(warm, start, last, rules[10], trial, level)
            else:
                correlate_block(bank[0], corr.shape[0], coarse.shape[0], coarse, corr)
                # dips of any width; then, of the width guessed, peaks too
                scores, side = (bank[2], dips) if attempt == 1 else (bank[3], anything)
                leading(corr, bank[3], peaks)
                pick_lines(bank, scores, corr, (taken, choice, lines_tag), side, trial, level)
                if binning:
                    data = (coarse, coarse_grid, coarse_baseline)
                    begin(trial, theta, sums, state, still_open)
                    iterate(data, COARSE_PASSES, -1, (bounds, coarse_stop, stiffness), parts, tags)
                    sharpen(theta, blur, level, trial)
            begin(trial, theta, sums, state, still_open)
            borrow = 1 if attempt == 0 else (0 if binning else -1)
            iterate((signal, grid, baseline), PASSES, borrow, (bounds, stop, stiffness), parts, tags)
            uncertainty(sums, theta, bounds, stiffness, variance, lines_tag, level_tag, shape_tag)
            verdict(
                sums, theta, variance, state, facts, rules, guesses, pairs, results, flags, lines_tag, level_tag,
                pairs_tag,
            )  # fmt: skip
            check = False
            for j in range(WIDTH):
                check = check or (flags[0, j] * still_open[j] > 0.0 and flags[2, j] > 0.0)
            if check:
                residuals(signal, grid, grid.shape[0], offsets, theta, rest, lines_tag, level_tag, parts_tag, shape_tag)
                bin_lanes(rest, edges, shares, bins, rest)
                correlate_block(bank[0], corr.shape[0], coarse.shape[0], rest, corr)
                mask_lines(theta, variance, lines, level, taken)
                strongest(corr, bank[1], bank[2], taken, anything, choice, lines_tag)
            lanes = (still_open, least_chi2, candidate, peaks, attempt == 1, check)
            if not close_lanes(flags, choice, results, chi2, lanes, start, last, planes):
                break
        for j in range(min(WIDTH, last - start)):
            if still_open[j] > 0.0 or facts[1, j] == 0.0:
                stragglers[count] = start + j
                count += 1
        for r in range(codes.shape[0]):
            for j in range(min(WIDTH, last - start)):
                codes[r, start + j] = OK
    return count
