"""The machine's peak of fused multiply-adds: what absolute speeds are to be read against."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numba.core import types

from analyzers.kernels.compiled import kernel, program
from analyzers.kernels.lanes import WIDTH, Code, Lanes, generate

_CHAINS = 16
"""Independent chains: enough to hide the latency."""


@program
def _burst(typing: Any, values: Any, count: Any) -> Any:
    """Run `count` turns of one multiply-add on each of sixteen registers."""

    def body(code: Code, values: Any, count: Any) -> None:
        factor, term = code.load(values, 0), code.load(values, 1)

        def turn(_: Any, carried: list[Lanes]) -> list[Lanes]:
            return [code.fma(value, factor, term) for value in carried]

        found = code.loop(count, [code.load(values, 2 + i) for i in range(_CHAINS)], turn)
        for i, value in enumerate(found):
            code.store(values, 2 + i, value)

    return types.void(values, count), generate(body, 2)


@kernel
def _run(values: Any, count: int) -> None:
    """Call the burst."""
    _burst(values, count)


def fma_peak_gflops() -> float:
    """Return the best of several short bursts on one core, GFLOP/s (single precision, CPU time)."""
    values = np.full((2 + _CHAINS, WIDTH), 0.5, np.float32)
    _run(values, 10)
    count, best = 300_000, 0.0
    for _ in range(7):
        begin = time.process_time()
        _run(values, count)
        best = max(best, 2 * count * _CHAINS * WIDTH / (time.process_time() - begin) / 1e9)
    return best
