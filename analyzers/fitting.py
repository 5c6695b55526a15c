"""Fit every pixel of a cube: a final result depends on the pixel's sums, the list, the noise and the settings alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analyzers.cube import warm_up as warm_up_sums
from analyzers.engine import fit_flat, flat_view, make_ready
from analyzers.fitmap import DESCRIPTIONS, UNITS, Doublet, FitMap
from analyzers.kernels.shapes import line_profile
from analyzers.plan import Plan, cached_plan, line_model, make_plan
from analyzers.settings import AnalysisSettings
from stream.messages import NoiseModel

__all__ = [
    "DESCRIPTIONS",
    "UNITS",
    "Doublet",
    "FitMap",
    "SpectrumFit",
    "fit_band",
    "fit_image",
    "fit_spectrum",
    "model_spectrum",
    "warm_up",
]


BAND_PIXELS = 2048
"""Pixels of a band of `fit_image`, at least, where there are more than threads need."""
MOST_PIXELS = 131_072
"""Pixels of a band of `fit_image`, at most."""


@dataclass(frozen=True)
class SpectrumFit:
    """Fit of one spectrum (signal relative to the baseline)."""

    lines: FitMap
    """A 1 x 1 map."""
    model: NDArray[np.float64]
    """(f,) fitted model at the frequencies given, relative to the same reference as the signal given."""


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

    Raises
    ------
    ValueError
        Where shapes do not match or a frequency is not a finite number.
    """
    n, rows, width = cube_sums.shape
    plan = cached_plan(passes_added, frequency_mhz, n, noise, settings, provisional=start is not None)
    if plan is None:
        return FitMap.empty(settings.lines, settings.doublets, rows, width)
    return _fit_rows(plan, cube_sums, settings, start)


def _fit_rows(
    plan: Plan, cube_sums: NDArray[np.generic], settings: AnalysisSettings, start: FitMap | None = None
) -> FitMap:
    """Fit one band with a prepared plan."""
    _, rows, width = cube_sums.shape
    flat, stride = flat_view(cube_sums)
    warm = None
    if start is not None:
        warm = np.stack([start.centre_mhz, start.fwhm_mhz, start.contrast]).reshape(3, settings.lines, rows * width)
    planes = fit_flat(plan, flat, stride, rows * width, warm)
    shaped = {name: plane.reshape(*plane.shape[:-1], rows, width) for name, plane in planes.items()}
    return FitMap.from_planes(shaped, settings.doublets)


def fit_image(
    cube_sums: NDArray[np.generic],
    passes_added: NDArray[np.integer],
    frequency_mhz: NDArray[np.float64],
    noise: NoiseModel,
    settings: AnalysisSettings,
    threads: int = 0,
) -> FitMap:
    """Fit a whole image in several threads (0: all cores) over row bands: bit-identical to any other partition."""
    n, rows, width = cube_sums.shape
    plan = cached_plan(passes_added, frequency_mhz, n, noise, settings, provisional=False)
    if plan is None:
        return FitMap.empty(settings.lines, settings.doublets, rows, width)
    workers = threads or len(os.sched_getaffinity(0))
    # more bands than threads: pixels differ in how long they take; but none so small that its own cost shows, and none
    # so large that its memory comes from the system anew each time
    many = max(4 * workers, -(-rows * width // MOST_PIXELS))
    count = min(rows, many, max(workers, rows * width // BAND_PIXELS)) if workers > 1 else 1
    edges = np.unique(np.linspace(0, rows, count + 1).astype(int))
    if len(edges) == 2:
        return _fit_rows(plan, cube_sums, settings)
    make_ready(plan, cube_sums.dtype)
    one_row = FitMap.empty(settings.lines, settings.doublets, 1, width).to_planes()
    whole = {name: np.empty((*plane.shape[:-2], rows, width), plane.dtype) for name, plane in one_row.items()}

    def fit(low: int, high: int) -> None:
        for name, plane in _fit_rows(plan, cube_sums[:, low:high], settings).to_planes().items():
            whole[name][..., low:high, :] = plane

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(fit, edges[:-1], edges[1:]))
    return FitMap.from_planes(whole, settings.doublets)


def fit_spectrum(
    frequency_mhz: NDArray[np.float64],
    signal: NDArray[np.floating],
    sigma: NDArray[np.floating],
    settings: AnalysisSettings,
) -> SpectrumFit:
    """Fit one spectrum: signal (f,) = PL / reference - 1 with standard deviation sigma (f,)."""
    frequency = np.asarray(frequency_mhz, np.float64)
    # one float pass whose weights are 1 / sigma^2: read noise alone, "passes" in place of relative weights
    weight = 1.0 / np.asarray(sigma, np.float64) ** 2
    mean = float(weight.mean())
    noise = NoiseModel("gain", electrons_per_count=np.inf, read_noise_electrons=0.0)
    plan = make_plan(np.ones(len(frequency), np.int64), frequency, len(frequency), noise, settings, provisional=False)
    if plan is None:
        raise ValueError(f"{len(frequency)} frequencies are too few for {settings.lines} lines")
    plan = replace(plan, passes=(weight / mean)[plan.order], noise=(0.0, 0.0, 1.0 / mean), kept={})
    values = (1.0 + np.asarray(signal, np.float64))[plan.order] * plan.passes
    # `order` sorts the list; the values given are in that order already
    plan = replace(plan, order=np.arange(len(values), dtype=np.int64))
    planes = fit_flat(plan, values, 1, 1, fast=False)
    found = FitMap.from_planes({k: v.reshape(*v.shape[:-1], 1, 1) for k, v in planes.items()}, settings.doublets)
    planes = found.centre_mhz, found.fwhm_mhz, found.contrast
    centre, width, depth = ([float(value) for value in plane[:, 0, 0]] for plane in planes)
    shape = model_spectrum(frequency, centre, width, depth, settings, float(found.slope[0, 0]))
    return SpectrumFit(found, (1.0 + shape) * float(found.baseline[0, 0]) - 1.0)


def model_spectrum(
    frequency_mhz: NDArray[np.float64],
    centre_mhz: Sequence[float],
    fwhm_mhz: Sequence[float],
    contrast: Sequence[float],
    settings: AnalysisSettings,
    slope: float = 0.0,
) -> NDArray[np.float64]:
    """Return PL / baseline - 1 (f,) of the lines given; NaN: left out; slope in 1/MHz about the middle."""
    f = np.asarray(frequency_mhz, np.float64)
    middle = 0.5 * (f.min() + f.max())
    tilt = slope if np.isfinite(slope) else 0.0
    total = tilt * (f - middle)
    shape, mixing, offsets = line_model(settings)
    for centre, width, depth in zip(centre_mhz, fwhm_mhz, contrast, strict=True):
        if np.isfinite(centre) and np.isfinite(width) and np.isfinite(depth):
            local = 1.0 + tilt * (centre - middle)
            total = total + depth * local * line_profile(shape, mixing, offsets, f, float(centre), float(width))
    return total


def warm_up(settings: AnalysisSettings) -> None:
    """Compile (or load from the cache on disk) every kernel a run with these settings needs."""
    warm_up_sums()
    frequency = np.linspace(2800.0, 3400.0, 40)
    noise = NoiseModel("gain", electrons_per_count=1.0)
    for dtype in (np.uint32, np.float32):
        sums = np.full((40, 1, 3), 40_000, dtype)
        sums[:, 0, 0] += (np.arange(40) % 7).astype(dtype)
        fit_band(sums, np.ones(40, np.int64), frequency, noise, settings)
    fit_spectrum(frequency, np.sin(np.arange(40.0)) * 1e-3, np.full(40, 1e-3), settings)
