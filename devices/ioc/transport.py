"""The bridge to the transport meter: `python -m devices.ioc.transport SETTINGS.json` serves TRANSPORT:*.

Behind it is an SRS lock-in amplifier, or a Keithley 6221 with a 2182A in delta mode.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from devices.ioc.bridge import run
from devices.ioc.delta import DeltaMode
from devices.ioc.link import VisaLink
from devices.ioc.lockin import Lockin
from devices.ioc.meter import Meter, Resistance
from devices.ioc.settings import BridgeProcess

if TYPE_CHECKING:
    from devices.ioc.panel import Panel

LOCK_IN, DELTA = 0, 1
MODES = ("lock-in", "delta")
"""Names of the modes, by what TRANSPORT:MODE is put to."""


class TransportBridge:
    """A transport meter behind TRANSPORT:*.

    Parameters
    ----------
    panel
        Makes the records.
    meter
        The instrument.
    interval_s
        Interval of the readings of the excitation, s.
    mode
        How it measures, `LOCK_IN` or `DELTA`; a bridge has one instrument, and so one mode.
    """

    def __init__(self, panel: Panel, meter: Meter, interval_s: float, mode: int) -> None:
        self.interval_s = interval_s
        self._only = mode
        self._panel = panel
        self._meter = meter
        self._busy = False
        self._done = 0
        self._current = panel.setting("TRANSPORT:CURRENT_UA", "uA", self._set_current)
        self._current_rbv = panel.number("TRANSPORT:CURRENT_UA_RBV", "uA")
        self._ohm = panel.number("TRANSPORT:RESISTANCE_OHM_RBV", "Ohm", 6)
        self._sigma = panel.number("TRANSPORT:SIGMA_OHM_RBV", "Ohm", 6)
        self._phase = panel.number("TRANSPORT:PHASE_DEG_RBV", "deg")
        self._count = panel.integer("TRANSPORT:COUNT_RBV")
        panel.reading("TRANSPORT:MEASURE", self._measure)
        self._mode = panel.setting("TRANSPORT:MODE", "", self._set_mode, float(mode), off_at_zero=False)
        panel.numbers("TRANSPORT:CONTACTS_OHM_RBV", 4)
        panel.integer("TRANSPORT:CONTACTS_COUNT_RBV")
        panel.reading("TRANSPORT:CHECK_CONTACTS", self._check_contacts)

    def _set_mode(self, mode: float) -> str:
        return "" if mode == self._only else f"this meter measures in mode {self._only} ({MODES[self._only]}) only"

    async def _check_contacts(self) -> str:
        return "this meter cannot check contacts one by one: do it by hand"

    def _set_current(self, ua: float) -> str:
        if self._busy:
            return "a measurement is under way"
        self._meter.set_current(ua)
        return ""

    async def _measure(self) -> str:
        if self._busy:
            return "a measurement is under way"
        self._busy = True
        try:
            resistance = await self._steps()
        finally:
            self._busy = False
        self._done += 1
        self._panel.show(self._ohm, resistance.ohm)
        self._panel.show(self._sigma, resistance.sigma_ohm)
        self._panel.show(self._phase, resistance.phase_deg)
        self._panel.show(self._count, self._done)
        return resistance.trouble

    async def _steps(self) -> Resistance:
        steps = self._meter.measure()
        while True:
            try:
                wait_s = next(steps)
            except StopIteration as end:
                return end.value
            await asyncio.sleep(wait_s)

    def adopt(self) -> None:
        """Take over the excitation."""
        self._meter.identify()

    def poll(self) -> None:
        """Read the excitation, where no measurement is under way."""
        if self._busy:
            return
        current = self._meter.current_ua()
        self._panel.adopt(self._current, round(current, 6))
        self._panel.show(self._current_rbv, current)
        self._panel.show(self._count, self._done)

    def make_safe(self) -> None:
        """Leave the excitation as it is: the sample bears it."""


def make(panel: Panel, process: BridgeProcess) -> TransportBridge:
    """Return the bridge of this process."""
    lockin, delta = process.bridges.lockin, process.bridges.delta
    if lockin is not None:
        return TransportBridge(panel, Lockin(VisaLink(lockin), lockin), lockin.poll_s, LOCK_IN)
    assert delta is not None
    return TransportBridge(panel, DeltaMode(VisaLink(delta), delta), delta.poll_s, DELTA)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], "transport", "TRANSPORT:REASON", make))
