"""How every kernel is compiled: the one place where numba's untyped decorators are met.

Fused multiply-add is allowed, reordering never: bits must not depend on the block or the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile a function over arrays; the machine code is kept on disk."""
    compiled: Any = njit(fastmath={"contract"}, error_model="numpy", nogil=True, cache=True)(function)
    return compiled


def inlined(function: Function) -> Function:
    """Compile a function that is written into each kernel that calls it."""
    compiled: Any = njit(inline="always", fastmath={"contract"}, error_model="numpy", nogil=True, cache=True)(function)
    return compiled


def program(function: Callable[..., Any]) -> Any:
    """Make a program written in `lanes` callable from kernels; its first argument is numba's, not the caller's."""
    made: Any = intrinsic(function)
    return made
