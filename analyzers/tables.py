"""Tables of a plan in the kernels' layout: template banks, and the float32 tables of the fast path."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.kernels.codes import GAUSSIAN, LORENTZIAN, PSEUDO_VOIGT
from analyzers.kernels.matched import FAST_FACTORS, WIDTH_FACTORS, gram_matrix, make_bank
from analyzers.kernels.programs import padded
from analyzers.plan import Floats, Plan

_BIN_WIDTHS = 0.3
"""Largest bin of the coarse list, in units of the width guess."""
_BIN_POINTS = 3
"""Most points of a bin."""
_BLUR = {LORENTZIAN: (4.4, 2.65), GAUSSIAN: (2.8, 2.8), PSEUDO_VOIGT: (3.6, 2.7)}
"""What the variance of a bin, over the width squared, adds to width and takes off amplitude; measured."""
_COARSE_TOLERANCE = 0.02
"""Where the fit to the binned list stops: the whole list follows."""

_banks: OrderedDict[tuple[object, ...], tuple[Floats, ...]] = OrderedDict()
_lock = Lock()


def _bank(plan: Plan, factors: Sequence[float], per_width: float) -> tuple[Floats, ...]:
    """Return the template bank of a plan's list, with the scores at the width guess last; kept from plan to plan."""
    shape, mixing, offsets = plan.model[:3]
    guess = plan.limits[4]
    key = (plan.frequency.tobytes(), shape, mixing, tuple(offsets), guess, tuple(factors), per_width)
    with _lock:
        if key in _banks:
            _banks.move_to_end(key)
            return _banks[key]
    bank = make_bank(plan.frequency[0], (shape, mixing, offsets), [factor * guess for factor in factors], per_width)
    bank = (*bank, np.where(bank[2] == guess, bank[3], 0.0))
    with _lock:
        _banks[key] = bank
        while len(_banks) > 8:
            _banks.popitem(last=False)
    return bank


def robust_bank(plan: Plan) -> tuple[Floats, ...]:
    """Return the robust path's template bank: four widths, float64."""
    return _bank(plan, WIDTH_FACTORS, 4.0)


def bin_edges(frequency: Floats, widest_mhz: float) -> NDArray[np.int64]:
    """Return the edges of bins of neighbouring points that span at most `widest_mhz`, each point in one bin."""
    edges = [0]
    for i in range(1, len(frequency)):
        low = edges[-1]
        if frequency[i] - frequency[low] > widest_mhz or i - low >= _BIN_POINTS:
            edges.append(i)
    return np.array([*edges, len(frequency)], np.int64)


def _grid(x: Floats, u: Floats, weight: Floats, plan: Plan) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the padded grid (n, 4) of a list, and its baseline sums (3,)."""
    n = len(x)
    grid = np.zeros((padded(n, plan.lines), 4), np.float32)
    root = np.sqrt(weight)
    grid[:n, 0], grid[:n, 1], grid[:n, 2] = x, root, root * u
    grid[:, 3] = plan.model[1]
    return grid, np.array([weight.sum(), (weight * u).sum(), (weight * u * u).sum()], np.float32)


def _fast_bank(plan: Plan, edges: NDArray[np.int64], root: Floats, points: int) -> tuple[NDArray[np.float32], ...]:
    """Return the fast path's template bank on the binned list; signals come times the bins' weight roots."""
    by_point, centres, wide, _, at_guess = _bank(plan, FAST_FACTORS, 3.0)
    count = np.diff(edges).astype(float)
    binned = np.add.reduceat(by_point, edges[:-1], axis=0) / count[:, None]
    gram = gram_matrix(np.ascontiguousarray(binned * np.sqrt(count)[:, None]))
    norm = np.diag(gram)
    usable = _bank(plan, FAST_FACTORS, 3.0)[3] > 0
    score = np.where(usable & (norm > 0), 1.0 / np.maximum(norm, 1e-30), 0.0)
    templates, rows = len(centres), -(-len(centres) // 8) * 8
    bank = np.zeros((rows, points))
    bank[:templates, : len(count)] = (binned * (count / root)[:, None]).T
    tiles = np.ascontiguousarray(bank.reshape(rows // 8, 8, points).transpose(0, 2, 1), np.float32)
    products = np.zeros((rows, rows), np.float32)
    products[:templates, :templates] = gram
    table, scores = np.zeros((rows, 4), np.float32), np.zeros((2, rows), np.float32)
    table[:templates] = np.stack([centres - plan.middle, wide, score, _steps(centres, wide, score)], axis=1)
    scores[:, :templates] = score, np.where(at_guess > 0, score, 0.0)
    return tiles, table, *scores, products


def _steps(centres: Floats, widths: Floats, score: Floats) -> Floats:
    """Return the distance of each template to the next one; 0 where it has not two neighbours of its own width."""
    usable = (widths[:-1] == widths[1:]) & (score[:-1] > 0) & (score[1:] > 0)
    inner = np.append(usable, False) & np.insert(usable, 0, False)
    return np.where(inner, np.append(np.diff(centres), 0.0), 0.0)


def _spread(x: Floats, edges: NDArray[np.int64]) -> float:
    """Return the mean variance of the points within a bin, MHz^2."""
    bins = [x[low:high] for low, high in pairwise(edges)]
    return float(np.mean([values.var() for values in bins]))


def fast_tables(plan: Plan) -> tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]:
    """Return what the fast path needs: tables of `block.load_blocks`, of `block.fit_blocks`, and the template bank."""
    if "fast" not in plan.kept:
        plan.kept["fast"] = _make_fast_tables(plan)
    return plan.kept["fast"]


def _make_fast_tables(plan: Plan) -> tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]:
    """Make the tables of `fast_tables`."""
    n, p = len(plan.order), plan.parameters
    f, u = plan.frequency
    x = f - plan.middle
    weight = plan.passes / plan.passes.mean()
    edges = bin_edges(f, _BIN_WIDTHS * plan.limits[4])
    if len(edges) - 1 > 0.7 * n or len(edges) - 1 < p + 4:
        edges = np.arange(n + 1)
    sums = np.add.reduceat(weight, edges[:-1])
    means = [np.add.reduceat(weight * values, edges[:-1]) / sums for values in (x, u)]
    shares = np.sqrt(weight) / np.repeat(np.sqrt(sums), np.diff(edges))
    whole, binned = _grid(x, u, weight, plan), _grid(means[0], means[1], sums, plan)
    stop = np.array([plan.limits[3] / max(1, n - p)], np.float32)
    coarse_stop = np.array([_COARSE_TOLERANCE / max(1, len(sums) - p)], np.float32)
    guesses = plan.start[0] - plan.middle if plan.start.shape[1] else np.zeros(plan.lines)
    others = (
        plan.model[2].astype(np.float32),
        np.array([x[0], x[-1], *plan.limits[1], plan.limits[4]], np.float32),
        _rules(plan),
        guesses.astype(np.float32),
        plan.pairs.ravel().astype(np.float32),
        np.array([1.0], np.float32),
        np.array([0.0], np.float32),
        np.array([_spread(x, edges), *_BLUR[plan.model[0]]], np.float32),
    )
    tables = ((*whole, stop), (*binned, coarse_stop), (edges, shares.astype(np.float32)), others)
    scales = np.stack([1.0 / plan.passes, np.sqrt(weight)], axis=1).astype(np.float32)
    saturation = plan.saturation if plan.saturation > 0 else np.inf
    limits = np.array([plan.noise[0], saturation, n, 0.25 * n], np.float32)
    return (scales, limits), tables, _fast_bank(plan, edges, np.sqrt(sums), len(binned[0]))


def _rules(plan: Plan) -> NDArray[np.float32]:
    """Return the numbers that `verdict.verdict` judges by."""
    window, widths, threshold, _, guess, _ = plan.limits
    half = 0.5 * (window[1] - window[0])
    freedom = max(1, len(plan.order) - plan.parameters)
    reach = 4.0 * guess if plan.start.shape[1] else 1e30
    shot, read = plan.noise[1], plan.noise[2]
    chance = 4.0 * np.sqrt(2.0 * freedom)
    rules = [half, *widths, threshold, guess, shot, read, plan.passes.mean(), freedom, chance, plan.middle, half, reach]
    return np.array([*rules, plan.model[4][0]], np.float32)
