"""What the fault tests ask of a flow of frames."""

from __future__ import annotations

from stream.camera_control import CameraControl
from stream.messages import Tile, WorkerHealth
from tests.stream.wire import Gathered, sweep_request

BIG = {"height": 200, "width": 256}
"""A frame of 100 KiB: a ring of 1 MiB holds ten."""


def alive(gathered: Gathered) -> set[str]:
    """Names of the workers that the camera takes for alive."""
    latest = {event.worker: event for event in gathered.events if isinstance(event, WorkerHealth)}
    return {name for name, health in latest.items() if health.alive}


def measure(control: CameraControl, uid: str, sweep: int, **form) -> None:
    """Arm and trigger one sweep."""
    control.arm(sweep_request(uid, sweep, **form))
    control.trigger(uid, sweep)


def works(gathered: Gathered, worker: str, sweep: int = 0) -> bool:
    """Tell whether a tile of the worker has come."""
    return any(isinstance(e, Tile) and e.worker == worker and e.sweep == sweep for e in gathered.events)
