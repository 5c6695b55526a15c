"""Stress of every pixel from the spectra of several fields at once, by exact diagonalisation of all four NV groups.

A pure function of the sums: lines are not listed, numbered or labelled in between, so that blended lines lose nothing
and the uncertainty of sigma_ZZ knows of the shear that one field cannot see. Pixels of a coarse lattice begin from
several shears and are fitted as well with tilted groups exchanged; neighbours on the lattice decide together which of
these solutions holds (`joint_lattice`). The others begin between them, so that the result does not depend on how the
map is cut into parts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from analyzers.joint_lattice import Lattice, agreed, surroundings
from analyzers.joint_map import JointMap, found_map
from analyzers.joint_problem import JointSettings, Problem, scratch, swaps, trial_shears
from analyzers.joint_raw import RIVALS, Fits
from analyzers.joint_spectra import JointSweep, Spectra, prepare
from analyzers.kernels.hamiltonian import OWN, SHARED, STRESS
from analyzers.kernels.joint_pixels import fit_joint
from physics.geometry import miscut_rotation
from stream.messages import NoiseModel

__all__ = ["JointSweep", "joint_map", "warm_up"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

CHUNK = 256
"""Pixels fitted per call of the kernel."""
TURNS = (4, 40)
"""Most turns of a trial, and of a fit."""
TOLERANCE = 0.02
"""Predicted decrease of chi2 at which a fit ends: a hundredth of a standard deviation, for its last step is taken."""
DOUBTFUL = 1.3
"""chi2 over the map's median from which a pixel is begun once more on its own."""
APART = 2.0
"""Standard deviations from the median around a pixel from which it is begun once more, from that median."""
NOT_WORSE = 9.0
"""chi2 that a solution nearer to the surroundings may be higher by."""
FLAT_GPA = 0.05
"""How far the stress of a pixel may leave that of its surroundings without cost, GPa."""


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
    spectra = prepare(sweeps, noise, settings)
    shape = sweeps[0].sums.shape[1], sweeps[0].sums.shape[2]
    hidden = np.zeros(shape, dtype=np.bool_) if occluded is None else occluded
    fits = Fits.empty(hidden.size, len(sweeps))
    _fit_all(spectra, hidden, fits, threads or len(os.sched_getaffinity(0)))
    return found_map(fits, spectra.problem, hidden, lambda problem, pixel: _fit_again(spectra, problem, fits, pixel))


def _fit_all(spectra: Spectra, hidden: Mask, fits: Fits, threads: int) -> None:
    """Fit the lattice, the rest from it, those that leave their surroundings again, bad ones once more on their own."""
    nothing = np.full((hidden.size, SHARED + OWN * spectra.problem.fields), np.nan)
    none = np.full((hidden.size, 1), -1, dtype=np.int64)
    seen = np.flatnonzero(~hidden)
    seeds = _from_lattice(spectra, hidden, fits, nothing, threads)
    rivals = np.tile(np.arange(1, RIVALS), (hidden.size, 1)) if spectra.problem.fields > 1 else none
    if seeds is None:
        _fit(spectra, seen, nothing, rivals, fits, threads)
        return
    _fit(spectra, seen, seeds, none, fits, threads)
    if spectra.problem.fields > 1:
        _fit_apart(spectra, hidden, fits, threads)
    doubtful = seen[fits.doubtful(seen, DOUBTFUL)]
    before = fits.copy(doubtful)
    _fit(spectra, doubtful, nothing, rivals, fits, threads)
    fits.keep_better(doubtful, before)


def _from_lattice(spectra: Spectra, hidden: Mask, fits: Fits, nothing: Array, threads: int) -> Array | None:
    """Return the state from which each pixel begins, None where no lattice pixel could be fitted.

    What the lattice knows against other solutions is written to `fits` for the pixels nearest to each.
    """
    none = np.full((hidden.size, 1), -1, dtype=np.int64)
    fitted = [Fits.empty(hidden.size, spectra.problem.fields)]
    pixels = Lattice.of(~hidden).pixels
    _fit(spectra, pixels, nothing, none, fitted[0], threads)
    good = np.zeros(hidden.shape, dtype=np.bool_)
    good.ravel()[pixels] = (fitted[0].codes[pixels] == 0) & ~fitted[0].doubtful(pixels, DOUBTFUL)
    lattice = Lattice.of(good)
    pixels = lattice.pixels
    if not len(pixels):
        return None
    rotation = miscut_rotation(spectra.problem.settings.miscut_deg, spectra.problem.settings.miscut_azimuth_deg)
    for exchange in swaps(rotation)[1:] if spectra.problem.fields > 1 else ():
        seeds = nothing.copy()
        seeds[pixels] = fitted[0].states[pixels]
        seeds[pixels, :STRESS] = exchanged(exchange, fitted[0].states[pixels, :STRESS])
        fitted.append(Fits.empty(hidden.size, spectra.problem.fields))
        _fit(spectra, pixels, seeds, none, fitted[-1], threads)
    some = [one.copy(pixels) for one in fitted]
    stress = np.stack([one.shared[:, :STRESS] for one in some], axis=1)
    sigma = np.stack([np.sqrt(one.variances()[:, :STRESS]) for one in some], axis=1)
    chosen, costs = agreed(lattice, np.stack([one.energy for one in some], axis=1), stress, sigma)
    places = np.arange(len(pixels))
    states = np.stack([one.states for one in some], axis=1)[places, chosen]
    nearest = lattice.nearest()
    fits.costs[:, : len(some)] = costs[nearest]
    fits.apart[:, : len(some)] = (stress - stress[places, chosen][:, None])[nearest]
    return lattice.interpolated(states)


def exchanged(exchange: Array, stress: Array) -> Array:
    """Return stress parameters (n, 6) after one of the `swaps` (6, 6)."""
    out = np.zeros_like(stress)
    for column in range(STRESS):
        out += stress[:, column : column + 1] * exchange[:, column]
    return out


def _fit_apart(spectra: Spectra, hidden: Mask, fits: Fits, threads: int) -> None:
    """Begin pixels whose shear leaves that of their surroundings once more from there; keep what is as good.

    The spectra decide wherever they can: a solution that fits worse by `NOT_WORSE` is not taken.
    """
    telling = [1, 3, 4, 5]
    stress = fits.shared[:, :STRESS]
    around = surroundings(stress, (hidden.shape[0], hidden.shape[1]))
    variance = fits.variances()[:, :STRESS]
    with np.errstate(invalid="ignore"):
        left = (np.abs(stress - around)[:, telling] > APART * np.sqrt(variance[:, telling])).any(axis=1)
    pixels = np.flatnonzero(left & ~hidden.ravel())
    before = fits.copy(pixels)
    seeds = fits.states.copy()
    seeds[pixels, :STRESS] = around[pixels]
    again = Fits.empty(hidden.size, spectra.problem.fields)
    _fit(spectra, pixels, seeds, np.full((hidden.size, 1), -1, dtype=np.int64), again, threads)
    now = again.copy(pixels)

    def distance(some: Fits) -> Array:
        off = (some.shared[:, telling] - around[pixels][:, telling]) ** 2
        return (off / (variance[pixels][:, telling] + FLAT_GPA**2)).sum(axis=1)

    with np.errstate(invalid="ignore"):
        taken = (now.codes == 0) & (now.energy - before.energy < NOT_WORSE) & (distance(now) < distance(before))
    fits.put(pixels[taken], again.copy(pixels[taken]), rivals=False)


def _fit(
    spectra: Spectra,
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
    spectra: Spectra,
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
    if tried := bool(rivals.max() >= 0):
        mine.own_rivals()
    fits.put(pixels, mine, rivals=tried)


def _fit_again(spectra: Spectra, problem: Problem, fits: Fits, pixel: int) -> Fits:
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
