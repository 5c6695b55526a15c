"""Fit every pixel of a cube: the final result depends on the pixel's own sums, the list, the noise and the settings only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.fitmap import DESCRIPTIONS, UNITS, Doublet, FitMap
from analyzers.settings import AnalysisSettings
from stream.messages import NoiseModel

__all__ = ["DESCRIPTIONS", "UNITS", "Doublet", "FitMap", "SpectrumFit", "fit_band", "fit_image", "fit_spectrum", "model_spectrum", "warm_up"]


@dataclass(frozen=True)
class SpectrumFit:
    """Fit of one spectrum (signal relative to the baseline)."""

    lines: FitMap
    """A 1 x 1 map."""
    model: NDArray[np.float64]
    """(f,) fitted model at the frequencies given, relative to the same baseline as the signal."""


def fit_band(
    cube_sums: NDArray[np.generic],
    passes_added: NDArray[np.integer],
    frequency_mhz: NDArray[np.float64],
    noise: NoiseModel,
    settings: AnalysisSettings,
    start: FitMap | None = None,
) -> FitMap:
    """Fit every pixel of a band.

    Parameters
    ----------
    cube_sums
        (f, y, x) sums of counts (uint32) or one pass as float32; any strides.
    passes_added
        (f,) passes in each sum; frequencies with 0 are left out.
    frequency_mhz
        (f,) frequencies in any order, MHz.
    noise
        Camera's noise: gives the weights and chi2.
    settings
        Lines, shape, thresholds.
    start
        Earlier result of the same band, a warm start for provisional maps. Never give it for a final map.
    """
    raise NotImplementedError


def fit_image(
    cube_sums: NDArray[np.generic],
    passes_added: NDArray[np.integer],
    frequency_mhz: NDArray[np.float64],
    noise: NoiseModel,
    settings: AnalysisSettings,
    threads: int = 0,
) -> FitMap:
    """Fit a whole image in several threads over row bands: bit-identical to any other partition. 0 threads: all cores."""
    raise NotImplementedError


def fit_spectrum(
    frequency_mhz: NDArray[np.float64],
    signal: NDArray[np.floating],
    sigma: NDArray[np.floating],
    settings: AnalysisSettings,
) -> SpectrumFit:
    """Fit one spectrum: signal (f,) = PL / baseline - 1 with standard deviation sigma (f,)."""
    raise NotImplementedError


def model_spectrum(
    frequency_mhz: NDArray[np.float64],
    centre_mhz: Sequence[float],
    fwhm_mhz: Sequence[float],
    contrast: Sequence[float],
    settings: AnalysisSettings,
    slope: float = 0.0,
) -> NDArray[np.float64]:
    """Return PL / baseline - 1 (f,) of the lines given (those with NaN are left out); slope in 1/MHz about the middle."""
    raise NotImplementedError


def warm_up(settings: AnalysisSettings) -> None:
    """Compile (or load from the cache on disk) every kernel a run with these settings needs."""
    raise NotImplementedError
