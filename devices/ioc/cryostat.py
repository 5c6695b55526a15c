"""The bridge to the cryostat: `python -m devices.ioc.cryostat SETTINGS.json` serves CRYO:* for a Lake Shore 336 or 350.

When it ends, or loses the controller, the controller goes on by itself: the temperature holds.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from devices.ioc.bridge import run
from devices.ioc.lakeshore import Cryostat, LakeShore
from devices.ioc.link import VisaLink
from devices.ioc.settings import BridgeProcess, CryostatBridgeSettings

if TYPE_CHECKING:
    from devices.ioc.panel import Panel


class CryostatBridge:
    """A temperature controller behind CRYO:*.

    Parameters
    ----------
    panel
        Makes the records.
    settings
        Controller and limits.
    """

    def __init__(self, panel: Panel, settings: CryostatBridgeSettings) -> None:
        self.interval_s = settings.poll_s
        self._panel = panel
        self._cryostat = Cryostat(LakeShore(VisaLink(settings), settings), settings)
        self._target = panel.setting("CRYO:TEMPERATURE_K", "K", self._cryostat.ask_for)
        self._rate = panel.setting(
            "CRYO:RATE_K_PER_MIN", "K/min", self._cryostat.ask_rate, settings.rate_k_per_min, rate=True
        )
        self._ramp = panel.number("CRYO:TEMPERATURE_K_RBV", "K")
        self._stage = panel.number("CRYO:STAGE_K_RBV", "K")
        self._sample = panel.number("CRYO:SAMPLE_K_RBV", "K")
        self._drift = panel.number("CRYO:DRIFT_K_PER_MIN_RBV", "K/min", 4)
        self._settled = panel.integer("CRYO:SETTLED", lost=0)

    def adopt(self) -> None:
        """Take over what the controller does; nothing moves."""
        self._cryostat.adopt()
        self._panel.adopt(self._rate, self._cryostat.rate_k_per_min)

    def poll(self) -> None:
        """Read thermometers and ramp."""
        cryostat, panel = self._cryostat, self._panel
        reading = cryostat.read(time.monotonic())
        panel.adopt(self._target, reading.ramp_k if cryostat.target_k is None else cryostat.target_k)
        panel.show(self._ramp, reading.ramp_k)
        panel.show(self._stage, reading.stage_k)
        panel.show(self._sample, reading.sample_k)
        panel.show(self._drift, cryostat.drift_k_per_min)
        panel.show(self._settled, int(cryostat.settled))
        if cryostat.trouble:
            panel.say(cryostat.trouble)

    def make_safe(self) -> None:
        """Leave the controller as it is: the temperature holds."""


def make(panel: Panel, process: BridgeProcess) -> CryostatBridge:
    """Return the bridge of this process."""
    assert process.bridges.cryostat is not None
    return CryostatBridge(panel, process.bridges.cryostat)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], "cryostat", "CRYO:REASON", make))
