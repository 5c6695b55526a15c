"""A stored run again: its frames through the same camera process, workers and builder as live ones.

The camera process takes its frames from a `ReplayMaker`, which also plays them to a new run whose plan asks for the
same frequencies, as a rehearsal. For a replay to the same bits, `drive` does what a plan would: it opens the run, arms
and triggers every sweep as stored, and closes the run. Only sweeps that are whole on disk are played: an aborted one
has no final map to make again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.archive_hdf5 import FrameFile, FramesError
from stream.camera_control import CameraControl, CameraRefused
from stream.frames import FrameLost
from stream.messages import Archive, Json, RunMode, RunStop, StatePoint, SweepRequest, SweepStart

_LOG = logging.getLogger(__name__)
_BUSY_PAUSE_S = 0.05


class ReplayMaker:
    """Source of a stored run's frames: a `FrameMaker`.

    Parameters
    ----------
    path
        Frames file of the run.
    frame_rate_hz
        Frames per second; 0 as fast as they are taken. `replay_rate_hz` makes it from a speed factor.

    Raises
    ------
    stream.archive_hdf5.FramesError
        Where the file cannot be read.

    Attributes
    ----------
    archive
        What the file keeps; of sums no frame is made: workers get them at once.
    holes
        Frames of the armed sweep that the camera lost.
    """

    def __init__(self, path: str | Path, frame_rate_hz: float = 0.0) -> None:
        self._file = FrameFile(path)
        start = self._file.start
        self.height = start.height
        self.width = start.width
        self.dtype = start.dtype
        self.frame_rate_hz = frame_rate_hz
        self.archive = start.archive
        self.holes = 0
        self._sweep, self._passes = -1, 1
        self._rehearsed: tuple[str, int] = ("", -1)
        self._lost: set[tuple[int, int]] = set()

    def info(self) -> Json:
        """Return what the camera process tells about itself beyond its settings."""
        start = self._file.start
        told: Json = {"mode": str(RunMode.REPLAY), "pixel_size_um": start.pixel_size_um, "noise": asdict(start.noise)}
        return {**told, "frames_path": str(self._file.path), "archive": str(self.archive), "replays": start.run_uid}

    def arm(self, request: SweepRequest) -> tuple[StatePoint, Json]:
        """Return the stored state of the sweep and its source state.

        The run itself is played sweep by sweep as recorded. To any other run the stored sweeps of the same frequencies
        are played in turn, those of the same role where there are such, their passes over and over.

        Raises
        ------
        FramesError
            Where no stored sweep answers the request.
        """
        if request.run_uid != self._file.start.run_uid:
            return self._rehearse(request)
        stored = next((sweep for sweep in self._file.sweeps if sweep.sweep == request.sweep), None)
        if stored is None:
            raise FramesError(f"run {request.run_uid} has no sweep {request.sweep}")
        if stored.passes != request.passes or not np.array_equal(stored.frequency_mhz, request.frequency_mhz):
            raise FramesError(f"sweep {request.sweep} was recorded with other frequencies or passes")
        self._choose(stored)
        return stored.state, stored.source_state

    def frame(self, pass_index: int, index: int) -> NDArray[Any]:
        """Return the stored (y, x) frame; its crc is checked. One that the camera lost is lost again."""
        if (pass_index % self._passes, index) in self._lost:
            raise FrameLost
        return self._file.frame(self._sweep, pass_index % self._passes, index)

    def _choose(self, stored: SweepStart) -> None:
        self._sweep, self._passes = stored.sweep, stored.passes
        self._lost = self._file.holes(stored.sweep)
        self.holes = len(self._lost)

    def _rehearse(self, request: SweepRequest) -> tuple[StatePoint, Json]:
        """Choose the next stored sweep for a run that is not the stored one."""
        if self.archive is Archive.SUMS:
            raise FramesError(f"{self._file.path} keeps sums, not frames: only the run itself can be replayed")
        whole = self._file.complete_sweeps()
        fitting = [sweep for sweep in whole if np.array_equal(sweep.frequency_mhz, request.frequency_mhz)]
        fitting = [sweep for sweep in fitting if sweep.role is request.role] or fitting
        if not fitting:
            lists = {(len(s.frequency_mhz), float(s.frequency_mhz[0]), float(s.frequency_mhz[-1])) for s in whole}
            held = "; ".join(f"{count} from {low:g} to {high:g} MHz" for count, low, high in sorted(lists)) or "none"
            raise FramesError(f"{self._file.path} has no whole sweep of these frequencies (it has {held})")
        run, last = self._rehearsed
        after = last if run == request.run_uid else -1
        stored = next((sweep for sweep in fitting if sweep.sweep > after), fitting[0])
        self._rehearsed = request.run_uid, stored.sweep
        self._choose(stored)
        state = replace(stored.state, history=request.history, load_index=request.load_index)
        played = {"run_uid": self._file.start.run_uid, "sweep": stored.sweep, "passes": stored.passes}
        return state, {"replays": played}

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def replay_rate_hz(file: FrameFile, speed: float) -> float:
    """Return the frame rate for a replay at `speed` times the recorded rate; 0 (as fast as possible) for speed 0.

    A run without exposure times of its own, such as an ingested one, has no recorded rate: 0.
    """
    steps = [np.diff(file.time_s(sweep.sweep)) for sweep in file.complete_sweeps()] if speed > 0 else []
    gaps = np.concatenate(steps) if steps else np.zeros(0)
    gap_s = float(np.median(gaps)) if gaps.size else 0.0
    return speed / gap_s if gap_s > 0 else 0.0


def drive(
    camera: CameraControl,
    file: FrameFile,
    analysis: Json | None = None,
    *,
    speed: float = 0.0,
    progress: Callable[[int], object] | None = None,
    timeout_s: float = 600.0,
) -> RunStop:
    """Play a stored run on a camera process that has its `ReplayMaker`, and return the closing of the run.

    Parameters
    ----------
    camera
        Control of the camera process.
    file
        The run.
    analysis
        Analysis settings instead of the stored ones.
    speed
        Factor on the recorded rate at which the camera was set to play; 0 as fast as possible. Frames are paced by the
        camera (`replay_rate_hz`), sweeps here: none starts earlier after the one before than it did then.
    progress
        Called with the number of frames sent since the last call.
    timeout_s
        Patience for a sweep to be taken and sent beyond its own duration, s.

    Raises
    ------
    CameraRefused
        Where the camera refuses for another reason than being busy; the run is closed as failed.
    TimeoutError
        Where it stays busy or does not send; the run is closed as failed.
    """
    stored = file.start
    start = replace(
        stored,
        mode=RunMode.REPLAY,
        analysis=stored.analysis if analysis is None else analysis,
        frames_path=str(file.path.resolve()),
        time_s=0.0,
    )
    camera.open_run(start)
    try:
        _play(camera, file, _Pace(file, speed), progress, timeout_s)
    except BaseException:
        camera.close_run(stored.run_uid, "fail")
        raise
    return camera.close_run(stored.run_uid, "success")


class _Pace:
    """Keeps the recorded distances between the sweeps' beginnings, divided by the speed."""

    def __init__(self, file: FrameFile, speed: float) -> None:
        self._file, self._speed = file, speed
        self._origin: tuple[float, float] | None = None
        self._never = threading.Event()

    def wait(self, sweep: SweepStart) -> float:
        """Wait until the sweep is due; returns how long it takes to play, s."""
        times = self._file.time_s(sweep.sweep)
        if self._speed <= 0 or not len(times):
            return 0.0
        first = float(times[0])
        if self._origin is None:
            self._origin = (first, time.monotonic())
        due = self._origin[1] + (first - self._origin[0]) / self._speed
        self._never.wait(max(0.0, due - time.monotonic()))
        return float(times[-1] - first) / self._speed


def _play(
    camera: CameraControl,
    file: FrameFile,
    pace: _Pace,
    progress: Callable[[int], object] | None,
    timeout_s: float,
) -> None:
    whole = file.complete_sweeps()
    left_out = len(file.sweeps) - len(whole)
    if left_out:
        _LOG.warning("%d sweeps are not whole on disk and are left out", left_out)
    for sweep in whole:
        duration_s = pace.wait(sweep)
        _arm(camera, sweep, timeout_s)
        camera.trigger(sweep.run_uid, sweep.sweep)
        sent = camera.wait_sent(sweep.run_uid, sweep.sweep, duration_s + timeout_s)
        if progress is not None:
            progress(sent)


def _arm(camera: CameraControl, sweep: SweepStart, timeout_s: float) -> None:
    """Arm a sweep, waiting while the ring is full."""
    state = sweep.state
    request = SweepRequest(
        sweep.run_uid,
        sweep.sweep,
        sweep.role,
        sweep.frequency_mhz,
        sweep.passes,
        load_index=state.load_index,
        history=state.history,
    )
    until = time.monotonic() + timeout_s
    pause = threading.Event()
    while True:
        try:
            camera.arm(request)
        except CameraRefused as refusal:
            if refusal.status != "busy":
                raise
            if time.monotonic() >= until:
                raise TimeoutError(f"sweep {sweep.sweep}: the camera stays busy: {refusal.reason}") from refusal
            pause.wait(_BUSY_PAUSE_S)
        else:
            return
