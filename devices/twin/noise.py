"""Camera noise with a counter instead of a generator: a frame's bits depend on its key alone, not on what came before.

Photo-electrons are hundreds to hundreds of thousands, so that the Poisson law is its normal limit; read noise adds in
the same draw.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 1.0 / 9007199254740992.0
_TURN = 2.0 * math.pi


def frame_key(seed: int, run_uid: str, sweep: int, pass_index: int, index: int) -> int:
    """Return the 64-bit key of a frame."""
    text = f"{seed}/{run_uid}/{sweep}/{pass_index}/{index}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@njit(cache=True, nogil=True)
def _uniform(counter: np.uint64) -> float:
    """Splitmix64 of a counter as a number in (0, 1)."""
    z = counter * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    z = z ^ (z >> np.uint64(31))
    return (float(z >> np.uint64(11)) + 0.5) * _TO_UNIT


@njit(cache=True, nogil=True)
def _normals(key: np.uint64, pair: int) -> tuple[float, float]:
    """Two independent normal numbers of a key and a pair number (Box and Muller)."""
    counter = key + np.uint64(2) * np.uint64(pair)
    radius = math.sqrt(-2.0 * math.log(_uniform(counter)))
    angle = _TURN * _uniform(counter + np.uint64(1))
    return radius * math.cos(angle), radius * math.sin(angle)


@njit(cache=True, nogil=True)
def expose(
    expected: NDArray[np.float32],
    key: np.uint64,
    common: float,
    read_noise: float,
    counts_per_electron: float,
    offset: float,
    out: NDArray[np.uint16],
) -> None:
    """Turn mean photo-electrons (n,) into counts (n,).

    Parameters
    ----------
    expected
        Mean photo-electrons per pixel.
    key
        Key of the frame.
    common
        Relative standard deviation of the brightness of the whole frame.
    read_noise
        Standard deviation, electrons.
    counts_per_electron
        Counts per photo-electron.
    offset
        Counts of a dark frame.
    out
        Receives the counts, limited to 0 .. 65535.
    """
    read2 = read_noise * read_noise
    whole = 1.0 + common * _normals(key, 0)[0]
    size = expected.size
    for pair in range((size + 1) // 2):
        first, second = _normals(key, pair + 1)
        for half in range(min(2, size - 2 * pair)):
            n = 2 * pair + half
            mean = whole * float(expected[n])
            value = mean + math.sqrt(max(mean, 0.0) + read2) * (first if half == 0 else second)
            counts = math.floor(value * counts_per_electron + offset + 0.5)
            out[n] = np.uint16(min(65535.0, max(0.0, counts)))
