"""Noise of a measurement whose camera is not known: from the scatter of each spectrum about itself.

The second difference of three neighbours in a spectrum takes out level and slope; what is left has the variance
(1 + w0^2 + w2^2) sigma^2, with w0 and w2 the weights of linear interpolation. Shot noise makes sigma^2 proportional to
the counts, so the ratio of squared second difference to counts gives one effective number of electrons per count. The
median, over all pixels and then over all frequencies, keeps lines and single bad points out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.ingest_readers import IngestError
from stream.messages import NoiseModel

_MEDIAN_OF_CHI2 = 0.454936423119572
"""Median of a squared standard normal variable."""


def estimate_noise(
    frames: NDArray[Any], frequency_mhz: NDArray[np.float64], offset_counts: float = 0.0, accumulations: int = 1
) -> NoiseModel:
    """Return the noise model that reproduces the scatter of the spectra, marked as estimated.

    Parameters
    ----------
    frames
        (f, y, x) counts.
    frequency_mhz
        (f,) ascending, need not be equidistant.
    offset_counts
        Counts of a dark frame.
    accumulations
        Exposures averaged into a value: taken out of the number, so that the model's formula puts it back.

    Raises
    ------
    IngestError
        Where the spectra do not scatter at all.
    """
    medians = [
        _median_ratio(frames[k - 1 : k + 2], frequency_mhz[k - 1 : k + 2], offset_counts) for k in _inner(frames)
    ]
    ratio = float(np.median([value for value in medians if np.isfinite(value)] or [0.0]))
    if ratio <= 0:
        raise IngestError(
            "the noise cannot be estimated: the spectra do not scatter above the offset; "
            "give the camera's gain in electrons per count"
        )
    electrons = _MEDIAN_OF_CHI2 / ratio / accumulations
    return NoiseModel("estimated", float(f"{electrons:.6g}"), offset_counts, 0.0, 1.0, accumulations)


def _inner(frames: NDArray[Any]) -> range:
    return range(1, len(frames) - 1)


def _median_ratio(three: NDArray[Any], frequency_mhz: NDArray[np.float64], offset: float) -> float:
    """Return the median over the pixels of squared second difference over counts, in units of its expectation."""
    width = frequency_mhz[2] - frequency_mhz[0]
    before, after = (frequency_mhz[2] - frequency_mhz[1]) / width, (frequency_mhz[1] - frequency_mhz[0]) / width
    low, middle, high = (plane.astype(np.float64) for plane in three)
    level = before * low + after * high
    lit = level > offset
    if not lit.any():
        return float("nan")
    difference = (middle - level)[lit]
    variance = ((level - offset) * (1 + before**2 + after**2))[lit]
    return float(np.median(difference**2 / variance))
