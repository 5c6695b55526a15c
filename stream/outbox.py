"""Tiles on their way to the builder: per band the newest provisional one, and the final one until the run is over."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from stream.codec import encode
from stream.link_messages import FinalAccepted
from stream.messages import Tile
from stream.schema import Parts
from stream.slots import SweepKey

RESEND_S = 10.0
"""Time after which a final tile without an answer is sent again, s."""
KEPT_BYTES = 256 * 1024 * 1024
"""Accepted finals that are kept for a builder that begins again, bytes; the oldest go first."""

BandKey = tuple[SweepKey, int]
"""Run and sweep, first row."""


@dataclass
class _Final:
    lease: int
    parts: Parts
    accepted: bool = False
    send_at: float = 0.0

    @property
    def size(self) -> int:
        return sum(len(part) for part in self.parts)


class TileOutbox:
    """Thread-safe; `send` is called by the socket's thread, the rest by any."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._lock = threading.Lock()
        self._kept_bytes = kept_bytes
        self._provisional: dict[BandKey, Parts] = {}
        self._finals: dict[BandKey, _Final] = {}
        self._evicted: dict[BandKey, int] = {}

    def put(self, tile: Tile) -> None:
        """Keep a copy of the tile for sending."""
        parts: Parts = [bytes(part) for part in encode(tile)]
        key = ((tile.run_uid, tile.sweep), tile.y0)
        with self._lock:
            if tile.final:
                self._provisional.pop(key, None)
                self._finals[key] = _Final(tile.lease, parts)
            elif key not in self._finals:
                self._provisional[key] = parts

    def accepted(self, message: FinalAccepted) -> None:
        """Note that the builder has a final tile; it is kept for a builder that begins again."""
        with self._lock:
            final = self._finals.get(((message.run_uid, message.sweep), message.y0))
            if final is not None:
                final.accepted = True
                self._evict()

    def again(self) -> list[tuple[BandKey, int]]:
        """Send every final tile again: the builder began anew.

        Returns
        -------
        list
            (band, lease) of finals that were accepted before and are no longer kept: they must be made again.
        """
        with self._lock:
            for final in self._finals.values():
                final.accepted, final.send_at = False, 0.0
            evicted, self._evicted = self._evicted, {}
            return list(evicted.items())

    def drop_band(self, key: SweepKey, y0: int) -> None:
        """Forget what was not accepted of a band that is no longer ours."""
        with self._lock:
            self._provisional.pop((key, y0), None)
            final = self._finals.get((key, y0))
            if final is not None and not final.accepted:
                del self._finals[key, y0]
            self._evicted.pop((key, y0), None)

    def drop_sweep(self, key: SweepKey) -> None:
        """Forget a sweep."""
        with self._lock:
            for kept in (self._provisional, self._finals, self._evicted):
                for band in [band for band in kept if band[0] == key]:
                    del kept[band]

    def drop_runs(self, keep: set[str]) -> None:
        """Forget the runs that are not in `keep`, but for finals that nobody has taken yet."""
        with self._lock:
            self._provisional = {key: parts for key, parts in self._provisional.items() if key[0][0] in keep}
            self._finals = {
                key: final for key, final in self._finals.items() if key[0][0] in keep or not final.accepted
            }
            self._evicted = {key: lease for key, lease in self._evicted.items() if key[0][0] in keep}

    def due(self) -> list[tuple[BandKey, Parts, bool]]:
        """Return (band, parts, final) of what should be sent now."""
        now = time.monotonic()
        with self._lock:
            finals = [
                (key, item.parts, True)
                for key, item in self._finals.items()
                if not item.accepted and now >= item.send_at
            ]
            return finals + [(key, parts, False) for key, parts in self._provisional.items()]

    def sent(self, key: BandKey, parts: Parts, final: bool) -> None:
        """Note that the parts left."""
        with self._lock:
            if final:
                item = self._finals.get(key)
                if item is not None and item.parts is parts:
                    item.send_at = time.monotonic() + RESEND_S
            elif self._provisional.get(key) is parts:
                del self._provisional[key]

    def unaccepted(self) -> int:
        """Return how many finals the builder has not taken."""
        with self._lock:
            return sum(not final.accepted for final in self._finals.values())

    def waiting_runs(self) -> set[str]:
        """Return the runs with finals that the builder has not taken."""
        with self._lock:
            return {key[0][0] for key, final in self._finals.items() if not final.accepted}

    def _evict(self) -> None:
        """Let the oldest accepted finals go where they are too many; the caller holds the lock."""
        accepted = [(key, final) for key, final in self._finals.items() if final.accepted]
        total = sum(final.size for _, final in accepted)
        for key, final in accepted:
            if total <= self._kept_bytes:
                return
            total -= final.size
            self._evicted[key] = final.lease
            del self._finals[key]
