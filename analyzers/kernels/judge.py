"""Which fitted lines count, and which slot (line number) each takes."""

from __future__ import annotations

import numpy as np

from analyzers.kernels.codes import (
    CONTRAST_CROSSING,
    LOW_SNR,
    MISSING_LINE,
    NOT_CONVERGED,
    OK,
    OUT_OF_WINDOW,
    OVERLAP,
    Array,
    Pack,
)
from analyzers.kernels.compiled import kernel

NEAR = 1.2
"""Lines closer than this many mean widths must prove that they are two."""
MERGED = 0.5
"""Lines closer than this are never two: the shape of a real line, never exactly the model, would pass for a pair."""
REACH = 0.6
"""How far from its guess a line may lie, in width guesses, to be believed sooner than elsewhere."""
PEAK_FACTOR = 1.4
"""How much stronger a peak must be than a dip: two of them beside a pair of dips fit noise as well as the dips do."""
PEAK_PENALTY = 16.0
"""What a peak costs, in chi2, when starts compete."""


@kernel
def needed_strength(width: float, threshold: float, guess: float) -> float:
    """Return the least strength of a line of this width: more than twice the guess, or less than half, may be noise.

    A line four times narrower needs half as much again, one six times narrower or more twice as much.
    """
    ratio = max(width / guess, guess / width)
    return threshold * (0.5 + 0.5 * min(max(0.5 * ratio, 1.0), 3.0))


@kernel
def with_width(sigma: float, width: float, width_sigma: float) -> float:
    """Return the centre's standard deviation with the width's own uncertainty in it.

    It grows with the width, which is known to width_sigma only: this is the mean over the widths that may be, to second
    order, with amplitude and width anticorrelated as in a fit. Without, a line fitted too narrow seems too certain.
    """
    share = width_sigma / width
    return sigma * np.sqrt(1.0 + share * share)


@kernel
def wanted(amplitude: float, centre: float, width: float, limits: Pack) -> float:
    """Return the least strength of a line here: less of a dip near a guess, where noise has fewer chances."""
    _, _, threshold, _, guess, (near, places, _) = limits
    if amplitude > 0.0:
        return PEAK_FACTOR * needed_strength(width, threshold, guess)
    for k in range(places.shape[0]):
        if abs(centre - places[k]) < REACH * guess:
            return needed_strength(width, near, guess)
    return needed_strength(width, threshold, guess)


@kernel
def nearest(theta: Array, lines: int, level: int, k: int) -> tuple[int, float]:
    """Return the line nearest to line k (-1: there is no other) and its distance in mean widths of the two."""
    at = level + 3 * k
    best = -1
    least = np.inf
    for j in range(lines):
        if j != k:
            other = level + 3 * j
            distance = 2.0 * abs(theta[other + 1] - theta[at + 1]) / (theta[other + 2] + theta[at + 2])
            if distance < least:
                best, least = j, distance
    return best, least


@kernel
def alike(theta: Array, level: int, j: int, k: int) -> bool:
    """Tell whether two overlapping lines are believable: same sign, widths within a factor 2, amplitudes within 3."""
    a, b = level + 3 * j, level + 3 * k
    amplitudes = theta[a] / theta[b]
    widths = theta[a + 2] / theta[b + 2]
    return 1.0 / 3.0 < amplitudes < 3.0 and 0.5 < widths < 2.0


@kernel
def only_dips(theta: Array, lines: int, level: int) -> bool:
    """Tell whether every line is a dip: peaks are believed only after a start without them was tried."""
    for k in range(lines):
        if theta[level + 3 * k] > 0.0:
            return False
    return True


@kernel
def judge_line(theta: Array, sigma: Array, strength: Array, lines: int, level: int, k: int, limits: Pack) -> int:
    """Return the status code of line k.

    Parameters
    ----------
    theta, sigma
        (p,) parameters and standard deviations.
    strength
        (lines,) |amplitude| over its standard deviation at the given centres and widths: the square is the chi2 that
        the line takes off. The full sigma, with the width free, would hide clear lines at low SNR.
    limits
        (window, width limits, significance, tolerance, width guess, (significance near a guess, guesses,
        chi2 that proves a pair)).
    """
    window, widths = limits[0], limits[1]
    at = level + 3 * k
    amplitude, centre, width = theta[at], theta[at + 1], theta[at + 2]
    if not (np.isfinite(amplitude) and np.isfinite(sigma[at]) and np.isfinite(sigma[at + 1])):
        return NOT_CONVERGED
    neighbour, distance = nearest(theta, lines, level, k)
    near = distance < NEAR
    weak = OVERLAP if near else LOW_SNR
    if not strength[k] >= wanted(amplitude, centre, width, limits):
        return weak
    if centre <= window[0] + 0.25 * width or centre >= window[1] - 0.25 * width:
        return OUT_OF_WINDOW
    if width <= 1.001 * widths[0] or width >= 0.999 * widths[1]:
        return OUT_OF_WINDOW
    if sigma[at + 1] > (0.15 if near else 0.25) * width or sigma[at + 2] > 0.75 * width:
        return weak
    if near and (distance < MERGED or not alike(theta, level, neighbour, k)):
        return OVERLAP
    return OK


@kernel
def order_by_centre(theta: Array, lines: int, level: int, order: Array) -> None:
    """Write line numbers in order of their centre to `order`."""
    for k in range(lines):
        order[k] = k
    for k in range(1, lines):
        j = k
        while j > 0 and theta[level + 3 * order[j] + 1] < theta[level + 3 * order[j - 1] + 1]:
            order[j], order[j - 1] = order[j - 1], order[j]
            j -= 1


@kernel
def assign_slots(centres: Array, found: int, start: Array, slots_total: int, preferred: Array, slots: Array) -> None:
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
        if found == 3 and slots_total == 4:
            # the odd one between an outer pair is the lower or upper line of the inner one
            middle = 0.5 * (centres[0] + centres[2])
            last = preferred[2] if (centres[1] < middle) == (preferred[2] < preferred[3]) else preferred[3]
            used[preferred[2]] = False
            used[last] = True
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
            for k in range(found):
                slots[k] = choice[k]
        k = found - 1
        while k >= 0 and choice[k] == slots_total - found + k:
            k -= 1
        if k < 0:
            return
        choice[k] += 1
        for j in range(k + 1, found):
            choice[j] = choice[j - 1] + 1


@kernel
def judge_doublets(pairs: Array, line_status: Array, contrast: Array, guessed: bool, doublet_status: Array) -> int:
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
