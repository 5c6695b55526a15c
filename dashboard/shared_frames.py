"""One websocket frame for all viewers: what goes from a server to browsers is not masked, so it is the same for each.

Framing a map anew for every viewer would copy half a megabyte each time; here the frame is made once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

FINAL_BINARY = 0x82
"""First byte of a binary message in one frame (RFC 6455, 5.2)."""


def frame(parts: Iterable[bytes]) -> tuple[bytes, memoryview]:
    """Return the frame of a binary message made of parts, and the message in it."""
    parts = tuple(parts)
    length = sum(map(len, parts))
    if length < 126:
        head = bytes((FINAL_BINARY, length))
    elif length < 65536:
        head = bytes((FINAL_BINARY, 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((FINAL_BINARY, 127)) + length.to_bytes(8, "big")
    framed = b"".join((head, *parts))
    return framed, memoryview(framed)[len(head) :]


class SharedFramesProtocol(WebSocketsSansIOProtocol):
    """uvicorn's websocket protocol, that sends a frame as it is where a message brings one along as `framed`."""

    async def send(self, message: Any) -> None:
        """Send a message of the application."""
        await self.writable.wait()
        framed = message.get("framed")
        if framed is None or self.conn.state is not State.OPEN or self.close_sent:
            await super().send(message)
        elif self.disconnected:
            raise ClientDisconnected
        else:
            self.transport.write(framed)
