"""What people at the live page may do to a running plan: a small listener on the session's side of the state plane.

It pauses, resumes, stops and aborts the RunEngine, keeps vetoes and pins for the plan's next decision, and adds
markers. It moves no instrument and starts no plan. Whatever is asked for goes into the run with who and when
(`devices/control.py`); what is refused is answered with the reason. Halting is never gated: pause, stop and abort ask
for no state but a plan that can be halted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from bluesky.run_engine import TransitionError  # pyright: ignore[reportPrivateImportUsage] - it has no public place

from deploy.engine import SessionEngine
from devices.control import ControlRecord, RefusedError, Request
from stream.link_messages import ControlReply, ControlRequest, Refusal
from stream.messages import Json, Severity
from stream.state import StatePublisher

LOOK_S = 0.05
"""How often questions are looked for, s."""
LONGEST_TEXT = 300
"""Characters of a marker or a name that are kept."""
NOT_ALLOWED = "this site was started without --allow-control: it can be looked at only"

log = logging.getLogger(__name__)


class ControlListener(threading.Thread):
    """Answers control requests of the live page until it is closed.

    Parameters
    ----------
    engine
        Runs the plans.
    record
        Keeps what was asked for, and the wishes for the plan's next decision.
    publisher
        The session's state publisher: its questions are answered, its channel `control` says what is possible.
    allowed
        False refuses everything.
    """

    def __init__(
        self, engine: SessionEngine, record: ControlRecord, publisher: StatePublisher, *, allowed: bool
    ) -> None:
        super().__init__(name="control", daemon=True)
        self._engine, self._record, self._publisher, self._allowed = engine, record, publisher, allowed
        self._ended = threading.Event()
        self._told: Json | None = None
        self._actions: dict[str, Callable[[Request], str]] = {
            "pause": self._pause, "resume": self._resume, "stop": self._end, "abort": self._end,
            "veto": self._wish, "pin": self._wish, "marker": self._mark,
        }  # fmt: skip

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self.join(timeout=2.0)

    def run(self) -> None:
        """Look for questions until closed."""
        while not self._ended.wait(LOOK_S):
            for token, message in self._publisher.requests():
                self._publisher.reply(token, self._answer(message))
            self._tell()

    def _answer(self, message: object) -> object:
        if not isinstance(message, ControlRequest):
            return Refusal("unknown", "the session answers control requests only")
        try:
            return self.act(message)
        except Exception:  # the listener must outlive whatever one request did
            log.exception("%s failed", message.action)
            return ControlReply(False, f"{message.action} failed; the session's log says why")

    def act(self, message: ControlRequest) -> ControlReply:
        """Do what is asked, or say why not."""
        if not self._allowed:
            return ControlReply(False, NOT_ALLOWED)
        act = self._actions.get(message.action)
        if act is None:
            return ControlReply(False, f"{message.action!r} is nothing that can be asked for")
        who = " ".join(message.who.split())[:LONGEST_TEXT] or "somebody"
        text = " ".join(message.text.split())[:LONGEST_TEXT]
        request = Request(message.action, who, float(message.temperature_k), text)
        try:
            said = act(request)
        except (RefusedError, TransitionError) as refusal:
            why = str(refusal)
            self._publisher.event(Severity.NO_ALARM, f"{who}: {message.action} refused: {why}")
            return ControlReply(False, why)
        self._publisher.event(Severity.NO_ALARM, f"{who} at the live page: {said}")
        return ControlReply(True, said)

    def _pause(self, request: Request) -> str:
        state = str(self._engine.state)
        if state in ("idle", "paused"):
            raise RefusedError("no plan runs" if state == "idle" else "the plan is paused already")
        said = self._engine.pause_for(request.who)
        self._record.ask(request)
        return said

    def _resume(self, request: Request) -> str:
        if not self._engine.is_held:
            if self._engine.state == "paused":
                raise RefusedError("the plan was paused at the session's terminal: resume it there")
            raise RefusedError("no plan is paused")
        self._record.ask(request)
        self._engine.release()
        return "the plan goes on from its last checkpoint"

    def _end(self, request: Request) -> str:
        if self._engine.state == "idle":
            raise RefusedError("no plan runs")
        self._record.ask(request)  # before it ends: the run that closes keeps it
        # In a thread: a paused plan is ended by running its clean-up to the end, and others may ask meanwhile.
        threading.Thread(target=self._end_now, args=(request,), name="end", daemon=True).start()
        word = {"stop": "stopping", "abort": "aborting"}[request.action]
        return f"{word}: microwave and laser go off, field and temperature hold, what was measured is kept"

    def _end_now(self, request: Request) -> None:
        try:
            self._engine.end_for(request.action, request.who)
        except TransitionError:
            log.info("the plan had ended before %s", request.action)

    def _wish(self, request: Request) -> str:
        self._record.ask(request)
        if request.action == "pin":
            return f"{request.temperature_k:g} K is pinned: the plan goes there next"
        return f"{request.temperature_k:g} K is vetoed: the plan chooses another temperature"

    def _mark(self, request: Request) -> str:
        if not request.text:
            raise RefusedError("a marker needs a text")
        if self._engine.state == "idle":
            raise RefusedError("no run is under way that could keep the marker")
        self._record.ask(request)
        return f"marker: {request.text}"

    def _tell(self) -> None:
        """Say on the channel `control` what is possible now, where that changed."""
        engine = self._engine
        header: Json = {
            "allowed": self._allowed, "state": str(engine.state), "held_by": engine.held_by,
            "held": engine.is_held, "ladder": self._record.about(),
        }  # fmt: skip
        if header != self._told:
            self._told = header
            self._publisher.publish("control", header)
