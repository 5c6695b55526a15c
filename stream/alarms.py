"""Latched alarms of one process on the channel `alarms`: what went wrong stays until a new run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from stream.messages import Json, Severity


@dataclass
class _Alarm:
    name: str
    severity: Severity
    text: str
    active: bool
    count: int
    first_s: float
    last_s: float


class AlarmBook:
    """Alarms by name; publishes the whole list where something changed.

    Parameters
    ----------
    publish
        Takes channel and header.
    """

    def __init__(self, publish: Callable[[str, Json], None]) -> None:
        self._publish = publish
        self._alarms: dict[str, _Alarm] = {}

    def watch(self, name: str, holds: bool, severity: Severity, text: str) -> None:
        """Say whether a condition holds now: it raises its alarm, or leaves it latched but no longer active."""
        alarm = self._alarms.get(name)
        if alarm is None or alarm.active == holds:
            if alarm is None and holds:
                now = time.time()
                self._alarms[name] = _Alarm(name, severity, text, True, 1, now, now)
                self._tell()
            return
        alarm.active, alarm.last_s = holds, time.time()
        if holds:
            alarm.text, alarm.severity, alarm.count = text, severity, alarm.count + 1
        self._tell()

    def happened(self, name: str, severity: Severity, text: str) -> None:
        """Latch something that has no duration."""
        now = time.time()
        before = self._alarms.get(name)
        count, first = (1, now) if before is None else (before.count + 1, before.first_s)
        self._alarms[name] = _Alarm(name, severity, text, False, count, first, now)
        self._tell()

    def release(self) -> None:
        """Let go of what no longer holds: a new run begins."""
        kept = {name: alarm for name, alarm in self._alarms.items() if alarm.active}
        if len(kept) != len(self._alarms):
            self._alarms = kept
            self._tell()

    def active(self) -> Mapping[str, float]:
        """Return the number of alarms that hold, by severity."""
        found = Counter(str(alarm.severity) for alarm in self._alarms.values() if alarm.active)
        return {str(severity): float(found[str(severity)]) for severity in (Severity.MINOR, Severity.MAJOR)}

    def _tell(self) -> None:
        self._publish("alarms", {"alarms": [asdict(alarm) for alarm in self._alarms.values()]})
