"""The robust fit of the pixels the fast path leaves: find, take out, judge, write the planes."""

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
from analyzers.kernels.judge import assign_slots, judge_doublets, order_by_centre, with_width
from analyzers.kernels.pixel import judge_all, sigmas
from analyzers.kernels.selection import take_out
from analyzers.kernels.spectra import load_pixel
from analyzers.kernels.starts import search


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
        centre_sigma[s, pixel] = with_width(sigma[at + 1], theta[at + 2], sigma[at + 2])
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
