"""A fitting worker's link: bands and frames in, tiles out, alive through long fits."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from stream.messages import Json, RunStart, RunStop, SpectrumReply, SpectrumRequest, SweepStart, Tile
from stream.settings import StreamSettings


@dataclass(frozen=True)
class BandGranted:
    """The worker owns a band of a sweep from now on: begin an empty cube."""

    run: RunStart
    """The run."""
    sweep: SweepStart
    """The sweep."""
    y0: int
    """First camera row of the band."""
    y1: int
    """One past its last row."""
    lease: int
    """Number of the lease, repeated in tiles."""


@dataclass(frozen=True)
class BandFrame:
    """One frame of one band, given exactly once per lease."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    y0: int
    """First camera row of the band."""
    y1: int
    """One past its last row."""
    lease: int
    """Lease of the band."""
    pass_index: int
    """Traversal of the frequency list."""
    index: int
    """Index in the frequency list."""
    pixels: NDArray[np.generic]
    """(y1 - y0, x) counts, read-only, valid until acknowledged."""


@dataclass(frozen=True)
class BandRevoked:
    """The worker no longer owns the band: drop its cube."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    y0: int
    """First camera row of the band."""
    y1: int
    """One past its last row."""
    lease: int
    """Lease that ended."""


WorkerEvent = RunStart | RunStop | BandGranted | BandFrame | BandRevoked


class WorkerLink:
    """Link of one worker to the frame server and the builder; heartbeats go on while a fit runs without the GIL."""

    def __init__(self, settings: StreamSettings, worker: str) -> None:
        raise NotImplementedError

    def poll(self, timeout_s: float) -> list[WorkerEvent]:
        """Return what happened, in order; empty after `timeout_s` without news."""
        raise NotImplementedError

    def acknowledge(self, frame: BandFrame) -> bool:
        """Say that the frame is in the cube. False where its pixels changed under the reader: the band is then revoked."""
        raise NotImplementedError

    def send_tile(self, tile: Tile) -> None:
        """Send a tile; a newer provisional one replaces it, a final one is kept until the builder has it."""
        raise NotImplementedError

    def requests(self) -> list[tuple[int, SpectrumRequest]]:
        """Return the builder's questions since the last call."""
        raise NotImplementedError

    def reply(self, token: int, reply: SpectrumReply) -> None:
        """Answer a question."""
        raise NotImplementedError

    def report(self, stats: Json) -> None:
        """Set the numbers that travel with the heartbeats: `fits_per_s`, `busy_fraction`, ..."""
        raise NotImplementedError

    def close(self) -> None:
        """Say goodbye and close."""

    def __enter__(self) -> WorkerLink:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
