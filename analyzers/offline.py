"""Maps without any process: the same functions on a frames file or on frames in memory, for `nvdac fit`.

The bits are those of the live run and of a replay: the fit of a pixel depends on its own sums, the frequency list, the
camera's noise and the settings only, and `analyzers.pipeline` makes the maps of all three.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analyzers.cube import Cube
from analyzers.fitmap import FitMap
from analyzers.fitting import fit_image, warm_up
from analyzers.pipeline import RunMaps, SweepMaps
from analyzers.prepare import fit_terms, prepare_sums
from analyzers.rescue import Unresolved, keep_unresolved
from analyzers.settings import AnalysisSettings
from analyzers.storage import MapStore
from stream.archive_hdf5 import FrameFile
from stream.measured_state import MeasuredState
from stream.messages import Archive, NoiseModel, RunMode, RunStart, SweepRole, SweepStart

Progress = Callable[[int, int], None]
"""Called with (sweeps done, sweeps in all)."""


@dataclass(frozen=True)
class OfflineRun:
    """The maps of a run made from its frames alone."""

    maps: RunMaps
    """Final maps of every complete sweep."""
    incomplete: dict[int, int]
    """Sweeps that lack frames (aborted, or lost) -> frames missing: they have no maps."""


def fit_measurement(
    frames: NDArray[np.generic],
    frequency_mhz: NDArray[np.float64],
    noise: NoiseModel,
    settings: AnalysisSettings,
    threads: int = 0,
) -> FitMap:
    """Fit one pass held in memory.

    Parameters
    ----------
    frames
        (f, y, x) u2, u4 or f4 counts.
    frequency_mhz
        (f,) frequencies in any order, MHz.
    noise
        The camera's noise.
    settings
        Lines, shape, thresholds.
    threads
        Threads to fit in; 0: one per core. The bits do not depend on it.

    Raises
    ------
    analyzers.cube.CubeError
        Where the frames are of a dtype that cannot be summed.
    ValueError
        Where the frequency list does not fit the frames.
    """
    warm_up(settings)  # numba must not compile in several threads at once
    cube = _cube_of(frames)
    return fit_image(cube.sums, cube.passes_added, frequency_mhz, noise, settings, threads)


def _cube_of(frames: NDArray[np.generic]) -> Cube:
    """Return the cube of one pass (f, y, x)."""
    count, height, width = frames.shape
    cube = Cube(count, height, width, frames.dtype.str)
    for index, frame in enumerate(frames):
        cube.add(index, frame)
    return cube


def maps_of_measurement(
    frames: NDArray[np.generic],
    frequency_mhz: NDArray[np.float64],
    noise: NoiseModel,
    settings: AnalysisSettings,
    run_uid: str = "file",
    threads: int = 0,
    measured: MeasuredState | None = None,
) -> OfflineRun:
    """Make the maps of one pass held in memory, as of a run with a single sweep; arguments as `fit_measurement`.

    `measured` says where it was taken; what is assumed without it is what `stream.ingest_run` assumes, so that the maps
    are equal.
    """
    at = measured or MeasuredState()
    _, height, width = frames.shape
    start = RunStart(
        run_uid=run_uid,
        mode=RunMode.REPLAY,
        height=height,
        width=width,
        dtype=frames.dtype.str,
        noise=noise,
        analysis=settings.to_json(),
        pixel_size_um=at.pixel_size_um,
    )
    run = RunMaps.of(start)
    sweep = SweepStart(run_uid, 0, SweepRole.SINGLE, at.state(), np.asarray(frequency_mhz, dtype=np.float64), passes=1)
    warm_up(settings)  # numba must not compile in several threads at once
    run.add(sweep, *fit_and_keep(run, sweep, _cube_of(frames), threads))
    return OfflineRun(run, {})


def fit_run(
    file: FrameFile,
    settings: AnalysisSettings | None = None,
    threads: int = 0,
    progress: Progress | None = None,
    reference: FrameFile | None = None,
) -> OfflineRun:
    """Make the maps of every complete sweep of a frames file.

    Parameters
    ----------
    file
        Frames of a run; may still be written.
    settings
        Settings instead of those stored with the run.
    threads
        Threads to fit in; 0: one per core. The bits do not depend on it.
    progress
        Told after each sweep.
    reference
        Frames of another run, whose newest complete opening reference is taken instead of the run's own.

    Raises
    ------
    stream.archive_hdf5.CorruptFrameError
        Where a frame's bytes are not those written.
    ValueError
        Where the run's settings or regions cannot be read, or the other run's reference is none for this one.
    """
    start = file.start if settings is None else replace(file.start, analysis=settings.to_json())
    run = RunMaps.of(start)
    warm_up(run.settings)  # numba must not compile in several threads at once
    if reference is not None:
        run.other_reference = _reference_of(reference, run, threads)
    sweeps = file.sweeps
    for sweep in sweeps:
        run.expect(sweep)
    incomplete: dict[int, int] = {}
    for done, sweep in enumerate(sweeps, start=1):
        cube = sweep_cube(file, sweep)
        missing = sweep.frequency_mhz.size * sweep.passes - cube.frames_added - len(file.holes(sweep.sweep))
        if missing or not cube.passes_added.all():
            incomplete[sweep.sweep] = missing
            run.abandon(sweep.sweep)
        else:
            run.add(sweep, *fit_and_keep(run, sweep, cube, threads))
        if progress is not None:
            progress(done, len(sweeps))
    return OfflineRun(run, incomplete)


def _reference_of(file: FrameFile, run: RunMaps, threads: int) -> SweepMaps:
    """Return the maps of the newest complete opening reference of another run, made with the settings of `run`."""
    other, ours = file.start, run.camera
    if (other.sample, other.height, other.width, other.pixel_size_um) != (
        ours.sample, ours.height, ours.width, ours.pixel_size_um
    ):  # fmt: skip
        raise ValueError(
            f"run {other.run_uid} is of sample {other.sample!r} on {other.height} x {other.width} pixels, "
            f"run {ours.run_uid} of {ours.sample!r} on {ours.height} x {ours.width}: name a reference like it"
        )
    maps = RunMaps.of(replace(other, analysis=run.settings.to_json()))
    for sweep in reversed(file.sweeps):
        if sweep.role != SweepRole.OPENING_REFERENCE:
            continue
        cube = sweep_cube(file, sweep)
        if cube.frames_added == sweep.frequency_mhz.size * sweep.passes:
            return maps.add(sweep, *fit_and_keep(maps, sweep, cube, threads))[0]
    raise ValueError(f"run {other.run_uid} has no complete opening reference; name a run with one")


def fit_frames_file(
    path: str | Path,
    settings: AnalysisSettings | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> OfflineRun:
    """Make the maps of a frames file; arguments and errors as `fit_run`, and FramesError where it cannot be opened."""
    with FrameFile(path) as file:
        return fit_run(file, settings, threads, progress)


def fit_cube(run: RunMaps, sweep: SweepStart, cube: Cube, threads: int = 0) -> FitMap:
    """Fit a complete sweep's cube with the settings of its run."""
    return fit_and_keep(run, sweep, cube, threads)[0]


def fit_and_keep(run: RunMaps, sweep: SweepStart, cube: Cube, threads: int = 0) -> tuple[FitMap, Unresolved]:
    """Fit a complete sweep's cube, and keep the sums of the pixels that may be tried again."""
    camera, passes = run.camera, cube.passes_added
    sums = prepare_sums(cube.sums, passes, sweep, camera, run.settings)
    terms = fit_terms(sweep.frequency_mhz, passes, camera.width, camera.noise, run.settings)
    fit = fit_image(sums, terms.passes, sweep.frequency_mhz, terms.noise, terms.settings, threads)
    return fit, keep_unresolved(sums, fit, 0, fit.shape[0])


def sweep_cube(file: FrameFile, sweep: SweepStart) -> Cube:
    """Add every frame of a sweep that is on disk, each once, or take its sums where the run keeps those."""
    start = file.start
    cube = Cube(sweep.frequency_mhz.size, start.height, start.width, start.dtype)
    if start.archive is Archive.SUMS:
        for plane in file.planes(sweep.sweep):
            cube.take_over(plane.index, plane.frames, plane.pixels)
        return cube
    for _, index, frame in file.frames(sweep.sweep):
        cube.add(index, frame)
    return cube


def save(run: OfflineRun, data_dir: str | Path) -> list[Path]:
    """Write the maps where the builder writes them; existing ones are compared bit by bit.

    Raises
    ------
    stream.maps_file.MapsDiffer
        Where the data folder holds other maps of the same version.
    """
    store = MapStore(data_dir)
    paths = [store.save_sweep(run.maps, maps) for _, maps in sorted(run.maps.finals.items())]
    products = store.save_products(run.maps)
    return paths if products is None else [*paths, products]


def single_maps(run: OfflineRun) -> SweepMaps:
    """Return the maps of a run with one complete sweep.

    Raises
    ------
    ValueError
        Where the run has none or several.
    """
    finals = list(run.maps.finals.values())
    if len(finals) != 1:
        raise ValueError(f"the run has {len(finals)} complete sweeps, not one")
    return finals[0]
