"""The Levenberg-Marquardt step and the covariance of sixteen fits at once, written in `lanes`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numba.core import types

from analyzers.kernels.compiled import program
from analyzers.kernels.lanes import Code, Lanes, generate
from analyzers.kernels.programs import basis_scales, triangle


def _cholesky(
    code: Code, sums: Any, chosen: Sequence[int], grow: Lanes, expected: Sequence[tuple[Lanes, Lanes]] = ()
) -> tuple[list[list[Lanes]], list[Lanes]]:
    """Factor the chosen rows, diagonal times `grow`; return the factor and the inverse of its diagonal.

    `expected` (see `_expected`) adds what is known of the widths.
    """
    more = dict(zip(range(len(chosen) - 1, -1, -3), [curve for curve, _ in reversed(expected)], strict=False))
    p = len(chosen)
    factor: list[list[Lanes]] = []
    inverse: list[Lanes] = []
    for a in range(p):
        row: list[Lanes] = []
        for b in range(a):
            total = code.load(sums, triangle(chosen[a], chosen[b]))
            for c in range(b):
                total = code.fnma(row[c], factor[b][c], total)
            row.append(total * inverse[b])
        diagonal = code.load(sums, triangle(chosen[a], chosen[a]))
        if a in more:
            diagonal = diagonal + more[a]
        total = diagonal * grow
        for c in range(a):
            total = code.fnma(row[c], row[c], total)
        root = code.sqrt(code.greatest(total, diagonal * 1e-6))
        row.append(root)
        factor.append(row)
        inverse.append(code.lanes(1.0) / root)
    return factor, inverse


def departure(width: Lanes, guess: Lanes) -> Lanes:
    """Return how far a width is from the guess: ln(width / guess) to a few percent up to a factor of 4, at most 2."""
    return (width - guess) * 2.0 / (width + guess)


def _expected(
    code: Code, theta: Any, lines: int, level: int, by_fwhm: float, prior: tuple[Lanes, Lanes]
) -> list[tuple[Lanes, Lanes]]:
    """Return what the expected widths add to diagonal and gradient of each line's width, in the basis of `programs`.

    `prior`: variance of the signal over that of ln(width), width guess.
    """
    stiffness, guess = prior
    out: list[tuple[Lanes, Lanes]] = []
    for k in range(lines):
        amplitude, width = code.load(theta, level + 3 * k), code.load(theta, level + 3 * k + 2)
        both = width + guess
        # the width's step is in units of width / amplitude: no amplitude, no step
        unit = amplitude / code.fma(amplitude, amplitude, stiffness * 1e-3)
        slope = guess * width * 4.0 / (both * both) * unit * (1.0 / by_fwhm)
        out.append((stiffness * slope * slope, -(stiffness * slope * departure(width, guess))))
    return out


def _inverted(code: Code, factor: list[list[Lanes]], inverse: list[Lanes]) -> list[list[Lanes]]:
    """Return the inverse of a triangular factor."""
    out: list[list[Lanes]] = []
    for a in range(len(factor)):
        row: list[Lanes] = []
        for b in range(a):
            total = factor[a][b] * out[b][b]
            for c in range(b + 1, a):
                total = code.fma(factor[a][c], out[c][b], total)
            row.append(-(total * inverse[a]))
        out.append([*row, inverse[a]])
    return out


def _product(code: Code, inverted: list[list[Lanes]], a: int, b: int) -> Lanes:
    """Return element (a, b) of the inverse matrix from its factor's inverse."""
    total = code.lanes(0.0)
    for c in range(max(a, b), len(inverted)):
        total = code.fma(inverted[c][a], inverted[c][b], total)
    return total


@program
def advance(
    typing: Any,
    trial_sums: Any,
    sums: Any,
    theta: Any,
    trial: Any,
    state: Any,
    bounds: Any,
    stop: Any,
    stiffness: Any,
    lines_tag: Any,
    level_tag: Any,
    shape_tag: Any,
) -> Any:
    """Accept or refuse the trial, solve for the next step, stop the lanes that are done.

    Parameters
    ----------
    trial_sums, sums
        (m, 16) sums at the trial, and those of the best point so far (updated).
    theta, trial
        (p, 16) best point so far, and the next trial (updated); both the final point in lanes that are done.
    state
        (3, 16) damping, 1 where done, decrease of chi2 predicted for the trial; at first 1e-2, 0 and 0.
    bounds
        (5,) float32: lowest and highest centre, smallest and largest width, width guess.
    stop
        (1,) float32: tolerance / degrees of freedom.
    stiffness
        (1, 16) variance of the signal at weight 1 over that of ln(width / guess): widths are expected near the guess.
    """
    lines, level, shape = (len(t) for t in (lines_tag, level_tag, shape_tag))
    shape -= 1
    p = level + 3 * lines
    count = triangle(p, 0) + p + 1
    by_centre, by_fwhm = basis_scales(shape)

    def body(
        code: Code, trial_sums: Any, sums: Any, theta: Any, trial: Any, state: Any, bounds: Any, stop: Any,
        stiffness: Any,
    ) -> None:  # fmt: skip
        damping = code.load(state, 0)
        done = code.load(state, 1) > 0.5
        before = code.load(sums, count - 1)
        prior = code.load(stiffness, 0), code.scalar(bounds, 4)
        total = code.load(trial_sums, count - 1)
        for k in range(lines):
            away = departure(code.load(trial, level + 3 * k + 2), prior[1])
            total = code.fma(away * away, prior[0], total)
        code.store(trial_sums, count - 1, total)
        better = (total < before) & ~done
        for m in range(count):
            code.store(sums, m, code.select(better, code.load(trial_sums, m), code.load(sums, m)))
        for a in range(p):
            code.store(theta, a, code.select(better, code.load(trial, a), code.load(theta, a)))
        chi2 = code.load(sums, count - 1)
        before_predicted = code.load(state, 2)
        gain = (before - chi2) / before_predicted
        first = ~(before < 1e30)
        eased = code.select((gain < 0.3) & ~first, code.greatest(damping * 4.0, 0.1), damping)
        eased = code.select((gain > 0.7) | first, code.greatest(damping * 0.1, 1e-7), eased)
        damping = code.select(better, eased, code.greatest(damping * 10.0, 1e-2))
        expected = _expected(code, theta, lines, level, by_fwhm, prior)
        factor, inverse = _cholesky(code, sums, range(p), damping + 1.0, expected)
        forward: list[Lanes] = []
        predicted = code.lanes(0.0)
        for a in range(p):
            total = code.load(sums, triangle(p, 0) + a)
            if a >= level and (a - level) % 3 == 2:
                total = total + expected[(a - level) // 3][1]
            for b in range(a):
                total = code.fnma(factor[a][b], forward[b], total)
            forward.append(total * inverse[a])
            predicted = code.fma(forward[a], forward[a], predicted)
        step = list(forward)
        for a in range(p - 1, -1, -1):
            total = forward[a]
            for b in range(a + 1, p):
                total = code.fnma(factor[b][a], step[b], total)
            step[a] = total * inverse[a]
        moved = [code.load(theta, a) + step[a] for a in range(level)]
        lowest, highest, narrow, wide = (code.scalar(bounds, i) for i in range(4))
        for k in range(lines):
            at = level + 3 * k
            amplitude = code.load(theta, at) + step[at]
            width = code.load(theta, at + 2)
            ratio = width / amplitude
            half = width * 0.5
            shift = code.least(code.greatest(step[at + 1] * ratio * (1.0 / by_centre), -half), half)
            growth = code.least(code.greatest(step[at + 2] * ratio * (1.0 / by_fwhm), -half), width)
            centre = code.least(code.greatest(code.load(theta, at + 1) + shift, lowest), highest)
            moved += [amplitude, centre, code.least(code.greatest(width + growth, narrow), wide)]
        enough = chi2 * code.scalar(stop, 0)
        small = predicted * (damping + 1.0) < enough
        # steps that shrink fast: what is left after this one is foreseen
        shrunk = (predicted < before_predicted * 0.1) & (predicted < enough * 30.0) & better
        small = small | (shrunk & (predicted * predicted < enough * before_predicted * 0.02))
        small = small & (damping < 1.01) & ~done
        code.store(sums, count - 1, code.select(small, chi2 - predicted, chi2))
        finished = done | small
        for a in range(p):
            best = code.load(theta, a)
            code.store(theta, a, code.select(small, moved[a], best))
            code.store(trial, a, code.select(done, best, moved[a]))
        code.store(state, 0, damping)
        code.store(state, 1, code.select(finished, 1.0, 0.0))
        code.store(state, 2, predicted)

    arrays = (trial_sums, sums, theta, trial, state, bounds, stop, stiffness)
    return types.void(*arrays, lines_tag, level_tag, shape_tag), generate(body, 8)


@program
def uncertainty(
    typing: Any, sums: Any, theta: Any, bounds: Any, stiffness: Any, out: Any, lines_tag: Any, level_tag: Any,
    shape_tag: Any,
) -> Any:  # fmt: skip
    """Write variances (p, 16) of the parameters, then covariances of the centres (j < k: k (k - 1) / 2 + j), to `out`.

    Last (lines, 16) variances of the amplitudes with centres and widths held. In units of the signal's variance at
    weight 1. `bounds` and `stiffness` as in `advance`.
    """
    lines, level, shape = (len(t) for t in (lines_tag, level_tag, shape_tag))
    shape -= 1
    p = level + 3 * lines
    by_centre, by_fwhm = basis_scales(shape)

    def body(code: Code, sums: Any, theta: Any, bounds: Any, stiffness: Any, out: Any) -> None:
        prior = code.load(stiffness, 0), code.scalar(bounds, 4)
        expected = _expected(code, theta, lines, level, by_fwhm, prior)
        inverted = _inverted(code, *_cholesky(code, sums, range(p), code.lanes(1.0), expected))
        scales = [code.lanes(1.0)] * level
        for k in range(lines):
            at = level + 3 * k
            ratio = code.load(theta, at + 2) / code.load(theta, at)
            scales += [code.lanes(1.0), ratio * (1.0 / by_centre), ratio * (1.0 / by_fwhm)]
        for a in range(p):
            code.store(out, a, _product(code, inverted, a, a) * scales[a] * scales[a])
        for k in range(lines):
            for j in range(k):
                a, b = level + 3 * j + 1, level + 3 * k + 1
                code.store(out, p + k * (k - 1) // 2 + j, _product(code, inverted, a, b) * scales[a] * scales[b])
        linear = [*range(level), *range(level, p, 3)]
        inverted = _inverted(code, *_cholesky(code, sums, linear, code.lanes(1.0)))
        for k in range(lines):
            code.store(out, p + lines * (lines - 1) // 2 + k, _product(code, inverted, level + k, level + k))

    arrays = (sums, theta, bounds, stiffness, out)
    return types.void(*arrays, lines_tag, level_tag, shape_tag), generate(body, 5)
