"""Sixteen pixels side by side: a small language over LLVM vectors, so that arithmetic is written once, in Python.

The compiler's own vectoriser decides anew at every change of the code what to fuse and in which order to add. Here
each operation is written out: `fma` where we say so and nowhere else, one division, one square root, all correctly
rounded. The bits are the same on every CPU with FMA, whatever the width of its registers, and each lane is
independent of its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import types

WIDTH = 16
"""Pixels of a block: one AVX-512 register, two of AVX2."""

FLOAT = ir.FloatType()
VECTOR = ir.VectorType(FLOAT, WIDTH)
BITS = ir.VectorType(ir.IntType(32), WIDTH)
INDEX = ir.IntType(64)


class Lanes:
    """Sixteen float32 (or a mask of sixteen bits); operators act lane by lane."""

    __slots__ = ("code", "value")

    def __init__(self, code: Code, value: Any) -> None:
        self.code = code
        self.value = value

    def __add__(self, other: Lanes | float) -> Lanes:
        return self.code.wrap(self.code.builder.fadd(self.value, self.code.lanes(other).value))

    def __sub__(self, other: Lanes | float) -> Lanes:
        return self.code.wrap(self.code.builder.fsub(self.value, self.code.lanes(other).value))

    def __mul__(self, other: Lanes | float) -> Lanes:
        return self.code.wrap(self.code.builder.fmul(self.value, self.code.lanes(other).value))

    def __truediv__(self, other: Lanes | float) -> Lanes:
        return self.code.wrap(self.code.builder.fdiv(self.value, self.code.lanes(other).value))

    def __neg__(self) -> Lanes:
        return self.code.wrap(self.code.builder.fneg(self.value))

    def __lt__(self, other: Lanes | float) -> Lanes:
        return self.code.wrap(self.code.builder.fcmp_ordered("<", self.value, self.code.lanes(other).value))

    def __gt__(self, other: Lanes | float) -> Lanes:
        return self.code.wrap(self.code.builder.fcmp_ordered(">", self.value, self.code.lanes(other).value))

    def __and__(self, other: Lanes) -> Lanes:
        return self.code.wrap(self.code.builder.and_(self.value, other.value))

    def __or__(self, other: Lanes) -> Lanes:
        return self.code.wrap(self.code.builder.or_(self.value, other.value))

    def __invert__(self) -> Lanes:
        return self.code.wrap(self.code.builder.not_(self.value))


class Code:
    """Writes LLVM instructions: constants, memory, fused multiply-add, selection, loops."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context = context
        self.builder = builder

    def wrap(self, value: Any) -> Lanes:
        """Return an LLVM value as lanes."""
        return Lanes(self, value)

    def lanes(self, value: Lanes | float) -> Lanes:
        """Return lanes as they are, a number in every lane."""
        if isinstance(value, Lanes):
            return value
        return self.wrap(ir.Constant(VECTOR, [float(value)] * WIDTH))

    def fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes:
        """Return a b + c, rounded once."""
        return self._call("llvm.fma", a, b, c)

    def fnma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes:
        """Return c - a b, rounded once."""
        return self.fma(-a, b, c)

    def _call(self, name: str, *given: Lanes) -> Lanes:
        full = f"{name}.v{WIDTH}f32"
        module = self.builder.module
        function = module.globals.get(full)
        if function is None:
            function = ir.Function(module, ir.FunctionType(VECTOR, [VECTOR] * len(given)), full)
        return self.wrap(self.builder.call(function, [lane.value for lane in given]))

    def sqrt(self, a: Lanes) -> Lanes:
        """Return the correctly rounded square root."""
        return self._call("llvm.sqrt", a)

    def absolute(self, a: Lanes) -> Lanes:
        """Return |a|."""
        return self._call("llvm.fabs", a)

    def floor(self, a: Lanes) -> Lanes:
        """Return the largest whole number not above a."""
        return self._call("llvm.floor", a)

    def select(self, mask: Lanes, yes: Lanes | float, no: Lanes | float) -> Lanes:
        """Return `yes` where the mask is set, else `no`."""
        return self.wrap(self.builder.select(mask.value, self.lanes(yes).value, self.lanes(no).value))

    def least(self, a: Lanes, b: Lanes | float) -> Lanes:
        """Return the smaller; b where a is not a number."""
        other = self.lanes(b)
        return self.select(a < other, a, other)

    def greatest(self, a: Lanes, b: Lanes | float) -> Lanes:
        """Return the larger; b where a is not a number."""
        other = self.lanes(b)
        return self.select(a > other, a, other)

    def half_power(self, z: Lanes) -> Lanes:
        """Return 2^-z for z >= 0 (z beyond 100 counts as 100): a polynomial of our own, relative error below 3e-7."""
        z = self.least(z, 100.0)
        whole = self.floor(z + 0.5)
        r = whole - z
        total = self.lanes(1.5403530393381608e-4)
        for term in (1.3333558146428443e-3, 9.618129107628477e-3, 5.5504108664821576e-2, 0.24022650695910072):
            total = self.fma(total, r, self.lanes(term))
        total = self.fma(total, r, self.lanes(0.6931471805599453))
        total = self.fma(total, r, self.lanes(1.0))
        exponent = self.builder.fptosi((self.lanes(127.0) - whole).value, BITS)
        shifted = self.builder.shl(exponent, ir.Constant(BITS, [23] * WIDTH))
        return total * self.wrap(self.builder.bitcast(shifted, VECTOR))

    def _address(self, array: Any, index: Any, pointer: Any) -> Any:
        at = self.builder.gep(array, [index])
        return self.builder.bitcast(at, pointer.as_pointer())

    def index(self, number: Any) -> Any:
        """Return a whole number as an LLVM index."""
        return ir.Constant(INDEX, number) if isinstance(number, int) else number

    def load(self, array: Any, row: Any) -> Lanes:
        """Return row `row` of an (m, 16) array."""
        at = self.builder.mul(self.index(row), self.index(WIDTH))
        value = self.builder.load(self._address(array, at, VECTOR))
        value.align = 4
        return self.wrap(value)

    def store(self, array: Any, row: Any, value: Lanes | float) -> None:
        """Write row `row` of an (m, 16) array."""
        at = self.builder.mul(self.index(row), self.index(WIDTH))
        self.builder.store(self.lanes(value).value, self._address(array, at, VECTOR), align=4)

    def scalar(self, array: Any, at: Any) -> Lanes:
        """Return element `at` of a float32 array in every lane."""
        value = self.builder.load(self.builder.gep(array, [self.index(at)]))
        empty = ir.Constant(VECTOR, ir.Undefined)
        first = self.builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        return self.wrap(self.builder.shuffle_vector(first, empty, everywhere))

    def integer(self, array: Any, at: Any) -> Any:
        """Return element `at` of an int64 array."""
        return self.builder.load(self.builder.gep(array, [self.index(at)]))

    def load_any(self, array: Any, at: Any, whole: bool) -> Lanes:
        """Return sixteen neighbours from element `at` on, whole numbers (uint32) turned into float32."""
        value = self.builder.load(self._address(array, at, BITS if whole else VECTOR))
        value.align = 4
        return self.wrap(self.builder.uitofp(value, VECTOR) if whole else value)

    def row_starts(self, numbers: Lanes, length: Any) -> list[Any]:
        """Return, lane by lane, the place where row `numbers` of an (m, length) array starts."""
        whole = self.builder.fptosi(numbers.value, BITS)
        starts: list[Any] = []
        for lane in range(WIDTH):
            number = self.builder.extract_element(whole, ir.Constant(ir.IntType(32), lane))
            starts.append(self.builder.mul(self.builder.sext(number, INDEX), length))
        return starts

    def collect(self, array: Any, starts: Sequence[Any], at: Any) -> Lanes:
        """Return the elements starts[lane] + at of a float32 array."""
        total: Any = ir.Constant(VECTOR, ir.Undefined)
        for lane, start in enumerate(starts):
            value = self.builder.load(self.builder.gep(array, [self.builder.add(start, at)]))
            total = self.builder.insert_element(total, value, ir.Constant(ir.IntType(32), lane))
        return self.wrap(total)

    def loop(
        self, count: Any, carried: Sequence[Lanes], body: Callable[[Any, list[Lanes]], list[Lanes]]
    ) -> list[Lanes]:
        """Run `body(i, carried)` for i = 0 ... count - 1 (count >= 1); return what it carried last."""
        builder = self.builder
        before = builder.block
        head = builder.append_basic_block("loop")
        after = builder.append_basic_block("after")
        builder.branch(head)
        builder.position_at_end(head)
        i = builder.phi(INDEX)
        i.add_incoming(self.index(0), before)
        phis = [builder.phi(VECTOR) for _ in carried]
        for phi, first in zip(phis, carried, strict=True):
            phi.add_incoming(first.value, before)
        results = body(i, [self.wrap(phi) for phi in phis])
        following = builder.add(i, self.index(1))
        i.add_incoming(following, builder.block)
        for phi, result in zip(phis, results, strict=True):
            phi.add_incoming(result.value, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, self.index(count)), head, after)
        builder.position_at_end(after)
        return results


def generate(body: Callable[..., None], used: int, lengths: Sequence[int] = ()) -> Any:
    """Return the code generator of a program.

    Parameters
    ----------
    body
        Writes the code; called with the `Code`, then the first `used` arguments, then the lengths asked for.
    used
        Arguments handed on: arrays as pointers to their data, numbers as they are.
    lengths
        Arguments whose number of rows is handed on as well.
    """
    from numba.np.arrayobj import make_array

    def generator(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        arrays: list[Any] = []
        rows: list[Any] = []
        for kind, value in zip(signature.args[:used], arguments[:used], strict=True):
            if isinstance(kind, types.Array):
                made = make_array(kind)(context, builder, value)
                arrays.append(made.data)
                rows.append(builder.extract_value(made.shape, 0))
            else:
                arrays.append(value)
                rows.append(None)
        body(Code(context, builder), *arrays, *[rows[number] for number in lengths])
        return context.get_dummy_value()

    return generator
