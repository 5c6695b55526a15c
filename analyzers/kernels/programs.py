"""The arithmetic of sixteen fits at once, written in `lanes`: models, residuals, normal equations.

Numbers that shape the code are given as the lengths of tuples (`tag(n)`), so that numba compiles one version for
each: the number of lines, of baseline parameters, of hyperfine components, and the shape.

Parameters of a lane: [level, slope (if linear), then per line amplitude, centre, fwhm]; centres in MHz from the
middle of the list. The Gauss-Newton problem is solved in the basis (1, u, per line: height h, c = w dh/dcentre / KC,
s = w dh/dfwhm / KS): it does not hold the amplitudes, so a line near zero contrast does no harm, and the step is
turned into one of the parameters with the new amplitude (`steps`), as in variable projection.
"""

from __future__ import annotations

from typing import Any

from numba.core import types

from analyzers.kernels.codes import GAUSSIAN, LORENTZIAN
from analyzers.kernels.compiled import program
from analyzers.kernels.lanes import Code, Lanes, generate

LN2 = 0.6931471805599453
IN_REGISTERS = 2
"""Most lines whose sums stay in registers."""
UNROLL = 4
"""Frequencies per turn of the loop where the sums stay in registers."""
CHUNK = 8
"""Frequencies per turn where they do not."""


def padded(points: int, lines: int) -> int:
    """Return the length a list is filled up to, with points of weight 0."""
    step = UNROLL if lines <= IN_REGISTERS else CHUNK
    return -(-points // step) * step


def tag(number: int) -> tuple[int, ...]:
    """Return a tuple whose length tells the compiler a number."""
    return (0,) * number


def basis_scales(shape: int) -> tuple[float, float]:
    """Return KC and KS: h_centre = KC c / w, h_fwhm = KS s / w."""
    if shape == LORENTZIAN:
        return 4.0, 2.0
    return 1.0, 1.0


def triangle(a: int, b: int) -> int:
    """Return the place of element (a, b), b <= a, of a packed lower triangle."""
    return a * (a + 1) // 2 + b


def _reciprocals(code: Code, values: list[Lanes]) -> list[Lanes]:
    """Return 1 / value of each, with one division for up to four (a division costs as much as ten products)."""
    out: list[Lanes] = []
    for first in range(0, len(values), 4):
        group = values[first : first + 4]
        before: list[Lanes] = [group[0]]
        for value in group[1:]:
            before.append(before[-1] * value)
        inverse = code.lanes(1.0) / before[-1]
        backwards: list[Lanes] = []
        for i in range(len(group) - 1, 0, -1):
            backwards.append(inverse * before[i - 1])
            inverse = inverse * group[i]
        backwards.append(inverse)
        out += backwards[::-1]
    return out


def _line_basis(
    code: Code, shape: int, mixing: Lanes, scale: Lanes, arguments: list[list[Lanes]]
) -> list[tuple[Lanes, Lanes, Lanes]]:
    """Return (h, c, s) of each line times the weight root `scale`; arguments: 2 (x - f) / w per line and component."""
    flat = [q for line in arguments for q in line]
    share = 1.0 / len(arguments[0])
    parts: list[tuple[Lanes, Lanes, Lanes]] = []
    if shape == LORENTZIAN:
        heights = _reciprocals(code, [code.fma(q, q, code.lanes(1.0)) for q in flat])
        for q, height in zip(flat, heights, strict=True):
            scaled = height * scale
            square = height * scaled
            parts.append((scaled, q * square, scaled - square))
    else:
        heights = [code.lanes(0.0)] * len(flat)
        if shape != GAUSSIAN:
            heights = _reciprocals(code, [code.fma(q, q, code.lanes(1.0)) for q in flat])
        for q, height in zip(flat, heights, strict=True):
            gauss = code.half_power(q * q)
            slope = gauss * (4.0 * LN2)
            if shape != GAUSSIAN:
                rest = code.lanes(1.0) - mixing
                slope = code.fma(mixing * height * 4.0, height, slope * rest)
                gauss = code.fma(mixing, height, gauss * rest)
            central = q * slope * scale
            parts.append((gauss * scale, central, q * central * 0.5))
    lines: list[tuple[Lanes, Lanes, Lanes]] = []
    components = len(arguments[0])
    for k in range(len(arguments)):
        h, c, s = parts[k * components]
        for part in parts[k * components + 1 : (k + 1) * components]:
            h, c, s = h + part[0], c + part[1], s + part[2]
        lines.append((h, c, s) if components == 1 else (h * share, c * share, s * share))
    return lines


def _rows(
    code: Code, grid: Any, at: Any, shape: int, level: int, theta: list[Lanes], offsets: list[Lanes]
) -> list[Lanes]:
    """Return the basis functions at point `at` of the grid (n, 4): x, weight root, weight root times u, mixing."""
    base = code.builder.mul(at, code.index(4))
    x = code.scalar(grid, base)
    scale = code.scalar(grid, code.builder.add(base, code.index(1)))
    row = [scale]
    if level > 1:
        row.append(code.scalar(grid, code.builder.add(base, code.index(2))))
    mixing = code.scalar(grid, code.builder.add(base, code.index(3)))
    arguments: list[list[Lanes]] = []
    for k in range((len(theta) - level) // 3):
        centre, inverse = theta[level + 3 * k + 1], theta[level + 3 * k + 2]
        arguments.append([code.fma(x - offset, inverse, centre) for offset in offsets])
    for h, c, s in _line_basis(code, shape, mixing, scale, arguments):
        row += [h, c, s]
    return row


def _prepared(code: Code, theta: Any, level: int, lines: int) -> list[Lanes]:
    """Load the parameters; of each line amplitude, -2 centre / w and 2 / w."""
    out = [code.load(theta, a) for a in range(level + 3 * lines)]
    for k in range(lines):
        at = level + 3 * k
        inverse = code.lanes(2.0) / out[at + 2]
        out[at + 1], out[at + 2] = -(out[at + 1] * inverse), inverse
    return out


def _point(
    code: Code, tables: tuple[Any, Any], at: Any, shape: int, level: int, given: list[Lanes], shifts: list[Lanes]
) -> list[Lanes]:
    """Return the basis functions at point `at` and, last, what the model leaves of the signal."""
    signal, grid = tables
    row = _rows(code, grid, at, shape, level, given, shifts)
    rest = code.load(signal, at)
    for a in [*range(level), *range(level, len(row), 3)]:
        rest = code.fnma(given[a], row[a], rest)
    return [*row, rest]


def _in_registers(code: Code, point: Any, points: Any, p: int, level: int, sums: Any) -> None:
    """Accumulate with every sum in a register: for few parameters."""
    pairs = [(a, b) for a in range(level, p + 1) for b in range(a + 1)]

    def turn(i: Any, carried: list[Lanes]) -> list[Lanes]:
        first = code.builder.mul(i, code.index(UNROLL))
        rows = [point(code.builder.add(first, code.index(j))) for j in range(UNROLL)]
        out: list[Lanes] = []
        for (a, b), total in zip(pairs, carried, strict=True):
            value = total
            for row in rows:
                value = code.fma(row[a], row[b], value)
            out.append(value)
        return out

    turns = code.builder.sdiv(points, code.index(UNROLL))
    found = code.loop(turns, [code.lanes(0.0)] * len(pairs), turn)
    for (a, b), value in zip(pairs, found, strict=True):
        code.store(sums, triangle(a, b), value)


def _in_tiles(code: Code, point: Any, points: Any, p: int, level: int, sums: Any, scratch: Any) -> None:
    """Accumulate tile by tile (4 x 4 sums in registers) over chunks of CHUNK points whose rows lie in `scratch`."""
    for m in range(triangle(p, p) + 1):
        code.store(sums, m, 0.0)

    def chunk(i: Any, _: list[Lanes]) -> list[Lanes]:
        first = code.builder.mul(i, code.index(CHUNK))

        def fill(j: Any, _: list[Lanes]) -> list[Lanes]:
            at = code.builder.mul(j, code.index(p + 1))
            for a, value in enumerate(point(code.builder.add(first, j))):
                code.store(scratch, code.builder.add(at, code.index(a)), value)
            return []

        code.loop(CHUNK, [], fill)
        for a0 in range(0, p + 1, 4):
            for b0 in range(0, a0 + 1, 4):
                across = range(a0, min(a0 + 4, p + 1))
                down = range(b0, min(b0 + 4, p + 1))
                pairs = [(a, b) for a in across for b in down if b <= a]

                def tile(
                    j: Any, carried: list[Lanes], pairs: list[tuple[int, int]] = pairs, both: Any = (across, down)
                ) -> list[Lanes]:
                    at = code.builder.mul(j, code.index(p + 1))
                    rows = {a: code.load(scratch, code.builder.add(at, code.index(a))) for a in {*both[0], *both[1]}}
                    return [code.fma(rows[a], rows[b], c) for (a, b), c in zip(pairs, carried, strict=True)]

                start = [code.load(sums, triangle(a, b)) for a, b in pairs]
                for (a, b), value in zip(pairs, code.loop(CHUNK, start, tile), strict=True):
                    code.store(sums, triangle(a, b), value)
        return []

    code.loop(code.builder.sdiv(points, code.index(CHUNK)), [], chunk)


@program
def accumulate(
    typing: Any,
    signal: Any,
    grid: Any,
    points: Any,
    offsets: Any,
    baseline: Any,
    theta: Any,
    sums: Any,
    scratch: Any,
    lines_tag: Any,
    level_tag: Any,
    parts_tag: Any,
    shape_tag: Any,
) -> Any:
    """Write normal matrix (packed), gradient and chi2 of sixteen fits to `sums` (p (p + 1) / 2 + p + 1, 16).

    Parameters
    ----------
    signal
        (n, 16) float32 signal times weight root, n = `points` as `padded` gives it.
    grid
        (n, 4) float32: x, weight root, weight root times u, mixing.
    offsets
        (components,) float32 hyperfine offsets, MHz.
    baseline
        (3,) float32 sums of weight, weight u, weight u^2: the same for all pixels.
    theta
        (p, 16) float32 parameters.
    scratch
        (CHUNK (p + 1), 16) float32.
    """
    lines, level, parts, shape = (len(t) for t in (lines_tag, level_tag, parts_tag, shape_tag))
    shape -= 1
    p = level + 3 * lines

    def body(
        code: Code,
        signal: Any,
        grid: Any,
        points: Any,
        offsets: Any,
        baseline: Any,
        theta: Any,
        sums: Any,
        scratch: Any,
    ) -> None:
        given = _prepared(code, theta, level, lines)
        shifts = [code.scalar(offsets, h) for h in range(parts)]

        def point(at: Any) -> list[Lanes]:
            return _point(code, (signal, grid), at, shape, level, given, shifts)

        if lines <= IN_REGISTERS:
            _in_registers(code, point, points, p, level, sums)
        else:
            _in_tiles(code, point, points, p, level, sums, scratch)
        code.store(sums, triangle(0, 0), code.scalar(baseline, 0))
        if level > 1:
            code.store(sums, triangle(1, 0), code.scalar(baseline, 1))
            code.store(sums, triangle(1, 1), code.scalar(baseline, 2))

    arrays = (signal, grid, points, offsets, baseline, theta, sums, scratch)
    return types.void(*arrays, lines_tag, level_tag, parts_tag, shape_tag), generate(body, 8)


@program
def slopes(
    typing: Any, signal: Any, grid: Any, points: Any, offsets: Any, theta: Any, sums: Any, lines_tag: Any,
    level_tag: Any, parts_tag: Any, shape_tag: Any,
) -> Any:  # fmt: skip
    """Write gradient and chi2 alone, where `accumulate` has them: for steps with a matrix from near by."""
    lines, level, parts, shape = (len(t) for t in (lines_tag, level_tag, parts_tag, shape_tag))
    shape -= 1
    p = level + 3 * lines

    def body(code: Code, signal: Any, grid: Any, points: Any, offsets: Any, theta: Any, sums: Any) -> None:
        given = _prepared(code, theta, level, lines)
        shifts = [code.scalar(offsets, h) for h in range(parts)]

        def turn(i: Any, carried: list[Lanes]) -> list[Lanes]:
            out = list(carried)
            for j in range(2):
                at = code.builder.add(code.builder.mul(i, code.index(2)), code.index(j))
                row = _point(code, (signal, grid), at, shape, level, given, shifts)
                out = [code.fma(value, row[-1], total) for value, total in zip(row, out, strict=True)]
            return out

        found = code.loop(code.builder.sdiv(points, code.index(2)), [code.lanes(0.0)] * (p + 1), turn)
        for a, value in enumerate(found):
            code.store(sums, triangle(p, 0) + a, value)

    arrays = (signal, grid, points, offsets, theta, sums)
    return types.void(*arrays, lines_tag, level_tag, parts_tag, shape_tag), generate(body, 6)


@program
def residuals(
    typing: Any,
    signal: Any,
    grid: Any,
    points: Any,
    offsets: Any,
    theta: Any,
    out: Any,
    lines_tag: Any,
    level_tag: Any,
    parts_tag: Any,
    shape_tag: Any,
) -> Any:
    """Write what the models leave of sixteen signals (n, 16), times the weight root; arguments as in `accumulate`."""
    lines, level, parts, shape = (len(t) for t in (lines_tag, level_tag, parts_tag, shape_tag))
    shape -= 1

    def body(code: Code, signal: Any, grid: Any, points: Any, offsets: Any, theta: Any, out: Any) -> None:
        given = _prepared(code, theta, level, lines)
        shifts = [code.scalar(offsets, h) for h in range(parts)]

        def one(at: Any, _: list[Lanes]) -> list[Lanes]:
            code.store(out, at, _point(code, (signal, grid), at, shape, level, given, shifts)[-1])
            return []

        code.loop(points, [], one)

    arrays = (signal, grid, points, offsets, theta, out)
    return types.void(*arrays, lines_tag, level_tag, parts_tag, shape_tag), generate(body, 6)
