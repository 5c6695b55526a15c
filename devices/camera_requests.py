"""What a plan asks of the camera: runs that open and close, sweeps."""

from __future__ import annotations

from dataclasses import dataclass, field

from stream.messages import FieldHistory, Json, SweepRole


@dataclass(frozen=True)
class CameraRun:
    """A run opens at the camera: what the analysis needs beside what the camera knows."""

    run_uid: str
    """The Bluesky run."""
    analysis: Json = field(default_factory=dict[str, object])
    """Analysis settings."""
    regions: Json = field(default_factory=dict[str, object])
    """Named polygons and points, um from the image centre."""
    sample: str = ""
    """Name of the sample."""
    rig: str = ""
    """Name of the rig."""
    sweeps_before: int = 0
    """Sweeps that the camera has of this run already: it goes on after a session that died."""


@dataclass(frozen=True)
class CameraRunEnd:
    """The run closes at the camera."""

    exit_status: str
    """`success`, `abort` or `fail`."""


@dataclass(frozen=True)
class SweepPlan:
    """One sweep, before the camera gives it a number."""

    role: SweepRole
    """What the sweep is for."""
    frequency_mhz: tuple[float, ...]
    """Frequencies of one pass, MHz, in the order of the frames."""
    passes: int
    """Traversals of the list."""
    load_index: int = 0
    """Number of the pressure point."""
    history: FieldHistory = FieldHistory.UNKNOWN
    """How the sample got here, as the plan knows it."""
