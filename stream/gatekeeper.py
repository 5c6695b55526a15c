"""Who may come in over CURVE: ZeroMQ asks this thread about each connection's key (ZAP, RFC 27) before any message.

The list is read again when its file changes, so that a host is admitted or locked out without a restart; a connection
that stands stays until it ends.
"""

from __future__ import annotations

import logging
import threading

import zmq
from zmq.utils import z85

from stream.keys import KeysError, allowed, allowed_stamp
from stream.sockets import Waker, receive

ENDPOINT = "inproc://zeromq.zap.01"
_VERSION = b"1.0"

_log = logging.getLogger(__name__)


class Gatekeeper(threading.Thread):
    """Answers for one context; `denied` counts the handshakes that were refused."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        super().__init__(name="gatekeeper", daemon=True)
        self._socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(ENDPOINT)
        self._waker = Waker()
        self._ended = False
        self._stamp: tuple[int, int] = (-1, -1)
        self._names: dict[str, str] = {}
        self.admitted = 0
        self.denied = 0
        self.start()

    def finish(self) -> None:
        """End the thread and close its socket: nobody is admitted any more."""
        if not self._ended:
            self._ended = True
            self._waker.wake()
            self.join()
            self._waker.close()

    def run(self) -> None:
        """Answer until `finish`."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._waker.fd, zmq.POLLIN)
        while not self._ended:
            poller.poll()
            self._waker.clear()
            while (parts := receive(self._socket)) is not None:
                self._answer(parts)
        self._socket.close()

    def _answer(self, parts: list[bytes]) -> None:
        # a routing id, an empty part, then version, request, domain, address, identity, mechanism, credentials
        if len(parts) < 8 or parts[2] != _VERSION:
            return
        request, address, mechanism, credentials = parts[3], parts[5], parts[7], parts[8:]
        name = ""
        if mechanism == b"CURVE" and len(credentials) == 1 and len(credentials[0]) == 32:
            name = self._name_of(z85.encode(credentials[0]).decode())
        if name:
            self.admitted += 1
            _log.info("%s is admitted from %s", name, address.decode("ascii", "replace"))
        else:
            self._deny(address)
        status = (b"200", b"OK") if name else (b"400", b"this key is not admitted")
        self._socket.send_multipart([parts[0], b"", _VERSION, request, *status, name.encode(), b""])

    def _deny(self, address: bytes) -> None:
        self.denied += 1
        if self.denied <= 10 or self.denied % 1000 == 0:
            place = address.decode("ascii", "replace")
            _log.warning("refused a connection from %s: its key is not admitted (%d so far)", place, self.denied)

    def _name_of(self, key: str) -> str:
        """Return the name of a key, empty where it is not admitted."""
        stamp = allowed_stamp()
        if stamp != self._stamp:
            try:
                self._names, self._stamp = allowed(), stamp
            except (KeysError, UnicodeDecodeError) as error:
                # an unsafe list admits nobody
                self._names = {}
                _log.error("%s", error)
        return self._names.get(key, "")
