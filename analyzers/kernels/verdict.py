"""Judging sixteen fits at once and turning them into results, written in `lanes`."""

from __future__ import annotations

from typing import Any

from numba.core import types

from analyzers.kernels.compiled import program
from analyzers.kernels.judge import NEAR, PEAK_FACTOR, PEAK_PENALTY
from analyzers.kernels.lanes import Code, Lanes, generate
from analyzers.kernels.steps import departure

RULES = 14
"""Numbers in `rules`, see `verdict`."""


def result_rows(lines: int, doublets: int) -> int:
    """Return how many float planes a result has: six per line, one per doublet, baseline, slope, chi2."""
    return 6 * lines + doublets + 3


def _all(masks: list[Lanes]) -> Lanes:
    """Return where every mask is set."""
    out = masks[0]
    for mask in masks[1:]:
        out = out & mask
    return out


def _ranks(code: Code, centres: list[Lanes]) -> list[Lanes]:
    """Return the rank of each line by its centre; of equal ones the first counts as lower."""
    ranks: list[Lanes] = []
    for k, centre in enumerate(centres):
        rank = code.lanes(0.0)
        for j, other in enumerate(centres):
            if j != k:
                below = ~(centre < other) if j < k else other < centre
                rank = rank + code.select(below, 1.0, 0.0)
        ranks.append(rank)
    return ranks


def _at_rank(code: Code, ranks: list[Lanes], values: list[Lanes], wanted: Lanes) -> Lanes:
    """Return the value of the line with the wanted rank."""
    out = values[0]
    for rank, value in zip(ranks[1:], values[1:], strict=True):
        out = code.select(code.absolute(rank - wanted) < 0.5, value, out)
    return out


def _judge(code: Code, line: list[Lanes], strength: Lanes, rules: list[Lanes]) -> Lanes:
    """Return where a line (amplitude, centre, width, variances of centre and width) is valid, as `judge.judge_line`."""
    half, narrow, wide, threshold, guess = rules[:5]
    amplitude, centre, width, centre_variance, width_variance = line
    ratio = code.greatest(width / guess, guess / width)
    needed = threshold * (code.least(code.greatest(ratio * 0.5, 1.0), 3.0) * 0.5 + 0.5)
    needed = needed * code.select(amplitude > 0.0, PEAK_FACTOR, 1.0)
    reach = half - width * 0.25
    square = width * width
    return _all(
        [
            ~(strength < needed * needed),
            code.absolute(centre) < reach,
            width > narrow * 1.001,
            width < wide * 0.999,
            centre_variance < square * 0.0625,
            width_variance < square * 0.5625,
        ]
    )


@program
def verdict(
    typing: Any, sums: Any, theta: Any, variance: Any, state: Any, facts: Any, rules: Any, guesses: Any, pairs: Any,
    results: Any, flags: Any, lines_tag: Any, level_tag: Any, pairs_tag: Any,
) -> Any:  # fmt: skip
    """Judge sixteen fits and write their results, lines in ascending order.

    Parameters
    ----------
    sums, theta, variance, state
        As left by `steps.advance` and `steps.uncertainty`.
    facts
        (2, 16) mean counts, and 1 where the pixel is good (`filters.load_lanes`).
    rules
        (14,) float32: half the window, width limits, significance, width guess, MHz; shot variance per count, read
        variance per pass, passes per unit of weight; degrees of freedom; what chi2 may exceed them by chance; middle of
        the window; half its span; largest distance of a line from its guess; 1 / variance of ln(width / guess).
    guesses
        (lines,) float32 guesses from the middle, MHz (0 with an endless largest distance: none).
    pairs
        (2 doublets,) float32 line numbers.
    results
        (6 lines + doublets + 3, 16): centre, its sigma (as `judge.with_width`), fwhm, its sigma, contrast, its sigma of
        each line; correlation of each doublet's centres; baseline, slope, chi2.
    flags
        (4, 16): 1 where every line is valid; 1 where all are dips; largest corr^2 score that may hide in the residual
        (0: none can); by how much chi2 must be lower with peaks.
    """
    lines, level, doublets = len(lines_tag), len(level_tag), len(pairs_tag) - 1
    p = level + 3 * lines

    def body(
        code: Code, sums: Any, theta: Any, variance: Any, state: Any, facts: Any, rules: Any, guesses: Any, pairs: Any,
        results: Any, flags: Any,
    ) -> None:  # fmt: skip
        rule = [code.scalar(rules, i) for i in range(RULES)]
        shot, read, passes, freedom, chance, middle, half_span, far, stiffness = rule[5:]
        mean = code.load(facts, 0)
        unit = code.fma(shot, mean, read) / (mean * mean * passes)
        chi2 = code.load(sums, p * (p + 1) // 2 + p) / unit
        for k in range(lines):
            away = departure(code.load(theta, level + 3 * k + 2), rule[4])
            chi2 = code.fnma(away * away, stiffness, chi2)
        reduced = chi2 / freedom
        scale = code.greatest(reduced, 1.0)
        spread = unit * scale
        found = [[code.load(theta, level + 3 * k + c) for c in range(3)] for k in range(lines)]
        var = [[code.load(variance, level + 3 * k + c) * spread for c in range(3)] for k in range(lines)]
        held = p + lines * (lines - 1) // 2
        valid = [(code.load(state, 1) > 0.5) & (code.load(facts, 1) > 0.5)]
        dips: list[Lanes] = []
        weakest = code.lanes(3e38)
        for k, (amplitude, centre, width) in enumerate(found):
            strength = amplitude * amplitude / (code.load(variance, held + k) * spread)
            valid.append(_judge(code, [amplitude, centre, width, var[k][1], var[k][2]], strength, rule))
            dips.append(amplitude < 0.0)
            weakest = code.least(strength, weakest)
            for _, other, wide in found[:k]:
                apart = code.absolute(centre - other) * 2.0
                valid.append(~(apart < (width + wide) * NEAR))
        ranks = _ranks(code, [centre for _, centre, _ in found])
        level_value = code.load(theta, 0) + 1.0
        tilt = code.load(theta, 1) / half_span if level > 1 else code.lanes(0.0)
        bases = [code.fma(tilt, centre, level_value) for _, centre, _ in found]
        columns = [
            [centre + middle for _, centre, _ in found],
            [code.sqrt(v[1] * (v[2] / (line[2] * line[2]) + 1.0)) for line, v in zip(found, var, strict=True)],
            [width for _, _, width in found],
            [code.sqrt(v[2]) for v in var],
            [line[0] / base for line, base in zip(found, bases, strict=True)],
            [code.sqrt(v[0]) / base for v, base in zip(var, bases, strict=True)],
        ]
        for s in range(lines):
            wanted = code.lanes(float(s))
            for c, column in enumerate(columns):
                code.store(results, c * lines + s, _at_rank(code, ranks, column, wanted))
            centre = _at_rank(code, ranks, [centre for _, centre, _ in found], wanted)
            valid.append(code.absolute(centre - code.scalar(guesses, s)) < far)
        for d in range(doublets):
            low, high = code.scalar(pairs, 2 * d), code.scalar(pairs, 2 * d + 1)
            total = code.lanes(0.0)
            for k in range(lines):
                for j in range(k):
                    straight = (code.absolute(ranks[j] - low) < 0.5) & (code.absolute(ranks[k] - high) < 0.5)
                    crossed = (code.absolute(ranks[k] - low) < 0.5) & (code.absolute(ranks[j] - high) < 0.5)
                    both = code.load(variance, level + 3 * j + 1) * code.load(variance, level + 3 * k + 1)
                    value = code.load(variance, p + k * (k - 1) // 2 + j) / code.sqrt(both)
                    total = code.select(straight | crossed, value, total)
            code.store(results, 6 * lines + d, total)
        last = 6 * lines + doublets
        code.store(results, last, mean * level_value)
        code.store(results, last + 1, tilt / level_value)
        code.store(results, last + 2, reduced)
        allowed = code.greatest(weakest * scale, rule[3] * rule[3])
        room = chi2 - freedom + chance > allowed
        code.store(flags, 0, code.select(_all(valid), 1.0, 0.0))
        code.store(flags, 1, code.select(_all(dips), 1.0, 0.0))
        code.store(flags, 2, code.select(room, allowed * unit, 0.0))
        code.store(flags, 3, scale * unit * (PEAK_PENALTY * lines))

    arrays = (sums, theta, variance, state, facts, rules, guesses, pairs, results, flags)
    return types.void(*arrays, lines_tag, level_tag, pairs_tag), generate(body, 10)
