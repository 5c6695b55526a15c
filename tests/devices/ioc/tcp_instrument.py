"""A simulated instrument on a real TCP port of loopback, with the faults that real ones have."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque


class TcpInstrument:
    """Answers lines; `answer(command)` returns a text, or None where the command has no answer.

    Faults: `replies` are given in place of the next answers (one that is None is never given), `hang_up()` closes
    every connection, `stop()` also stops listening until `start()`, `late_s` delays every answer.
    """

    end = "\n"

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.replies: deque[str | None] = deque()
        self.late_s = 0.0
        self.connections = 0
        self.lock = threading.RLock()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self.port = 0
        self.start()

    @property
    def address(self) -> str:
        return f"TCPIP::127.0.0.1::{self.port}::SOCKET"

    def start(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen()
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._run(self._accept, listener)

    def stop(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(5)
        self._threads.clear()

    def hang_up(self) -> None:
        with self.lock:
            connections, self._open = self._open, []
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _run(self, work, *arguments) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self._open.append(connection)
                self.connections += 1
            self._run(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        buffer = b""
        with contextlib.suppress(OSError):
            while data := connection.recv(4096):
                buffer += data
                *lines, buffer = buffer.split(b"\n")
                for line in lines:
                    self._take(connection, line.decode().strip())

    def _take(self, connection: socket.socket, command: str) -> None:
        with self.lock:
            self.heard.append(command)
            reply = self.answer(command)
            if reply is None:
                return
            if self.replies:
                reply = self.replies.popleft()
        if reply is not None:
            time.sleep(self.late_s)
            connection.sendall((reply + self.end).encode())

    def answer(self, command: str) -> str | None:
        raise NotImplementedError


class Lag:
    """A value that follows its set point with a time constant, by wall time."""

    def __init__(self, value: float, tau_s: float) -> None:
        self.tau_s = tau_s
        self.target = value
        self._value = value
        self._at = time.monotonic()

    @property
    def value(self) -> float:
        import math

        now = time.monotonic()
        self._value += (self.target - self._value) * -math.expm1(-(now - self._at) / self.tau_s)
        self._at = now
        return self._value

    @value.setter
    def value(self, value: float) -> None:
        self._value, self._at = value, time.monotonic()


class Slew:
    """A value that follows its set point at a rate, by wall time."""

    def __init__(self, value: float, rate_per_s: float) -> None:
        self.rate_per_s = rate_per_s
        self._target = self._value = value
        self._at = time.monotonic()

    @property
    def target(self) -> float:
        return self._target

    @target.setter
    def target(self, target: float) -> None:
        self._value = self.value
        self._target = target

    @property
    def value(self) -> float:
        now = time.monotonic()
        reach = self.rate_per_s * (now - self._at)
        self._at = now
        self._value += max(-reach, min(reach, self._target - self._value))
        return self._value

    @value.setter
    def value(self, value: float) -> None:
        self._value, self._at = value, time.monotonic()
