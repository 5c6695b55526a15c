"""A clicked pixel: asked of the band's worker, else read from the frames file; answered with the maps' values."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from analyzers.assembly import RegionSums
from analyzers.channels import weighted_mean
from analyzers.pipeline import SweepMaps
from analyzers.run_work import RunWork
from analyzers.settings import AnalysisSettings
from analyzers.spectrum import finite, fit, normalise, refusal, reply
from analyzers.status import StatusCode
from stream.archive_hdf5 import FrameFile, FramesError
from stream.messages import Archive, Json, SpectrumReply, SpectrumRequest, SweepStart
from stream.paths import frames_path

WORKER_PATIENCE_S = 1.0
"""Longest wait for a worker's answer before the frames file is read, s."""

_LOG = logging.getLogger("builder")

Area = tuple[str, int, int, int, int, int]
Ask = Callable[[str, SpectrumRequest], bool]
Owner = Callable[[str, int, int], str]
Answer = Callable[[bytes, SpectrumReply], None]


@dataclass(frozen=True)
class _Open:
    """A question that a worker was asked."""

    token: bytes
    request: SpectrumRequest
    asked_s: float


class Questions:
    """Questions on their way; `answer` is called once for each, from any thread."""

    def __init__(self, ask: Ask, owner: Owner, answer: Answer, data_dir: str) -> None:
        self._ask = ask
        self._owner = owner
        self._answer = answer
        self._data_dir = data_dir
        self._open: dict[Area, list[_Open]] = {}
        self._values: dict[bytes, Json] = {}
        self._asked: dict[bytes, SpectrumRequest] = {}
        self._runs: dict[str, RunWork] = {}
        # one reader: HDF5 reads take turns anyway
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="spectrum")

    def take(self, token: bytes, request: SpectrumRequest, run: RunWork | None) -> None:
        """Begin to answer a question about a run."""
        if run is None:
            self._answer(token, refusal(request, "no such run here"))
            return
        self._runs[run.start.run_uid] = run
        number = run.newest_sweep() if request.sweep < 0 else request.sweep
        request = dataclasses.replace(request, run_uid=run.start.run_uid, sweep=number)
        problem = _problem(request, run)
        if problem:
            self._answer(token, refusal(request, problem))
            return
        self._values[token] = map_values(run.maps_of(number), request)
        self._asked[token] = request
        request = camera_rectangle(request, run.maps.settings.bin_px)
        owners = {self._owner(request.run_uid, number, row) for row in (request.y0, request.y1 - 1)}
        worker = owners.pop() if len(owners) == 1 else ""
        if worker and self._ask(worker, request):
            self._open.setdefault(_area(request), []).append(_Open(token, request, time.monotonic()))
        else:
            self._read(token, request)

    def heard(self, answer: SpectrumReply) -> None:
        """Take a worker's answer; without a spectrum in it the frames file is read instead."""
        for question in self._open.pop(_area(answer), []):
            if answer.frequency_mhz.size:
                self._send(question.token, answer)
            else:
                self._read(question.token, question.request)

    def expire(self) -> None:
        """Read the frames file for questions that a worker did not answer in time."""
        latest = time.monotonic() - WORKER_PATIENCE_S
        for area in [area for area, asked in self._open.items() if asked[0].asked_s < latest]:
            for question in self._open.pop(area):
                self._read(question.token, question.request)

    def close(self) -> None:
        """End the reader; questions still open stay unanswered."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _read(self, token: bytes, request: SpectrumRequest) -> None:
        run = self._runs[request.run_uid]
        opening = run.opening_of(request.sweep)
        path = run.start.frames_path or str(frames_path(self._data_dir, request.run_uid))
        if opening is None:
            self._send(token, refusal(request, "no such sweep"))
            return
        self._pool.submit(self._read_file, token, request, path, opening, run.maps.settings)

    def _read_file(
        self, token: bytes, request: SpectrumRequest, path: str, sweep: SweepStart, settings: AnalysisSettings
    ) -> None:
        """Answer from the frames on disk; runs in the reader's thread."""
        try:
            with FrameFile(path) as file:
                data = normalise(rectangle_of_file(file, sweep, request), sweep.frequency_mhz, file.start.noise)
            answer = reply(request, request.run_uid, request.sweep, fit(data, settings))
        except (FramesError, ValueError, KeyError) as error:
            _LOG.warning("no spectrum from %s: %s", path, error)
            answer = refusal(request, f"the frames cannot be read: {error}")
        self._send(token, answer)

    def _send(self, token: bytes, answer: SpectrumReply) -> None:
        """Answer with the maps' values beside the fit's own."""
        values, asked = self._values.pop(token, {}), self._asked.pop(token, None)
        if asked is not None:  # in pixels of the map, which may be binned
            answer = dataclasses.replace(answer, y0=asked.y0, y1=asked.y1, x0=asked.x0, x1=asked.x1)
        status = str(values.pop("status", "")) or answer.status
        if answer.frequency_mhz.size:
            answer = dataclasses.replace(answer, values={**answer.values, **values}, status=status)
        self._answer(token, answer)


def rectangle_of_file(file: FrameFile, sweep: SweepStart, request: SpectrumRequest) -> RegionSums:
    """Sum a rectangle over the frames of a sweep that are on disk."""
    count = sweep.frequency_mhz.size
    integers = np.dtype(file.start.dtype).kind == "u"
    counts = np.zeros(count, dtype=np.uint64 if integers else np.float64)
    exposures = np.zeros(count, dtype=np.uint64)
    pixels = np.uint64((request.y1 - request.y0) * (request.x1 - request.x0))
    if file.start.archive is Archive.SUMS:
        for plane in file.planes(sweep.sweep):
            area = plane.pixels[request.y0 : request.y1, request.x0 : request.x1]
            counts[plane.index], exposures[plane.index] = area.sum(dtype=counts.dtype), pixels * np.uint64(plane.frames)
        return RegionSums(counts, exposures)
    for _, index, frame in file.frames(sweep.sweep):
        counts[index] += frame[request.y0 : request.y1, request.x0 : request.x1].sum(dtype=counts.dtype)
        exposures[index] += pixels
    return RegionSums(counts, exposures)


def camera_rectangle(request: SpectrumRequest, bin_px: int) -> SpectrumRequest:
    """Return a request in camera pixels of one in pixels of the map."""
    edges = {name: getattr(request, name) * bin_px for name in ("y0", "y1", "x0", "x1")}
    return dataclasses.replace(request, **edges)


def map_values(maps: SweepMaps | None, request: SpectrumRequest) -> Json:
    """Return what the maps say of a rectangle: weighted means, and for one pixel its status."""
    if maps is None:
        return {}
    area = slice(request.y0, request.y1), slice(request.x0, request.x1)
    values: dict[str, float] = {"temperature_k": maps.start.state.temperature_k}
    status = maps.fit.status
    if maps.ratio is not None:
        values["s"], values["sigma_s"] = weighted_mean(maps.ratio.s[area], maps.ratio.sigma_s[area])
        status = maps.ratio.status
    if maps.stress is not None:
        stress = maps.stress
        mean, sigma = weighted_mean(stress.sigma_zz_gpa[area], stress.sigma_zz_sigma_gpa[area])
        values["sigma_zz_gpa"], values["sigma_zz_sigma_gpa"] = mean, sigma
    found = finite(values)
    if request.y1 - request.y0 == 1 and request.x1 - request.x0 == 1:
        found["status"] = StatusCode(int(status[request.y0, request.x0])).name
    return found


def _problem(request: SpectrumRequest, run: RunWork) -> str:
    """Return why a request cannot be answered; empty where it can."""
    view = run.maps.start
    inside = 0 <= request.y0 < request.y1 <= view.height and 0 <= request.x0 < request.x1 <= view.width
    if not inside:
        return f"the rectangle is not within {view.width} x {view.height} pixels"
    if run.opening_of(request.sweep) is None:
        return "no such sweep"
    return ""


def _area(item: SpectrumRequest | SpectrumReply) -> Area:
    return item.run_uid, item.sweep, item.y0, item.y1, item.x0, item.x1
