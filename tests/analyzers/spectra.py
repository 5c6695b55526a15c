"""Cubes with known lines for the tests of the fits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.messages import NoiseModel

FREQUENCY_MHZ = np.unique(
    np.concatenate(
        [
            np.arange(2820.0, 2900.0, 4.5),
            np.linspace(2900.0, 3060.0, 14),
            np.arange(3060.0, 3320.0, 5.0),
            np.linspace(3320.0, 3365.0, 5),
            np.arange(3365.0, 3445.0, 4.5),
        ]
    )
)
"""The twin's kind of list: dense where lines are, sparse between."""
GAIN = 8.0
COUNTS = 40_000.0
PASSES = 6


@dataclass(frozen=True)
class Truth:
    """A cube of four lines and what it was made of."""

    sums: NDArray[np.uint32]
    passes: NDArray[np.int64]
    noise: NoiseModel
    centre_mhz: NDArray[np.float64]
    fwhm_mhz: NDArray[np.float64]
    contrast: NDArray[np.float64]


def four_lines(rows: int, width: int, seed: int = 0, inner: float = 1.0) -> Truth:
    """Make sums of Poisson frames of a 97 G spectrum: outer pair 1.5 %, inner lines 0.6 % times `inner`."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :width].astype(float)
    centre = np.stack(
        [2857 + 3 * np.sin(x / 9), 3100 + 5 * np.cos(y / 7), 3285 + 4 * np.sin(y / 5), 3401 + 3 * np.cos(x / 8)]
    )
    fwhm = np.broadcast_to(np.array([14.0, 18.0, 17.0, 15.0])[:, None, None], centre.shape)
    contrast = np.broadcast_to(np.array([-0.015, -0.006 * inner, -0.006 * inner, -0.015])[:, None, None], centre.shape)
    t = 2 * (FREQUENCY_MHZ[:, None, None, None] - centre) / fwhm
    signal = 1.0 + 2e-3 * (FREQUENCY_MHZ[:, None, None] - 3130) / 300 + (contrast / (1 + t * t)).sum(axis=1)
    electrons = random.poisson(COUNTS * GAIN * PASSES * signal)
    sums = np.round(electrons / GAIN).astype(np.uint32)
    passes = np.full(len(FREQUENCY_MHZ), PASSES, np.int64)
    return Truth(sums, passes, NoiseModel("gain", GAIN), centre, fwhm, contrast)
