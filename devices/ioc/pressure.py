"""The bridge to the membrane: `python -m devices.ioc.pressure SETTINGS.json` serves DAC:* for a PACE 5000 or 6000.

When it ends, or loses the controller, the controller goes on by itself: the pressure holds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from devices.ioc.bridge import run
from devices.ioc.link import VisaLink
from devices.ioc.pace import Membrane, Pace
from devices.ioc.settings import BridgeProcess, PressureBridgeSettings

if TYPE_CHECKING:
    from devices.ioc.panel import Panel


class PressureBridge:
    """A pressure controller behind DAC:*.

    Parameters
    ----------
    panel
        Makes the records.
    settings
        Controller and limits.
    count
        Keeps the number of the pressure point.
    """

    def __init__(self, panel: Panel, settings: PressureBridgeSettings, count: LoadCount) -> None:
        self.interval_s = settings.poll_s
        self._panel = panel
        self._count = count
        self._membrane = Membrane(Pace(VisaLink(settings), settings), settings, count.value)
        self._target = panel.setting("DAC:MEMBRANE_BAR", "bar", self._ask_for)
        self._pressure = panel.number("DAC:MEMBRANE_BAR_RBV", "bar", 4)
        self._index = panel.integer("DAC:LOAD_INDEX_RBV")
        self._done = panel.integer("DAC:DONE", lost=0)

    def _ask_for(self, bar: float) -> str:
        why = self._membrane.ask_for(bar)
        self._count.keep(self._membrane.load_index)
        return why

    def adopt(self) -> None:
        """Take over the pressure that is there; nothing moves."""
        self._membrane.adopt()

    def poll(self) -> None:
        """Read the pressure."""
        membrane, panel = self._membrane, self._panel
        membrane.read()
        panel.adopt(self._target, round(membrane.target_bar, 4))
        panel.show(self._pressure, membrane.pressure_bar)
        panel.show(self._index, membrane.load_index)
        panel.show(self._done, int(membrane.done))
        if membrane.trouble:
            panel.say(membrane.trouble)

    def make_safe(self) -> None:
        """Leave the controller as it is: the pressure holds."""


class LoadCount:
    """The number of the pressure point, kept in a file: it outlives the bridge.

    Parameters
    ----------
    path
        The file.
    first
        Number to begin with where there is no file, or a higher one than the file's.
    """

    def __init__(self, path: Path, first: int) -> None:
        self._path = path
        kept = json.loads(path.read_text())["load_index"] if path.exists() else first
        self.value = max(int(kept), first)

    def keep(self, value: int) -> None:
        """Write the number where it has changed."""
        if value != self.value:
            self.value = value
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps({"load_index": value}))
            new.replace(self._path)


def make(panel: Panel, process: BridgeProcess) -> PressureBridge:
    """Return the bridge of this process."""
    assert process.bridges.pressure is not None
    count = LoadCount(Path(process.stream.data_dir) / "bridges" / "pressure.json", process.load_index)
    return PressureBridge(panel, process.bridges.pressure, count)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], "pressure", "DAC:REASON", make))
