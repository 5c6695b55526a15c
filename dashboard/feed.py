"""The state plane behind the page: a thread that passes updates on, and threads that ask for spectra."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from stream.messages import Json, SpectrumReply, SpectrumRequest, StateUpdate

log = logging.getLogger(__name__)

POLL_S = 0.2
"""How long one poll waits, s: how fast the thread ends."""
GATHER_S = 0.012
"""Time that updates of one moment have to come together before they are passed on as one, s."""
RETRY_S = 1.0
"""Pause before the state plane is connected to again, s."""
SOURCES_S = 0.25
"""How often it is said which publishers are heard, s."""
SILENT_S = 1.4
"""Silence after which the page calls a publisher lost, s: all beat at 2 Hz, so a killed one shows within 2 s."""
SOURCES_CHANNEL = ("web", "sources")
"""(source, channel) of our own: which publishers are heard."""
ASK_TIMEOUT_S = 5.0
"""How long the builder has for a spectrum, s."""
ASKERS = 3
"""Spectra asked for at the same time."""


class Subscriber(Protocol):
    """What is needed of `stream.state.StateSubscriber`."""

    latest: dict[tuple[str, str], StateUpdate]
    """(source, channel) -> newest update; what was dropped is no longer in it."""

    def poll(self, timeout_s: float) -> list[StateUpdate]:
        """Return what came."""
        ...

    def silence_s(self) -> dict[str, float | None]:
        """Return for how long nothing was heard of each source, s; None where nothing ever was."""
        ...

    def close(self) -> None:
        """Let go of the sockets."""
        ...


class Asker(Protocol):
    """What is needed of `stream.state.StateAsker`."""

    def ask(self, message: SpectrumRequest, timeout_s: float) -> object:
        """Return the answer."""
        ...

    def close(self) -> None:
        """Let go of the sockets."""
        ...


def sources_update(number: int, silence_s: Mapping[str, float | None], web: Json) -> StateUpdate:
    """Return our own channel `sources`: {source: seconds of silence, or null}, and of ourselves."""
    source, channel = SOURCES_CHANNEL
    return StateUpdate(source, "", number, channel, time.time(), {"silence_s": dict(silence_s), "web": web}, {})


class Feed:
    """A thread that opens the subscriber, polls it, and hands each list of updates, and what exists, to `sink`."""

    def __init__(
        self,
        connect: Callable[[], Subscriber],
        sink: Callable[[list[StateUpdate], frozenset[tuple[str, str]]], None],
        about: Callable[[], Json] = dict,
    ) -> None:
        self._about = about
        self._connect = connect
        self._sink = sink
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        # The connection is made here and not before, so that the page answers while zmq is still being imported.
        while not self._stop.is_set():
            try:
                self._pass_on()
            except Exception:
                # A page that silently shows nothing more is the worst of all: say it, and begin again.
                log.exception("the state plane was lost; connecting again")
                self._stop.wait(RETRY_S)

    def _pass_on(self) -> None:
        subscriber = self._connect()
        told, number = 0.0, 0
        try:
            while not self._stop.is_set():
                updates = self._gathered(subscriber)
                if time.monotonic() - told >= SOURCES_S:
                    told = time.monotonic()
                    number += 1
                    updates.append(sources_update(number, subscriber.silence_s(), self._about()))
                if updates and not self._stop.is_set():
                    self._sink(updates, frozenset(subscriber.latest) | {SOURCES_CHANNEL})
        finally:
            subscriber.close()

    def _gathered(self, subscriber: Subscriber) -> list[StateUpdate]:
        """Return what came, with what came right after it: one wake-up of every viewer instead of one per channel."""
        first = subscriber.poll(POLL_S)
        if not first or self._stop.wait(GATHER_S):
            return first
        newest: dict[tuple[str, str], StateUpdate] = {}
        for update in (*first, *subscriber.poll(0.0)):
            newest.pop((update.source, update.channel), None)
            newest[update.source, update.channel] = update
        return list(newest.values())


class Spectra:
    """Asks the builder for spectra, a few at a time, off the event loop."""

    def __init__(self, connect: Callable[[], Asker]) -> None:
        self._connect = connect
        self._local = threading.local()
        self._askers: list[Asker] = []
        self._pool = ThreadPoolExecutor(ASKERS, thread_name_prefix="spectrum")

    async def ask(self, request: SpectrumRequest) -> SpectrumReply | str:
        """Return the answer, or in one sentence why there is none."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._ask, request)

    def close(self) -> None:
        """Stop asking."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, request: SpectrumRequest) -> SpectrumReply | str:
        asker: Asker | None = getattr(self._local, "asker", None)
        if asker is None:
            asker = self._local.asker = self._connect()
        try:
            reply = asker.ask(request, ASK_TIMEOUT_S)
        except (TimeoutError, OSError, ValueError) as problem:
            log.info("no spectrum: %s", problem)
            return "the map builder does not answer"
        if isinstance(reply, SpectrumReply):
            return reply
        return str(getattr(reply, "reason", "the map builder answered something else"))
