"""The workers as the builder sees them: the channel `workers`, and an event for every loss and return."""

from __future__ import annotations

import time

from analyzers.channels import workers_channel
from stream.messages import Json, Severity, WorkerHealth
from stream.state import StatePublisher

INTERVAL_S = 0.5
"""Shortest time between two updates of the channel, s."""


class WorkerBoard:
    """Newest health of every worker."""

    def __init__(self, publisher: StatePublisher) -> None:
        self._publisher = publisher
        self._workers: dict[str, WorkerHealth] = {}
        self._published_s = 0.0
        self._lost = -1
        self._changed = False

    def heard(self, health: WorkerHealth) -> None:
        """Take the health of a worker; a change of life is an event."""
        before = self._workers.get(health.worker)
        self._workers[health.worker] = health
        self._changed = True
        if before is None:
            return
        moved = health.leases_lost - before.leases_lost
        if before.alive and not health.alive:
            self._publisher.event(Severity.MAJOR, f"{health.worker} is lost; its bands move to others", health.worker)
        elif health.alive and not before.alive:
            self._publisher.event(Severity.NO_ALARM, f"{health.worker} is back", health.worker)
        if moved > 0:
            self._publisher.event(Severity.MINOR, f"{moved} bands of {health.worker} were given to others")

    def publish(self, frames_lost: int) -> None:
        """Publish the channel where it changed and is due."""
        due = time.monotonic() - self._published_s >= INTERVAL_S
        if not due or not (self._changed or frames_lost != self._lost):
            return
        self._published_s, self._lost, self._changed = time.monotonic(), frames_lost, False
        rows = [_row(self._workers[name]) for name in sorted(self._workers)]
        channel = workers_channel(rows, frames_lost)
        self._publisher.publish(channel.name, channel.header, channel.arrays)


def _row(health: WorkerHealth) -> Json:
    return {
        "name": health.worker,
        "alive": health.alive,
        "bands": health.bands,
        "leases_lost": health.leases_lost,
        "last_seen_s": health.last_seen_s,
        "frames_added": health.frames_added,
        "fits_per_s": health.stats.get("fits_per_s", 0.0),
        "busy_fraction": health.stats.get("busy_fraction", 0.0),
    }
