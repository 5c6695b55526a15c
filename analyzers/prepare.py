"""From a cube's sums to what is fitted: frames without microwaves divided out, pixels binned, the noise kept right.

A frequency of 0 MHz in the list means that the frame was taken with the microwaves off. How the light of such frames
changes along the list is the drift of the light source, common to all pixels: it is taken per camera row, as the mean
of the row's pixels, so that hardly any noise is added and no cut into bands can matter. Binned pixels are sums of
counts: offset and read noise grow with them, and every sigma follows from the counts themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analyzers.settings import AnalysisSettings
from stream.messages import NoiseModel, RunStart, SweepStart

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Terms:
    """What a fit is given beside the sums."""

    passes: NDArray[np.int64]
    """(f,) passes in each sum; 0 for frames without microwaves, which are not fitted."""
    noise: NoiseModel
    """Noise of one pass of a fitted pixel."""
    settings: AnalysisSettings
    """Settings in the units of a fitted pixel."""


def view_of(start: RunStart, settings: AnalysisSettings) -> RunStart:
    """Return the run as its maps see it: fewer and larger pixels where they are binned.

    Rows and columns that fill no bin are left out; the image centre moves by less than half a bin.
    """
    n = settings.bin_px
    return replace(start, height=start.height // n, width=start.width // n, pixel_size_um=start.pixel_size_um * n)


def fit_terms(
    frequency_mhz: Floats, passes_added: NDArray[np.integer], width: int, noise: NoiseModel, settings: AnalysisSettings
) -> Terms:
    """Return what a fit needs beside the sums; `width` are the camera's columns."""
    off = frequency_mhz == 0.0
    passes = np.where(off, 0, passes_added).astype(np.int64)
    used = off & (np.asarray(passes_added) > 0)
    grown = 1.0
    if used.any() and not off.all():  # a sweep of the camera's calibration has no other frames
        weights = _interpolation(frequency_mhz.size, np.flatnonzero(used))
        grown += float((weights**2).sum(axis=1)[~off].mean()) / width
    n2 = settings.bin_px**2
    scaled = replace(
        noise,
        offset_counts=noise.offset_counts * n2,
        read_noise_electrons=noise.read_noise_electrons * float(np.sqrt(n2 * grown)),
        excess_noise_factor=noise.excess_noise_factor * grown,
    )
    if n2 == 1 and grown == 1.0:
        return Terms(passes, noise, settings)
    return Terms(passes, scaled, replace(settings, saturation_counts=settings.saturation_counts * n2))


def prepare_sums(
    cube_sums: NDArray[np.generic],
    passes_added: NDArray[np.integer],
    sweep: SweepStart,
    start: RunStart,
    settings: AnalysisSettings,
    y0: int = 0,
) -> NDArray[np.generic]:
    """Return the sums (f, y, x) that are fitted, of a band of camera rows that begins at `y0`.

    `start` is the camera's run, not its view. The cube itself comes back where there is nothing to do.
    """
    sums = _without_drift(cube_sums, passes_added, sweep.frequency_mhz, start.noise.offset_counts)
    if settings.bin_px == 1:
        return sums
    exact = np.dtype(start.dtype) == np.uint16 and 65_535 * settings.bin_px**2 * sweep.passes < 2**32
    _, rows, columns = sums.shape
    given = np.zeros((rows, columns), np.bool_)
    for row, column in settings.mask_pixels:
        if y0 <= row < y0 + rows and 0 <= column < columns:
            given[row - y0, column] = True
    dtype = np.dtype(np.uint32 if exact and sums.dtype == np.uint32 else np.float32)
    return _binned(sums, passes_added, given, start.noise.offset_counts, settings, dtype)


def drift(levels: Floats, off: NDArray[np.int64], frequencies: int) -> Floats:
    """Return the light's drift along the list, (..., f), mean 1 over the frames without microwaves.

    Parameters
    ----------
    levels
        (..., n) light of the frames without microwaves.
    off
        (n,) their places in the list.
    frequencies
        Length of the list.
    """
    mean = levels.mean(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(mean > 0, levels / mean, 1.0)
    return (relative[..., None, :] * _interpolation(frequencies, off)).sum(axis=-1)


def _interpolation(frequencies: int, off: NDArray[np.int64]) -> Floats:
    """Return weights (f, n) of the frames without microwaves at each place of the list: linear, constant beyond."""
    places = np.arange(frequencies, dtype=np.float64)
    unit = np.eye(off.size)
    return np.stack([np.interp(places, off.astype(np.float64), unit[k]) for k in range(off.size)], axis=1)


def _without_drift(
    sums: NDArray[np.generic], passes_added: NDArray[np.integer], frequency_mhz: Floats, offset: float
) -> NDArray[np.generic]:
    """Divide the drift of each row out of its sums; the cube itself where the list has no frame without microwaves."""
    off = np.flatnonzero((frequency_mhz == 0.0) & (np.asarray(passes_added) > 0))
    if not off.size:
        return sums
    light = sums[off].astype(np.float64) / np.asarray(passes_added)[off, None, None] - offset
    usable = np.isfinite(light).all(axis=0) & (light > 0).all(axis=0)
    count = np.maximum(usable.sum(axis=1), 1)
    levels = np.where(usable, light, 0.0).sum(axis=2) / count
    gain = drift(levels.T, off, frequency_mhz.size).T
    out = np.empty(sums.shape, np.float32)
    for index in range(sums.shape[0]):
        dark = offset * float(passes_added[index])
        out[index] = (sums[index].astype(np.float64) - dark) / gain[index][:, None] + dark
    return out


def _binned(
    sums: NDArray[np.generic],
    passes_added: NDArray[np.integer],
    given: NDArray[np.bool_],
    offset: float,
    settings: AnalysisSettings,
    dtype: np.dtype[np.generic],
) -> NDArray[np.generic]:
    """Sum blocks of pixels; a pixel left out counts as dark, a saturated one saturates its block."""
    n = settings.bin_px
    rows, columns = sums.shape[1] // n, sums.shape[2] // n
    kept = (slice(0, rows * n), slice(0, columns * n))
    out = np.empty((sums.shape[0], rows, columns), dtype)
    wide = np.uint64 if dtype.kind == "u" else np.float64
    for index in range(sums.shape[0]):
        passes = int(passes_added[index])
        dark = round(offset * passes)
        plane = np.where(given[kept], dark, sums[index][kept]).astype(wide)
        blocks = plane.reshape(rows, n, columns, n).sum(axis=(1, 3))
        if settings.saturation_counts > 0:
            full = (plane >= settings.saturation_counts * passes).reshape(rows, n, columns, n).any(axis=(1, 3))
            top = np.ceil(settings.saturation_counts * n * n * passes)
            blocks = np.where(full & (passes > 0), np.maximum(blocks, wide(top)), blocks)
        out[index] = blocks
    return out
