"""The state plane: numbered updates per channel, latest wins; a snapshot on request; questions and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType, TracebackType

import numpy as np
from numpy.typing import NDArray

from stream.messages import Json, Severity, StateUpdate
from stream.settings import StreamSettings

SOURCES = ("builder", "camera", "monitor", "session")
NO_ARRAYS: Mapping[str, NDArray[np.generic]] = MappingProxyType({})


class StatePublisher:
    """Publishes channels from any thread; a thread of its own serves sockets, snapshots and questions."""

    def __init__(self, settings: StreamSettings, source: str) -> None:
        raise NotImplementedError

    def publish(self, channel: str, header: Json, arrays: Mapping[str, NDArray[np.generic]] = NO_ARRAYS) -> None:
        """Make this the newest value of the channel."""
        raise NotImplementedError

    def event(self, severity: Severity | str, text: str) -> None:
        """Add a line to the channel `events` (its last 200 are kept)."""
        raise NotImplementedError

    def forget(self, prefix: str) -> None:
        """Drop the channels whose names begin with `prefix` from the snapshot."""
        raise NotImplementedError

    def requests(self) -> list[tuple[bytes, object]]:
        """Return the questions (token, message) since the last call; each wants one `reply`."""
        raise NotImplementedError

    def reply(self, token: bytes, message: object) -> None:
        """Answer a question."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the sockets."""

    def __enter__(self) -> StatePublisher:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class StateSubscriber:
    """The newest update of every channel of some sources; used from one thread."""

    latest: dict[tuple[str, str], StateUpdate]
    """(source, channel) -> newest update."""

    def __init__(self, settings: StreamSettings, sources: Sequence[str] = SOURCES) -> None:
        raise NotImplementedError

    def poll(self, timeout_s: float) -> list[StateUpdate]:
        """Return the updates that are new, one per channel; empty after `timeout_s` without news."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the sockets."""

    def __enter__(self) -> StateSubscriber:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class StateAsker:
    """Asks a publisher one question at a time."""

    def __init__(self, settings: StreamSettings, source: str) -> None:
        raise NotImplementedError

    def ask(self, message: object, timeout_s: float) -> object:
        """Return the answer.

        Raises
        ------
        TimeoutError
            Where none came in time.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close the socket."""

    def __enter__(self) -> StateAsker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
