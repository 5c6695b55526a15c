"""Who may ask: only a page that this server served, under a name it knows; and what a browser may load: nothing else.

A browser sends any page's websocket handshake to us, cookies or not, so the Origin must be this very server. The Host
is checked too, since a hostile name may be pointed at 127.0.0.1.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
"""Sent with every answer."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names under which the page may always be asked for (also through an ssh tunnel, at any port)."""


class Guard:
    """Middleware: refuses foreign hosts and origins, adds the security headers."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(LOOPBACK) | {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is allowed."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        reason = self.refusal(Headers(scope=scope), scope["type"] == "websocket")
        if reason:
            log.warning("refused: %s", reason)
            await self._refuse(reason, scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def refusal(self, headers: Headers, websocket: bool) -> str:
        """Return why a request is refused, empty where it is allowed."""
        host = headers.get("host", "")
        name = urlsplit(f"//{host}").hostname or ""
        if name not in self._hosts:
            return f"this page is not served under the name {name[:80]!r}"
        if websocket and headers.get("origin") != f"http://{host}":
            return f"origin {headers.get('origin', '')[:80]!r} is not http://{host[:80]}"
        return ""

    @staticmethod
    async def _refuse(reason: str, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
            return
        await PlainTextResponse(f"refused: {reason}\n", status_code=403)(scope, receive, send)
