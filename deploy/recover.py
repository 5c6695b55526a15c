"""`nvdac recover`: after a process was killed, finish what can be finished, and say what could not.

Frames files without a living writer are copied and checked, documents of runs that nobody holds open are closed as
aborted, sweeps that are whole on disk get their maps, and Tiled learns what it has missed. Twice is as good as once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from deploy import processes
from deploy.errors import DeployError
from deploy.site import Site, find_site, running_sites
from deploy.up import default_data_dir

CLOSE_S = 10.0
"""Time that a camera has for closing a run's file, s."""

if TYPE_CHECKING:
    from stream.archive_hdf5 import FrameFile


@dataclass
class RunRecovery:
    """What was found and done for one run."""

    run_uid: str
    """The run."""
    frames: int = 0
    """Frames on disk."""
    rescued: int = 0
    """Frames that only the dead camera's ring had."""
    damaged: int = 0
    """Frames whose bytes are not those written: holes."""
    closed: bool = False
    """Its documents were closed as aborted."""
    maps_made: list[int] = field(default_factory=list[int])
    """Sweeps that were whole and lacked maps."""
    missing: dict[int, int] = field(default_factory=dict[int, int])
    """Sweeps without maps -> frames that are on no disk."""
    rows: int = 0
    """Rows of its file that documents may name."""
    frames_untold: int = 0
    """Rows that the documents name and no disk has."""
    archived: bool = False
    """Tiled learnt of it now."""
    could_not: list[str] = field(default_factory=list[str])
    """What could not be finished, one line each."""

    @property
    def lost(self) -> bool:
        """Tell whether something measured cannot be had any more."""
        return bool(self.damaged or self.missing or self.frames_untold)

    def lines(self) -> Iterator[str]:
        """Yield it for people."""
        done = [f"{self.frames} frames on disk"]
        done += [f"{self.rescued} of them taken from the ring"] if self.rescued else []
        done += ["documents closed as aborted"] if self.closed else []
        done += [f"maps made of sweeps {', '.join(map(str, self.maps_made))}"] if self.maps_made else []
        done += ["written to Tiled"] if self.archived else []
        yield f"{self.run_uid}: {'; '.join(done)}"
        for sweep, missing in sorted(self.missing.items()):
            yield f"  sweep {sweep} has no maps: {missing} of its frames were never measured or are lost"
        if self.damaged:
            yield f"  {self.damaged} frames are damaged on disk"
        if self.frames_untold:
            yield f"  {self.frames_untold} frames that the documents name are on no disk"
        yield from (f"  not done: {text}" for text in self.could_not)


def recover(data: Path | None, site_name: str | None, tiled: bool = True) -> dict[str, Any]:
    """Recover the runs of a data folder.

    Parameters
    ----------
    data, site_name
        The folder, or a site that works on it; without them the newest running site's, or the default one.
    tiled
        Bring Tiled up to date too: the site's, or one started for as long as it takes.

    Returns
    -------
    dict
        `data` and `runs`: a `RunRecovery` of every run that something was found or done for.

    Raises
    ------
    DeployError
        Where there is no such folder or site.
    """
    site, folder = _place(data, site_name)
    runs: dict[str, RunRecovery] = {}
    _end_orphans(site, folder)
    _mend_frames(folder, site, runs)
    _close_documents(folder, runs)
    _make_maps(folder, runs)
    if tiled:
        _tell_tiled(folder, site, runs)
    return {"data": str(folder), "runs": [asdict(run) | {"lost": run.lost} for run in runs.values()]}


def report_lines(result: dict[str, Any]) -> Iterator[str]:
    """Yield a result of `recover` for people."""
    rows: list[dict[str, Any]] = result["runs"]
    for row in rows:
        yield from RunRecovery(**{key: value for key, value in row.items() if key != "lost"}).lines()
    if not rows:
        yield f"{result['data']}: nothing to recover"


def _place(data: Path | None, site_name: str | None) -> tuple[Site | None, Path]:
    """Return the running site, if any, and the data folder."""
    if data is None:
        sites = running_sites()
        site = find_site(site_name) if site_name else (sites[-1] if sites else None)
        folder = Path(site.data_dir) if site is not None else default_data_dir()
    else:
        folder = data
        site = next((one for one in running_sites() if Path(one.data_dir) == folder.resolve()), None)
    if not folder.is_dir():
        raise DeployError(f"no data folder {folder}; name it with --data")
    if site is not None and not processes.states(site):
        site = None  # its processes are gone
    return site, folder.resolve()


def _end_orphans(site: Site | None, folder: Path) -> None:
    """Close the runs that a living camera keeps open and whose RunEngine is gone."""
    from stream.camera_control import CameraControl, CameraRefused
    from stream.document_log import unfinished_logs
    from stream.paths import frames_path
    from stream.settings import StreamSettings
    from stream.writing_mark import has_writer

    if site is None or "camera" not in site.programs:
        return
    settings = StreamSettings(site.runtime_dir, site.data_dir)
    closed: list[Path] = []
    with CameraControl(settings) as camera:
        for log in unfinished_logs(folder):
            try:
                camera.close_run(log.stem, "abort")
            except (CameraRefused, TimeoutError):
                continue  # the camera does not know it: there is nothing to close
            closed.append(frames_path(folder, log.stem))
    until, pause = time.monotonic() + CLOSE_S, threading.Event()
    while any(has_writer(path) for path in closed) and time.monotonic() < until:
        pause.wait(0.05)


def _mend_frames(folder: Path, site: Site | None, runs: dict[str, RunRecovery]) -> None:
    from stream.archive_hdf5 import FramesError
    from stream.recover_frames import left_behind, part_again, rescue

    for path in left_behind(folder):
        run = runs.setdefault(path.stem, RunRecovery(path.stem))
        rescued = rescue(Path(site.runtime_dir) / "ring", path) if site is not None else []
        try:
            parted = part_again(path, rescued)
        except FramesError as error:
            run.could_not.append(str(error))
            continue
        if parted is not None:
            run.frames, run.rescued, run.damaged = parted.frames, parted.rescued, len(parted.damaged)


def _close_documents(folder: Path, runs: dict[str, RunRecovery]) -> None:
    """Close the document logs that nobody writes and that have no end."""
    from stream.document_log import locked, read_documents, unfinished_logs

    for log in unfinished_logs(folder):
        with locked(log) as mine:
            if mine and not any(name == "stop" for name, _ in read_documents(log)):
                for _ in read_documents(log, close=True):
                    pass
                runs.setdefault(log.stem, RunRecovery(log.stem)).closed = True


def _make_maps(folder: Path, runs: dict[str, RunRecovery]) -> None:
    """Fit the sweeps that are whole on disk and have no maps."""
    from stream.archive_hdf5 import FrameFile, FramesError
    from stream.document_log import told_frames
    from stream.paths import documents_path
    from stream.writing_mark import has_writer

    begun = {path.name for path in (folder / "processed").glob("*") if path.is_dir()}
    for path in sorted((folder / "frames").glob("*.h5")):
        if path.stem not in runs.keys() | begun or has_writer(path):
            continue
        try:
            with FrameFile(path) as file:
                run = _fit_missing(file, folder, runs.get(path.stem) or RunRecovery(path.stem))
                run.frames, run.rows = file.count, file.rows
        except (FramesError, ValueError) as error:
            runs.setdefault(path.stem, RunRecovery(path.stem)).could_not.append(str(error))
            continue
        log = documents_path(folder, path.stem)
        run.frames_untold = max(0, told_frames(log) - run.rows) if log.exists() else 0
        if path.stem in runs or run.maps_made or run.could_not:
            runs[path.stem] = run


def _fit_missing(file: FrameFile, folder: Path, run: RunRecovery) -> RunRecovery:
    """Make the maps that are missing; the analysis is loaded only where there are any."""
    from analyzers.offline import fit_run, save
    from analyzers.pipeline import RunMaps
    from analyzers.sweep_files import finished_sweeps
    from stream.maps_file import MapsFileError

    whole = {sweep.sweep for sweep in file.complete_sweeps()}
    run.missing = {
        sweep.sweep: sweep.passes * sweep.frequency_mhz.size - file.frames_of(sweep.sweep)
        for sweep in file.sweeps
        if sweep.sweep not in whole
    }
    stored = finished_sweeps(folder, file.start.run_uid, RunMaps.of(file.start).version)
    wanted = sorted(whole - stored.keys())
    if wanted:
        typer.echo(f"{file.start.run_uid}: fitting {len(whole)} sweeps from their frames", err=True)
        try:
            made = fit_run(file)
            save(made, folder)
        except (MapsFileError, OSError) as error:
            run.could_not.append(f"maps of sweeps {wanted}: {error}")
        else:
            run.maps_made = [number for number in wanted if number in made.maps.finals]
    return run


def _tell_tiled(folder: Path, site: Site | None, runs: dict[str, RunRecovery]) -> None:
    """Write to Tiled what it has not got: runs from their logs, and the new maps."""
    from deploy.tiled_once import tiled_at
    from stream.archive_maps import MapArchive
    from stream.archive_tiled import send_log
    from stream.catalog import CatalogError, catalog
    from stream.document_log import unfinished_logs
    from stream.settings import StreamSettings

    logs = unfinished_logs(folder)
    if not logs and not any(run.maps_made for run in runs.values()):
        return
    serving = site if site is not None and "tiled" in site.programs else None
    try:
        with tiled_at(folder, serving) as (uri, key), catalog(uri, key) as client:
            for log in logs:
                run = runs.setdefault(log.stem, RunRecovery(log.stem))
                run.archived = send_log(folder, log.stem, client, rows=run.rows if run.frames_untold else None)
            with MapArchive(StreamSettings(str(folder), str(folder)), uri, key) as archive:
                for run in runs.values():
                    if run.maps_made:
                        _register(folder, run, archive)
                archive.wait_idle(60.0)
    except CatalogError as error:
        for log in logs:
            runs.setdefault(log.stem, RunRecovery(log.stem)).could_not.append(f"Tiled: {error}")


def _register(folder: Path, run: RunRecovery, archive: Any) -> None:
    """Make every stored map of a run known."""
    from stream.maps_file import read_maps

    for path in sorted((folder / "processed" / run.run_uid).glob("*/*.h5")):
        archive.store(run.run_uid, path.parent.name, path.stem, path, read_maps(path)[1])
        archive.set_latest(run.run_uid, path.parent.name)
