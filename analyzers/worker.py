"""A fitting worker: adds the frames of its bands, fits them while the sweep runs, answers for its pixels.

Started as `python -m analyzers.worker SETTINGS.json`. Fits run in the main thread with the GIL released, so the link's
heartbeats go on; a final fit depends on the frames alone, a provisional one starts from the one before.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections import deque

from analyzers.band import Band, Key, key_of
from analyzers.cube import CubeError
from analyzers.fitting import warm_up
from analyzers.regions import regions_of
from analyzers.settings import AnalysisSettings, WorkerProcess
from analyzers.spectrum import fit, normalise, refusal, reply
from analyzers.warming import one_at_a_time
from stream.health import clear_ready, mark_ready
from stream.heap import keep_heap
from stream.logs import RunLog, log_to_stderr
from stream.messages import Json, RunStart, SpectrumReply, SpectrumRequest
from stream.metrics import ProcessMetrics
from stream.settings import load_settings
from stream.worker_link import BandFrame, BandGranted, BandLost, BandRevoked, BandSum, WorkerLink

KEPT_BYTES = 256 * 1024 * 1024
"""Cubes of finished bands kept for questions, bytes; the oldest go first."""

REPORT_INTERVAL_S = 0.5
"""Time between two reports of the worker's load, s."""

POLL_S = 0.05
"""Longest wait for news, s: bounds how late a signal or a question is noticed."""

_LOG = logging.getLogger("worker")


class Load:
    """How busy the worker is, over the last seconds."""

    WINDOW_S = 5.0

    def __init__(self) -> None:
        self._work: deque[tuple[float, float, int]] = deque()
        self._began_s = time.monotonic()
        self.seconds = {"idle": 0.0, "add": 0.0, "fit": 0.0, "send": 0.0}
        """Time spent since the start, s."""

    def spend(self, state: str, began_s: float) -> None:
        """Count time that was spent since `began_s`."""
        self.seconds[state] += time.monotonic() - began_s

    def add(self, seconds: float, fits: int) -> None:
        """Count work that just ended."""
        self._work.append((time.monotonic(), seconds, fits))

    def stats(self) -> Json:
        """Return fits per second of fitting and the share of time spent working."""
        now = time.monotonic()
        while self._work and self._work[0][0] < now - self.WINDOW_S:
            self._work.popleft()
        fitting = [(seconds, fits) for _, seconds, fits in self._work if fits]
        seconds, fits = sum(item[0] for item in fitting), sum(item[1] for item in fitting)
        window = max(min(self.WINDOW_S, now - self._began_s), 1e-3)
        busy = sum(item[1] for item in self._work) / window
        return {"fits_per_s": fits / seconds if seconds > 0 else 0.0, "busy_fraction": min(busy, 1.0)}


class Worker:
    """The bands this worker owns and those it finished."""

    def __init__(self, link: WorkerLink, name: str, metrics: ProcessMetrics, log: RunLog) -> None:
        self._link = link
        self._metrics = metrics
        self._log = log
        self._name = name
        self._bands: dict[Key, Band] = {}
        self._finished: dict[Key, Band] = {}
        self._complete: deque[Key] = deque()
        self._load = Load()
        self._reported_s = 0.0

    def step(self) -> None:
        """Take the news; fit what is complete, else the band whose picture is oldest, else answer questions."""
        began = time.monotonic()
        events = self._link.poll(0.0 if self._complete or self._due() else POLL_S)
        self._load.spend("idle", began)
        for event in events:
            match event:
                case RunStart():
                    self._prepare(event)
                case BandGranted():
                    self._grant(event)
                case BandFrame() | BandLost() | BandSum():
                    self._frame(event)
                case BandRevoked():
                    self._bands.pop((event.run_uid, event.sweep, event.y0, event.lease), None)
                case _:
                    pass
        for token, request in self._link.requests():
            self._link.reply(token, self._answer(request))
        if self._complete:
            self._finish(self._complete.popleft())
        elif not events and (due := self._due()) is not None:
            self._fit(due)
        self._report()

    def _prepare(self, start: RunStart) -> None:
        """Compile what the run's settings need before its first frame comes."""
        self._log.run_uid = start.run_uid
        try:
            warm_up(AnalysisSettings.from_json(start.analysis))
        except ValueError as error:
            _LOG.error("run %s cannot be analysed: %s", start.run_uid, error)

    def _grant(self, grant: BandGranted) -> None:
        try:
            settings = AnalysisSettings.from_json(grant.run.analysis)
            band = Band(grant, settings, regions_of(grant.run), self._name)
        except ValueError as error:
            _LOG.error("run %s cannot be analysed: %s", grant.run.run_uid, error)
            return
        self._bands[key_of(grant)] = band

    def _frame(self, frame: BandFrame | BandLost | BandSum) -> None:
        """Add a frame and say so; the last one puts the band in line for its final fit."""
        began = time.monotonic()
        key = key_of(frame)
        band = self._bands.get(key)
        try:
            if band is not None:
                band.add(frame)
        except CubeError as error:
            _LOG.error("sweep %d rows from %d on are given up: %s", frame.sweep, frame.y0, error)
            self._bands.pop(key, None)
        if not self._link.acknowledge(frame):
            self._bands.pop(key, None)
            return
        self._load.add(time.monotonic() - began, 0)
        self._load.spend("add", began)
        if band is not None and key in self._bands and band.complete:
            self._complete.append(key)

    def _finish(self, key: Key) -> None:
        """Fit a complete band for good, unless it was taken away meanwhile."""
        band = self._bands.pop(key, None)
        if band is not None:
            self._fit(band)
            self._keep(key, band)

    def _fit(self, band: Band) -> None:
        began = time.monotonic()
        tile = band.fit()
        self._load.add(time.monotonic() - began, band.pixels)
        self._load.spend("fit", began)
        began = time.monotonic()
        self._link.send_tile(tile)
        self._load.spend("send", began)

    def _due(self) -> Band | None:
        """Return the band whose provisional fit is oldest and due, or None."""
        now = time.monotonic()
        due = [band for band in self._bands.values() if band.stale and band.due_s <= now]
        return min(due, key=lambda band: band.due_s) if due else None

    def _keep(self, key: Key, band: Band) -> None:
        """Keep a finished cube for questions, within the memory allowed."""
        self._finished[key] = band
        while len(self._finished) > 1 and sum(b.cube.sums.nbytes for b in self._finished.values()) > KEPT_BYTES:
            del self._finished[next(iter(self._finished))]

    def _answer(self, request: SpectrumRequest) -> SpectrumReply:
        for band in (*self._bands.values(), *reversed(self._finished.values())):
            if band.holds(request):
                run, sweep = band.grant.run, band.grant.sweep
                data = normalise(band.rectangle(request), sweep.frequency_mhz, run.noise)
                return reply(request, run.run_uid, sweep.sweep, fit(data, band.settings))
        return refusal(request, "this worker no longer has the cube")

    def _report(self) -> None:
        now = time.monotonic()
        if now - self._reported_s >= REPORT_INTERVAL_S:
            self._reported_s = now
            stats = self._load.stats()
            self._link.report(stats)
            more = {"fits_per_s": float(str(stats["fits_per_s"])), "seconds": dict(self._load.seconds)}
            self._metrics.replace({**self._link.numbers(), **more})


def run(process: WorkerProcess, stop: threading.Event, log: RunLog) -> None:
    """Work until `stop` is set."""
    clear_ready(process.stream, process.worker)
    with one_at_a_time(process.stream):
        warm_up(AnalysisSettings())
    port = process.stream.metrics_port
    with WorkerLink(process.stream, process.worker) as link, ProcessMetrics(process.worker, port) as metrics:
        worker = Worker(link, process.worker, metrics, log)
        mark_ready(process.stream, process.worker)
        while not stop.is_set():
            worker.step()
    clear_ready(process.stream, process.worker)


def main() -> None:
    """Read the settings named on the command line and work until SIGTERM."""
    process = load_settings(WorkerProcess, sys.argv[1])
    log = log_to_stderr(process.worker)
    keep_heap()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(process, stop, log)


if __name__ == "__main__":
    main()
