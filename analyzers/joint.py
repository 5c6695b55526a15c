"""Stress of every pixel from the spectra of several fields at once, by exact diagonalisation of all four NV groups.

A pure function of the sums: lines are not listed, numbered or labelled in between, so that blended lines lose nothing
and the uncertainty of sigma_ZZ knows of the shear that one field cannot see. Pixels of a coarse lattice begin from
several shears and are compared with the solutions in which tilted groups change places; the others begin from the
nearest of these, so that the result does not depend on how the map is cut into parts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from analyzers.joint_map import JointMap, found_map
from analyzers.joint_problem import (
    JointSettings,
    Problem,
    field_list,
    make_problem,
    scratch,
    swaps,
    trial_shears,
)
from analyzers.joint_raw import Fits
from analyzers.kernels.hamiltonian import OWN, SHARED
from analyzers.kernels.joint_pixels import fit_joint
from physics.geometry import miscut_rotation
from stream.messages import NoiseModel

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

LATTICE = 6
"""Pixels from one pixel that begins on its own to the next."""
CHUNK = 256
"""Pixels fitted per call of the kernel."""
TURNS = (4, 40)
"""Most turns of a trial, and of a fit."""
TOLERANCE = 0.02
"""Predicted decrease of chi2 at which a fit ends: a hundredth of a standard deviation, for its last step is taken."""
DOUBTFUL = 1.3
"""chi2 over the map's median from which a pixel is begun once more on its own."""


@dataclass(frozen=True)
class JointSweep:
    """The spectra of one field."""

    sums: NDArray[np.generic]
    """(f, y, x) sums of counts."""
    passes_added: NDArray[np.integer]
    """(f,) passes in each sum; frequencies with 0 are left out."""
    frequency_mhz: Array
    """(f,) frequencies in any order, MHz."""
    field_gauss: tuple[float, float, float]
    """Applied field in the culet frame, Z along the culet normal, G."""
    temperature_k: float
    """Sample temperature, K."""


@dataclass(frozen=True)
class _Spectra:
    """Spectra of all pixels over their level, laid out for the kernel."""

    sweeps: tuple[JointSweep, ...]
    orders: tuple[NDArray[np.int64], ...]
    problem: Problem
    noise: NoiseModel

    def of(self, pixels: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return spectra (pixels, n) and weights (pixels, fields) of some pixels; NaN where a level is not positive."""
        y = np.ones((len(pixels), len(self.problem.f)))
        weights = np.empty((len(pixels), len(self.sweeps)))
        gain, noise = self.noise.electrons_per_count, self.noise
        for k, (sweep, order) in enumerate(zip(self.sweeps, self.orders, strict=True)):
            flat = sweep.sums.reshape(len(sweep.frequency_mhz), -1)
            passes = np.asarray(sweep.passes_added)[order].astype(np.float64)
            light = flat[np.ix_(order, pixels)].astype(np.float64) / passes[:, None] - noise.offset_counts
            level = np.zeros(len(pixels))
            for row in light:
                level += row
            level /= len(order)
            level = np.where(level > 0.0, level, np.nan)
            shot = level * noise.excess_noise_factor / gain
            variance = (shot + (noise.read_noise_electrons / gain) ** 2) / noise.accumulations
            first = int(self.problem.edges[k])
            y[:, first : first + len(order)] = (light / level).T
            weights[:, k] = np.where(np.isfinite(level), level * level / variance, 0.0)
        return y, weights


def joint_map(
    sweeps: Sequence[JointSweep],
    noise: NoiseModel,
    settings: JointSettings,
    occluded: Mask | None = None,
    threads: int = 0,
) -> JointMap:
    """Return the stress of every pixel from the spectra of all fields; NaN and a reason where it has none.

    Parameters
    ----------
    sweeps
        One per field, the same pixels in each; at least one with 30 G along the culet normal.
    noise
        The camera's noise.
    settings
        Constants, geometry, priors.
    occluded
        (y, x) pixels to leave out.
    threads
        Threads to fit in; 0: one per core. The bits do not depend on it.

    Raises
    ------
    ValueError
        Unknown constants or D(T), a temperature outside its range, shapes that differ, or fields that cannot tell the
        groups apart.
    """
    spectra = _prepare(sweeps, noise, settings)
    shape = sweeps[0].sums.shape[1], sweeps[0].sums.shape[2]
    hidden = np.zeros(shape, dtype=np.bool_) if occluded is None else occluded
    fits = Fits.empty(hidden.size, len(sweeps))
    _fit_all(spectra, hidden, fits, threads or len(os.sched_getaffinity(0)))
    return found_map(fits, spectra.problem, hidden, lambda problem, pixel: _fit_again(spectra, problem, fits, pixel))


def _prepare(sweeps: Sequence[JointSweep], noise: NoiseModel, settings: JointSettings) -> _Spectra:
    orders: list[NDArray[np.int64]] = []
    lists = []
    for sweep in sweeps:
        frequency = np.asarray(sweep.frequency_mhz, np.float64)
        passes = np.asarray(sweep.passes_added)
        if sweep.sums.shape[0] != len(frequency) or passes.shape != frequency.shape:
            raise ValueError(f"cube of {sweep.sums.shape[0]} frequencies, list of {len(frequency)}: must agree")
        if sweep.sums.shape[1:] != sweeps[0].sums.shape[1:]:
            raise ValueError("the sweeps of a joint fit must show the same pixels")
        order = np.argsort(frequency, kind="stable")
        order = order[passes[order] > 0].astype(np.int64)
        if len(order) < OWN or frequency[order[0]] == frequency[order[-1]]:
            raise ValueError(f"{len(order)} frequencies are too few for eight lines")
        orders.append(order)
        state = sweep.field_gauss, sweep.temperature_k
        lists.append(
            field_list(frequency[order], passes[order].astype(np.float64), *state, settings.zero_field_splitting)
        )
    return _Spectra(tuple(sweeps), tuple(orders), make_problem(lists, settings), noise)


def _fit_all(spectra: _Spectra, hidden: Mask, fits: Fits, threads: int) -> None:
    """Fit the lattice, then the rest from it, then those that came out badly once more on their own."""
    visible = ~hidden
    rows, columns = np.indices(hidden.shape)
    middle = LATTICE // 2
    lattice = visible & (rows % LATTICE == middle) & (columns % LATTICE == middle)
    nothing = np.full((hidden.size, SHARED + OWN * spectra.problem.fields), np.nan)
    several = spectra.problem.fields > 1
    rivals = np.tile(np.arange(1, 8), (hidden.size, 1)) if several else np.full((hidden.size, 1), -1)
    first = np.flatnonzero(lattice)
    _fit(spectra, first, nothing, rivals, fits, threads)
    good = np.zeros(hidden.size, dtype=np.bool_)
    good[first] = ~fits.doubtful(first, DOUBTFUL)
    rest = np.flatnonzero(visible & ~lattice)
    if good.any():
        nearest = np.asarray(
            ndimage.distance_transform_edt(~good.reshape(hidden.shape), return_distances=False, return_indices=True)
        )
        source = np.ravel_multi_index((nearest[0].ravel(), nearest[1].ravel()), hidden.shape)
        _fit(spectra, rest, fits.states[source], rivals, fits, threads)
    else:
        _fit(spectra, rest, nothing, rivals, fits, threads)
    seen = np.flatnonzero(visible)
    doubtful = seen[fits.doubtful(seen, DOUBTFUL)]
    before = fits.copy(doubtful)
    _fit(spectra, doubtful, nothing, rivals, fits, threads)
    fits.keep_better(doubtful, before)


def _fit(
    spectra: _Spectra,
    pixels: NDArray[np.int64],
    seeds: Array,
    rivals: NDArray[np.int64],
    fits: Fits,
    threads: int,
) -> None:
    """Fit some pixels; `seeds` and `rivals` are of all pixels."""
    chunks = [pixels[at : at + CHUNK] for at in range(0, len(pixels), CHUNK)]

    def one(chunk: NDArray[np.int64]) -> None:
        _fit_chunk(spectra, spectra.problem, chunk, seeds[chunk], rivals[chunk], fits)

    if threads < 2 or len(chunks) < 2:
        for chunk in chunks:
            one(chunk)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, chunks))


def _fit_chunk(
    spectra: _Spectra,
    problem: Problem,
    pixels: NDArray[np.int64],
    seeds: Array,
    rivals: NDArray[np.int64],
    fits: Fits,
) -> None:
    y, weights = spectra.of(pixels)
    mine = Fits.empty(len(pixels), problem.fields)
    rotation = miscut_rotation(problem.settings.miscut_deg, problem.settings.miscut_azimuth_deg)
    work, extra = scratch(problem.fields)
    fit_joint(
        y,
        weights,
        (problem.f, problem.u, problem.passes, problem.edges),
        problem.model,
        problem.prior(),
        problem.spreads,
        problem.start(),
        trial_shears(),
        np.ascontiguousarray(seeds),
        swaps(rotation),
        np.ascontiguousarray(rivals, dtype=np.int64),
        (*TURNS, TOLERANCE),
        work,
        extra,
        mine.states,
        mine.values,
        mine.codes,
    )
    fits.put(pixels, mine)


def _fit_again(spectra: _Spectra, problem: Problem, fits: Fits, pixel: int) -> Fits:
    """Fit one pixel from where it is, with other constants."""
    which = np.array([pixel], dtype=np.int64)
    result = Fits.empty(len(fits.codes), problem.fields)
    _fit_chunk(spectra, problem, which, fits.states[which], np.full((1, 1), -1, dtype=np.int64), result)
    return result


def warm_up() -> None:
    """Compile (or load from the cache on disk) the kernels of the joint fit."""
    frequency = np.linspace(2800.0, 3460.0, 60)
    sweep = JointSweep(
        np.full((60, 1, 1), 40_000, np.uint32), np.ones(60, np.int64), frequency, (0.0, 0.0, 97.0), 150.0
    )
    joint_map([sweep], NoiseModel("gain", electrons_per_count=1.0), JointSettings(), threads=1)
