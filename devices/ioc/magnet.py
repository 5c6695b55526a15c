"""The bridge to the coils: `python -m devices.ioc.magnet SETTINGS.json` serves MAG:* for one or two current supplies.

When it ends, or loses the supply, the field holds: nothing is sent.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

from devices.ioc.bridge import Stopwatch, run
from devices.ioc.link import VisaLink
from devices.ioc.settings import BridgeProcess, SupplySettings
from devices.ioc.supply import Coil, Supply

if TYPE_CHECKING:
    from devices.ioc.panel import Panel


class MagnetBridge:
    """One or two coils behind MAG:*.

    Parameters
    ----------
    panel
        Makes the records.
    settings
        Supplies and limits.
    """

    def __init__(self, panel: Panel, settings: SupplySettings) -> None:
        self.interval_s = settings.poll_s
        self._panel = panel
        self._settings = settings
        self._coils = {"z": Coil(Supply(VisaLink(settings), settings), settings)}
        if settings.x_address:
            line = VisaLink(dataclasses.replace(settings, address=settings.x_address))
            self._coils["x"] = Coil(Supply(line, settings), settings)
        self._gauss_per_ampere = {"z": settings.gauss_per_ampere, "x": settings.x_gauss_per_ampere}
        self._watch = Stopwatch()
        self._records()

    def _records(self) -> None:
        panel, rate = self._panel, self._settings.rate_a_per_s * abs(self._settings.gauss_per_ampere)
        self._set: dict[str, Any] = {}
        self._field: dict[str, Any] = {}
        for axis in ("z", "x"):
            name = f"MAG:FIELD_{axis.upper()}_GAUSS"
            self._set[axis] = panel.setting(name, "G", lambda value, axis=axis: self._ask_for(axis, value))
            self._field[axis] = panel.number(name + "_RBV", "G", 4)
        panel.setting("MAG:RATE_GAUSS_PER_S", "G/s", self._set_rate, rate, rate=True)
        self._done = panel.integer("MAG:DONE", lost=0)
        self._current = panel.number("MAG:CURRENT_A_RBV", "A", 5)

    def _ask_for(self, axis: str, gauss: float) -> str:
        if axis not in self._coils:
            return "" if gauss == 0.0 else "there is no transverse coil"
        return self._coils[axis].ask_for(gauss / self._gauss_per_ampere[axis])

    def _set_rate(self, gauss_per_s: float) -> str:
        rate = gauss_per_s / abs(self._settings.gauss_per_ampere)
        if not 0 < rate <= self._settings.rate_limit_a_per_s:
            most = self._settings.rate_limit_a_per_s * abs(self._settings.gauss_per_ampere)
            return f"{gauss_per_s:g} G/s is outside 0 to {most:g} G/s"
        for coil in self._coils.values():
            coil.rate_a_per_s = rate
        return ""

    def adopt(self) -> None:
        """Take over the fields that are there; nothing moves."""
        for axis, coil in self._coils.items():
            coil.adopt()
            self._panel.adopt(self._set[axis], round(coil.target_a * self._gauss_per_ampere[axis], 6))

    def poll(self) -> None:
        """Read the currents and go one step on each ramp."""
        seconds = self._watch.lap()
        for axis, coil in self._coils.items():
            coil.tick(seconds)
            self._panel.show(self._field[axis], coil.measured_a * self._gauss_per_ampere[axis])
            if coil.trouble:
                self._panel.say(coil.trouble)
        self._panel.show(self._current, self._coils["z"].measured_a)
        self._panel.show(self._done, int(all(coil.done for coil in self._coils.values())))

    def make_safe(self) -> None:
        """Leave the field as it is: it must hold."""


def make(panel: Panel, process: BridgeProcess) -> MagnetBridge:
    """Return the bridge of this process."""
    assert process.bridges.magnet is not None
    return MagnetBridge(panel, process.bridges.magnet)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], "magnet", "MAG:REASON", make))
