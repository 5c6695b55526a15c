"""A line to an instrument: ask, tell, retry and reconnect over PyVISA, which is loaded when it is first needed."""

from __future__ import annotations

import contextlib
import importlib
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from devices.ioc.settings import LinkSettings

log = logging.getLogger(__name__)
T = TypeVar("T")


class InstrumentError(RuntimeError):
    """Something is wrong with an instrument; the message is one line for people."""


class LinkError(InstrumentError):
    """It cannot be reached, or does not answer in time."""


class ReplyError(InstrumentError):
    """It answered what cannot be: not a number, or one outside every range."""


class RefusedError(InstrumentError):
    """It is well and says no."""


class Link(Protocol):
    """What a dialogue needs of a line to its instrument."""

    def ask(self, command: str) -> str:
        """Send a query and return the answer without its ends of line."""
        ...

    def tell(self, command: str) -> None:
        """Send a command that has no answer."""
        ...

    def retry(self, action: Callable[[], T]) -> T:
        """Return `action()`, done again on a fresh connection where the line or the answer was bad."""
        ...


class VisaLink:
    """A line over PyVISA.

    After a time-out or a garbled answer the connection is closed and made anew: an answer that comes late must never
    be taken for that to the next question. What is retried must therefore be harmless when done twice: readings, and
    absolute set points that are read back.

    Parameters
    ----------
    settings
        Address, time-out and number of retries.
    """

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings
        self._session: Any = None
        self._manager: Any = None

    @property
    def connected(self) -> bool:
        """True while a connection is open, as far as known."""
        return self._session is not None

    def ask(self, command: str) -> str:
        """Send a query and return the answer without its ends of line.

        Raises
        ------
        LinkError
            Where there is no connection or no answer in time.
        ReplyError
            Where the answer is not text.
        """
        session = self._open()
        try:
            session.write(command)
            answer = session.read()
        except UnicodeDecodeError as error:
            self.close()
            raise ReplyError(f"{self._settings.address} answered {command!r} with what is not text") from error
        except Exception as error:
            self.close()
            raise LinkError(f"{self._settings.address} did not answer {command!r}: {_short(error)}") from error
        time.sleep(self._settings.pause_s)
        return str(answer).strip()

    def tell(self, command: str) -> None:
        """Send a command that has no answer.

        Raises
        ------
        LinkError
            Where there is no connection.
        """
        session = self._open()
        try:
            session.write(command)
        except Exception as error:
            self.close()
            raise LinkError(f"{self._settings.address} did not take {command!r}: {_short(error)}") from error
        time.sleep(self._settings.pause_s)

    def retry(self, action: Callable[[], T]) -> T:
        """Return `action()`, done again on a fresh connection where the line or the answer was bad.

        One try only where there was no connection to begin with: who polls comes back anyway.
        """
        for left in reversed(range(1 + (self._settings.retries if self.connected else 0))):
            try:
                return action()
            except (LinkError, ReplyError) as error:
                self.close()
                if not left:
                    raise
                log.warning("%s; trying again", error)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Let go of the connection; the next question makes a new one."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(Exception):
                session.close()

    def _open(self) -> Any:
        if self._session is None:
            if self._manager is None:
                self._manager = _manager(self._settings.visa_library)
            self._session = self._connect()
        return self._session

    def _connect(self) -> Any:
        settings = self._settings
        wait_ms = 1000 * settings.timeout_s
        try:
            session = self._manager.open_resource(settings.address, open_timeout=int(wait_ms))
            session.timeout = wait_ms
            session.write_termination = session.read_termination = settings.termination
            if settings.baud_rate:
                session.baud_rate, session.data_bits = settings.baud_rate, settings.data_bits
                session.parity = importlib.import_module("pyvisa.constants").Parity[settings.parity]
        except Exception as error:
            raise LinkError(f"{settings.address} cannot be reached: {_short(error)}") from error
        return session


def _manager(library: str) -> Any:
    """Return PyVISA's resource manager.

    Raises
    ------
    LinkError
        Where PyVISA or its back-end is not installed; says what to install.
    """
    try:
        return importlib.import_module("pyvisa").ResourceManager(library)
    except ImportError as error:
        raise LinkError(
            f"bridges need PyVISA: .venv/bin/pip install -c constraints.txt -e '.[instruments]' ({error})"
        ) from error
    except (OSError, ValueError) as error:
        raise LinkError(
            f"PyVISA has no library {library!r}: set visa_library to '@py', or '' with a vendor's VISA installed "
            f"({_short(error)})"
        ) from error


def _short(error: Exception) -> str:
    """Return an error in one line."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
