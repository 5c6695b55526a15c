"""What people ask of a running plan from outside: kept until the plan records it, and its wishes for the ladder.

The session's listener writes here from its thread; the plan reads. Nothing here moves an instrument: a plan asks for
the wishes when it decides, and records who asked for what and when in the stream `control` of its run.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ophyd import Component, Device, Kind, Signal

from devices.wishes import Wishes
from stream.messages import Json


@dataclass(frozen=True)
class Request:
    """Something that a person asked for."""

    action: str
    """`pause`, `resume`, `stop`, `abort`, `veto`, `pin` or `marker`."""
    who: str
    """Name of the person."""
    temperature_k: float = 0.0
    """Set point that is vetoed or pinned, K; 0 for other actions."""
    text: str = ""
    """What a marker says."""
    time_s: float = field(default_factory=time.time)
    """When it was asked for, s since 1970."""


@dataclass(frozen=True)
class _Ladder:
    here_k: float
    top_k: float
    least_step_k: float


class RefusedError(ValueError):
    """A wish that the running plan cannot grant; the text says why."""


class ControlRecord(Device):
    """Soft device; `take()` moves the oldest request into its signals, which an event of the stream `control` reads."""

    action = Component(Signal, value="", kind=Kind.hinted)
    who = Component(Signal, value="", kind=Kind.normal)
    asked_s = Component(Signal, value=0.0, kind=Kind.normal)
    temperature_k = Component(Signal, value=0.0, kind=Kind.normal)
    text = Component(Signal, value="", kind=Kind.normal)

    def __init__(self, *, name: str = "control", **kwargs: Any) -> None:
        self._lock = threading.RLock()
        self._waiting: deque[Request] = deque()
        self._ladder: _Ladder | None = None
        self._wishes = Wishes()
        self.changed: Callable[[], None] = lambda: None
        """Called where the ladder or the wishes changed: the listener tells its viewers."""
        super().__init__("", name=name, **kwargs)

    # ---- the listener's side

    def ask(self, request: Request) -> None:
        """Keep a request for the run's record; a veto or a pin becomes a wish too.

        Raises
        ------
        RefusedError
            Where the running plan cannot grant the wish.
        """
        with self._lock:
            if request.action in ("veto", "pin"):
                self._wish(request)
            self._waiting.append(request)
        self.changed()

    def about(self) -> Json:
        """Return ladder and wishes as viewers see them; empty while no plan chooses temperatures."""
        with self._lock:
            ladder, wishes = self._ladder, self._wishes
        if ladder is None:
            return {}
        return {
            "here_k": ladder.here_k, "top_k": ladder.top_k, "least_step_k": ladder.least_step_k,
            "pin_k": wishes.pin_k, "pin_by": wishes.pin_by, "veto_k": list(wishes.veto_k),
        }  # fmt: skip

    def _wish(self, request: Request) -> None:
        wanted, ladder = request.temperature_k, self._ladder
        if ladder is None:
            raise RefusedError("no running plan chooses temperatures now")
        if ladder.here_k >= ladder.top_k:
            raise RefusedError(f"the last temperature, {ladder.top_k:g} K, is decided: nothing is left to choose")
        if not wanted > ladder.here_k:
            raise RefusedError(
                f"{wanted:g} K is not above {ladder.here_k:g} K, where the sample is sent: a field warming only goes up"
            )
        if wanted > ladder.top_k:
            raise RefusedError(f"{wanted:g} K is above {ladder.top_k:g} K, where the ladder ends")
        half, wishes = ladder.least_step_k / 2, self._wishes
        if request.action == "pin":
            if wanted < ladder.here_k + ladder.least_step_k and wanted < ladder.top_k:
                raise RefusedError(f"a step is at least {ladder.least_step_k:g} K, up from {ladder.here_k:g} K")
            kept = [pair for pair in zip(wishes.veto_k, wishes.veto_by, strict=True) if abs(pair[0] - wanted) >= half]
            self._wishes = Wishes(wanted, request.who, *_columns(kept))
            return
        if wanted >= ladder.top_k:
            raise RefusedError(f"the closing reference at {ladder.top_k:g} K ends the ladder and cannot be left out")
        kept = [pair for pair in zip(wishes.veto_k, wishes.veto_by, strict=True) if pair[0] != wanted]
        unpinned = wishes.pin_k is None or abs(wishes.pin_k - wanted) < half
        pin = (None, "") if unpinned else (wishes.pin_k, wishes.pin_by)
        self._wishes = Wishes(*pin, *_columns([*kept, (wanted, request.who)]))

    # ---- the plan's side

    def begin(self) -> None:
        """Forget what was asked of an earlier run."""
        with self._lock:
            self._waiting.clear()
            self._ladder, self._wishes = None, Wishes()

    def climb(self, here_k: float, top_k: float, least_step_k: float) -> None:
        """Say to which set point the sample is sent: wishes at or below it are over."""
        with self._lock:
            wishes = self._wishes
            ahead = [pair for pair in zip(wishes.veto_k, wishes.veto_by, strict=True) if pair[0] > here_k]
            pinned = wishes.pin_k is not None and wishes.pin_k > here_k
            pin = (wishes.pin_k, wishes.pin_by) if pinned else (None, "")
            self._ladder, self._wishes = _Ladder(here_k, top_k, least_step_k), Wishes(*pin, *_columns(ahead))
        self.changed()

    def leave(self) -> None:
        """Say that no temperature is chosen any more."""
        with self._lock:
            self._ladder, self._wishes = None, Wishes()
        self.changed()

    @property
    def wishes(self) -> Wishes:
        """What people want of the next decision."""
        with self._lock:
            return self._wishes

    @property
    def waiting(self) -> bool:
        """Whether a request waits to be recorded."""
        return bool(self._waiting)

    def take(self) -> Request | None:
        """Move the oldest request into the signals and return it; None where none waits."""
        with self._lock:
            request = self._waiting.popleft() if self._waiting else None
        if request is None:
            return None
        self.action.put(request.action)
        self.who.put(request.who)
        self.asked_s.put(request.time_s)
        self.temperature_k.put(request.temperature_k)
        self.text.put(request.text)
        return request


def _columns(pairs: list[tuple[float, str]]) -> tuple[tuple[float, ...], tuple[str, ...]]:
    return tuple(value for value, _ in pairs), tuple(who for _, who in pairs)
