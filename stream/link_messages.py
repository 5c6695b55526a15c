"""Messages of the links themselves: hello, welcome, leases, descriptors, acknowledgements, camera control, snapshots.

Users of `stream` do not see these: `WorkerLink`, `BuilderInbox`, `CameraControl` and the state classes speak them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream.messages import Json, RunStart, SpectrumReply, SpectrumRequest

NOT_IN_RING = 0xFFFFFFFF
"""Slot number of a frame that must be read from the run's HDF5 file."""
ABANDONED = 0xFFFFFFFE
"""Slot number of a frame that is gone: a counted hole."""
LOST = 0xFFFFFFFD
"""Slot number of a frame that the camera never gave: a counted hole that every band has."""


@dataclass(frozen=True)
class Hello:
    """A peer presents itself; nothing else is answered before."""

    role: str
    """`worker` or `builder`."""
    name: str
    """Name of the peer, unique on the rig."""
    epoch: str
    """Changes when the peer restarts or begins again."""
    schema: str
    """Hash of the message set the peer was built with."""
    pid: int
    """Process id, for people."""


@dataclass(frozen=True)
class Welcome:
    """The peer is admitted."""

    source: str
    """Who answers: `camera` or `builder`."""
    epoch: str
    """Changes when the answering process restarts."""
    hello_epoch: str
    """Epoch of the hello that is answered."""
    ring_path: str = ""
    """File of the shared-memory ring; empty where there is none: pixels come as `BandPixels`."""
    ring_epoch: str = ""
    """Epoch written in the ring's file: the file is the right one when both agree."""


@dataclass(frozen=True)
class Refusal:
    """A message was not accepted."""

    code: str
    """For programs: `protocol`, `schema`, `malformed`, `hello` (say hello first), `busy`, `refused`, `unknown`."""
    reason: str
    """For people: one line."""


@dataclass(frozen=True)
class Goodbye:
    """A peer leaves in order: its bands move at once."""

    name: str
    """Name of the peer."""
    epoch: str
    """Epoch of its hello."""


@dataclass(frozen=True)
class Heartbeat:
    """A peer lives."""

    name: str
    """Name of the peer."""
    epoch: str
    """Epoch of the peer (a worker: of its hello)."""
    stats: Json = field(default_factory=dict[str, object])
    """Numbers for the health view."""


@dataclass(frozen=True)
class LeaseGrant:
    """A worker owns a band of a sweep from now on."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    y0: int
    """First camera row of the band."""
    y1: int
    """One past its last row."""
    lease: int
    """Number of the lease; of two for one band the higher one is current."""
    worker: str
    """Name of the owner."""


@dataclass(frozen=True)
class LeaseRevoke:
    """A worker no longer owns a band."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    y0: int
    """First camera row of the band."""
    lease: int
    """Number of the lease that ended."""


@dataclass(frozen=True)
class FramesReady:
    """Consecutive frames of a sweep wait in the ring (or in the file) for a band."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    y0: int
    """First camera row of the band."""
    lease: int
    """Lease under which they are sent."""
    first: int
    """Number of the first frame within the sweep: pass_index * len(frequency_mhz) + index."""
    slots: NDArray[np.uint32]
    """(n,) ring slots, or NOT_IN_RING, ABANDONED or LOST."""
    sequences: NDArray[np.uint64]
    """(n,) sequence numbers of the slots when the frames were written."""


@dataclass(frozen=True)
class BandPixels:
    """Consecutive frames of a sweep for a band, with their pixels: what a worker without the ring gets."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    y0: int
    """First camera row of the band."""
    lease: int
    """Lease under which they are sent."""
    first: int
    """Number of the first frame within the sweep: pass_index * len(frequency_mhz) + index."""
    pixels: tuple[NDArray[np.generic], ...]
    """(rows, x) counts of frames first, first + 1, ...: the rows of the band alone."""


@dataclass(frozen=True)
class BandSums:
    """Sums that take the place of whatever the cube of a band holds at consecutive frequencies."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    y0: int
    """First camera row of the band."""
    lease: int
    """Lease under which they are sent."""
    first_index: int
    """Place of the first of them in the frequency list."""
    passes_done: NDArray[np.uint32]
    """(n,) passes that the sums stand for: frames of these passes are not to be added again."""
    frames: NDArray[np.uint32]
    """(n,) frames in each sum; fewer than the passes where the camera lost some."""
    sums: tuple[NDArray[np.generic], ...]
    """(rows, x) exact sums, u4 (or the one f4 frame)."""


@dataclass(frozen=True)
class Ack:
    """Every frame of a sweep below `added` was added to the band."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    y0: int
    """First camera row of the band."""
    lease: int
    """Lease of the worker."""
    added: int
    """Cumulative count: frames 0 ... added-1 are in the cube."""


@dataclass(frozen=True)
class ReplayRequest:
    """A worker misses frames: send again from `first` on."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    y0: int
    """First camera row of the band."""
    lease: int
    """Lease of the worker."""
    first: int
    """Number of the first frame that is missing."""


@dataclass(frozen=True)
class FinalAccepted:
    """The builder has the final tile of a band: nobody needs to make it again."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    y0: int
    """First camera row of the band."""
    lease: int
    """Lease under which it was made."""


@dataclass(frozen=True)
class SpectrumAsk:
    """The builder asks a worker for a spectrum of a band that it owns."""

    token: int
    """Number of the question, repeated in the answer."""
    request: SpectrumRequest
    """What is asked."""


@dataclass(frozen=True)
class SpectrumAnswer:
    """A worker answers the builder."""

    token: int
    """Number of the question."""
    reply: SpectrumReply
    """The answer."""


@dataclass(frozen=True)
class ControlRequest:
    """A person at the live page asks the session for something; answered by a ControlReply."""

    action: str
    """`pause`, `resume`, `stop`, `abort`, `veto`, `pin` or `marker`."""
    who: str
    """Name of the person, as given at the page."""
    temperature_k: float
    """Set point that is vetoed or pinned, K; 0 for other actions."""
    text: str
    """What a marker says; empty for other actions."""


@dataclass(frozen=True)
class ControlReply:
    """What became of a ControlRequest."""

    accepted: bool
    """False where it was refused."""
    said: str
    """For people: what is done, or why it is refused."""


@dataclass(frozen=True)
class CameraDescribe:
    """Ask the camera what it is."""


@dataclass(frozen=True)
class CameraDescription:
    """What the camera is."""

    epoch: str
    """Changes when the camera process restarts."""
    info: Json
    """height, width, dtype, pixel_size_um, noise, mode, frame_rate_hz, ..."""


@dataclass(frozen=True)
class OpenRun:
    """Open a run at the camera; answered by the completed RunStart."""

    start: RunStart
    """The run; what the camera knows better is filled in."""


@dataclass(frozen=True)
class TriggerSweep:
    """Start the frames of the armed sweep; answered by SweepProgress."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""


@dataclass(frozen=True)
class AbortSweep:
    """End a sweep early; answered by SweepProgress."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""


@dataclass(frozen=True)
class ProgressRequest:
    """Ask for SweepProgress; the answer waits until there is news."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    above: int
    """Answer as soon as more than this many frames were sent, or the sweep ended."""
    wait_s: float
    """Answer after this time at the latest, s."""


@dataclass(frozen=True)
class CloseRun:
    """Close a run; answered by RunStop."""

    run_uid: str
    """The Bluesky run."""
    exit_status: str
    """`success`, `abort` or `fail`."""


@dataclass(frozen=True)
class SnapshotRequest:
    """Ask a state publisher for the newest update of every channel; answered by StateUpdates and SnapshotEnd."""


@dataclass(frozen=True)
class SnapshotEnd:
    """The snapshot is complete."""

    epoch: str
    """Epoch of the publisher."""
    sequence: int
    """Deltas up to this number are in the snapshot."""
    channels: int
    """Channels that were sent."""


@dataclass(frozen=True)
class StateBeat:
    """A state publisher lives: lets subscribers notice a gap although nothing else is published."""

    epoch: str
    """Epoch of the publisher."""
    sequence: int
    """Number of the last update."""


@dataclass(frozen=True)
class LeaseReturn:
    """A worker gives a band back: its cube cannot be trusted."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    y0: int
    """First camera row of the band."""
    lease: int
    """Lease of the worker."""
    reason: str
    """Why, for people."""
