"""From settings and a frequency list to a plan for the kernels, and from flat sums to planes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.kernels.codes import GAUSSIAN, LORENTZIAN, PSEUDO_VOIGT
from analyzers.kernels.matched import make_bank
from analyzers.kernels.robust import fit_pixels
from analyzers.settings import AnalysisSettings
from stream.messages import NoiseModel

Floats = NDArray[np.float64]

_SHAPES = {"lorentzian": LORENTZIAN, "gaussian": GAUSSIAN, "pseudo_voigt": PSEUDO_VOIGT}
_HYPERFINE_MHZ = {"none": (0.0,), "n14": (-2.16, 0.0, 2.16), "n15": (-1.515, 1.515)}


@dataclass(frozen=True)
class Plan:
    """Everything the kernels need besides the sums: the same for every pixel of a sweep."""

    order: NDArray[np.intp]
    """Places of the measured frequencies in the list, by ascending frequency."""
    frequency: Floats
    """(2, n) MHz, and u = -1 ... 1."""
    passes: Floats
    """(n,) passes (or relative weights) of each."""
    noise: tuple[float, float, float]
    """Offset, shot variance per count, read variance per pass; counts."""
    saturation: float
    """Mean counts of a saturated pixel; 0: not tested."""
    lines: int
    """Lines to fit."""
    model: tuple[int, float, Floats, int]
    """Shape code, mixing, hyperfine offsets, number of baseline parameters."""
    limits: tuple[tuple[float, float], tuple[float, float], float, float, float]
    """Window, width limits, significance, tolerance, width guess."""
    bounds: Floats
    """(2, 2 lines) lower and upper bound of centre and width of each line."""
    bank: tuple[Floats, Floats, Floats, Floats, Floats, float]
    """Template bank and the sum of its weights."""
    start: Floats
    """(2, lines) guesses, or (2, 0)."""
    pairs: NDArray[np.int64]
    """(doublets, 2) line numbers."""
    preferred: NDArray[np.int64]
    """(lines,) line numbers in the order they are filled where lines are missing and there are no guesses."""
    scaled: bool = False
    """True where `passes` are relative weights of a spectrum, not passes of a cube."""


def line_model(settings: AnalysisSettings) -> tuple[int, float, Floats]:
    """Return shape code, mixing and hyperfine offsets (MHz) of the settings."""
    return _SHAPES[settings.shape], float(settings.mixing), np.array(_HYPERFINE_MHZ[settings.hyperfine])


def noise_terms(noise: NoiseModel) -> tuple[float, float, float]:
    """Return offset, shot variance per count and read variance per pass (counts) of a camera."""
    gain = noise.electrons_per_count
    shot = noise.excess_noise_factor / (gain * noise.accumulations)
    read = (noise.read_noise_electrons / gain) ** 2 / noise.accumulations
    return float(noise.offset_counts), float(shot), float(read)


def make_plan(
    passes_added: NDArray[np.integer],
    frequency_mhz: Floats,
    n: int,
    noise: NoiseModel,
    settings: AnalysisSettings,
    provisional: bool,
) -> Plan | None:
    """Prepare a fit; None where fewer frequencies were measured than the model needs.

    Raises
    ------
    ValueError
        Where lengths differ or a frequency is not a finite number.
    """
    frequency = np.asarray(frequency_mhz, np.float64)
    passes = np.asarray(passes_added)
    if frequency.shape != (n,) or passes.shape != (n,):
        raise ValueError(f"cube of {n} frequencies, list of {frequency.shape}, passes of {passes.shape}: must agree")
    if not np.isfinite(frequency).all():
        raise ValueError("the frequency list holds a value that is not a finite number")
    order = np.argsort(frequency, kind="stable")
    order = order[passes[order] > 0]
    level = 2 if settings.baseline == "linear" else 1
    if len(order) < level + 3 * settings.lines + 2:
        return None
    f = frequency[order]
    shape, mixing, offsets = line_model(settings)
    weight = passes[order].astype(np.float64)
    bank = make_bank(f, weight, shape, mixing, offsets, settings.fwhm_start_mhz)
    window = (float(f[0]), float(f[-1]))
    bounds = np.tile([[window[0], settings.fwhm_min_mhz], [window[1], settings.fwhm_max_mhz]], settings.lines)
    guesses = np.array(settings.start_mhz, np.float64)
    listed = [line for pair in settings.doublets for line in pair]
    preferred = listed + [line for line in range(settings.lines) if line not in listed]
    return Plan(
        order=order,
        frequency=np.stack([f, 2.0 * (f - f[0]) / max(f[-1] - f[0], 1e-9) - 1.0]),
        passes=weight,
        noise=noise_terms(noise),
        saturation=float(settings.saturation_counts),
        lines=settings.lines,
        model=(shape, mixing, offsets, level),
        limits=(
            window,
            (settings.fwhm_min_mhz, settings.fwhm_max_mhz),
            settings.significance,
            settings.live_tolerance if provisional else settings.tolerance,
            settings.fwhm_start_mhz,
        ),
        bounds=bounds,
        bank=(*bank, float(weight.sum())),  # pyright: ignore[reportArgumentType] - five arrays and the sum
        start=np.stack([guesses, np.full(len(guesses), settings.fwhm_start_mhz)]),
        pairs=np.array(settings.doublets, np.int64).reshape(-1, 2),
        preferred=np.array(preferred, np.int64),
    )


def empty_planes(lines: int, doublets: int, pixels: int) -> dict[str, NDArray[np.generic]]:
    """Return flat planes (.., pixels) to be filled, in the order of `analyzers.fitmap.UNITS`."""
    names = ("centre_mhz", "centre_sigma_mhz", "fwhm_mhz", "fwhm_sigma_mhz", "contrast", "contrast_sigma")
    planes: dict[str, NDArray[np.generic]] = {name: np.empty((lines, pixels), np.float32) for name in names}
    planes["line_status"] = np.empty((lines, pixels), np.uint8)
    planes["pair_correlation"] = np.empty((doublets, pixels), np.float32)
    for name in ("baseline", "slope", "chi2"):
        planes[name] = np.empty(pixels, np.float32)
    planes["doublet_status"] = np.empty((doublets, pixels), np.uint8)
    planes["status"] = np.empty(pixels, np.uint8)
    return planes


def fit_flat(plan: Plan, sums: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
    """Fit flat sums (n, pixels), frequencies ascending as in `plan.order`, with the robust path."""
    pixels = sums.shape[1]
    planes = empty_planes(plan.lines, len(plan.pairs), pixels)
    values = list(planes.values())
    fit_pixels(
        sums,
        plan.passes,
        plan.frequency,
        plan.noise,
        plan.saturation,
        plan.lines,
        plan.model,
        plan.limits,
        plan.bounds,
        plan.bank,
        plan.start,
        plan.pairs,
        plan.preferred,
        np.arange(pixels),
        (tuple(values[:7]), *values[7:]),
    )
    return planes
