"""The state plane: numbered updates per channel, latest wins; a snapshot on request; questions and answers."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType, TracebackType

import numpy as np
import zmq
from numpy.typing import NDArray

from stream.alarms import AlarmBook
from stream.codec import CodecError, decode, encode
from stream.link_messages import SnapshotEnd, SnapshotRequest, StateBeat
from stream.messages import Json, Severity, StateUpdate
from stream.schema import Part
from stream.settings import StreamSettings
from stream.sockets import receive, receive_views, send
from stream.state_server import StateServer, connect_asks, connect_deltas

SOURCES = ("builder", "camera", "monitor", "session", "guard")
"""Who publishes, where the rig has it."""
EVENTS = 200
"""Lines that the channel `events` keeps."""
ASK_AGAIN_S = 0.5
"""Patience with a snapshot before it is asked for again, s."""
NO_ARRAYS: Mapping[str, NDArray[np.generic]] = MappingProxyType({})
"""For channels without arrays."""


class StatePublisher:
    """Publishes channels from any thread; a thread of its own serves sockets, snapshots and questions.

    Parameters
    ----------
    settings
        Where the sockets are.
    source
        One of `SOURCES`; one process each.
    """

    def __init__(self, settings: StreamSettings, source: str) -> None:
        self._events: deque[Json] = deque(maxlen=EVENTS)
        self._source = source
        self._server = StateServer(settings, source)
        self.alarms = AlarmBook(self.publish)
        self._server.start()

    @property
    def epoch(self) -> str:
        """Changes when the publisher restarts."""
        return self._server.epoch

    def publish(self, channel: str, header: Json, arrays: Mapping[str, NDArray[np.generic]] = NO_ARRAYS) -> None:
        """Make this the newest value of the channel.

        Raises
        ------
        CodecError
            Where the header is not plain JSON or an array's dtype does not travel.
        """
        self._server.put(StateUpdate(self._source, "", 0, channel, time.time(), header, arrays))

    def event(self, severity: Severity | str, text: str, about: str = "") -> None:
        """Add a line to the channel `events` (its last 200 are kept).

        Parameters
        ----------
        about
            What it is about, where it may pass: a later line about the same with NO_ALARM says that it has.
        """
        line: Json = {"time_s": time.time(), "severity": str(severity), "source": self._source, "text": text}
        if about:
            line["about"] = about
        self._events.append(line)
        self.publish("events", {"events": list(self._events)})

    def forget(self, prefix: str) -> None:
        """Drop the channels whose names begin with `prefix` from the snapshot and from subscribers' `latest`."""
        self._server.drop(prefix)

    def requests(self) -> list[tuple[bytes, object]]:
        """Return the questions (token, message) since the last call; each wants one `reply`."""
        questions = self._server.questions
        return [questions.popleft() for _ in range(len(questions))]

    def reply(self, token: bytes, message: object) -> None:
        """Answer a question; an asker that is gone is no error."""
        self._server.answer(token, message)

    def close(self) -> None:
        """Close the sockets."""
        self._server.finish()

    def __enter__(self) -> StatePublisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Feed:
    """One source as a subscriber sees it: a snapshot first, then deltas without gaps, or a snapshot again."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], settings: StreamSettings, source: str) -> None:
        self.source = source
        self.deltas = connect_deltas(context, settings, source)
        self.asks = connect_asks(context, settings, source)
        self.latest: dict[str, StateUpdate] = {}
        self.malformed = 0
        self.heard_at: float | None = None
        self._epoch = ""
        self._sequence = 0
        self._synced = False
        self._pending: dict[str, StateUpdate] = {}
        self._held: list[StateUpdate] = []
        self._ask_at = 0.0
        self._number = b""

    def advance(self, asks: bool, deltas: bool) -> list[StateUpdate]:
        """Take what waits on those of the two sockets that have something; returns what is new."""
        new = self._take_snapshot() if asks else []
        if deltas:
            new += self._take_deltas()
        if not self._synced and time.monotonic() >= self._ask_at:
            self._ask()
        return new

    def _ask(self) -> None:
        self._ask_at = time.monotonic() + ASK_AGAIN_S
        self._number = uuid.uuid4().bytes
        self._pending = {}
        send(self.asks, [self._number, *encode(SnapshotRequest())])

    def _lose(self) -> None:
        if self._synced:
            self._synced = False
            self._ask_at = 0.0

    def _take_snapshot(self) -> list[StateUpdate]:
        new: list[StateUpdate] = []
        while (parts := receive(self.asks)) is not None:
            if parts[0] != self._number or self._synced:
                continue
            message = self._decode(parts[1:])
            if isinstance(message, StateUpdate):
                self._pending[message.channel] = message
            elif isinstance(message, SnapshotEnd):
                new += self._install(message)
        return new

    def _install(self, end: SnapshotEnd) -> list[StateUpdate]:
        if len(self._pending) != end.channels:
            # part of it was dropped on the way: asked again when the patience with this one is over
            return []
        new = [update for name, update in self._pending.items() if not _same(self.latest.get(name), update)]
        self.latest, self._pending = self._pending, {}
        self._epoch, self._sequence, self._synced = end.epoch, end.sequence, True
        held, self._held = self._held, []
        return new + [update for update in held if self._apply(update)]

    def _take_deltas(self) -> list[StateUpdate]:
        new: list[StateUpdate] = []
        while (parts := receive_views(self.deltas)) is not None:
            message = self._decode(parts)
            if isinstance(message, StateBeat):
                if message.epoch != self._epoch or message.sequence > self._sequence:
                    self._lose()
            elif isinstance(message, StateUpdate):
                if not self._synced:
                    self._held = [*self._held[-200:], message]
                elif self._apply(message):
                    new.append(message)
        return new

    def _apply(self, update: StateUpdate) -> bool:
        """Take one delta; a gap or a new epoch asks for a snapshot."""
        if update.epoch == self._epoch and update.sequence <= self._sequence:
            return False
        if update.epoch != self._epoch or update.sequence != self._sequence + 1:
            self._lose()
            return False
        self._sequence = update.sequence
        self.latest[update.channel] = update
        return True

    def _decode(self, parts: Sequence[Part]) -> object:
        try:
            message = decode(parts)
        except CodecError:
            self.malformed += 1
            return None
        self.heard_at = time.monotonic()
        return message


def _same(old: StateUpdate | None, new: StateUpdate) -> bool:
    return old is not None and (old.epoch, old.sequence) == (new.epoch, new.sequence)


class StateSubscriber:
    """The newest update of every channel of some sources; used from one thread.

    A source that is not running yet is found when it comes; one that restarts begins with a new snapshot.
    """

    def __init__(self, settings: StreamSettings, sources: Sequence[str] = SOURCES) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._feeds = [_Feed(self._context, settings, source) for source in sources]
        self._poller = zmq.Poller()
        for feed in self._feeds:
            self._poller.register(feed.deltas, zmq.POLLIN)
            self._poller.register(feed.asks, zmq.POLLIN)
        self.latest: dict[tuple[str, str], StateUpdate] = {}

    def poll(self, timeout_s: float) -> list[StateUpdate]:
        """Return the updates that are new, one per channel; empty after `timeout_s` without news."""
        until = time.monotonic() + timeout_s
        new: dict[tuple[str, str], StateUpdate] = {}
        left = 0.0  # what is there already is taken without waiting
        while True:
            # Only those are asked that have something: looking into an empty socket costs as much as taking a message.
            waiting = dict(self._poller.poll(int(1000 * min(left, ASK_AGAIN_S / 2)) + (left > 0)))
            for feed in self._feeds:
                for update in feed.advance(feed.asks in waiting, feed.deltas in waiting):
                    # popped first: the order of the result is the order of publication
                    new.pop((feed.source, update.channel), None)
                    new[feed.source, update.channel] = update
            left = until - time.monotonic()
            if new or left <= 0:
                self.latest = {
                    (feed.source, channel): update for feed in self._feeds for channel, update in feed.latest.items()
                }
                return list(new.values())

    def silence_s(self) -> dict[str, float | None]:
        """Return for how long nothing was heard of each source, s; None where nothing ever was. All beat at 2 Hz."""
        now = time.monotonic()
        return {feed.source: None if feed.heard_at is None else now - feed.heard_at for feed in self._feeds}

    def close(self) -> None:
        """Close the sockets."""
        for feed in self._feeds:
            feed.deltas.close()
            feed.asks.close()
        self._context.term()

    def __enter__(self) -> StateSubscriber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class StateAsker:
    """Asks a publisher one question at a time, from one thread."""

    def __init__(self, settings: StreamSettings, source: str) -> None:
        self._source = source
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = connect_asks(self._context, settings, source)

    def ask(self, message: object, timeout_s: float) -> object:
        """Return the answer (a `Refusal` where the publisher does not want the question).

        Raises
        ------
        TimeoutError
            Where none came in time.
        """
        number = uuid.uuid4().bytes
        send(self._socket, [number, *encode(message)])
        until = time.monotonic() + timeout_s
        while (left := until - time.monotonic()) > 0:
            if self._socket.poll(int(left * 1000) + 1) and (parts := receive(self._socket)) and parts[0] == number:
                return decode(parts[1:])
        raise TimeoutError(f"{self._source} did not answer within {timeout_s:g} s")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        self._context.term()

    def __enter__(self) -> StateAsker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
