"""`nvdac ingest` and `nvdac fit`: measured files, and stored runs without any server."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from deploy import processes
from deploy.errors import DeployError
from deploy.fit_said import KernelClock, line_notes, line_rows, median_chi2, replaced
from deploy.launch import DATA_FLOOR_MIB
from deploy.places import require_file, require_space
from deploy.site import Site, find_site, running_sites
from deploy.stored import find_frames
from deploy.up import default_data_dir
from stream.ingest import IngestError, IngestOptions, Measurement, read_measurement
from stream.measured_state import measured_state

if TYPE_CHECKING:
    from analyzers.offline import OfflineRun
    from analyzers.settings import AnalysisSettings
    from stream.maps_file import MapsPart
    from stream.messages import RunStart

DEFAULT_LINES = 2
Given = tuple[float | None, float | None, float | None]
"""Temperature (K), field (G) and pixel size (um) of a file; None: assumed, and said so."""
NOTHING_GIVEN: Given = (None, None, None)


def read_options(
    signal: str,
    frequency: str,
    frequency_unit: str,
    axes: str,
    format_: str,
    electrons_per_count: float,
    offset_counts: float,
    read_noise_electrons: float,
    accumulations: int,
) -> IngestOptions:
    """Return how a file is to be read; 0 stands for what was not given."""
    return IngestOptions(
        signal=signal,
        frequency=frequency,
        frequency_unit=frequency_unit,
        axes=axes,
        format=format_,
        electrons_per_count=electrons_per_count or None,
        offset_counts=offset_counts,
        read_noise_electrons=read_noise_electrons,
        accumulations=accumulations or None,
    )


def ingest_file(
    file: Path,
    options: IngestOptions,
    lines: int,
    sample: str,
    data: Path | None,
    site_name: str | None,
    given: Given = NOTHING_GIVEN,
) -> dict[str, Any]:
    """Make a file a run in Tiled and return uid, data folder, and notes on what was guessed.

    A running site's Tiled takes it; without one, Tiled is started on the data folder for as long as it takes.

    Raises
    ------
    DeployError
        Where the file cannot be read as a measurement; nothing is written then.
    """
    from deploy.tiled_once import tiled_at
    from stream.catalog import CatalogError, catalog
    from stream.ingest_run import IngestRun, ingest_run

    state, assumed = measured_state(*given)
    run = IngestRun(line_settings(lines).to_json(), sample, source=file.name, measured=state, state_notes=(*assumed,))
    measurement = _read(file, options)
    data_dir, site = _place(data, site_name)
    require_space(data_dir, measurement.frames.nbytes / 2**20 + DATA_FLOOR_MIB, "the run")
    try:
        with tiled_at(data_dir, site) as (uri, key), catalog(uri, key) as client:
            uid = ingest_run(measurement, data_dir, run, client)
    except (IngestError, CatalogError) as error:
        raise DeployError(str(error)) from error
    return {
        "uid": uid,
        "data": str(data_dir),
        "site": site.name if site else "",
        "notes": [*measurement.notes, *assumed],
    }


def fit_to_file(
    file_or_uid: str,
    options: IngestOptions,
    lines: int | None,
    out: Path,
    data: Path | None,
    site_name: str | None,
    joint: bool = False,
    bin_px: int | None = None,
    given: Given = NOTHING_GIVEN,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Fit a measured file, a frames file or a stored run, and write the maps.

    A run with one sweep gives one set of maps at the root of `out`; one with several gives a group per sweep, and
    `products`. With `joint`, a group `joint` holds the stress from the spectra of all fields of a stored run.

    Raises
    ------
    DeployError
        Where there is no such file or run, it cannot be read, or `out` cannot be written.
    """
    from stream.maps_file import MapsFileError, write_parts

    _require_out(out)
    begin = time.perf_counter()
    clock = KernelClock(say)
    run, notes = _fit(file_or_uid, options, lines, data, site_name, bin_px, given, clock)
    parts = _parts(run)
    if not parts:
        raise DeployError(f"{file_or_uid}: no sweep is complete ({sum(run.incomplete.values())} frames are missing)")
    notes += [f"sweep {sweep} lacks {missing} frames: no maps" for sweep, missing in run.incomplete.items()]
    if joint:
        if run.maps.settings.bin_px != 1:
            raise DeployError("--joint fits camera pixels: leave --bin out, or give --bin 1")
        parts["joint"] = _joint_part(file_or_uid, run, data, site_name, clock)
    notes += replaced(out)
    try:
        write_parts(out, parts)
    except MapsFileError as error:
        raise DeployError(str(error)) from error
    swept = [part.planes for part in parts.values() if "line_status" in part.planes]
    rows = [line_rows(planes) for planes in swept]
    status = np.stack([np.asarray(part.planes["status"]) for part in parts.values() if "status" in part.planes])
    return {
        "run_uid": run.maps.start.run_uid,
        "version": run.maps.version,
        "out": str(out),
        "sweeps": len(status),
        "pixels": int(status.size),
        "resolved": int(np.count_nonzero(status == 0)),
        "lines": rows,
        "chi2": [median_chi2(planes) for planes in swept],
        "seconds": round(time.perf_counter() - begin - clock.seconds, 3),
        "kernels_seconds": round(clock.seconds, 3),
        "notes": notes + (line_notes(rows[0]) if len(rows) == 1 else []),
    }


def _require_out(out: Path) -> None:
    """Refuse an `--out` that cannot be written, or that would take the place of somebody's data."""
    from stream.maps_file import is_maps_file

    require_file(out, "--out")
    if out.exists() and out.stat().st_size and not is_maps_file(out):
        raise DeployError(f"--out {out}: it exists and holds no maps of nvdac; remove it, or name another file")


def line_settings(lines: int, base: AnalysisSettings | None = None) -> AnalysisSettings:
    """Return settings for `lines` resonances: pairs from the outside in where their number is even, else none."""
    from analyzers.settings import AnalysisSettings

    given = base or AnalysisSettings()
    if given.lines == lines and base is not None:
        return given
    doublets = tuple((line, lines - 1 - line) for line in range(lines // 2)) if lines % 2 == 0 else ()
    try:
        return dataclasses.replace(given, lines=lines, doublets=doublets, start_mhz=())
    except ValueError as error:
        raise DeployError(str(error)) from error


def stored_settings(start: RunStart, lines: int | None) -> AnalysisSettings:
    """Return the settings stored with a run, with another number of lines where that is given."""
    from analyzers.settings import AnalysisSettings

    stored = AnalysisSettings.from_json(start.analysis)
    return stored if lines is None else line_settings(lines, stored)


def _fit(
    file_or_uid: str,
    options: IngestOptions,
    lines: int | None,
    data: Path | None,
    site_name: str | None,
    bin_px: int | None,
    given: Given,
    clock: KernelClock,
) -> tuple[OfflineRun, list[str]]:
    """Return the maps, and notes on what was guessed."""
    path = Path(file_or_uid)
    if path.is_dir():
        raise DeployError(f"{file_or_uid} is a folder, and no file to fit; check the path, or give a run uid")
    if not path.is_file():
        if path.suffix or os.sep in file_or_uid or path.exists():
            raise DeployError(f"no file {file_or_uid}; check the path, or give a run uid")
        path = find_frames(file_or_uid, data, site_name)
    elif not _is_frames_file(path):
        settings = line_settings(DEFAULT_LINES if lines is None else lines)
        return _fit_measurement(path, options, _binned(settings, bin_px), given, clock)
    if given != NOTHING_GIVEN:
        raise DeployError("--temperature-k, --field-gauss and --pixel-size-um are for files; a run knows its own")
    return _fit_frames(path, lines, bin_px, clock), []


def _binned(settings: AnalysisSettings, bin_px: int | None) -> AnalysisSettings:
    """Return settings with another binning, where one is given."""
    return settings if bin_px is None else dataclasses.replace(settings, bin_px=bin_px)


def _load_kernels(settings: AnalysisSettings, clock: KernelClock) -> None:
    """Load or compile what a fit with these settings needs."""

    def prepare() -> None:
        from analyzers.fitting import warm_up

        warm_up(settings)

    clock.wait(prepare)


def _fit_measurement(
    path: Path, options: IngestOptions, settings: AnalysisSettings, given: Given, clock: KernelClock
) -> tuple[OfflineRun, list[str]]:
    """Fit a measured file; the estimator is loaded once the file has been found good."""
    measurement = _read(path, options)
    _load_kernels(settings, clock)
    from analyzers.offline import maps_of_measurement

    state, assumed = measured_state(*given)
    run = maps_of_measurement(
        measurement.frames, measurement.frequency_mhz, measurement.noise, settings, measured=state
    )
    return run, [*measurement.notes, *assumed]


def _fit_frames(path: Path, lines: int | None, bin_px: int | None, clock: KernelClock) -> OfflineRun:
    """Fit every sweep of a frames file, with a progress bar."""
    from stream.archive_hdf5 import FrameFile, FramesError

    def step(*_: int) -> None:
        bar.update()

    try:
        with FrameFile(path) as file, tqdm(total=len(file.sweeps), unit="sweep", desc="fit", disable=None) as bar:
            settings = _binned(stored_settings(file.start, lines), bin_px)
            _load_kernels(settings, clock)
            from analyzers.offline import fit_run

            return fit_run(file, settings, progress=step)
    except FramesError as error:
        raise DeployError(str(error)) from error
    except ValueError as error:
        raise DeployError(f"{path}: {error}") from error


def _parts(run: OfflineRun) -> dict[str, Any]:
    """Return what goes into the file: one sweep at the root, several as groups with the products beside them."""
    from analyzers.map_planes import MAP_DESCRIPTIONS, MAP_UNITS
    from analyzers.products import PRODUCT_DESCRIPTIONS, PRODUCT_UNITS, make_products
    from analyzers.sweep_files import sweep_name
    from stream.maps_file import MapsPart

    finals = [maps for _, maps in sorted(run.maps.finals.items())]
    parts = {
        sweep_name(maps.start.sweep): MapsPart(maps.planes(), MAP_UNITS, MAP_DESCRIPTIONS, run.maps.attributes(maps))
        for maps in finals
    }
    if len(parts) == 1:
        return {"": next(iter(parts.values()))}
    products = make_products(run.maps)
    if products is not None:
        parts["products"] = MapsPart(products.planes, PRODUCT_UNITS, PRODUCT_DESCRIPTIONS, products.attributes)
    return parts


def _joint_part(
    file_or_uid: str, run: OfflineRun, data: Path | None, site_name: str | None, clock: KernelClock
) -> MapsPart:
    """Return the stress from the spectra of all fields of a stored run, as a part of the maps file."""
    from analyzers.joint import warm_up
    from analyzers.joint_map import DESCRIPTIONS, UNITS
    from analyzers.joint_run import joint_of_run
    from stream.archive_hdf5 import FrameFile, FramesError
    from stream.maps_file import MapsPart

    path = Path(file_or_uid)
    if path.is_file() and not _is_frames_file(path):
        raise DeployError("--joint: a measured file says nothing of its field and temperature; give a stored run")
    if not path.is_file():
        path = find_frames(file_or_uid, data, site_name)
    clock.wait(warm_up)
    try:
        with FrameFile(path) as file:
            made = joint_of_run(file, run.maps)
    except FramesError as error:
        raise DeployError(str(error)) from error
    except ValueError as error:
        raise DeployError(f"--joint: {error}") from error
    return MapsPart(made.planes, UNITS, DESCRIPTIONS, made.attributes)


def _read(file: Path, options: IngestOptions) -> Measurement:
    try:
        measurement = read_measurement(file, options)
    except IngestError as error:
        raise DeployError(str(error)) from error
    highest = float(measurement.frames.max())
    if options.offset_counts >= highest:
        raise DeployError(
            f"--offset-counts {options.offset_counts:g} is above every count (at most {highest:g}); "
            "give the counts of a dark frame in the file's own counts"
        )
    return measurement


def _is_frames_file(path: Path) -> bool:
    """Return whether a file is one of our frames files, from its root attribute."""
    import h5py

    if not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path, swmr=True) as file:
            return "run_start" in file.attrs
    except OSError as error:
        raise DeployError(f"cannot read {path}: it is cut off or damaged; copy it again from where it came") from error


def _place(data: Path | None, site_name: str | None) -> tuple[Path, Site | None]:
    """Return the data folder, and the running site whose Tiled serves it; the newest one's where none is named."""
    if site_name is not None:
        site = find_site(site_name, needs="tiled")
        return Path(site.data_dir), site
    serving = [site for site in running_sites() if "tiled" in site.programs and processes.states(site)]
    if data is None and serving:
        return Path(serving[-1].data_dir), serving[-1]
    folder = (data or default_data_dir()).resolve()
    return folder, next((site for site in serving if Path(site.data_dir) == folder), None)
