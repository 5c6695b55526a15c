"""Which fitted lines count, and which slot (line number) each takes."""

from __future__ import annotations

import numpy as np
from numba import njit

from analyzers.kernels.codes import (
    CONTRAST_CROSSING,
    LOW_SNR,
    MISSING_LINE,
    NOT_CONVERGED,
    OK,
    OUT_OF_WINDOW,
    OVERLAP,
)
from analyzers.kernels.shapes import OPTIONS


@njit(**OPTIONS)
def judge_line(theta, sigma, lines, level, k, window, limits, threshold):
    """Return the status code of line k.

    Parameters
    ----------
    theta, sigma
        (p,) parameters and standard deviations.
    window
        (lowest, highest) frequency measured, MHz.
    limits
        (smallest, largest) width, MHz.
    threshold
        Least |amplitude| / sigma.
    """
    at = level + 3 * k
    amplitude, centre, width = theta[at], theta[at + 1], theta[at + 2]
    near = False
    for j in range(lines):
        if j != k:
            other = level + 3 * j
            if abs(theta[other + 1] - centre) < 0.5 * (theta[other + 2] + width):
                near = True
    if not (np.isfinite(amplitude) and np.isfinite(sigma[at]) and np.isfinite(sigma[at + 1])):
        return NOT_CONVERGED
    if abs(amplitude) < threshold * sigma[at]:
        return OVERLAP if near else LOW_SNR
    if centre <= window[0] + 0.25 * width or centre >= window[1] - 0.25 * width:
        return OUT_OF_WINDOW
    if width <= 1.001 * limits[0] or width >= 0.999 * limits[1]:
        return OUT_OF_WINDOW
    if sigma[at + 1] > 0.25 * width or sigma[at + 2] > 0.6 * width:
        return OVERLAP if near else LOW_SNR
    return OK


@njit(**OPTIONS)
def order_by_centre(theta, lines, level, order):
    """Write line numbers in order of their centre to `order`."""
    for k in range(lines):
        order[k] = k
    for k in range(1, lines):
        j = k
        while j > 0 and theta[level + 3 * order[j] + 1] < theta[level + 3 * order[j - 1] + 1]:
            order[j], order[j - 1] = order[j - 1], order[j]
            j -= 1


@njit(**OPTIONS)
def assign_slots(centres, found, start, slots_total, preferred, slots):
    """Choose the line number of each line found, keeping their order.

    Parameters
    ----------
    centres
        (found,) ascending, MHz.
    found
        Number of lines.
    start
        (slots_total,) guesses, MHz, or (0,): the numbers whose guesses lie nearest are taken; without guesses those of
        `preferred` first.
    preferred
        (slots_total,) line numbers, the doublets' in order, then the rest.
    slots
        (found,) output, ascending.
    """
    if start.shape[0] == 0:
        used = np.zeros(slots_total, np.bool_)
        for k in range(found):
            used[preferred[k]] = True
        count = 0
        for s in range(slots_total):
            if used[s]:
                slots[count] = s
                count += 1
        return
    # every ordered choice of `found` numbers of `slots_total`, at most 70: try them all
    choice = np.arange(found)
    best = np.inf
    while True:
        cost = 0.0
        for k in range(found):
            cost += abs(centres[k] - start[choice[k]])
        if cost < best:
            best = cost
            slots[:found] = choice
        k = found - 1
        while k >= 0 and choice[k] == slots_total - found + k:
            k -= 1
        if k < 0:
            return
        choice[k] += 1
        for j in range(k + 1, found):
            choice[j] = choice[j - 1] + 1


@njit(**OPTIONS)
def judge_doublets(pairs, line_status, contrast, guessed, doublet_status):
    """Write the status of each doublet from its lines'; return the status of the whole spectrum.

    `guessed` tells that line numbers come from guesses: without, a spectrum with lines missing is trusted in its first
    doublet only if the two look alike (same sign, contrasts within a factor of four).
    """
    complete = True
    any_ok = False
    for k in range(line_status.shape[0]):
        complete = complete and line_status[k] == OK
        any_ok = any_ok or line_status[k] == OK
    trusted = True
    if not complete and not guessed and pairs.shape[0] > 1:
        ratio = contrast[pairs[0, 0]] / contrast[pairs[0, 1]]
        trusted = ratio > 0.25 and ratio < 4.0
    overall = OK
    for d in range(pairs.shape[0]):
        first, second = line_status[pairs[d, 0]], line_status[pairs[d, 1]]
        if first == OK and second == OK:
            code = OK if trusted else MISSING_LINE
        elif first == OK or second == OK:
            bad = second if first == OK else first
            code = MISSING_LINE if bad == LOW_SNR else bad
        elif any_ok and first == LOW_SNR and second == LOW_SNR:
            code = CONTRAST_CROSSING
        else:
            code = first
        doublet_status[d] = code
        if overall == OK:
            overall = code
    for k in range(line_status.shape[0]):
        if overall == OK and line_status[k] != OK:
            overall = MISSING_LINE if any_ok and line_status[k] == LOW_SNR else line_status[k]
    return overall
