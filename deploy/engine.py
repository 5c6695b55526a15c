"""The RunEngine of a session: whatever ends it, the plan's clean-up turns microwave and laser off.

It can be paused, resumed and ended from the live page too. The thread that called it waits then, so that a plan paused
there goes on where it was called; Ctrl-C brings the prompt back.
"""

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


PAUSED = """
paused; one of these goes on from here:
  RE.resume()  go on with the plan
  RE.abort()   turn microwave and laser off, end the run as aborted
  RE.stop()    turn microwave and laser off, end the run as a success
"""
"""What is said where a plan is paused at the prompt."""


class Terminated(BaseException):
    """The process is asked to end from outside; raised at a prompt, where a `SystemExit` would be only a warning."""


HOLD_POLL_S = 0.1
"""How often a plan that is held from the live page looks whether it shall go on, s."""


class SessionEngine(RunEngine):
    """A RunEngine that aborts where its process is terminated, and asks after an abort what the field shall do."""

    ask_field: Callable[[], None] | None = None
    leave: Callable[[], None] | None = None
    """Called after a termination: what else there is to leave, such as a prompt."""

    def __init__(self) -> None:
        self.termination = 0
        self.held_by = ""
        """Who asked at the live page for the pause; empty where nobody did, or a prompt has the plan."""
        self.ended_by = ""
        """Who ended the last plan from the live page, in words; empty where nobody did."""
        self._said = threading.Event()
        self._release = ""
        self._holding = False
        super().__init__({}, context_managers=[_Interrupt, _Termination])
        self.pause_msg = PAUSED
        self.log.logger.addFilter(one_line)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Run a plan."""
        self.held_by = self.ended_by = ""
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

    def pause_for(self, who: str) -> str:
        """Pause for somebody at the live page: at the next checkpoint, asked again at once; return what happens.

        Raises
        ------
        TransitionError
            Where no plan runs.
        """
        at_once = bool(self.held_by)
        self.held_by = who
        try:
            self.request_pause(defer=not at_once)
        except TransitionError:
            self.held_by = self.held_by if self.state == "paused" else ""
            raise
        return "pausing now" if at_once else "pausing at the next checkpoint; ask again to pause at once"

    @property
    def is_held(self) -> bool:
        """Whether a paused plan waits for the live page, not for a prompt."""
        return self._holding and self.state == "paused"

    def release(self) -> None:
        """Let a plan go on that is held for the live page."""
        self._release = "resume"
        self._said.set()

    def end_for(self, action: str, who: str) -> None:
        """Stop or abort the plan for somebody at the live page, whatever state it is in; its clean-up runs.

        Raises
        ------
        TransitionError
            Where no plan runs.
        """
        if self.state == "idle":
            raise TransitionError("no plan runs")
        self.ended_by = f"{action} asked for by {who} at the live page"
        if self.is_held:
            self._release = action
            self._said.set()
        elif action == "stop":
            super().stop()
        else:
            super().abort(self.ended_by)

    def _hold(self) -> Any:
        """Wait in the calling thread until the page says how to go on; Ctrl-C leaves it to the prompt."""
        sys.stderr.write(f"paused by {self.held_by} at the live page; resume there, or press Ctrl-C to decide here\n")
        released = self._wait_released()
        if released == "resume":
            return RunEngine.resume(self)
        if released == "stop":
            RunEngine.stop(self)
        elif released == "abort":
            RunEngine.abort(self, self.ended_by)
        raise RunEngineInterrupted(self.ended_by or self.pause_msg)

    def _wait_released(self) -> str:
        """Return `resume`, `stop` or `abort`, as asked for at the page; empty where something else came first."""
        self._release = ""
        self._said.clear()
        self._holding = True
        try:
            with _Termination(self):
                # another thread may have ended it just before it was held here: then its clean-up is waited for
                while self.state != "idle" and not (self._said.wait(HOLD_POLL_S) or self.termination):
                    pass
        except KeyboardInterrupt:
            sys.stderr.write("\n")
        finally:
            self._holding, self.held_by = False, ""
        return self._release

    def _until_unheld(self, go: Callable[[], Any]) -> Any:
        """Run or resume; while it is paused for somebody at the live page, wait for them."""
        while True:
            try:
                return go()
            except RunEngineInterrupted:
                if self.ended_by and self.state == "idle":
                    raise RunEngineInterrupted(self.ended_by) from None
                if self.termination or not self.held_by or self.state != "paused":
                    raise
                go = self._hold

    def _unless_terminated(self, go: Callable[[], Any]) -> Any:
        """Run or resume; a plan that was paused by a termination is aborted, unattended, and the process leaves."""
        try:
            result = self._until_unheld(go)
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


class _Interrupt(SigintHandler):
    """Ctrl-C pauses; a plan that another thread than the main one ends has no signals to look after."""

    def __enter__(self) -> Any:
        return super().__enter__() if _is_main() else self

    def __exit__(self, *exception: Any) -> None:
        if _is_main():
            super().__exit__(*exception)


class _Termination:
    """While a plan runs, a termination pauses it at once; left to itself it would end with the laser on."""

    def __init__(self, engine: SessionEngine) -> None:
        self._engine = engine
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in TERMINATIONS if _is_main() else ():
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


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def for_people(error: BaseException) -> str:
    """Return one line that says what is wrong and what to do; the choices where a plan is paused."""
    if isinstance(error, RunEngineInterrupted):
        return str(error).strip()
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
