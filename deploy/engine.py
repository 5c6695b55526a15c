"""The RunEngine of a session: whatever ends it, the plan's clean-up turns microwave and laser off."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from bluesky import RunEngine
from bluesky.run_engine import TransitionError  # pyright: ignore[reportPrivateImportUsage] - it has no public place
from bluesky.utils import RunEngineControlException, RunEngineInterrupted, SigintHandler

from deploy.signals import TERMINATIONS
from devices.epics import DeviceError
from devices.limits import LimitError
from plans.settings import PreconditionError

FOR_PEOPLE = (DeviceError, LimitError, PreconditionError, TimeoutError)
"""What plans and devices fail with where a person has to do something; `for_people` says it in one line."""


class Terminated(BaseException):
    """The process is asked to end from outside; raised at a prompt, where a `SystemExit` would be only a warning."""


class SessionEngine(RunEngine):
    """A RunEngine that aborts where its process is terminated, and asks after an abort what the field shall do."""

    ask_field: Callable[[], None] | None = None
    leave: Callable[[], None] | None = None
    """Called after a termination: what else there is to leave, such as a prompt."""

    def __init__(self) -> None:
        self.termination = 0
        super().__init__({}, context_managers=[SigintHandler, _Termination])
        self.log.logger.addFilter(one_line)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Run a plan."""
        return self._unless_terminated(lambda: RunEngine.__call__(self, *arguments, **keywords))

    def resume(self) -> Any:
        """Go on with a paused plan."""
        return self._unless_terminated(lambda: RunEngine.resume(self))

    def abort(self, reason: str = "") -> Any:
        """End the running plan as aborted: its clean-up turns microwave and laser off; then ask about the field."""
        result = super().abort(reason)
        if self.ask_field is not None:
            self.ask_field()
        return result

    def _unless_terminated(self, go: Callable[[], Any]) -> Any:
        """Run or resume; a plan that was paused by a termination is aborted, unattended, and the process leaves."""
        try:
            result = go()
        except RunEngineInterrupted:
            if not self.termination:
                raise
            super().abort("terminated")
            say_hold()
        else:
            if not self.termination:
                return result
        if self.leave is not None:
            self.leave()
            raise Terminated
        raise SystemExit(128 + self.termination)


class _Termination:
    """While a plan runs, a termination pauses it at once; left to itself it would end with the laser on."""

    def __init__(self, engine: SessionEngine) -> None:
        self._engine = engine
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in TERMINATIONS:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._pause)

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _pause(self, number: int, _frame: FrameType | None) -> None:
        """Ask for the pause from a thread: the engine answers from its loop, which may wait for this one."""
        self._engine.termination = number
        threading.Thread(target=self._request, name="termination", daemon=True).start()

    def _request(self) -> None:
        with contextlib.suppress(TransitionError):  # it paused or ended meanwhile
            self._engine.request_pause(defer=False)


def for_people(error: BaseException) -> str:
    """Return one line that says what is wrong and what to do."""
    text = (str(error) or type(error).__name__).splitlines()[0]
    if isinstance(error, TimeoutError):
        return (
            f"an instrument does not answer: {text.rstrip('.')}; microwave and laser may still be on. "
            "See with `nvdac status` and `nvdac doctor` whether its IOC runs"
        )
    return text


def one_line(record: logging.LogRecord) -> bool:
    """Take the traceback out of what Bluesky logs where a person asked for the end, or the error is for people."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, (RunEngineControlException, *FOR_PEOPLE)):
        record.exc_info = None
    return "No open traces" not in record.getMessage()


def say_hold() -> None:
    """Say what happens to the field after an unattended abort."""
    sys.stderr.write("aborted unattended: microwave and laser are off, field and temperature hold\n")
