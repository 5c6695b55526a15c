"""Signals of a command: terminated or interrupted it cleans up, and nothing cuts the clean-up short."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Generator
from types import FrameType
from typing import Any

TERMINATIONS = (signal.SIGTERM, signal.SIGHUP)
"""What ends a command from outside: `kill`, and a terminal that was closed."""


def catch_termination() -> None:
    """Leave by `SystemExit` where this process is terminated, so that every `finally` runs; ignored ones stay so."""
    for number in TERMINATIONS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _leave)


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def held() -> Generator[None]:
    """Keep interrupts and terminations until the block is done, and deliver the first of them then.

    A mask would be inherited by the processes that the block starts; Python's own handlers are not.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    previous: dict[int, Any] = {}
    for number in (signal.SIGINT, *TERMINATIONS):
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            previous[number] = signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
