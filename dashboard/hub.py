"""Latest value per channel, and who has seen it. Lives in the event loop's thread alone; nothing here waits.

A viewer holds one credit: it gets one batch (the channels it wants and has not seen in their newest form), and the
next only after it has painted that one. Whatever was published meanwhile is skipped, so a slow browser costs nobody
anything, and nothing grows. A value is encoded when the first viewer needs it, a batch is put together once for all
viewers that are equally far, and the same bytes go to all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field

from dashboard.encode import encode_update, pack
from dashboard.shared_frames import frame
from dashboard.views import view_of
from stream.messages import StateUpdate

OURS = "shelf"
"""Source of the web process's own channels about stored runs: no publisher drops them."""


@dataclass
class _Slot:
    version: int
    update: StateUpdate
    encoded: bytes | None = None


@dataclass(eq=False)
class Viewer:
    """One browser."""

    wanted: frozenset[str] = frozenset()
    """Channels it shows; one that ends in `/` stands for all with that beginning."""
    seen: dict[str, int] = field(default_factory=dict[str, int])
    """Newest version sent, by channel."""
    unacknowledged: int = 0
    """Number of the batch it has not painted yet; 0 when the credit is free."""
    news: bool = False
    """Whether anything it shows has changed since it was last sent something."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there is something to send and the credit is free."""
    _known: dict[str, bool] = field(default_factory=dict[str, bool])

    def show(self, channels: Iterable[str]) -> None:
        """Show other channels from now on."""
        self.wanted = frozenset(channels)
        self._known.clear()
        self.notice()

    def notice(self) -> None:
        """Take note that there may be something to send: at once, or when the present batch is painted."""
        self.news = True
        if not self.unacknowledged:
            self.wake.set()

    def wants(self, channel: str) -> bool:
        """Return whether the viewer shows a channel."""
        known = self._known.get(channel)
        if known is None:
            many = tuple(want for want in self.wanted if want.endswith("/"))
            known = self._known[channel] = channel in self.wanted or channel.startswith(many)
        return known

    def acknowledge(self, batch: int) -> None:
        """Free the credit: the batch is painted."""
        if batch == self.unacknowledged:
            self.unacknowledged = 0
            if self.news:
                self.wake.set()


def channel_name(update: StateUpdate) -> str:
    """Return the page's name of a channel: every publisher has its own `events` and `alarms`."""
    return f"{update.channel}/{update.source}" if update.channel in ("events", "alarms") else update.channel


def _all(_channel: str) -> bool:
    return True


class Hub:
    """The newest update of each channel, and the viewers."""

    def __init__(self) -> None:
        self._slots: dict[str, _Slot] = {}
        self._version = 0
        self._batch: tuple[tuple[int, ...], tuple[bytes, memoryview]] = ((), frame(()))
        self._existing: Container[tuple[str, str]] | None = None
        self.viewers: set[Viewer] = set()

    def put_all(self, updates: Iterable[StateUpdate], existing: Container[tuple[str, str]]) -> None:
        """Take updates, and drop what its publisher has dropped: `existing` has (source, channel)."""
        for update in updates:
            self.put(update)
        if existing == self._existing:
            return
        self._existing = existing
        self._drop(
            name
            for name, slot in self._slots.items()
            if slot.update.source != OURS and (slot.update.source, slot.update.channel) not in existing
        )

    def put(self, update: StateUpdate) -> None:
        """Take an update: it replaces what the channel held."""
        name = channel_name(update)
        self._version += 1
        self._slots[name] = _Slot(self._version, update)
        for viewer in self.viewers:
            if not viewer.news and viewer.wants(name):
                viewer.notice()

    def __contains__(self, channel: str) -> bool:
        """Return whether a channel holds anything."""
        return channel in self._slots

    def forget(self, prefix: str) -> None:
        """Drop the channels whose names begin with `prefix`."""
        self._drop(name for name in self._slots if name.startswith(prefix))

    def _drop(self, names: Iterable[str]) -> None:
        dropped = list(names)
        for name in dropped:
            del self._slots[name]
        for viewer in self.viewers if dropped else ():
            viewer.notice()

    def beat(self) -> None:
        """Let every viewer be told that the server is alive, whatever it has not painted yet."""
        for viewer in self.viewers:
            viewer.wake.set()

    def is_wanted(self, channel: str) -> bool:
        """Return whether any viewer shows a channel."""
        return any(viewer.wants(channel) for viewer in list(self.viewers))

    def gone(self, viewer: Viewer, mine: Callable[[str], bool] = _all) -> list[str]:
        """Return the channels of `mine` that a viewer was sent and that are no more, and mark them so."""
        names = [name for name in viewer.seen if mine(name) and name not in self._slots]
        for name in names:
            del viewer.seen[name]
        return names

    def take(self, viewer: Viewer, mine: Callable[[str], bool] = _all) -> tuple[bytes, memoryview] | None:
        """Return what a viewer wants and has not seen as (frame, message in it), and mark it seen; None without news.

        Its first packet says which batch it is, for the viewer's acknowledgement: the newest version that is in it.
        """
        found: list[_Slot] = []
        for name, slot in self._slots.items():
            if viewer.seen.get(name, 0) < slot.version and viewer.wants(name) and mine(name):
                viewer.seen[name] = slot.version
                found.append(slot)
        if not found:
            return None
        viewer.unacknowledged = max(slot.version for slot in found)
        versions = tuple(slot.version for slot in found)
        if versions != self._batch[0]:
            mark = pack({"batch": viewer.unacknowledged}, {})
            self._batch = versions, frame((mark, *map(self._bytes, found)))
        return self._batch[1]

    def header(self, channel: str) -> dict[str, object]:
        """Return the header of a channel's newest update, empty where nothing came."""
        slot = self._slots.get(channel)
        return {} if slot is None else slot.update.header

    @staticmethod
    def _bytes(slot: _Slot) -> bytes:
        if slot.encoded is None:
            view = view_of(slot.update.channel) if "value" in slot.update.arrays else None
            if view is None:
                slot.encoded = encode_update(slot.update)
            else:
                slot.encoded = encode_update(slot.update, view.limits, view.missing, view.arrows)
        return slot.encoded
