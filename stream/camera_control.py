"""Control of the camera process from the plan's process: open a run, arm, trigger, wait, close."""

from __future__ import annotations

from types import TracebackType

from stream.messages import Json, RunStart, RunStop, SweepRequest, SweepStart
from stream.settings import StreamSettings


class CameraRefused(RuntimeError):  # noqa: N818 - reads as a sentence
    """The camera refused; `status` is `busy`, `refused`, `unknown`, `lost` (no answer) or `protocol`."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class CameraControl:
    """Client of the camera process; one thread at a time, except `wait_sent` and `progress`, which any thread may call."""

    def __init__(self, settings: StreamSettings, timeout_s: float = 10.0) -> None:
        raise NotImplementedError

    def describe(self) -> Json:
        """Return height, width, dtype, pixel_size_um, noise, mode, epoch, ... of the camera."""
        raise NotImplementedError

    def open_run(self, start: RunStart) -> RunStart:
        """Open a run; returns the start with height, width, dtype, noise, pixel size and frames_path filled in."""
        raise NotImplementedError

    def arm(self, request: SweepRequest) -> SweepStart:
        """Freeze the state and announce the sweep to the workers."""
        raise NotImplementedError

    def trigger(self, run_uid: str, sweep: int) -> None:
        """Start sending the frames of the armed sweep."""
        raise NotImplementedError

    def progress(self, run_uid: str, sweep: int) -> tuple[int, int]:
        """Return the frames sent and their total."""
        raise NotImplementedError

    def wait_sent(self, run_uid: str, sweep: int, timeout_s: float) -> int:
        """Block until every frame was sent; returns their number."""
        raise NotImplementedError

    def abort_sweep(self, run_uid: str, sweep: int) -> None:
        """End a sweep early."""
        raise NotImplementedError

    def close_run(self, run_uid: str, exit_status: str) -> RunStop:
        """Close the run."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the sockets."""

    def __enter__(self) -> CameraControl:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
