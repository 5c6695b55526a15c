"""HTTP connections that end: one that never finishes a request, or rests between two, keeps no descriptor for ever.

A browser opens a connection anew without a word; a websocket has its own patience (`DashboardSettings.stuck_s`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE_S = 10.0
"""Longest time without a request in work, s."""
MOST_HEAD_BYTES = 16384
"""Longest request line with all headers, bytes."""


class ImpatientProtocol(H11Protocol):
    """uvicorn's plain HTTP protocol, with a look every so often at whether anything is in work."""

    patience_s = PATIENCE_S

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Begin to look after the connection."""
        super().connection_made(transport)
        self._looking: Any = self.loop.call_later(self.patience_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """End looking."""
        self._looking.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        if self.transport.get_protocol() is not self:
            return  # it is a websocket by now
        if not self.cycle or self.cycle.response_complete:
            self.transport.close()
        else:
            self._looking = self.loop.call_later(self.patience_s, self._look)
