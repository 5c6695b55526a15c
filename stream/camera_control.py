"""Control of the camera process from the plan's process: open a run, arm, trigger, wait, close."""

from __future__ import annotations

import threading
import time
import uuid
from types import TracebackType
from typing import TypeVar

import zmq

from stream.codec import CodecError, decode, encode
from stream.link_messages import (
    AbortSweep,
    CameraDescribe,
    CameraDescription,
    CloseRun,
    OpenRun,
    ProgressRequest,
    Refusal,
    TriggerSweep,
)
from stream.messages import Json, RunStart, RunStop, SweepProgress, SweepRequest, SweepStart
from stream.settings import StreamSettings
from stream.sockets import Sent, open_socket, receive, send

T = TypeVar("T")
_SLICE_S = 0.25


class CameraRefused(RuntimeError):  # noqa: N818 - reads as a sentence
    """The camera refused; `status` is `busy`, `refused`, `unknown`, `aborted`, `lost` (no answer) or `protocol`."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class CameraControl:
    """Client of the camera process.

    Any thread may call any method; questions go one at a time, except that `wait_sent` has a socket of its own.

    Parameters
    ----------
    settings
        Where the sockets are.
    timeout_s
        Patience for one answer, s; arming a twin reads a PV, so this is seconds.
    """

    def __init__(self, settings: StreamSettings, timeout_s: float = 10.0) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._lock = threading.Lock()
        self._closed = False
        self._socket = self._connect()

    def describe(self) -> Json:
        """Return height, width, dtype, pixel_size_um, noise, mode, epoch, ... of the camera."""
        return self._ask(CameraDescribe(), CameraDescription).info

    def open_run(self, start: RunStart) -> RunStart:
        """Open a run; returns the start with height, width, dtype, noise, pixel size and frames_path filled in.

        Raises
        ------
        CameraRefused
            Where the uid was used before or the file cannot be made.
        """
        return self._ask(OpenRun(start), RunStart)

    def arm(self, request: SweepRequest) -> SweepStart:
        """Freeze the state and announce the sweep to the workers.

        Raises
        ------
        CameraRefused
            With status `busy` where the ring is full or another sweep is under way, `unknown` where the run is not
            open, `refused` where the source cannot be armed or the disk is full.
        """
        return self._ask(request, SweepStart)

    def trigger(self, run_uid: str, sweep: int) -> None:
        """Start sending the frames of the armed sweep; a second trigger does nothing."""
        self._ask(TriggerSweep(run_uid, sweep), SweepProgress)

    def progress(self, run_uid: str, sweep: int) -> tuple[int, int]:
        """Return the frames sent and their total."""
        progress = self.sweep_progress(run_uid, sweep)
        return progress.frames_sent, progress.frames_total

    def sweep_progress(self, run_uid: str, sweep: int) -> SweepProgress:
        """Return all that is counted of a sweep."""
        return self._ask(ProgressRequest(run_uid, sweep, -1, 0.0), SweepProgress)

    def wait_sent(self, run_uid: str, sweep: int, timeout_s: float) -> int:
        """Block until every frame was sent; returns their number.

        Raises
        ------
        TimeoutError
            Where frames are still missing after `timeout_s`.
        CameraRefused
            With status `aborted` where the sweep ended early, `lost` where the camera does not answer, `unknown`
            where it was restarted.
        """
        until = time.monotonic() + timeout_s
        socket = self._connect()
        try:
            while True:
                wait_s = max(0.0, min(_SLICE_S, until - time.monotonic()))
                request = ProgressRequest(run_uid, sweep, 2**31 - 1, wait_s)
                progress = self._question(socket, request, SweepProgress)
                if progress.aborted:
                    reason = f"sweep {sweep} ended after {progress.frames_sent} of {progress.frames_total} frames"
                    raise CameraRefused("aborted", reason)
                if progress.frames_sent >= progress.frames_total:
                    return progress.frames_sent
                if time.monotonic() >= until:
                    raise TimeoutError(
                        f"sweep {sweep}: {progress.frames_sent} of {progress.frames_total} frames after {timeout_s:g} s"
                    )
        finally:
            socket.close()

    def abort_sweep(self, run_uid: str, sweep: int) -> None:
        """End a sweep early: no more frames, its maps are dropped, its frames stay on disk."""
        self._ask(AbortSweep(run_uid, sweep), SweepProgress)

    def close_run(self, run_uid: str, exit_status: str) -> RunStop:
        """Close the run; closing it again returns the first closing."""
        return self._ask(CloseRun(run_uid, exit_status), RunStop)

    def close(self) -> None:
        """Close the sockets; a `wait_sent` under way ends with `lost`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._socket.close()
        # a `wait_sent` under way closes its own socket within a quarter of a second; term waits for it
        self._context.term()

    def __enter__(self) -> CameraControl:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self) -> zmq.Socket[bytes]:
        socket = open_socket(self._context, zmq.DEALER)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.connect(self._settings.endpoint("camera"))
        return socket

    def _ask(self, message: object, kind: type[T]) -> T:
        with self._lock:
            if self._closed:
                raise CameraRefused("lost", "the camera control is closed")
            return self._question(self._socket, message, kind)

    def _question(self, socket: zmq.Socket[bytes], message: object, kind: type[T]) -> T:
        number, until = uuid.uuid4().bytes, time.monotonic() + self._timeout_s
        parts = [number, *encode(message)]
        while send(socket, parts) is not Sent.OK:
            # not queued for a camera that is not there: it must not find old orders when it comes
            if time.monotonic() > until or self._closed:
                raise CameraRefused("lost", f"no camera process answers within {self._timeout_s:g} s; does it run?")
            socket.poll(int(1000 * _SLICE_S), zmq.POLLOUT)
        while (left := until - time.monotonic()) > 0 and not self._closed:
            if not socket.poll(int(1000 * min(left, _SLICE_S)) + 1):
                continue
            answer = receive(socket)
            if answer and answer[0] == number:
                return _expect(answer[1:], kind)
        raise CameraRefused("lost", f"the camera process did not answer within {self._timeout_s:g} s")


def _expect(parts: list[bytes], kind: type[T]) -> T:
    try:
        answer = decode(parts)
    except CodecError as error:
        raise CameraRefused("protocol", error.reason) from error
    if isinstance(answer, Refusal):
        raise CameraRefused(answer.code, answer.reason)
    if not isinstance(answer, kind):
        raise CameraRefused("protocol", f"the camera answered with {type(answer).__name__}")
    return answer
