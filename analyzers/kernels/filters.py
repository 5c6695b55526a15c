"""What happens to sixteen spectra before and beside the fit, written in `lanes`: loading, binning, matched filter."""

from __future__ import annotations

from typing import Any

from numba.core import types

from analyzers.kernels.compiled import program
from analyzers.kernels.lanes import Code, Lanes, generate


@program
def load_lanes(
    typing: Any, flat: Any, first: Any, stride: Any, order: Any, scales: Any, limits: Any, signal: Any, facts: Any
) -> Any:
    """Turn the sums of sixteen pixels into signals times the weight root, PL / PL0 - 1.

    Parameters
    ----------
    flat, first, stride
        uint32 or float32 sums, place of the first pixel, distance between two frequencies' planes.
    order
        (n,) int64 planes by ascending frequency.
    scales
        (n, 2) float32: 1 / passes, weight root.
    limits
        (4,) float32: camera offset, saturation (inf: not tested), n, most points that may share the highest value.
    signal
        (n, 16) output.
    facts
        (2, 16) output: mean counts PL0, and 1 where the pixel is one for the fast path.
    """
    whole = isinstance(flat.dtype, types.Integer)

    def body(
        code: Code, flat: Any, first: Any, stride: Any, order: Any, scales: Any, limits: Any, signal: Any, facts: Any,
        count: Any,
    ) -> None:  # fmt: skip
        offset, saturation, number, most = (code.scalar(limits, i) for i in range(4))

        def read(i: Any, carried: list[Lanes]) -> list[Lanes]:
            total, top = carried
            at = code.builder.add(code.builder.mul(code.integer(order, i), stride), first)
            counts = code.load_any(flat, at, whole)
            value = code.fma(counts, code.scalar(scales, code.builder.mul(i, code.index(2))), -offset)
            code.store(signal, i, value)
            return [total + value, code.greatest(value, top)]

        total, top = code.loop(count, [code.lanes(0.0), code.lanes(-3e38)], read)
        mean = total / number
        inverse = code.lanes(1.0) / mean

        def scale(i: Any, carried: list[Lanes]) -> list[Lanes]:
            value = code.load(signal, i)
            root = code.scalar(scales, code.builder.add(code.builder.mul(i, code.index(2)), code.index(1)))
            code.store(signal, i, code.fma(value, inverse, code.lanes(-1.0)) * root)
            return [carried[0] + code.select(value < top, 0.0, 1.0)]

        repeated = code.loop(count, [code.lanes(0.0)], scale)[0]
        good = (mean > 0.0) & (mean < 3e38) & (top + offset < saturation) & (repeated < most)
        code.store(facts, 0, mean)
        code.store(facts, 1, code.select(good, 1.0, 0.0))

    arrays = (flat, first, stride, order, scales, limits, signal, facts)
    return types.void(*arrays), generate(body, 8, lengths=(3,))


@program
def bin_lanes(typing: Any, signal: Any, edges: Any, shares: Any, bins: Any, out: Any) -> Any:
    """Average neighbouring points of sixteen signals: out (bins, 16) = sums of signal times share from edge to edge.

    `edges` is (bins + 1,) int64, `shares` (n,) float32.
    """

    def body(code: Code, signal: Any, edges: Any, shares: Any, bins: Any, out: Any) -> None:
        def one(b: Any, _: list[Lanes]) -> list[Lanes]:
            low = code.integer(edges, b)
            high = code.integer(edges, code.builder.add(b, code.index(1)))

            def point(i: Any, carried: list[Lanes]) -> list[Lanes]:
                at = code.builder.add(low, i)
                return [code.fma(code.load(signal, at), code.scalar(shares, at), carried[0])]

            code.store(out, b, code.loop(code.builder.sub(high, low), [code.lanes(0.0)], point)[0])
            return []

        code.loop(bins, [], one)

    return types.void(signal, edges, shares, bins, out), generate(body, 5)


@program
def subtract(typing: Any, corr: Any, gram: Any, choice: Any) -> Any:
    """Take the template that each lane chose off its correlations: corr (m, 16) -= amplitude gram[number].

    `choice` (5, 16) as written by `strongest`; `gram` (m, m).
    """

    def body(code: Code, corr: Any, gram: Any, choice: Any, templates: Any) -> None:
        amount = code.load(choice, 2)
        rows = code.row_starts(code.greatest(code.load(choice, 0), 0.0), templates)

        def one(m: Any, _: list[Lanes]) -> list[Lanes]:
            code.store(corr, m, code.fnma(amount, code.collect(gram, rows, m), code.load(corr, m)))
            return []

        code.loop(templates, [], one)

    return types.void(corr, gram, choice), generate(body, 3, lengths=(0,))


@program
def correlate_block(typing: Any, bank: Any, templates: Any, points: Any, signal: Any, out: Any) -> Any:
    """Correlate sixteen signals with the templates: bank (m / 8, n, 8), out (m, 16), m a multiple of 8."""

    def body(code: Code, bank: Any, templates: Any, points: Any, signal: Any, out: Any) -> None:
        tiles = code.builder.sdiv(templates, code.index(8))

        def tile(t: Any, _: list[Lanes]) -> list[Lanes]:
            offset = code.builder.mul(t, points)

            def point(i: Any, carried: list[Lanes]) -> list[Lanes]:
                at = code.builder.mul(code.builder.add(offset, i), code.index(8))
                value = code.load(signal, i)
                return [
                    code.fma(code.scalar(bank, code.builder.add(at, code.index(j))), value, carried[j])
                    for j in range(8)
                ]

            found = code.loop(points, [code.lanes(0.0)] * 8, point)
            first = code.builder.mul(t, code.index(8))
            for j in range(8):
                code.store(out, code.builder.add(first, code.index(j)), found[j])
            return []

        code.loop(tiles, [], tile)

    return types.void(bank, templates, points, signal, out), generate(body, 5)


@program
def leading(typing: Any, corr: Any, scores: Any, out: Any) -> Any:
    """Write each lane's correlation with its strongest template to `out` (1, 16): its sign tells dip or peak."""

    def body(code: Code, corr: Any, scores: Any, out: Any, count: Any) -> None:
        def one(m: Any, carried: list[Lanes]) -> list[Lanes]:
            best, kept = carried
            given = code.load(corr, m)
            value = given * given * code.scalar(scores, m)
            better = value > best
            return [code.select(better, value, best), code.select(better, given, kept)]

        code.store(out, 0, code.loop(count, [code.lanes(0.0), code.lanes(0.0)], one)[1])

    return types.void(corr, scores, out), generate(body, 3, lengths=(0,))


@program
def strongest(
    typing: Any, corr: Any, templates: Any, scores: Any, taken: Any, side: Any, out: Any, lines_tag: Any
) -> Any:
    """Write the strongest template of each lane to `out` (5, 16).

    Its number (-1: none), strength corr^2 score, amplitude, centre, width; the centre is the top of the parabola
    through the filter's output at the template and its neighbours.

    Parameters
    ----------
    corr
        (m, 16) correlations.
    templates
        (m, 4) float32: centre, width, score, distance to the next one (0 where a neighbour is missing).
    scores
        (m,) score to choose by, 0: never.
    taken
        (2 lines, 16): left out are templates within taken[lines + k] MHz of taken[k].
    side
        (1,) left out are correlations of this sign: 1 leaves dips alone, 0 everything.
    """
    lines = len(lines_tag)

    def body(code: Code, corr: Any, templates: Any, scores: Any, taken: Any, side: Any, out: Any, count: Any) -> None:
        used = [(code.load(taken, k), code.load(taken, lines + k)) for k in range(lines)]
        sign = code.scalar(side, 0)
        zero = code.lanes(0.0)

        def one(m: Any, carried: list[Lanes]) -> list[Lanes]:
            best, number, now, before, fresh, left, right, *kept = carried
            at = code.builder.mul(m, code.index(4))
            row = [code.scalar(templates, code.builder.add(at, code.index(i))) for i in range(4)]
            given = code.load(corr, m)
            value = given * given * code.scalar(scores, m)
            height = given * code.sqrt(row[2])
            better = (value > best) & ~(given * sign > 0.0)
            for where, reach in used:
                better = better & ~(code.absolute(row[0] - where) < reach)
            right = code.select(fresh > 0.5, height, right)
            found = [given * row[2], row[0], row[1], height, row[3]]
            return [
                code.select(better, value, best),
                code.select(better, now, number),
                now + 1.0,
                height,
                code.select(better, 1.0, 0.0),
                code.select(better, before, left),
                right,
                *[code.select(better, new, old) for new, old in zip(found, kept, strict=True)],
            ]

        start = [zero, code.lanes(-1.0), *[zero] * 10]
        best, number, _, _, _, left, right, amplitude, centre, width, height, step = code.loop(count, start, one)
        bend = left - height - height + right
        shift = code.least(code.greatest((left - right) * 0.5 / bend, -0.5), 0.5) * step
        curved = bend * height < 0.0
        code.store(out, 0, number)
        code.store(out, 1, best)
        code.store(out, 2, amplitude)
        code.store(out, 3, centre + code.select(curved, shift, 0.0))
        code.store(out, 4, width)

    arrays = (corr, templates, scores, taken, side, out)
    return types.void(*arrays, lines_tag), generate(body, 6, lengths=(0,))
