"""crc32c of a frame's bytes."""

from __future__ import annotations

import google_crc32c
import numpy as np
from numpy.typing import NDArray


def crc32c(frame: NDArray[np.generic]) -> int:
    """Return the crc32c of an array's bytes in row order; contiguous arrays are not copied."""
    return int(google_crc32c.value(np.ascontiguousarray(frame)))  # pyright: ignore[reportArgumentType] - any buffer
