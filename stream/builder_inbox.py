"""The map builder's inbox: what the frame server announces and the tiles that count."""

from __future__ import annotations

from types import TracebackType

from stream.messages import (
    RunStart,
    RunStop,
    SpectrumReply,
    SpectrumRequest,
    SweepAbort,
    SweepProgress,
    SweepStart,
    Tile,
    WorkerHealth,
)
from stream.settings import StreamSettings

BuilderEvent = RunStart | RunStop | SweepStart | SweepProgress | SweepAbort | Tile | WorkerHealth | SpectrumReply


class BuilderInbox:
    """Everything the builder hears, in an order it can trust: run, sweep, then tiles; each final exactly once."""

    def __init__(self, settings: StreamSettings) -> None:
        raise NotImplementedError

    def poll(self, timeout_s: float) -> list[BuilderEvent]:
        """Return what happened, in order; empty after `timeout_s` without news."""
        raise NotImplementedError

    def ask(self, worker: str, request: SpectrumRequest) -> bool:
        """Ask a worker for a spectrum; its SpectrumReply comes out of `poll`. False where the worker is not there."""
        raise NotImplementedError

    def owner(self, run_uid: str, sweep: int, row: int) -> str:
        """Return the worker whose newest tile or lease covers the camera row; empty where nobody's does."""
        raise NotImplementedError

    def frames_sent(self, run_uid: str, sweep: int) -> int:
        """Return how many frames of the sweep the camera published, as far as is known."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the sockets."""

    def __enter__(self) -> BuilderInbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
