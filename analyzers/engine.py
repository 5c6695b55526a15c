"""From settings and a list to a plan for the kernels, and from sums to planes: fast path, then robust path."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.kernels.block import fit_blocks, load_blocks, make_workspace
from analyzers.kernels.codes import GAUSSIAN, LORENTZIAN, PSEUDO_VOIGT
from analyzers.kernels.lanes import WIDTH
from analyzers.kernels.matched import FAST_FACTORS, WIDTH_FACTORS, gram_matrix, make_bank
from analyzers.kernels.programs import CHUNK, tag
from analyzers.kernels.robust import fit_pixels, gather
from analyzers.settings import AnalysisSettings
from stream.messages import NoiseModel

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Planes = dict[str, NDArray[np.generic]]

_SHAPES = {"lorentzian": LORENTZIAN, "gaussian": GAUSSIAN, "pseudo_voigt": PSEUDO_VOIGT}
_HYPERFINE_MHZ = {"none": (0.0,), "n14": (-2.16, 0.0, 2.16), "n15": (-1.515, 1.515)}
_FAST_CHUNK = 2048
"""Pixels loaded at a time for the fast path: they stay in the cache."""
_CHUNK = 1024
"""Pixels per call of the robust path: bounds its memory."""


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
    model: tuple[int, float, Floats, int]
    """Shape code, mixing, hyperfine offsets, number of baseline parameters."""
    limits: tuple[tuple[float, float], tuple[float, float], float, float, float]
    """Window, width limits, significance, tolerance, width guess."""
    start: Floats
    """(2, lines) guesses, or (2, 0)."""
    pairs: NDArray[np.int64]
    """(doublets, 2) line numbers."""
    preferred: NDArray[np.int64]
    """(lines,) line numbers in the order they are filled where lines are missing and there are no guesses."""
    banks: dict[str, tuple[Any, ...]] = field(default_factory=dict[str, tuple[Any, ...]])
    """Template banks, made when first needed."""

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
    listed = [line for pair in settings.doublets for line in pair]
    preferred = listed + [line for line in range(settings.lines) if line not in listed]
    return Plan(
        order=order,
        frequency=np.stack([f, 2.0 * (f - f[0]) / (f[-1] - f[0]) - 1.0]),
        passes=passes[order].astype(np.float64),
        noise=noise_terms(noise),
        saturation=float(settings.saturation_counts),
        lines=settings.lines,
        model=(*line_model(settings), level),
        limits=(
            (float(f[0]), float(f[-1])),
            (settings.fwhm_min_mhz, settings.fwhm_max_mhz),
            settings.significance,
            settings.live_tolerance if provisional else settings.tolerance,
            settings.fwhm_start_mhz,
        ),
        start=np.stack([guesses, np.full(len(guesses), settings.fwhm_start_mhz)]),
        pairs=np.array(settings.doublets, np.int64).reshape(-1, 2),
        preferred=np.array(preferred, np.int64),
    )


_banks: OrderedDict[tuple[object, ...], tuple[Floats, ...]] = OrderedDict()


def _bank(plan: Plan, factors: Sequence[float], per_width: float) -> tuple[Floats, ...]:
    """Return the template bank of a plan's list, with the scores at the width guess last; kept from plan to plan."""
    shape, mixing, offsets, _ = plan.model
    guess = plan.limits[4]
    key = (plan.frequency.tobytes(), shape, mixing, tuple(offsets), guess, tuple(factors), per_width)
    with _lock:
        if key in _banks:
            _banks.move_to_end(key)
            return _banks[key]
    bank = make_bank(plan.frequency[0], (shape, mixing, offsets), [factor * guess for factor in factors], per_width)
    bank = (*bank, np.where(bank[2] == guess, bank[3], 0.0))
    with _lock:
        _banks[key] = bank
        while len(_banks) > 8:
            _banks.popitem(last=False)
    return bank


def _robust_bank(plan: Plan) -> tuple[Floats, ...]:
    """Return the robust path's template bank: four widths, float64."""
    return _bank(plan, WIDTH_FACTORS, 4.0)


def _fast_tables(plan: Plan) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the fast path's tables and template bank, float32."""
    if "tables" in plan.banks:
        return plan.banks["tables"], plan.banks["fast"]
    n = len(plan.order)
    padded = -(-n // CHUNK) * CHUNK
    f, u = plan.frequency
    middle = 0.5 * (f[0] + f[-1])
    weight = plan.passes / plan.passes.mean()
    root = np.sqrt(weight)
    grid = np.zeros((padded, 4), np.float32)
    grid[:n, 0], grid[:n, 1], grid[:n, 2] = f - middle, root, root * u
    grid[:, 3] = plan.model[1]
    sums = [weight.sum(), (weight * u).sum(), (weight * u * u).sum()]
    half, widths = 0.5 * (f[-1] - f[0]), plan.limits[1]
    freedom = max(1, n - plan.model[3] - 3 * plan.lines)
    by_point, centres, wide, score, at_guess = _bank(plan, FAST_FACTORS, 3.0)
    rows = -(-len(centres) // 8) * 8
    # the signal comes times the root of its weight
    bank = np.zeros((rows, padded))
    bank[: len(centres), :n] = by_point.T / root
    tiles = np.ascontiguousarray(bank.reshape(rows // 8, 8, padded).transpose(0, 2, 1), np.float32)
    products = np.zeros((rows, rows), np.float32)
    products[: len(centres), : len(centres)] = gram_matrix(by_point)
    per_template = np.zeros((4, rows), np.float32)
    per_template[:, : len(centres)] = centres - middle, wide, score, at_guess
    plan.banks["tables"] = (
        (1.0 / plan.passes).astype(np.float32),
        root.astype(np.float32),
        grid,
        plan.model[2].astype(np.float32),
        np.array(sums, np.float32),
        np.array([-half, half, *widths], np.float32),
        np.array([plan.limits[3] / freedom], np.float32),
        np.array([1.0], np.float32),
        np.array([0.0], np.float32),
    )
    plan.banks["fast"] = (tiles, *per_template, products)
    return plan.banks["tables"], plan.banks["fast"]


def empty_planes(lines: int, doublets: int, pixels: int) -> Planes:
    """Return flat planes (.., pixels) to be filled, in the order of `analyzers.fitmap.UNITS`."""
    names = ("centre_mhz", "centre_sigma_mhz", "fwhm_mhz", "fwhm_sigma_mhz", "contrast", "contrast_sigma")
    planes: Planes = {name: np.empty((lines, pixels), np.float32) for name in names}
    planes["line_status"] = np.empty((lines, pixels), np.uint8)
    planes["pair_correlation"] = np.empty((doublets, pixels), np.float32)
    for name in ("baseline", "slope", "chi2"):
        planes[name] = np.empty(pixels, np.float32)
    planes["doublet_status"] = np.empty((doublets, pixels), np.uint8)
    planes["status"] = np.empty(pixels, np.uint8)
    return planes


def flat_view(cube_sums: NDArray[np.generic]) -> tuple[NDArray[np.generic], int]:
    """Return the cube (f, y, x) as one contiguous array and the distance of its planes; a copy where rows have gaps."""
    _, rows, width = cube_sums.shape
    size = cube_sums.itemsize
    plane, row, column = cube_sums.strides
    gapless = column == size and (row == width * size or rows == 1) and plane >= 0 and plane % size == 0
    cube = cube_sums if gapless else np.ascontiguousarray(cube_sums)
    stride = cube.strides[0] // size
    length = (cube.shape[0] - 1) * stride + rows * width
    return np.lib.stride_tricks.as_strided(cube, (length,), (size,)), stride


def _fit_fast(
    plan: Plan,
    flat: NDArray[np.generic],
    stride: int,
    pixels: int,
    warm: Singles | None,
    out: tuple[object, ...],
    stragglers: NDArray[np.int64],
) -> int:
    """Fit with the fast path; write the pixels it leaves to `stragglers` and return how many there are."""
    (inverse, roots, *tables), bank = _fast_tables(plan)
    n, points, level = len(plan.order), len(tables[0]), plan.model[3]
    given = np.empty((3, 0, 0), np.float32) if warm is None else np.ascontiguousarray(warm, np.float32)
    noise = (*plan.noise, plan.saturation, float(plan.passes.mean()), n)
    work = make_workspace(plan.lines, level, points, len(bank[1]))
    blocks = -(-min(pixels, _FAST_CHUNK) // WIDTH)
    signals = np.zeros((blocks, points, WIDTH), np.float32)
    loaded = (signals, np.empty((blocks, WIDTH), np.float32), np.empty((blocks, WIDTH), np.bool_))
    fixed = (tuple(tables), noise, plan.limits, bank, plan.start[0], given, plan.pairs, work, out)
    count = 0
    for first in range(0, pixels, _FAST_CHUNK):
        last = min(pixels, first + _FAST_CHUNK)
        load_blocks(flat, stride, plan.order, first, last, inverse, roots, noise, *loaded)
        count += fit_blocks(loaded, first, last, *fixed, stragglers[count:], plan.tags)
    return count


def fit_flat(
    plan: Plan,
    flat: NDArray[np.generic],
    stride: int,
    pixels: int,
    warm: Singles | None = None,
    fast: bool = True,
) -> Planes:
    """Fit `pixels` pixels of flat sums (see `flat_view`).

    `warm` is (3, lines, pixels) centre, fwhm and contrast of an earlier result; `fast` False leaves the fast path out.
    """
    planes = empty_planes(plan.lines, len(plan.pairs), pixels)
    values = list(planes.values())
    out = (tuple(values[:7]), *values[7:])
    which = np.arange(pixels)
    if fast:
        which = which[: _fit_fast(plan, flat, stride, pixels, warm, out, which)]
    for first in range(0, len(which), _CHUNK):
        some = which[first : first + _CHUNK]
        spectra = np.empty((len(some), len(plan.order)))
        gather(flat, stride, plan.order, plan.passes, plan.noise[0], some, spectra)
        head = (spectra, some, plan.passes, plan.frequency, plan.noise, plan.saturation, plan.lines, plan.model)
        tail = (plan.limits, plan.bounds, _robust_bank(plan), plan.start, plan.pairs, plan.preferred)
        fit_pixels(*head, *tail, out)
    return planes
