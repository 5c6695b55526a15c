"""The camera's control socket: one answer per question, some of them later."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import zmq

from stream.codec import CodecError, decode, encode
from stream.link_messages import ProgressRequest, Refusal
from stream.messages import SweepProgress
from stream.sockets import receive, send

_log = logging.getLogger(__name__)


class Refused(Exception):  # noqa: N818 - reads as a sentence
    """A request is refused; becomes a `Refusal` for the asker."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True)
class Ticket:
    """Who waits for an answer."""

    identity: bytes
    """Routing id of the asker."""
    number: bytes
    """Number of the question, opaque."""


@dataclass(frozen=True)
class _Wait:
    ticket: Ticket
    request: ProgressRequest
    until: float


class CameraDesk:
    """Reads questions, sends answers, keeps progress requests until there is news."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket
        self.malformed = 0
        self._waiting: list[_Wait] = []

    def serve(self, handle: Callable[[Ticket, object], object | None]) -> None:
        """Answer what waits; `handle` returns the answer, or None where it will come later, or raises Refused."""
        while (parts := receive(self.socket)) is not None:
            if len(parts) < 3:
                self.malformed += 1
                continue
            ticket = Ticket(parts[0], parts[1])
            try:
                answer = handle(ticket, decode(parts[2:]))
            except CodecError as error:
                self.malformed += 1
                answer = Refusal(error.code, error.reason)
            except Refused as error:
                answer = Refusal(error.code, error.reason)
            if answer is not None:
                self.answer(ticket, answer)

    def answer(self, ticket: Ticket, message: object) -> None:
        """Send an answer; an asker that is gone or does not read gets none."""
        send(self.socket, [ticket.identity, ticket.number, *encode(message)])

    def refuse(self, ticket: Ticket, code: str, reason: str) -> None:
        """Answer with a refusal."""
        self.answer(ticket, Refusal(code, reason))

    def wait(self, ticket: Ticket, request: ProgressRequest) -> None:
        """Answer this one when there is news."""
        self._waiting.append(_Wait(ticket, request, time.monotonic() + min(request.wait_s, 60.0)))

    def news(self, progress: Callable[[ProgressRequest], SweepProgress | None]) -> None:
        """Answer the waiting requests that have news or have waited long enough."""
        still: list[_Wait] = []
        for wait in self._waiting:
            now = progress(wait.request)
            if now is None:
                self.answer(wait.ticket, Refusal("unknown", "the sweep is not known any more"))
            elif ended(now) or now.frames_sent > wait.request.above or time.monotonic() >= wait.until:
                self.answer(wait.ticket, now)
            else:
                still.append(wait)
        self._waiting = still


def ended(progress: SweepProgress) -> bool:
    """Tell whether no more frames will come."""
    return progress.aborted or progress.frames_sent >= progress.frames_total
