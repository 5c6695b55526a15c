"""What every bridge does: one softioc process for one instrument, on loopback, that outlives the instrument's absence.

An instrument that cannot be reached, or stops answering, is asked again for ever; its readbacks are INVALID meanwhile
and puts are refused with the reason.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from devices.channel_access import server_variables
from devices.ioc.link import InstrumentError
from devices.ioc.permit import NoGuard, Permits
from devices.ioc.settings import BridgeProcess
from stream.health import clear_ready, mark_ready
from stream.settings import load_settings

if TYPE_CHECKING:
    from devices.ioc.panel import Panel

ABSENT_S = 0.5
"""Shortest interval at which an instrument that is away is looked for, s."""

log = logging.getLogger(__name__)


class Bridge(Protocol):
    """One instrument behind its PVs."""

    @property
    def interval_s(self) -> float:
        """Interval of the readings, s."""
        ...

    def adopt(self) -> None:
        """Learn what the instrument does and holds: at the start and after each loss of the line."""
        ...

    def poll(self) -> None:
        """Read the instrument, show it, and go on with what is under way."""
        ...

    def make_safe(self) -> None:
        """Leave the instrument safe: the process ends, or the guard is gone. Field and temperature hold."""
        ...


Make = Callable[["Panel", BridgeProcess], Bridge]


def run(arguments: list[str], instrument: str, reason: str, make: Make) -> int:
    """Run a bridge with its settings file as the only argument, until SIGTERM.

    Parameters
    ----------
    arguments
        The path of a `BridgeProcess`.
    instrument
        Name of the instrument, as in the rig file and as the guard calls it.
    reason
        Name of the PV that says why a put was refused.
    make
        Makes the bridge, and with it the records.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    process = load_settings(BridgeProcess, arguments[0])
    clear_ready(process.stream, process.name)
    os.environ.update(server_variables(process.ca_port))
    try:
        asyncio.run(_serve(process, instrument, reason, make))
    finally:
        clear_ready(process.stream, process.name)
    return 0


async def _serve(process: BridgeProcess, instrument: str, reason: str, make: Make) -> None:
    # softioc loads EPICS on import, after which the environment no longer counts.
    from softioc import asyncio_dispatcher, builder, softioc

    from devices.ioc.panel import Panel

    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    connection: _Connection | None = None
    permits = Permits(process.prefix, lambda: connection and connection.make_safe()) if process.guard else NoGuard()
    panel = Panel(process.prefix, reason, instrument, permits)
    bridge = make(panel, process)
    builder.LoadDatabase()
    # Channel Access alone: a PVAccess server would search on every interface.
    softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher(loop=loop), enable_pva=False)
    connection = _Connection(bridge, panel)
    panel.refresh = connection.attempt
    connection.attempt()
    if isinstance(permits, Permits):
        permits.start()
    mark_ready(process.stream, process.name)
    log.info("%s serves %s*", process.name, process.prefix)
    while not stopped.is_set():
        try:
            await asyncio.wait_for(stopped.wait(), max(bridge.interval_s, 0.0 if connection.up else ABSENT_S))
        except TimeoutError:
            connection.attempt()
    connection.make_safe()


class _Connection:
    """Whether the instrument answers, and what is done when that changes."""

    def __init__(self, bridge: Bridge, panel: Panel) -> None:
        self.up = False
        self._bridge = bridge
        self._panel = panel
        self._why = ""

    def attempt(self) -> None:
        """Read the instrument, or try to find it again."""
        try:
            if not self.up:
                self._bridge.adopt()
            self._bridge.poll()
        except InstrumentError as error:
            self.up = False
            if str(error) != self._why:
                self._why = str(error)
                log.warning("%s", error)
            self._panel.lose(str(error))
            return
        if not self.up:
            log.info("the instrument answers")
            self.up, self._why = True, ""
            self._panel.regain()

    def make_safe(self) -> None:
        """Leave the instrument safe, as far as it answers."""
        if self.up:
            try:
                self._bridge.make_safe()
            except InstrumentError as error:
                log.warning("%s", error)


class Stopwatch:
    """The time since it was last asked, s."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def lap(self) -> float:
        """Return the seconds since the last call."""
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        return seconds
