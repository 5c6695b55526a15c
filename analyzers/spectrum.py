"""The spectrum of a pixel, a rectangle or a region: normalised, with its noise, its fit and what the maps say there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.assembly import RegionSums
from analyzers.fitmap import FitMap
from analyzers.fitting import fit_spectrum
from analyzers.prepare import drift
from analyzers.settings import AnalysisSettings
from analyzers.status import StatusCode
from stream.messages import Json, NoiseModel, SpectrumReply, SpectrumRequest

BASELINE_PERCENTILE = 90.0
"""Percentile of the mean counts over frequency taken as the baseline: most lines are dips."""


@dataclass(frozen=True)
class Spectrum:
    """PL over frequency, relative to the baseline."""

    frequency_mhz: NDArray[np.float64]
    """(f,) ascending; those not yet measured are left out."""
    signal: NDArray[np.float64]
    """(f,) PL / baseline - 1."""
    sigma: NDArray[np.float64]
    """(f,) standard deviation of `signal`."""


@dataclass(frozen=True)
class FittedSpectrum:
    """A spectrum and its fit."""

    data: Spectrum
    """What was measured."""
    model: NDArray[np.float64]
    """(f,) fitted model; zero where no fit was possible."""
    lines: FitMap | None
    """1 x 1 map of the fitted lines; None where no fit was possible."""


def normalise(sums: RegionSums, frequency_mhz: NDArray[np.float64], noise: NoiseModel) -> Spectrum:
    """Return the mean spectrum of summed counts, relative to its baseline.

    Parameters
    ----------
    sums
        (f,) counts and exposures, in the order of the list.
    frequency_mhz
        (f,) frequencies in any order, MHz; one that occurs twice is kept twice, 0 (no microwaves) divides out drift.
    noise
        The camera's noise.
    """
    taken = sums.exposures > 0
    measured = np.flatnonzero(taken & (frequency_mhz != 0.0))
    order = measured[np.argsort(frequency_mhz[measured], kind="stable")]
    exposures = sums.exposures[order].astype(np.float64)
    light = sums.counts[order].astype(np.float64) / exposures - noise.offset_counts
    off = np.flatnonzero(taken & (frequency_mhz == 0.0))
    if off.size:
        reference = sums.counts[off].astype(np.float64) / sums.exposures[off] - noise.offset_counts
        light = light / drift(reference, off, frequency_mhz.size)[order]
    baseline = float(np.percentile(light, BASELINE_PERCENTILE)) if light.size else 0.0
    if not math.isfinite(baseline) or baseline <= 0:
        empty = np.zeros(0, dtype=np.float64)
        return Spectrum(empty, empty, empty)
    shot = np.maximum(light, 0) * noise.excess_noise_factor / noise.electrons_per_count
    read = (noise.read_noise_electrons / noise.electrons_per_count) ** 2
    sigma = np.sqrt((shot + read) / noise.accumulations / exposures) / baseline
    return Spectrum(frequency_mhz[order].astype(np.float64), light / baseline - 1.0, sigma)


def fit(spectrum: Spectrum, settings: AnalysisSettings) -> FittedSpectrum:
    """Fit a spectrum; without enough points there is no fit."""
    nothing = unfitted(spectrum)
    if spectrum.frequency_mhz.size == 0 or not np.all(spectrum.sigma > 0):
        return nothing
    try:
        found = fit_spectrum(spectrum.frequency_mhz, spectrum.signal, spectrum.sigma, settings)
    except ValueError:  # too few frequencies for so many lines: the engine knows how many it needs
        return nothing
    return FittedSpectrum(spectrum, found.model, found.lines)


def unfitted(spectrum: Spectrum) -> FittedSpectrum:
    """Return a spectrum without a fit; its model is NaN."""
    return FittedSpectrum(spectrum, np.full(spectrum.signal.size, np.nan), None)


def rectangle_sums(
    sums: NDArray[np.generic], passes_added: NDArray[np.integer], rows: slice, columns: slice
) -> RegionSums:
    """Sum a cube (f, y, x) over a rectangle: integers exactly, floats in row order."""
    part = sums[:, rows, columns]
    pixels = part.shape[1] * part.shape[2]
    total = np.uint64 if part.dtype.kind == "u" else np.float64
    counts = part.reshape(part.shape[0], -1).sum(axis=1, dtype=total)
    return RegionSums(counts, passes_added.astype(np.uint64) * np.uint64(pixels))


def line_values(lines: FitMap | None) -> Json:
    """Return the finite numbers of a 1 x 1 fit by name: `centre_mhz_0`, `fwhm_mhz_0`, ..., `half_splitting_mhz`."""
    if lines is None:
        return {}
    values: dict[str, float] = {"chi2": float(lines.chi2[0, 0])}
    for number in range(lines.lines):
        values[f"centre_mhz_{number}"] = float(lines.centre_mhz[number, 0, 0])
        values[f"fwhm_mhz_{number}"] = float(lines.fwhm_mhz[number, 0, 0])
        values[f"contrast_{number}"] = float(lines.contrast[number, 0, 0])
    if lines.pairs:
        doublet = lines.doublet(0)
        values["half_splitting_mhz"] = float(doublet.half_splitting_mhz[0, 0])
        values["half_splitting_sigma_mhz"] = float(doublet.half_splitting_sigma_mhz[0, 0])
    return finite(values)


def finite(values: dict[str, float]) -> Json:
    """Keep the finite numbers."""
    return {name: value for name, value in values.items() if math.isfinite(value)}


def reply(request: SpectrumRequest, run_uid: str, sweep: int, fitted: FittedSpectrum) -> SpectrumReply:
    """Return the answer to a request, with the values of the spectrum's own fit."""
    lines = fitted.lines
    code = StatusCode.NOT_YET_MEASURED if lines is None else StatusCode(int(lines.status[0, 0]))
    return SpectrumReply(
        run_uid=run_uid,
        sweep=sweep,
        y0=request.y0,
        y1=request.y1,
        x0=request.x0,
        x1=request.x1,
        frequency_mhz=fitted.data.frequency_mhz,
        signal=fitted.data.signal.astype(np.float32),
        sigma=fitted.data.sigma.astype(np.float32),
        model=fitted.model.astype(np.float32),
        values=line_values(lines),
        status=code.name,
    )


def refusal(request: SpectrumRequest, reason: str) -> SpectrumReply:
    """Return an answer that says why there is no spectrum."""
    nothing = np.zeros(0, dtype=np.float32)
    return SpectrumReply(
        run_uid=request.run_uid,
        sweep=request.sweep,
        y0=request.y0,
        y1=request.y1,
        x0=request.x0,
        x1=request.x1,
        frequency_mhz=np.zeros(0, dtype=np.float64),
        signal=nothing,
        sigma=nothing,
        model=nothing,
        values={},
        status=reason,
    )
