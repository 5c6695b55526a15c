"""What a fit needs besides the sums: the same for every pixel of a sweep, made once for each list and kept."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.kernels.codes import GAUSSIAN, LORENTZIAN, PSEUDO_VOIGT
from analyzers.kernels.judge import REACH
from analyzers.kernels.programs import tag
from analyzers.settings import AnalysisSettings
from stream.messages import NoiseModel

Floats = NDArray[np.float64]

_SHAPES = {"lorentzian": LORENTZIAN, "gaussian": GAUSSIAN, "pseudo_voigt": PSEUDO_VOIGT}
_FIELD = 0.2
"""Maxima of the matched filter's output over centre and width, per cell of one width guess; measured."""
_PAIRS = 0.36
"""Share of single lines that may be taken for two near ones where chi2 need not be lower; measured."""
_ANYWHERE, _NEAR_GUESS, _FAR_FROM_GUESS, _AS_PAIR = 1 / 2, 2 / 3, 1 / 6, 1 / 3
"""How the chance of a false alarm is spent: on the whole list; with guesses near them and elsewhere; on near pairs."""
_HYPERFINE_MHZ = {"none": (0.0,), "n14": (-2.16, 0.0, 2.16), "n15": (-1.515, 1.515)}


@dataclass(frozen=True)
class Plan:
    """Everything the kernels need besides the sums: the same for every pixel of a sweep."""

    order: NDArray[np.int64]
    """(n,) places of the measured frequencies in the list, by ascending frequency."""
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
    model: tuple[int, float, Floats, int, tuple[float, float]]
    """Shape code, mixing, hyperfine offsets, baseline parameters, (1 / variance of ln(fwhm / guess), guess)."""
    limits: tuple[tuple[float, float], tuple[float, float], float, float, float, tuple[float, Floats, float]]
    """Window, width limits, significance, tolerance, width guess, (that near a guess, guesses, chi2 of a pair)."""
    start: Floats
    """(2, lines) guesses, or (2, 0)."""
    pairs: NDArray[np.int64]
    """(doublets, 2) line numbers."""
    preferred: NDArray[np.int64]
    """(lines,) line numbers in the order they are filled where lines are missing and there are no guesses."""
    groups: NDArray[np.int64] = field(default_factory=lambda: np.full((2, 0), -1, np.int64))
    """(2, lines) group in which a line shares its width, its depth; -1: in none."""
    kept: dict[str, tuple[Any, ...]] = field(default_factory=dict[str, tuple[Any, ...]])
    """Tables of the fast path, made when first needed."""

    @property
    def middle(self) -> float:
        """Where the fast path counts frequencies from, MHz: the middle of the list, exact in float32."""
        return float(np.float32(0.5 * (self.frequency[0, 0] + self.frequency[0, -1])))

    @property
    def parameters(self) -> int:
        """Parameters of the model."""
        return self.model[3] + 3 * self.lines

    @property
    def bounds(self) -> Floats:
        """(2, 2 lines) lower and upper bound of centre and width of each line."""
        window, widths = self.limits[:2]
        return np.tile([[window[0], widths[0]], [window[1], widths[1]]], self.lines)

    @property
    def tags(self) -> tuple[tuple[int, ...], ...]:
        """Compile-time numbers: lines, baseline parameters, hyperfine components, shape + 1."""
        return tag(self.lines), tag(self.model[3]), tag(len(self.model[2])), tag(self.model[0] + 1)


def line_model(settings: AnalysisSettings) -> tuple[int, float, Floats]:
    """Return shape code, mixing and hyperfine offsets (MHz) of the settings."""
    return _SHAPES[settings.shape], float(settings.mixing), np.array(_HYPERFINE_MHZ[settings.hyperfine])


def _strength(false_alarm: float, cells: float) -> float:
    """Return the strength that the strongest dip of noise exceeds with the chance `false_alarm`.

    Centre and width are both searched: the chance is that of a two-dimensional field, cells T exp(-T^2 / 2) times a
    constant measured on flat spectra.
    """
    low, high = 2.0, 12.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        if _FIELD * cells * middle * np.exp(-0.5 * middle * middle) > false_alarm:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def thresholds(frequency: Floats, settings: AnalysisSettings) -> tuple[float, float, float]:
    """Return the least strength of a line anywhere in the list, of a dip near a guess, and the chi2 proving a pair.

    Without `significance` they follow from the chance of a false alarm: the longer the list, the more places noise
    has; within reach of a guess it has few.
    """
    chance = settings.false_alarm
    proof = 2.0 * float(np.log(max(_PAIRS / (_AS_PAIR * chance), 2.0)))
    if settings.significance > 0:
        return settings.significance, settings.significance, proof
    guess = settings.fwhm_start_mhz
    cells = float(np.minimum(np.diff(frequency), guess).sum()) / guess
    if not settings.start_mhz:
        threshold = _strength(_ANYWHERE * chance, cells)
        return threshold, threshold, proof
    threshold = _strength(_FAR_FROM_GUESS * chance, cells)
    return threshold, min(threshold, _strength(_NEAR_GUESS * chance, 2.0 * REACH)), proof


def shared_groups(settings: AnalysisSettings) -> NDArray[np.int64]:
    """Return the group in which each line shares its width, and its depth, (2, lines); -1: in none."""
    groups = np.full((2, settings.lines), -1, np.int64)
    for row, shared in zip(groups, (settings.shared_fwhm, settings.shared_contrast), strict=True):
        if shared == "all":
            row[:] = 0
        elif shared == "doublet":
            for number, pair in enumerate(settings.doublets):
                row[list(pair)] = number
    return groups


def noise_terms(noise: NoiseModel) -> tuple[float, float, float]:
    """Return offset, shot variance per count and read variance per pass (counts) of a camera."""
    gain = noise.electrons_per_count
    shot = noise.excess_noise_factor / (gain * noise.accumulations)
    read = (noise.read_noise_electrons / gain) ** 2 / noise.accumulations
    return float(noise.offset_counts), float(shot), float(read)


_plans: OrderedDict[tuple[object, ...], Plan | None] = OrderedDict()
_lock = Lock()


def cached_plan(
    passes_added: NDArray[np.integer],
    frequency_mhz: Floats,
    n: int,
    noise: NoiseModel,
    settings: AnalysisSettings,
    provisional: bool,
) -> Plan | None:
    """Return `make_plan` of these arguments, from the last few made where possible."""
    frequency = np.ascontiguousarray(frequency_mhz, np.float64)
    passes = np.ascontiguousarray(passes_added, np.int64)
    key = (frequency.tobytes(), passes.tobytes(), n, noise, settings, provisional)
    with _lock:
        if key in _plans:
            _plans.move_to_end(key)
            return _plans[key]
    plan = make_plan(passes, frequency, n, noise, settings, provisional)
    with _lock:
        _plans[key] = plan
        while len(_plans) > 8:
            _plans.popitem(last=False)
    return plan


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
    order = order[passes[order] > 0].astype(np.int64)
    level = 2 if settings.baseline == "linear" else 1
    if len(order) < level + 3 * settings.lines + 2 or frequency[order[0]] == frequency[order[-1]]:
        return None
    f = frequency[order]
    guesses = np.array(settings.start_mhz, np.float64)
    threshold, near, proof = thresholds(f, settings)
    listed = [line for pair in settings.doublets for line in pair]
    preferred = listed + [line for line in range(settings.lines) if line not in listed]
    return Plan(
        order=order,
        frequency=np.stack([f, 2.0 * (f - f[0]) / (f[-1] - f[0]) - 1.0]),
        passes=passes[order].astype(np.float64),
        noise=noise_terms(noise),
        saturation=float(settings.saturation_counts),
        lines=settings.lines,
        model=(*line_model(settings), level, (1.0 / settings.fwhm_spread**2, settings.fwhm_start_mhz)),
        limits=(
            (float(f[0]), float(f[-1])),
            (settings.fwhm_min_mhz, settings.fwhm_max_mhz),
            threshold,
            settings.live_tolerance if provisional else settings.tolerance,
            settings.fwhm_start_mhz,
            (near, guesses, proof),
        ),
        start=np.stack([guesses, np.full(len(guesses), settings.fwhm_start_mhz)]),
        pairs=np.array(settings.doublets, np.int64).reshape(-1, 2),
        preferred=np.array(preferred, np.int64),
        groups=shared_groups(settings),
    )
