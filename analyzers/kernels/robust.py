"""Drivers of the robust fit: choose starts, take out lines, write the planes of every pixel."""

from __future__ import annotations

import numpy as np
from numba import njit

from analyzers.kernels.codes import BAD_FRAME, LOW_SNR, NOT_CONVERGED, NOT_YET_MEASURED, OK, OUT_OF_WINDOW, OVERLAP
from analyzers.kernels.judge import assign_slots, judge_doublets, order_by_centre
from analyzers.kernels.levmar import minimise
from analyzers.kernels.matched import correlate, exclude_near, peel
from analyzers.kernels.pixel import (
    PASSES,
    judge_all,
    residual_correlation,
    same_basin,
    sigmas,
    sort_found,
    try_start,
)
from analyzers.kernels.shapes import OPTIONS


@njit(**OPTIONS)
def strongest_residual(spectrum, theta, lines, model, bank, places, padded, corr):
    """Return (index of the template, chi2 it would take off) of the strongest feature the model leaves; index -1: none."""
    residual_correlation(spectrum, theta, lines, model, places, bank[0], padded, corr)
    none = np.empty((2, 0))
    j = exclude_near(corr, bank[1], none, bank[3])
    if j < 0:
        return -1, 0.0
    return j, corr[j] * corr[j] * bank[3][j] * spectrum[3].sum() / bank[5]


@njit(**OPTIONS)
def replace_weakest(spectrum, places, lines, model, bounds, limits, bank, scratch, best, state):
    """Where the residual holds more than the weakest line explains, start again with that feature in the line's place."""
    work, trial, sigma, cov, codes, padded, corr, found = scratch
    level = model[3]
    chi2, converged = state
    for _ in range(2):
        reduced = sigmas(spectrum, best, lines, model, work, sigma, cov)
        _, weakest, least = judge_all(best, sigma, lines, level, limits, codes)
        j, strength = strongest_residual(spectrum, best, lines, model, bank, places, padded, corr)
        if j < 0 or not strength > max(least * least * max(1.0, reduced), limits[2] * limits[2]):
            break
        for k in range(lines):
            found[1, k] = best[level + 3 * k + 1]
            found[2, k] = best[level + 3 * k + 2]
        found[1, weakest] = bank[1][j]
        found[2, weakest] = bank[2][j]
        chi2, good, taken = try_start(
            spectrum, found[1], found[2], lines, model, bounds, limits[3], work, trial, best, chi2
        )
        if not taken:
            break
        converged = good
    return chi2, converged


@njit(**OPTIONS)
def search(spectrum, places, padded_signal, start, lines, model, bounds, limits, bank, scratch, best):
    """Fit `lines` lines from every start worth trying; the lowest chi2's parameters end up in `best`.

    Returns
    -------
    chi2, converged
        chi2 is inf where no start led anywhere.
    """
    work, trial, sigma, cov, codes, padded, corr, found = scratch
    level = model[3]
    chi2 = np.inf
    converged = False
    order = np.empty(lines, np.int64)
    if start.shape[1] == lines and lines > 0:
        chi2, good, taken = try_start(
            spectrum, start[0], start[1], lines, model, bounds, limits[3], work, trial, best, chi2
        )
        converged = good
    for attempt in range(3):
        if attempt > 0:
            sigmas(spectrum, best, lines, model, work, sigma, cov)
            bad, _, _ = judge_all(best, sigma, lines, level, limits, codes)
            if np.isfinite(chi2) and converged and bad == 0:
                break
        correlate(bank[0], padded_signal, corr)
        if attempt < 2:
            count = peel(corr, bank[1], bank[2], bank[3], bank[4], 1.0 if attempt == 0 else 0.35, 0, found[:, :lines])
        else:
            if lines < 2:
                break
            # the strongest feature may be two lines: start with both halves of it
            count = peel(corr, bank[1], bank[2], bank[3], bank[4], 1.0, 0, found[:, : lines - 1])
            found[1, count] = found[1, 0] + 0.3 * found[2, 0]
            found[2, count] = found[2, 0]
            found[1, 0] -= 0.3 * found[2, 0]
            count += 1
        for k in range(count, lines):
            found[0, k] = 0.0
            found[1, k] = limits[0][0] + (limits[0][1] - limits[0][0]) * (k + 0.5) / lines
            found[2, k] = limits[4]
        sort_found(found, lines)
        if attempt == 0 and np.isfinite(chi2) and converged and same_basin(best, lines, level, found[1], order):
            continue
        chi2, good, taken = try_start(
            spectrum, found[1], found[2], lines, model, bounds, limits[3], work, trial, best, chi2
        )
        if taken:
            converged = good
    if np.isfinite(chi2):
        chi2, converged = replace_weakest(
            spectrum, places, lines, model, bounds, limits, bank, scratch, best, (chi2, converged)
        )
    return chi2, converged


@njit(**OPTIONS)
def take_out(spectrum, lines, model, bounds, limits, scratch, best, chi2, converged):
    """Take out one insignificant line after the other and fit again.

    Returns
    -------
    lines left, chi2, converged, reason of those taken out (LOW_SNR or OVERLAP).
    """
    work, _, sigma, cov, codes, _, _, _ = scratch
    level = model[3]
    reason = LOW_SNR
    while lines > 0:
        sigmas(spectrum, best, lines, model, work, sigma, cov)
        judge_all(best, sigma, lines, level, limits, codes)
        worst = -1
        least = np.inf
        for k in range(lines):
            if codes[k] == LOW_SNR or codes[k] == OVERLAP or codes[k] == NOT_CONVERGED:
                strength = abs(best[level + 3 * k]) / sigma[level + 3 * k]
                if not np.isfinite(strength):
                    strength = 0.0
                if worst < 0 or strength < least:
                    worst, least = k, strength
        if worst < 0:
            break
        if codes[worst] == OVERLAP:
            reason = OVERLAP
        for k in range(worst, lines - 1):
            for c in range(3):
                best[level + 3 * k + c] = best[level + 3 * (k + 1) + c]
        lines -= 1
        chi2, converged = minimise(spectrum, best, lines, model, bounds, limits[3], PASSES, work)
    return lines, chi2, converged, reason


@njit(**OPTIONS)
def load_pixel(flat, stride, order, pixel, passes, saturation, noise, spectrum, places, padded_signal, frequency):
    """Turn the sums of one pixel into signal and weights.

    Parameters
    ----------
    flat, stride, order
        Sums as one contiguous array, the distance between two frequencies' planes, the planes by ascending frequency.
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
    n = order.shape[0]
    total = 0.0
    highest = -np.inf
    count = 0
    for i in range(n):
        value = float(flat[order[i] * stride + pixel]) / passes[i] - noise[0]
        padded_signal[i] = value
        if np.isfinite(value):
            total += value
            count += 1
            highest = max(highest, value)
    if count < 0.75 * n:
        return 0, np.nan
    reference = total / count
    if not reference > 0.0 or (saturation > 0.0 and highest >= saturation - noise[0]):
        return 0, reference
    at_top = 0
    kept = 0
    for i in range(n):
        value = padded_signal[i]
        if not np.isfinite(value):
            padded_signal[i] = 0.0
            continue
        if value == highest:
            at_top += 1
        signal = value / reference - 1.0
        padded_signal[i] = signal
        # the pixel's mean level gives the weight: the counts themselves would pull lines by 1 / electrons, and below 20 %
        # contrast weigh less than 1 % more efficiently
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


@njit(**OPTIONS)
def write_lines(theta, lines, model, span, sigma, cov, codes, found_order, slots, pixel, planes, half_span):
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


@njit(**OPTIONS)
def fit_pixels(
    flat,
    stride,
    plane_order,
    passes,
    frequency,
    noise,
    saturation,
    total_lines,
    model,
    limits,
    bounds,
    bank,
    start,
    pairs,
    preferred,
    which,
    out,
):
    """Fit the pixels listed in `which` and write their planes.

    Parameters
    ----------
    flat, stride, plane_order
        As in `load_pixel`.
    passes
        (n,) float64.
    frequency
        (2, n): MHz, and u = -1 ... 1.
    noise, saturation
        As in `load_pixel`.
    total_lines, model, limits, bounds, bank
        limits = (window, fwhm limits, threshold, tolerance, fwhm guess); bank as made by `make_bank` with the sum of its
        weights appended.
    start
        (2, lines) guesses and their widths, or (2, 0).
    pairs, preferred
        (doublets, 2); (lines,) line numbers in order of preference.
    which
        Numbers of the pixels to fit.
    out
        (line planes (6 + status), pair correlation, baseline, slope, chi2, doublet status, status).
    """
    n = plane_order.shape[0]
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
        np.empty((3, total_lines)),
    )  # fmt: skip
    work = scratch[0]
    order = np.empty(total_lines, np.int64)
    slots = np.empty(total_lines, np.int64)
    middle = 0.5 * (limits[0][0] + limits[0][1])
    half_span = 0.5 * (limits[0][1] - limits[0][0])
    line_planes, pair_correlation, baseline, slope, chi2_plane, doublet_status, status = out
    for pixel in which:
        for s in range(total_lines):
            for plane in line_planes[:6]:
                plane[s, pixel] = np.nan
        pair_correlation[:, pixel] = np.nan
        kept, reference = load_pixel(
            flat,
            stride,
            plane_order,
            pixel,
            passes,
            saturation,
            noise,
            spectrum_all,
            places_all,
            padded_signal,
            frequency,
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
        chi2, converged = search(
            spectrum, places, padded_signal, start, total_lines, model, bounds, limits, bank, scratch, best
        )
        lines = total_lines
        reason = LOW_SNR
        if np.isfinite(chi2):
            lines, chi2, converged, reason = take_out(
                spectrum, lines, model, bounds, limits, scratch, best, chi2, converged
            )
        finish_pixel(
            spectrum, best, lines, total_lines, model, limits, scratch, start, pairs, preferred, pixel, reference,
            (chi2, converged, reason), (order, slots, middle, half_span), out,
        )  # fmt: skip


@njit(**OPTIONS)
def finish_pixel(
    spectrum,
    best,
    lines,
    total_lines,
    model,
    limits,
    scratch,
    start,
    pairs,
    preferred,
    pixel,
    reference,
    state,
    tools,
    out,
):
    """Judge the final parameters of one pixel and write its planes."""
    chi2, converged, reason = state
    order, slots, middle, half_span = tools
    line_planes, pair_correlation, baseline, slope, chi2_plane, doublet_status, status = out
    work, _, sigma, cov, codes, _, _, _ = scratch
    level = model[3]
    if not (np.isfinite(chi2) and converged):
        line_planes[6][:, pixel] = NOT_CONVERGED
        doublet_status[:, pixel] = NOT_CONVERGED
        status[pixel] = NOT_CONVERGED
        return
    reduced = sigmas(spectrum, best, lines, model, work, sigma, cov)
    judge_all(best, sigma, lines, level, limits, codes)
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
