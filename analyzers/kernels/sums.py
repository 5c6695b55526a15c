"""Adding a frame's counts to the sums of its frequency."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analyzers.kernels.compiled import kernel


@kernel
def add_counts(sums: NDArray[np.generic], counts: NDArray[np.generic]) -> None:
    """Add (rows, x) uint16 counts to uint32 sums: numpy would widen them in a buffer first."""
    for y in range(counts.shape[0]):
        for x in range(counts.shape[1]):
            sums[y, x] += np.uint32(counts[y, x])  # pyright: ignore[reportOperatorIssue] - both unsigned
