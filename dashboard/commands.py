"""What a browser may ask of the session, where it may: token first, then one question to the session at a time."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from stream.link_messages import ControlReply, ControlRequest
from stream.messages import Json

log = logging.getLogger(__name__)

ANSWER_S = 4.0
"""How long the session has for an answer, s."""
ASKERS = 2
"""Requests on their way at the same time: a halt does not queue behind one that is not answered."""
ACTIONS = ("pause", "resume", "stop", "abort", "veto", "pin", "marker")
TWO_STEPS = ("stop", "abort")
"""Actions that are asked for twice: the second time confirmed."""
LONGEST = 300
"""Characters of a name or a marker."""
VIEW_ONLY = "this page shows only; start with --allow-control and open the address that it prints"


class Asker(Protocol):
    """What is needed of `stream.state.StateAsker`."""

    def ask(self, message: ControlRequest, timeout_s: float) -> object:
        """Return the answer."""
        ...

    def close(self) -> None:
        """Let go of the sockets."""
        ...


class Commands:
    """Passes requests of browsers that have the token on to the session.

    Parameters
    ----------
    token
        The token of this start; empty refuses everything.
    connect
        Opens a connection to the session; called for each request, since sessions come and go.
    """

    def __init__(self, token: str, connect: Callable[[], Asker]) -> None:
        self._token = token.encode()
        self._connect = connect
        self._pool = ThreadPoolExecutor(ASKERS, thread_name_prefix="control")

    async def do(self, said: Json) -> tuple[bool, str]:
        """Return whether a request was accepted, and what is done or why it is not."""
        if not self.knows(said.get("token")):
            return False, VIEW_ONLY
        action = said.get("action")
        if action not in ACTIONS:
            return False, "that is nothing that can be asked for"
        if action in TWO_STEPS and said.get("confirmed") is not True:
            return False, f"{action} must be confirmed"
        kelvin = said.get("temperature_k", 0.0)
        if isinstance(kelvin, bool) or not isinstance(kelvin, int | float) or not 0.0 <= kelvin < 1e4:
            return False, "that is not a temperature"
        who, text = str(said.get("who", ""))[:LONGEST], str(said.get("text", ""))[:LONGEST]
        request = ControlRequest(str(action), who, float(kelvin), text)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._ask, request)

    def knows(self, token: object) -> bool:
        """Return whether a token is the one of this start; compared in constant time."""
        return bool(self._token) and isinstance(token, str) and hmac.compare_digest(token.encode(), self._token)

    def close(self) -> None:
        """Stop asking."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, request: ControlRequest) -> tuple[bool, str]:
        asker = self._connect()
        try:
            reply = asker.ask(request, ANSWER_S)
        except (TimeoutError, OSError, ValueError) as problem:
            log.info("%s was not answered: %s", request.action, problem)
            return False, "no session answers: nothing runs a plan now"
        finally:
            asker.close()
        if isinstance(reply, ControlReply):
            return reply.accepted, reply.said
        return False, str(getattr(reply, "reason", "the session answered something else"))
