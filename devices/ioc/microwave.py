"""The bridge to the microwave source: `python -m devices.ioc.microwave SETTINGS.json` serves MW:* for an SRS SG380.

The output is switched off when the bridge starts, when it ends, and where the guard is gone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from devices.ioc.bridge import run
from devices.ioc.link import VisaLink
from devices.ioc.settings import BridgeProcess, MicrowaveBridgeSettings
from devices.ioc.sg380 import SignalGenerator

if TYPE_CHECKING:
    from devices.ioc.panel import Panel

LIST_LENGTH = 2048
"""Most frequencies of a list."""


class MicrowaveBridge:
    """A signal generator behind MW:*.

    Parameters
    ----------
    panel
        Makes the records.
    settings
        Source and limits.
    """

    def __init__(self, panel: Panel, settings: MicrowaveBridgeSettings) -> None:
        self.interval_s = settings.poll_s
        self._panel = panel
        self._source = SignalGenerator(VisaLink(settings), settings)
        self._on = False
        self._power = panel.setting("MW:POWER_DBM", "dBm", self._set_power, off_at_zero=False)
        self._enable = panel.switch("MW:ENABLE", self._switch)
        panel.array("MW:LIST_MHZ", LIST_LENGTH, self._load)
        self._power_rbv = panel.number("MW:POWER_DBM_RBV", "dBm", 2)
        self._enable_rbv = panel.integer("MW:ENABLE_RBV")
        self._count = panel.integer("MW:LIST_COUNT_RBV", lost=0)
        self._frequency = panel.number("MW:FREQUENCY_MHZ_RBV", "MHz", 4)

    def _set_power(self, dbm: float) -> str:
        self._source.set_power(dbm)
        return ""

    def _switch(self, on: float) -> str:
        self._on = bool(on)
        self._source.switch(self._on)
        return ""

    def _load(self, frequency_mhz: Sequence[float]) -> str:
        self._source.load_list(frequency_mhz)
        return ""

    def adopt(self) -> None:
        """Take over the power; the output goes off where nobody here has switched it on."""
        self._source.identify()
        if not self._on:
            self._source.switch(False)
        self._panel.adopt(self._power, self._source.power_dbm())

    def poll(self) -> None:
        """Read everything."""
        panel, source = self._panel, self._source
        output = source.output()
        panel.show(self._power_rbv, source.power_dbm())
        panel.show(self._enable_rbv, int(output))
        panel.show(self._count, source.list_size())
        panel.show(self._frequency, source.frequency_mhz())
        panel.adopt(self._enable, int(output))

    def make_safe(self) -> None:
        """Switch the output off."""
        self._on = False
        self._source.switch(False)


def make(panel: Panel, process: BridgeProcess) -> MicrowaveBridge:
    """Return the bridge of this process."""
    assert process.bridges.microwave is not None
    return MicrowaveBridge(panel, process.bridges.microwave)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], "microwave", "MW:REASON", make))
