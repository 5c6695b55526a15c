"""How many lines a spectrum holds: those that are not needed are taken out again."""

from __future__ import annotations

import numpy as np

from analyzers.kernels.codes import LOW_SNR, NOT_CONVERGED, OVERLAP, Array, Pack
from analyzers.kernels.compiled import kernel
from analyzers.kernels.judge import NEAR, nearest
from analyzers.kernels.levmar import copy, minimise
from analyzers.kernels.pixel import PASSES, judge_all, sigmas


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
    clearly worse.

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
        proven = chi2 - state[1] > limits[5][2] * reduced
        if not certain and proven:
            break
        if proven and other >= 0:
            # two lines that cannot be told apart, rather than one that is not there
            reason = OVERLAP
        lines -= 1
        copy(trial, level + 3 * lines, best)
        state[1], state[2] = chi2, 1.0 if converged else 0.0
    return lines, reason
