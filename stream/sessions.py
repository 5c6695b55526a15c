"""The peer's side of hello and welcome: who we are to a server, and when we must say so again."""

from __future__ import annotations

import enum
import logging
import os
import time
import uuid

from stream.codec import SCHEMA_HASH
from stream.link_messages import Heartbeat, Hello, Refusal, Welcome
from stream.messages import Json

AGAIN_S = 0.5
"""Time between hellos without an answer, s."""
REFUSED_S = 3.0
"""Time between hellos after a refusal that only a person can mend, s."""

_log = logging.getLogger(__name__)


class Heard(enum.Enum):
    """What a message means for the session."""

    BEGUN = "begun"
    """We are admitted: everything before is void."""
    ENDED = "ended"
    """We are no longer known."""
    OURS = "ours"
    """A message for the layer above."""
    NOTHING = "nothing"
    """Nothing to do."""


class Session:
    """Hello, welcome, and hello again when the server forgot us; no sockets."""

    def __init__(self, role: str, name: str) -> None:
        self._role = role
        self._name = name
        self._epoch = uuid.uuid4().hex
        self._hello_at = 0.0
        self._beat_at = 0.0
        self._told = ""
        self.welcome: Welcome | None = None

    def due(self, beat_s: float, stats: Json) -> Hello | Heartbeat | None:
        """Return what must be said now, if anything."""
        now = time.monotonic()
        if self.welcome is None:
            if now < self._hello_at:
                return None
            self._hello_at = now + AGAIN_S
            return Hello(self._role, self._name, self._epoch, SCHEMA_HASH, os.getpid())
        if now < self._beat_at:
            return None
        self._beat_at = now + beat_s
        return Heartbeat(self._name, self._epoch, stats)

    @property
    def next_s(self) -> float:
        """When something must be said next, monotonic seconds."""
        return self._hello_at if self.welcome is None else self._beat_at

    def hear(self, message: object) -> Heard:
        """Take a message of the server."""
        if isinstance(message, Welcome):
            if message.hello_epoch != self._epoch or self.welcome is not None:
                return Heard.NOTHING
            self.welcome = message
            return Heard.BEGUN
        if isinstance(message, Refusal):
            return self._refused(message)
        return Heard.NOTHING if self.welcome is None else Heard.OURS

    def restart(self) -> None:
        """Begin again: a new hello with a new epoch."""
        self.welcome = None
        self._epoch = uuid.uuid4().hex
        self._hello_at = 0.0

    @property
    def epoch(self) -> str:
        """Epoch of the last hello."""
        return self._epoch

    def _refused(self, refusal: Refusal) -> Heard:
        # refusals before the welcome answer messages of an earlier session: the hello under way settles them
        if refusal.code == "hello" and self.welcome is not None:
            self.restart()
            return Heard.ENDED
        if self.welcome is None and refusal.code != "hello":
            if refusal.reason != self._told:
                _log.error("refused: %s", refusal.reason)
                self._told = refusal.reason
            self._hello_at = time.monotonic() + REFUSED_S
        return Heard.NOTHING
