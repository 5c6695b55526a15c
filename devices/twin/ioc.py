"""The twin IOC: `python -m devices.twin.ioc SETTINGS.json` serves the simulated instruments over Channel Access.

The port is that of EPICS_CA_SERVER_PORT. It listens on loopback alone unless the environment says otherwise, and ends
at SIGTERM.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time

from devices.channel_access import quiet_repeater
from devices.ioc.permit import NoGuard, Permits
from devices.processes import TwinProcess
from devices.twin.loopback import keep_to_loopback
from devices.twin.rig import TwinRig
from stream.health import clear_ready, mark_ready
from stream.settings import load_settings

UPDATE_S = 0.05
"""Interval of the simulation and of the readbacks, s."""
NAME = "ioc"
"""Name of the process in ready marks."""

log = logging.getLogger(__name__)


class Clock:
    """Carries wall time into the rig's simulated time."""

    def __init__(self, rig: TwinRig) -> None:
        self._rig = rig
        self._last = time.monotonic()

    def catch_up(self, speed: float) -> None:
        """Advance the rig by the wall time since the last call times `speed`."""
        now = time.monotonic()
        self._rig.advance((now - self._last) * speed)
        self._last = now


async def serve(process: TwinProcess) -> None:
    """Serve the twin's PVs until SIGTERM or SIGINT."""
    # softioc loads EPICS on import, after which the environment no longer counts.
    from softioc import asyncio_dispatcher, builder, softioc

    from devices.twin.records import TwinRecords

    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    rig = TwinRig(process.twin)
    clock = Clock(rig)
    permits = Permits(process.prefix, lambda: _dark(rig)) if process.guard else None
    records = TwinRecords(rig, process.prefix, lambda: clock.catch_up(records.speed), permits or NoGuard())
    builder.LoadDatabase()
    # Channel Access alone: a PVAccess server would search on every interface.
    softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher(loop=loop), enable_pva=False)
    if permits is not None:
        quiet_repeater()
        permits.start()
    records.show()
    mark_ready(process.stream, NAME)
    log.info("twin of %s serves %s*", process.twin.sample, process.prefix)
    # Solved once here rather than inside the first reading, which would hold up every other put.
    await asyncio.to_thread(rig.resistance_curve)
    while not stopped.is_set():
        clock.catch_up(records.speed)
        records.show()
        try:
            await asyncio.wait_for(stopped.wait(), UPDATE_S)
        except TimeoutError:
            continue


def _dark(rig: TwinRig) -> None:
    """Switch laser and microwave off: nobody guards them."""
    rig.shutter = rig.microwave_enable = 0


def main(arguments: list[str]) -> int:
    """Run the process with its settings file as the only argument."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    process = load_settings(TwinProcess, arguments[0])
    clear_ready(process.stream, NAME)
    keep_to_loopback()
    try:
        asyncio.run(serve(process))
    finally:
        clear_ready(process.stream, NAME)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
