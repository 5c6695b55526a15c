"""The camera as a flyer: one run, many sweeps, every frame an index of an external asset.

A sweep goes prepare (arm: the state is frozen), kickoff (frames start), complete (all were sent). Sweeps are numbered
here, so a plan that is rewound to its last checkpoint never arms the same number twice: an armed sweep that was not
started is given up, a started one runs on through a pause.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import RLock
from typing import Any

import numpy as np
from ophyd import Component, Device, Kind, Signal

from devices.camera_requests import CameraRun, CameraRunEnd, SweepPlan
from devices.epics import DeviceError
from devices.light import SweepLight
from devices.settings import CameraDeviceSettings
from devices.waiting import ProgressStatus, run_in_thread
from stream.assets import frames_data_key, stream_datum, stream_resource
from stream.camera_control import CameraControl, CameraRefused
from stream.messages import Archive, Json, NoiseModel, RunMode, RunStart, SweepProgress, SweepRequest
from stream.settings import StreamSettings
from stream.sums import sums_dtype

_LOOK_S = 0.2


@dataclass
class _Sweep:
    """The newest sweep: armed, then started, then ended."""

    request: SweepRequest
    frames_before: int
    first_row: int
    started: bool = False
    ended: bool = False
    light: SweepLight | None = None
    """What must be on while it runs; None where it may be dark."""
    closed: bool = False
    """The run was closed around it: that it ends early is no failure of whoever waits for it."""


class CameraRunControl:
    """Opens and closes runs at the camera: `set(CameraRun)`, `set(CameraRunEnd)`."""

    def __init__(self, camera: Camera) -> None:
        self.name = f"{camera.name}_run"
        self.parent = camera
        self._camera = camera

    def set(self, value: CameraRun | CameraRunEnd) -> ProgressStatus:
        """Open or close the run."""
        what = "camera run"
        status = ProgressStatus(self._camera, what=what)
        if isinstance(value, CameraRun):
            return run_in_thread(status, lambda _: self._camera.open_run(value))
        return run_in_thread(status, lambda _: self._camera.close_run(value.exit_status))


class Camera(Device):
    """The camera process, seen from a plan.

    Parameters
    ----------
    stream
        Where the camera process listens.
    settings
        How long to wait for it.
    name
        Name in documents; the frames are the key `<name>_frames`.
    """

    lamps: tuple[Any, Any, Any] = (None, None, None)
    """Laser, microwave and guard of the rig, None where there is none: a sweep fails where its light goes off."""
    sweep = Component(Signal, value=-1, kind=Kind.normal)
    frames_sent = Component(Signal, value=0, kind=Kind.normal)

    def __init__(
        self, stream: StreamSettings, settings: CameraDeviceSettings, *, name: str = "camera", **kwargs: Any
    ) -> None:
        super().__init__("", name=name, **kwargs)
        self.settings = settings
        self._stream = stream
        self.run = CameraRunControl(self)
        self.start: RunStart | None = None
        self._control = CameraControl(stream, timeout_s=settings.arm_timeout_s)
        self._lock = RLock()
        self._sweep: _Sweep | None = None
        self._number = -1
        self._frames = 0
        self._rows = 0
        self._told = 0
        self._resource_uid = ""
        self._data = 0

    def describe_camera(self) -> Json:
        """Return height, width, dtype and the other facts of the camera.

        Raises
        ------
        DeviceError
            Where the camera process does not answer.
        """
        with CameraControl(self._stream, timeout_s=self.settings.answer_timeout_s) as control:
            try:
                return control.describe()
            except CameraRefused as error:
                raise DeviceError(f"{self.name}: {error.reason}; check that the camera process runs") from error

    def open_run(self, run: CameraRun) -> RunStart:
        """Open a run at the camera; returns the completed start."""
        info: dict[str, Any] = dict(self.describe_camera())
        start = RunStart(
            run_uid=run.run_uid,
            mode=RunMode(info.get("mode", RunMode.LIVE)),
            height=int(info["height"]),
            width=int(info["width"]),
            dtype=str(info["dtype"]),
            noise=NoiseModel(**info["noise"]),
            analysis=run.analysis,
            regions=run.regions,
            pixel_size_um=float(info.get("pixel_size_um", 1.0)),
            sample=run.sample,
            rig=run.rig,
            time_s=time.time(),
        )
        with self._lock:
            self.start = self._control.open_run(start)
            self._sweep = None
            self._frames = self._rows = self._told = self._data = 0
            self._number, self._resource_uid = run.sweeps_before - 1, ""
            if run.sweeps_before:
                self._control.abort_sweep(run.run_uid, self._number)  # one under way was lit by nobody
                before = [self._control.sweep_progress(run.run_uid, sweep) for sweep in range(run.sweeps_before)]
                self._frames = sum(sweep.frames_sent for sweep in before)
                self._rows = self._told = sum(sweep.rows for sweep in before)
        self.sweep.put(self._number)
        self.frames_sent.put(self._frames)
        return self.start

    def close_run(self, exit_status: str) -> None:
        """Close the run at the camera; a sweep that still runs is ended. Does nothing where no run is open."""
        with self._lock:
            if self.start is None:
                return
            if self._sweep is not None:
                self._sweep.closed = True
            self._give_up_sweep()
            start, self.start = self.start, None
            self._control.close_run(start.run_uid, exit_status)

    def prepare(self, plan: SweepPlan) -> ProgressStatus:
        """Arm a sweep; the status pends while the ring is full under the policy `pause`."""
        return run_in_thread(ProgressStatus(self, what="arming"), lambda status: self._arm(status, plan))

    def kickoff(self) -> ProgressStatus:
        """Start the armed sweep; done at once where it runs already."""
        return run_in_thread(ProgressStatus(self, what="starting the sweep"), lambda _: self._trigger())

    def complete(self) -> ProgressStatus:
        """Return a status that is done when all frames were sent."""
        status = ProgressStatus(self, what="sweep", unit="frames", timeout_s=self.settings.sweep_timeout_s)
        sweep = self._newest()  # of this moment: the run may be closed before the thread runs
        return run_in_thread(status, lambda running: self._follow(running, sweep))

    def release_light(self) -> None:
        """Let the newest sweep be dark: the plan switches the light off on purpose."""
        sweep = self._sweep
        if sweep is not None:
            sweep.light = None

    def unstage(self) -> list[object]:
        """Close what is still open: the RunEngine calls this whatever happened."""
        try:
            self.close_run("abort")
        except CameraRefused as error:
            self.log.warning("%s: the run could not be closed: %s", self.name, error.reason)
        return super().unstage()

    def destroy(self) -> None:
        """Close the sockets and let go of the signals."""
        self._control.close()
        super().destroy()

    # ---- documents

    def describe_collect(self) -> dict[str, Any]:
        """Return the data key of the frames."""
        start = self._open()
        dtype = sums_dtype(start.dtype).str if start.archive is Archive.SUMS else start.dtype
        key = frames_data_key(f"camera:{start.rig or self.name}", start.height, start.width, dtype)
        return {f"{self.name}_frames": key}

    def get_index(self) -> int:
        """Return the rows that this run has in its file: frames, or sums where those are kept."""
        return self._rows

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, Any]]:
        """Yield the rows that came since the last call as stream assets, once each and without gaps."""
        start = self._open()
        stop = self.get_index() if index is None else min(index, self.get_index())
        if not start.frames_path or stop <= self._told:
            return
        if not self._resource_uid:
            form = (start.height, start.width)
            document = stream_resource(f"{self.name}_frames", start.frames_path, *form, archive=start.archive)
            self._resource_uid = str(document["uid"])
            # The RunEngine fills in the run and refuses a document that has one.
            document.pop("run_start", None)
            yield "stream_resource", document
        yield "stream_datum", stream_datum(self._resource_uid, self._told, stop, number=self._data)
        self._told, self._data = stop, self._data + 1

    # ---- procedures, in threads

    def _arm(self, status: ProgressStatus, plan: SweepPlan) -> None:
        start = self._open()
        with self._lock:
            self._give_up_sweep()
            request = SweepRequest(
                run_uid=start.run_uid,
                sweep=self._number + 1,
                role=plan.role,
                frequency_mhz=np.asarray(plan.frequency_mhz, dtype=np.float64),
                passes=plan.passes,
                load_index=plan.load_index,
                history=plan.history,
            )
        self._arm_when_free(status, request)
        with self._lock:
            self._sweep, self._number = _Sweep(request, self._frames, self._rows), request.sweep
        self.sweep.put(request.sweep)

    def _arm_when_free(self, status: ProgressStatus, request: SweepRequest) -> None:
        """Arm, and try again while the camera is busy: a full ring drains as the workers go on."""
        end = time.monotonic() + self.settings.ring_wait_s
        while True:
            try:
                with self._lock:
                    self._control.arm(request)
                return
            except CameraRefused as error:
                if error.status != "busy" or time.monotonic() > end:
                    raise DeviceError(f"{self.name} refuses sweep {request.sweep}: {error.reason}") from error
            if status.cancelled.wait(_LOOK_S):
                raise DeviceError(f"{self.name}: sweep {request.sweep} was given up")

    def _trigger(self) -> None:
        with self._lock:
            sweep = self._newest()
            if not sweep.started:
                if any(sweep.request.frequency_mhz):  # frames without microwave alone may be dark ones
                    sweep.light = SweepLight(*self.lamps)
                self._control.trigger(sweep.request.run_uid, sweep.request.sweep)
                sweep.started = True

    def _follow(self, status: ProgressStatus, sweep: _Sweep) -> None:
        request = sweep.request
        while True:
            progress = self._control.sweep_progress(request.run_uid, request.sweep)
            sent, total = progress.frames_sent, progress.frames_total
            self._count(sweep, progress)
            status.progress(sent, total)
            light = sweep.light
            if light is not None and not sweep.closed:
                light.check(request.sweep, sent)
            if sent >= total:
                sweep.ended = True
                return
            if sweep.closed:
                return
            if status.done or status.cancelled.is_set() or self._sweep is not sweep:
                raise DeviceError(f"{self.name}: sweep {request.sweep} was given up after {sent} of {total} frames")
            self._look(sweep)

    def _look(self, sweep: _Sweep) -> None:
        """Wait a moment for the end of a sweep; fails where the camera ended it early."""
        request = sweep.request
        try:
            self._control.wait_sent(request.run_uid, request.sweep, _LOOK_S)
        except TimeoutError:
            return
        except CameraRefused as error:
            if sweep.closed:
                return
            raise DeviceError(f"{self.name}: {error.reason}") from error

    def _give_up_sweep(self) -> None:
        """End an armed or running sweep; its frames so far stay in the file and keep their rows."""
        sweep, self._sweep = self._sweep, None
        if sweep is None or sweep.ended:
            return
        self._control.abort_sweep(sweep.request.run_uid, sweep.request.sweep)
        self._count(sweep, self._control.sweep_progress(sweep.request.run_uid, sweep.request.sweep))

    def _newest(self) -> _Sweep:
        if self._sweep is None:
            raise DeviceError(f"{self.name}: no sweep is armed")
        return self._sweep

    def _count(self, sweep: _Sweep, progress: SweepProgress) -> None:
        self._frames = max(self._frames, sweep.frames_before + progress.frames_sent)
        self._rows = max(self._rows, sweep.first_row + progress.rows)
        self.frames_sent.put(self._frames)

    def _open(self) -> RunStart:
        if self.start is None:
            raise DeviceError(f"{self.name}: no run is open at the camera")
        return self.start
