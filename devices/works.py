"""The procedures that a device has under way: they end before its PVs are let go of."""

from __future__ import annotations

from threading import Event, Thread
from typing import Protocol


class Cancellable(Protocol):
    """What can be asked to stop."""

    cancelled: Event


class Works:
    """Threads of one device, each with what stops it."""

    def __init__(self) -> None:
        self._running: dict[Thread, Cancellable] = {}

    def add(self, thread: Thread, status: Cancellable) -> None:
        """Take up a procedure's thread, and forget those that have ended."""
        self._running = {old: its for old, its in self._running.items() if old.is_alive()}
        self._running[thread] = status

    def end(self, timeout_s: float = 5.0) -> None:
        """Ask every procedure to stop, and wait for each so long, s."""
        for thread, status in self._running.items():
            status.cancelled.set()
            thread.join(timeout_s)
        self._running = {}
