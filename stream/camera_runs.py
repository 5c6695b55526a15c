"""What the camera does on request: open a run, arm, trigger, abort, close; each refusal has a reason."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import numpy as np

from stream.camera_desk import CameraDesk, Refused, Ticket
from stream.frame_pump import Armed, FramePump
from stream.frame_recorder import FrameRecorder
from stream.frames import FrameMaker
from stream.link_messages import (
    AbortSweep,
    CameraDescribe,
    CameraDescription,
    CloseRun,
    OpenRun,
    ProgressRequest,
    TriggerSweep,
)
from stream.messages import (
    Archive,
    Json,
    NoiseModel,
    RunMode,
    RunStart,
    RunStop,
    SweepProgress,
    SweepRequest,
    SweepStart,
)
from stream.paths import frames_path
from stream.run_book import MAX_OPEN_RUNS, RunBook, RunRecord, SweepPhase, SweepRecord
from stream.settings import StreamSettings
from stream.slots import SlotLedger

_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SPARE_BYTES = 64 * 1024 * 1024


class CameraRuns:
    """Handler of the control socket's messages.

    Parameters
    ----------
    announce
        Called with RunStart, SweepStart and RunStop for all peers, and with a SweepRecord once it is aborted.
    """

    def __init__(
        self,
        settings: StreamSettings,
        maker: FrameMaker,
        info: Json,
        epoch: str,
        parts: tuple[RunBook, SlotLedger, FrameRecorder, FramePump, CameraDesk],
        announce: Callable[[RunStart | RunStop | SweepStart | SweepRecord], None],
    ) -> None:
        self._settings = settings
        self._archived = settings.archive is not Archive.NONE
        self._maker = maker
        self._info = info
        self._epoch = epoch
        self._book, self._slots, self._recorder, self._pump, self._desk = parts
        self._announce = announce
        self._arming: dict[tuple[str, int], Ticket] = {}

    def handle(self, ticket: Ticket, message: object) -> object | None:  # noqa: PLR0911 - one return per message
        """Answer one control message."""
        match message:
            case CameraDescribe():
                return self.describe()
            case OpenRun():
                return self.open_run(message.start)
            case SweepRequest():
                return self._arm(ticket, message)
            case TriggerSweep():
                return self._trigger(message)
            case ProgressRequest():
                self._sweep(message.run_uid, message.sweep)
                self._desk.wait(ticket, message)
                return None
            case AbortSweep():
                sweep = self._sweep(message.run_uid, message.sweep)
                self._abort(sweep, "aborted by the plan")
                return sweep.progress()
            case CloseRun():
                return self.close_run(message.run_uid, message.exit_status)
            case _:
                raise Refused("unknown", f"the camera does not understand {type(message).__name__}")

    def describe(self) -> CameraDescription:
        """Return what the camera is."""
        maker = self._maker
        form: Json = {"height": maker.height, "width": maker.width, "dtype": maker.dtype, "epoch": self._epoch}
        return CameraDescription(self._epoch, {**self._info, **form, "frame_rate_hz": maker.frame_rate_hz})

    def open_run(self, start: RunStart) -> RunStart:
        """Open a run: fill in what the camera knows, make the file, tell everyone."""
        if not _UID.fullmatch(start.run_uid):
            raise Refused("refused", "a run uid has letters, digits, dots, dashes and underscores only")
        known = self._book.runs.get(start.run_uid)
        if known is not None:
            if known.stop is None:
                return known.start
            raise Refused("refused", f"run {start.run_uid} is closed already")
        self._make_room()
        complete = self._complete(start)
        if self._archived:
            try:
                self._recorder.open_run(complete)
            except OSError as error:
                raise Refused("refused", f"the frames file cannot be made: {error}") from error
        self._book.runs[complete.run_uid] = RunRecord(complete)
        self._announce(complete)
        return complete

    def close_run(self, run_uid: str, exit_status: str) -> RunStop:
        """Close a run; a sweep still under way ends."""
        run = self._book.runs.get(run_uid)
        if run is None:
            raise Refused("unknown", f"run {run_uid} is not open")
        already = run.stop is not None
        for sweep in run.sweeps.values():
            if not sweep.ended:
                self._abort(sweep, "the run was closed")
        stop = self._book.close(run_uid, exit_status)
        if not already:
            if self._archived:
                self._recorder.close_run(run_uid)
            self._announce(stop)
        return stop

    def armed(self, news: Armed) -> None:
        """Take the pump's word that the maker is armed: announce the sweep, answer the plan."""
        request = news.request
        ticket = self._arming.pop((request.run_uid, request.sweep), None)
        run = self._book.runs.get(request.run_uid)
        if news.state is None or run is None or run.stop is not None:
            if ticket is not None:
                self._desk.refuse(ticket, "refused", news.reason or "the run was closed meanwhile")
            return
        start = SweepStart(
            request.run_uid,
            request.sweep,
            request.role,
            news.state,
            request.frequency_mhz,
            request.passes,
            news.source_state,
        )
        sweep = SweepRecord(start, request, keeps_sums=run.start.archive is Archive.SUMS)
        run.sweeps[request.sweep] = sweep
        self._slots.open_sweep(sweep.key, sweep.total, self._archived)
        if self._archived:
            self._recorder.add_sweep(start)
        self._announce(start)
        if ticket is not None:
            self._desk.answer(ticket, start)

    def progress(self, request: ProgressRequest) -> SweepProgress | None:
        """Return the counts of a sweep, or None where it is unknown."""
        sweep = self._book.sweep((request.run_uid, request.sweep))
        return None if sweep is None else sweep.progress()

    def _arm(self, ticket: Ticket, request: SweepRequest) -> None:
        run = self._book.runs.get(request.run_uid)
        if run is None or run.stop is not None:
            raise Refused("unknown", f"run {request.run_uid} is not open")
        if request.sweep in run.sweeps or request.sweep < 0:
            raise Refused("refused", f"sweep {request.sweep} was armed before")
        if not 0 < len(request.frequency_mhz) * request.passes <= 1_000_000:
            raise Refused("refused", "a sweep has between one and a million frames")
        if self._arming or self._busy():
            raise Refused("busy", "another sweep is under way")
        if self._settings.full_policy == "pause" and self._slots.pinned() >= self._slots.slots:
            raise Refused("busy", "the ring is full: the workers are behind")
        self._check_disk(request)
        self._arming[(request.run_uid, request.sweep)] = ticket
        self._pump.arm(request)

    def _trigger(self, message: TriggerSweep) -> SweepProgress:
        sweep = self._sweep(message.run_uid, message.sweep)
        if sweep.phase is SweepPhase.ARMED:
            sweep.phase = SweepPhase.SENDING
            self._pump.send(sweep.request, self._archived)
        elif sweep.phase is SweepPhase.ABORTED:
            raise Refused("refused", f"sweep {message.sweep} was aborted: {sweep.reason}")
        return sweep.progress()

    def _abort(self, sweep: SweepRecord, reason: str) -> None:
        if sweep.phase is SweepPhase.SENDING:
            self._pump.abort(sweep.key)
        if not sweep.ended:
            sweep.phase, sweep.reason = SweepPhase.ABORTED, reason
            self._announce(sweep)

    def _busy(self) -> bool:
        """Only one sweep is armed or sent at a time: the maker has one frozen state."""
        return any(not sweep.ended for run in self._book.open_runs() for sweep in run.sweeps.values())

    def _sweep(self, run_uid: str, number: int) -> SweepRecord:
        sweep = self._book.sweep((run_uid, number))
        if sweep is None:
            raise Refused("unknown", f"sweep {number} of run {run_uid} was not armed")
        return sweep

    def _check_disk(self, request: SweepRequest) -> None:
        if not self._archived:
            return
        if self._recorder.failure:
            raise Refused("refused", f"frames cannot be written: {self._recorder.failure}")
        frame = self._maker.height * self._maker.width * 4
        sums = self._settings.archive is Archive.SUMS
        if sums and request.passes > 1 and np.dtype(self._maker.dtype).kind == "f":
            raise Refused("refused", "float frames cannot be summed exactly: take one pass, or set archive = frames")
        # of sums two copies, whatever the number of passes
        need = len(request.frequency_mhz) * (min(request.passes, 2) if sums else request.passes) * frame + _SPARE_BYTES
        free = shutil.disk_usage(self._settings.data_dir).free
        if free < need:
            raise Refused("refused", f"the disk has {free >> 20} MiB left and the sweep needs {need >> 20} MiB")

    def _make_room(self) -> None:
        """Close the oldest open run where too many are open: its plan is gone."""
        runs = self._book.open_runs()
        if len(runs) >= MAX_OPEN_RUNS:
            self.close_run(runs[0].start.run_uid, "abort")

    def _complete(self, start: RunStart) -> RunStart:
        """Fill in what the camera knows better than the plan."""
        info, maker = self._info, self._maker
        path = start.frames_path or str(info.get("frames_path", ""))
        archive = Archive(str(info.get("archive", start.archive))) if path else Archive.NONE
        if self._archived:
            path = str(frames_path(self._settings.data_dir, start.run_uid))
            archive = self._settings.archive
        noise = start.noise
        if noise.source in ("", "camera") and isinstance(info.get("noise"), dict):
            noise = NoiseModel(**cast("dict[str, object]", info["noise"]))  # pyright: ignore[reportArgumentType]
        return replace(
            start,
            height=maker.height,
            width=maker.width,
            dtype=maker.dtype,
            noise=noise,
            mode=RunMode(str(info.get("mode", start.mode))),
            regions=start.regions or cast("Json", info.get("regions", {})),
            pixel_size_um=float(cast("float", info.get("pixel_size_um", start.pixel_size_um))),
            frames_path=path,
            time_s=start.time_s or time.time(),
            archive=archive,
        )
