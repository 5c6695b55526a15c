"""Joint fits of many pixels: seeds or starts of their own, rivals with tilted groups swapped, verdicts."""

from __future__ import annotations

import math

import numpy as np

from analyzers.kernels.codes import Array, Pack
from analyzers.kernels.compiled import kernel
from analyzers.kernels.hamiltonian import OWN, SHARED
from analyzers.kernels.joint_descent import descend, evaluate
from analyzers.kernels.joint_start import begin, own_weights
from analyzers.kernels.joint_verdict import judge

HOPELESS = 200.0
"""chi2 above the lowest at which a rival is given up after a trial's turns."""
SAME_GPA = 0.3
"""Solutions whose stress differs by less in all are the same one."""


@kernel
def pack(theta: Array, q: Array, state: Array) -> None:
    """Write theta and q one after the other."""
    state[:SHARED] = theta
    for k in range(q.shape[0]):
        state[SHARED + OWN * k : SHARED + OWN * (k + 1)] = q[k]


@kernel
def unpack(state: Array, theta: Array, q: Array) -> None:
    """Read what `pack` wrote."""
    theta[:] = state[:SHARED]
    for k in range(q.shape[0]):
        q[k] = state[SHARED + OWN * k : SHARED + OWN * (k + 1)]


@kernel
def _try_rivals(
    problem: Pack, swaps: Array, rivals: Array, limits: tuple[int, int, float], work: Pack, state: Pack
) -> tuple[float, int]:
    """Descend from what was found with tilted groups swapped, keep the lowest; return margin and swap of the next best.

    `state`: theta and q found, changed where a rival is lower; scratch of both; theta (11,) of the next best.
    """
    data, y, model, prior = problem
    best_theta, best_q, theta, q, other = state
    margin, rival = math.inf, -1
    other[:] = math.nan
    found = evaluate(data, y, model, prior, best_theta, best_q, work[0], 0)
    origin = best_theta.copy()
    for number in rivals:
        if number < 0:
            continue
        theta[:] = origin
        q[:] = best_q
        for a in range(6):
            total = 0.0
            for b in range(6):
                total += swaps[number, a, b] * origin[b]
            theta[a] = total
        chi2 = descend(data, y, model, prior, theta, q, work, limits[0], limits[2])[0]
        if chi2 > found + HOPELESS:
            continue
        chi2 = descend(data, y, model, prior, theta, q, work, limits[1] // 4, limits[2])[0]
        far = 0.0
        for a in range(6):
            far += abs(theta[a] - best_theta[a])
        if far < SAME_GPA:
            continue
        if chi2 < found:
            other[:] = best_theta
            best_theta[:] = theta
            best_q[:] = q
            margin, rival = found - chi2, number
            found = chi2
        elif chi2 - found < margin:
            other[:] = theta
            margin, rival = chi2 - found, number
    return margin, rival


@kernel
def _weigh(y: Array, weight: Array, passes: Array, edges: Array, root: Array) -> bool:
    """Fill root (n,), the square roots of the weights; False where a pixel cannot be fitted."""
    usable = True
    for k in range(edges.shape[0] - 1):
        usable = usable and weight[k] > 0.0
        for i in range(edges[k], edges[k + 1]):
            root[i] = math.sqrt(passes[i] * max(0.0, weight[k]))
    for i in range(y.shape[0]):
        usable = usable and math.isfinite(y[i])
    return usable


@kernel
def _try_shears(problem: Pack, shears: Array, limits: tuple[int, int, float], work: Pack, state: Pack) -> None:
    """Descend a little from every shear; `state`: theta and q of the lowest, two times scratch (begin: the last)."""
    data, y, model, prior = problem
    best_theta, best_q, theta, q, first_theta, first_q = state
    lowest = math.inf
    for trial in range(shears.shape[0]):
        theta[:] = first_theta
        q[:] = first_q
        theta[3] = shears[trial, 0]
        theta[4] = shears[trial, 1]
        found = descend(data, y, model, prior, theta, q, work, limits[0], limits[2])[0]
        if found < lowest:
            lowest = found
            best_theta[:] = theta
            best_q[:] = q


@kernel
def _note(raw: Array, turns: int, margin: float, rival: int, other: Array, energy: float, out: Array) -> None:
    """Write what the fit says beside `judge`; raw (fields, 28, 28) are the sums of the last evaluation."""
    out[80] = 0.0
    for k in range(raw.shape[0]):
        out[80] += raw[k, 26, 26]
    out[81] = abs(turns)
    out[82] = margin
    out[83] = rival
    out[84:90] = other[:6]
    out[94] = energy


@kernel
def fit_joint(
    spectra: Array,
    weights: Array,
    data: Pack,
    model: Pack,
    prior: Pack,
    spread: Array,
    start: Pack,
    shears: Array,
    seeds: Array,
    swaps: Array,
    rivals: Array,
    limits: tuple[int, int, float],
    work: Pack,
    extra: Pack,
    states: Array,
    out: Array,
    codes: Array,
) -> None:
    """Fit pixels.

    Parameters
    ----------
    spectra
        (pixels, n) spectra over their level.
    weights
        (pixels, fields) inverse variance of one pass of a spectrum over its level; not positive: pixel left out.
    data
        f, u, passes (n,) of all fields one after the other, and edges (fields + 1,).
    model
        As for `evaluate`.
    prior
        Mean and weight (11,) of theta, mean (22,) of q and scratch for its weights.
    spread
        (2, 4) for `own_weights`: of the trials, where lines hardly leave their class, and of the fit.
    start
        Banks of `find_start`, shift and field ratio of the [111] templates (t, 2), shift of the tilted ones (t,), the
        sum rule (4,), and scratch.
    shears
        (s, 2) YZ and XZ from which pixels without a seed begin, GPa.
    seeds
        (pixels, 11 + 22 fields) theta and q to begin with; NaN: none.
    swaps
        (8, 6, 6) what the stress becomes in solutions that resemble each other.
    rivals
        (pixels, r) which of the swaps to try as rivals of what was found; negative: none.
    limits
        Turns of a trial, turns of the fit, tolerance (predicted decrease of chi2).
    work, extra
        Scratch of `descend`, scratch of `judge`.
    states
        (pixels, 11 + 22 fields) receives theta and q.
    out
        (pixels, 95) as `judge`; from 80 on chi2 of the data, turns, how much higher chi2 of the best rival is
        (infinite: none differs), its swap, its stress (6,); last chi2 with priors.
    codes
        (pixels,) 0 fitted, 1 not converged, 2 no data.
    """
    f, u, passes, edges = data
    fields = edges.shape[0] - 1
    root = np.empty(f.shape[0])
    theta, best_theta = np.empty(SHARED), np.empty(SHARED)
    q, best_q, first_q = np.empty((fields, OWN)), np.empty((fields, OWN)), np.empty((fields, OWN))
    first_theta = np.empty(SHARED)
    weighted = (f, u, root, edges)
    for pixel in range(spectra.shape[0]):
        y = spectra[pixel]
        out[pixel] = math.nan
        codes[pixel] = 2
        if not _weigh(y, weights[pixel], passes, edges, root):
            continue
        if math.isfinite(seeds[pixel, 0]):
            unpack(seeds[pixel], best_theta, best_q)
        else:
            begin(start, y, weights[pixel], weighted, prior[0], prior[2], first_theta, first_q)
            own_weights(first_theta, spread[0], prior[3])
            state = best_theta, best_q, theta, q, first_theta, first_q
            _try_shears((weighted, y, model, prior), shears, limits, work, state)
        own_weights(best_theta, spread[1], prior[3])
        energy, side, turns = descend(weighted, y, model, prior, best_theta, best_q, work, limits[1], limits[2])
        margin, rival = _try_rivals(
            (weighted, y, model, prior), swaps, rivals[pixel], limits, work, (best_theta, best_q, theta, q, first_theta)
        )
        if rivals[pixel].max() >= 0:
            energy, side, again = descend(weighted, y, model, prior, best_theta, best_q, work, limits[1], limits[2])
            turns = min(turns, again) if again < 0 else max(turns, again)
        pack(best_theta, best_q, states[pixel])
        codes[pixel] = 0 if turns > 0 else 1
        if not judge(best_q, best_theta, prior, work[0], side, work[1], extra, out[pixel]):
            codes[pixel] = 1
        _note(work[0][0][side], turns, margin, rival, first_theta, energy, out[pixel])
