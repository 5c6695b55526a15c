"""What the session tells its viewers: channels of the state plane, set from a plan like any device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd.status import Status

from stream.messages import Json, Severity
from stream.state import StatePublisher


@dataclass(frozen=True)
class Announcement:
    """One channel of the source `session`."""

    channel: str
    """`plan`, `decision` or `transport`."""
    header: Json
    """Small values."""
    arrays: Mapping[str, NDArray[np.generic]] = field(default_factory=dict[str, NDArray[np.generic]])
    """Arrays."""
    event: str = ""
    """A line for the session's events; empty for none."""


class Announcer:
    """Passes announcements on to the publisher of the session; without one they are dropped.

    Parameters
    ----------
    publisher
        The session's state publisher, made and closed by whoever runs the session.
    """

    name = "announcer"
    parent = None

    def __init__(self, publisher: StatePublisher | None = None) -> None:
        self._publisher = publisher

    def set(self, announcement: Announcement) -> Status:
        """Publish; done at once."""
        if self._publisher is not None:
            self._publisher.publish(announcement.channel, announcement.header, announcement.arrays)
            if announcement.event:
                self._publisher.event(Severity.NO_ALARM, announcement.event)
        return _finished()

    def event(self, severity: Severity, text: str) -> None:
        """Add a line to the session's events."""
        if self._publisher is not None:
            self._publisher.event(severity, text)

    @property
    def hints(self) -> dict[str, Any]:
        """Nothing to plot."""
        return {}


def _finished() -> Status:
    status = Status()
    status.set_finished()
    return status
