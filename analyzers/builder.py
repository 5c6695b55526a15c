"""The map builder: lays the workers' tiles together, shows the maps while they grow, stores and reports the final ones.

Started as `python -m analyzers.builder SETTINGS.json`. What becomes a file goes through `analyzers.pipeline`,
the functions that `nvdac fit` calls; here is only what a live run adds: order, pace, events and questions.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from analyzers.channels import run_channel
from analyzers.display import Display
from analyzers.fitmap import FitMap
from analyzers.fitting import warm_up as warm_up_fits
from analyzers.health import WorkerBoard
from analyzers.offline import fit_and_keep, sweep_cube
from analyzers.pipeline import RunMaps, SweepMaps
from analyzers.protocol import history_flags
from analyzers.questions import Questions
from analyzers.report import make_report, resolved_share
from analyzers.rescue import Unresolved
from analyzers.run_work import RunWork
from analyzers.settings import AnalysisSettings, BuilderProcess
from analyzers.storage import MapStore, Register
from analyzers.tc import tc_of
from analyzers.warming import one_at_a_time
from stream.archive_hdf5 import FrameFile, FramesError
from stream.builder_inbox import BuilderEvent, BuilderInbox
from stream.doors import TcpRefused
from stream.health import clear_ready, mark_ready
from stream.keys import KeysError
from stream.logs import RunLog, log_to_stderr
from stream.maps_file import MapsFileError
from stream.messages import (
    NoiseModel,
    RunMode,
    RunStart,
    RunStop,
    Severity,
    SpectrumReply,
    SpectrumRequest,
    StatePoint,
    SweepAbort,
    SweepProgress,
    SweepRole,
    SweepStart,
    Tile,
    WorkerHealth,
)
from stream.metrics import ProcessMetrics
from stream.paths import frames_path
from stream.settings import load_settings
from stream.state import StatePublisher

POLL_S = 0.05
"""Longest wait for news, s."""

PATIENCE_S = 20.0
"""Time without news after a run's end before its open sweeps are fitted from the frames file, s."""

METRICS_S = 0.5
"""Time between two sets of metrics, s."""

KEPT_RUNS = 3
"""Finished runs kept for questions."""

_LOG = logging.getLogger("builder")


class Builder:
    """All runs that are open, and the few last ones."""

    def __init__(
        self, inbox: BuilderInbox, publisher: StatePublisher, store: MapStore, patience_s: float = PATIENCE_S
    ) -> None:
        self._inbox = inbox
        self._publisher = publisher
        self._store = store
        self._patience_s = patience_s
        self._display = Display(publisher)
        self._board = WorkerBoard(publisher)
        self._questions = Questions(inbox.ask, inbox.owner, publisher.reply, str(store.data_dir))
        self._runs: dict[str, RunWork] = {}
        self._refits: dict[tuple[str, int], Future[tuple[FitMap, Unresolved] | None]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="refit")

    @property
    def current(self) -> RunWork | None:
        """The run that was opened last."""
        return next(reversed(self._runs.values())) if self._runs else None

    def step(self) -> None:
        """Take the news, show what changed, answer, and finish runs that are over."""
        for event in self._inbox.poll(POLL_S):
            self._take(event)
        for token, message in self._publisher.requests():
            if isinstance(message, SpectrumRequest):
                run = self._runs.get(message.run_uid) if message.run_uid else self.current
                self._questions.take(token, message, run)
        self._questions.expire()
        self._collect_refits()
        for run in list(self._runs.values()):
            if run.stopped is not None and not run.finished:
                self._try_to_finish(run)
        current = self.current
        if current is not None:
            self._display.refresh(current)
        self._board.publish(current.frames_lost if current is not None else 0)

    def numbers(self) -> dict[str, float | Mapping[str, float]]:
        """Raise and end the builder's alarms, and return its metrics (`stream.metrics.KINDS`)."""
        lost = self.current.frames_lost if self.current is not None else 0
        alarms = self._publisher.alarms
        alarms.watch("frames-lost", lost > 0, Severity.MAJOR, f"{lost} frames of the run were lost")
        return {"frames_lost": lost, "alarms_active": alarms.active()}

    def close(self) -> None:
        """End the helpers' threads."""
        self._questions.close()
        self._store.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _take(self, event: BuilderEvent) -> None:
        match event:
            case RunStart():
                self._open(event)
            case WorkerHealth():
                self._board.heard(event)
            case SpectrumReply():
                self._questions.heard(event)
            case _:
                run = self._runs.get(event.run_uid)
                if run is not None:
                    self._take_of_run(run, event)

    def _take_of_run(self, run: RunWork, event: SweepStart | SweepProgress | SweepAbort | Tile | RunStop) -> None:
        match event:
            case SweepStart():
                run.begin(event)
            case SweepProgress():
                run.progress(event)
            case SweepAbort():
                self._publisher.event(Severity.MINOR, f"sweep {event.sweep} ended early; its frames are kept")
                self._finals(run, run.abort(event))
            case Tile():
                self._add(run, event)
            case RunStop():
                run.stopped = event

    def _add(self, run: RunWork, tile: Tile) -> None:
        """Take a tile; one that is no result of ours ends no builder, and its sweep is fitted from the file."""
        try:
            made = run.add(tile)
        except (ValueError, KeyError, TypeError) as error:
            reason = f"sweep {tile.sweep}: the tile of {tile.worker} is refused: {error}"
            self._publisher.event(Severity.MAJOR, reason)
            _LOG.error("%s", reason)
            return
        self._finals(run, made)

    def _open(self, start: RunStart) -> None:
        if start.run_uid in self._runs:
            return
        try:
            run = RunWork(start)
            restored = run.restore(str(self._store.data_dir))
        except (ValueError, MapsFileError) as error:
            self._publisher.event(Severity.MAJOR, f"run {start.run_uid} cannot be analysed: {error}")
            return
        self._runs[start.run_uid] = run
        self._publisher.alarms.release()
        for uid in [uid for uid, old in self._runs.items() if old.finished][:-KEPT_RUNS]:
            del self._runs[uid]
        self._display.begin(run)
        if restored:
            self._publisher.event(Severity.MINOR, f"builder restarted: {restored} sweeps taken back from disk")
            for number in sorted(run.maps.finals):
                self._show(run, run.maps.finals[number])
        _LOG.info("run %s opened, version %s", start.run_uid, run.maps.version)

    def _finals(self, run: RunWork, made: list[SweepMaps]) -> None:
        """Store, report and show maps that became final."""
        for maps in made:
            number = maps.start.sweep
            try:
                self._store.save_sweep(run.maps, maps)
            except MapsFileError as error:
                self._publisher.event(Severity.MAJOR, f"sweep {number}: {error}")
            unresolved = 1.0 - resolved_share(maps, run.maps.regions.judged)
            if unresolved > 0.5:
                self._publisher.event(Severity.MINOR, f"sweep {number}: {unresolved:.0%} of the sample is unresolved")
            for flag in history_flags(maps.start):
                self._publisher.event(Severity.MAJOR, f"sweep {number}: {flag}")
            self._show(run, maps)

    def _show(self, run: RunWork, maps: SweepMaps) -> None:
        """Publish final maps and the report on them."""
        tc = tc_of(run.maps, maps.start.sweep) if maps.ratio is not None else None
        report = make_report(run.maps, maps, tc, frames_lost=run.frames_lost)
        self._display.final(run, maps, report, tc)

    def _try_to_finish(self, run: RunWork) -> None:
        """Make the products once every sweep is final; after some patience fit what is missing from the file."""
        if run.pending:
            if time.monotonic() - run.news_s > self._patience_s:
                self._refit(run)
            return
        run.finished = True
        try:
            self._store.save_products(run.maps)
            self._store.finish(run.maps)
        except MapsFileError as error:
            self._publisher.event(Severity.MAJOR, f"products of run {run.start.run_uid}: {error}")
        if run.frames_lost:
            self._publisher.event(Severity.MAJOR, f"{run.frames_lost} frames of the run were lost")
        channel = run_channel(run.maps, finished=True, counts=run.counts())
        self._publisher.publish(channel.name, channel.header, channel.arrays)
        _LOG.info("run %s finished: %d sweeps", run.start.run_uid, len(run.maps.finals))

    def _refit(self, run: RunWork) -> None:
        """Fit the sweeps that the workers did not finish from the frames on disk, in the background."""
        path = run.start.frames_path or str(frames_path(self._store.data_dir, run.start.run_uid))
        for number in run.pending:
            key = (run.start.run_uid, number)
            if key not in self._refits:
                self._publisher.event(Severity.MINOR, f"sweep {number} is fitted from its frames file")
                opening = run.assemblies[number].start
                self._refits[key] = self._pool.submit(_fit_from_file, path, opening, run)

    def _collect_refits(self) -> None:
        for key, future in [(key, future) for key, future in self._refits.items() if future.done()]:
            del self._refits[key]
            run = self._runs.get(key[0])
            if run is None or key[1] not in run.assemblies:
                continue
            fit = future.result()
            opening = run.assemblies[key[1]].start
            self._finals(run, run.give_up(key[1]) if fit is None else run.complete(opening, *fit))


def _fit_from_file(path: str, sweep: SweepStart, run: RunWork) -> tuple[FitMap, Unresolved] | None:
    """Return the final fit of a sweep from its frames, or None where frames are missing."""
    try:
        with FrameFile(path) as file:
            cube, lost = sweep_cube(file, sweep), len(file.holes(sweep.sweep))
    except FramesError as error:
        _LOG.warning("sweep %d cannot be fitted from %s: %s", sweep.sweep, path, error)
        return None
    if cube.frames_added + lost != sweep.frequency_mhz.size * sweep.passes or not cube.passes_added.all():
        return None
    return fit_and_keep(run.maps, sweep, cube, threads=1)


def warm_up() -> None:
    """Load or compile what the first maps need, before the builder says that it is ready."""
    settings = AnalysisSettings()
    warm_up_fits(settings)
    start = RunStart("warm-up", RunMode.SIMULATED, 1, 1, "<u2", NoiseModel("gain", 1.0), settings.to_json())
    run = RunMaps.of(start)
    frequency_mhz = np.linspace(2800.0, 3450.0, 40)
    for number, role in enumerate((SweepRole.OPENING_REFERENCE, SweepRole.WARMING)):
        state = StatePoint(80.0, 80.0, 80.0, 97.0)
        fit = FitMap.empty(settings.lines, settings.doublets, 1, 1)
        run.add(SweepStart("warm-up", number, role, state, frequency_mhz, 1), fit)
    tc_of(run)


def run_builder(process: BuilderProcess, stop: threading.Event, log: RunLog) -> None:
    """Build maps until `stop` is set."""
    clear_ready(process.stream, "builder")
    with one_at_a_time(process.stream):
        warm_up()
    with (
        BuilderInbox(process.stream) as inbox,
        StatePublisher(process.stream, "builder") as publisher,
        ProcessMetrics("builder", process.stream.metrics_port) as metrics,
    ):
        builder = Builder(inbox, publisher, MapStore(process.stream.data_dir, _register(process)))
        mark_ready(process.stream, "builder")
        try:
            told_s = 0.0
            while not stop.is_set():
                builder.step()
                if time.monotonic() - told_s >= METRICS_S:
                    told_s = time.monotonic()
                    log.run_uid = builder.current.start.run_uid if builder.current is not None else ""
                    metrics.replace({**inbox.numbers(), **builder.numbers()})
        finally:
            builder.close()
            clear_ready(process.stream, "builder")


def _register(process: BuilderProcess) -> Register | None:
    """Return the way into Tiled, or None where there is no Tiled."""
    if not process.tiled_uri:
        return None
    from stream.archive_maps import MapArchive

    return MapArchive(process.stream, process.tiled_uri)


def main() -> None:
    """Read the settings named on the command line and build maps until SIGTERM."""
    process = load_settings(BuilderProcess, sys.argv[1])
    log = log_to_stderr("builder")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        run_builder(process, stop, log)
    except (TcpRefused, KeysError) as error:
        _LOG.error("%s", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
