"""The microwave source: power, output and the frequency list of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ophyd import Kind

from devices.epics import DeviceError, RigDevice, readback, refusable, setting, switch
from devices.limits import check_limits
from devices.settings import MicrowaveSettings
from devices.waiting import ProgressStatus, put_and_wait, refusal_of, run_in_thread


class MicrowaveSource(RigDevice):
    """A source that steps through a frequency list, one step per camera frame.

    `set(power_dbm)` changes the power, `enable.set(1)` switches the output on, `prepare(frequency_mhz)` loads a list.
    """

    settings: MicrowaveSettings
    power_dbm = refusable("power_dbm", read="power_dbm_rbv", kind=Kind.hinted)
    enable = switch("enable", read="enable_rbv")
    list_mhz = setting("list_mhz", kind=Kind.omitted)
    list_count = readback("list_count", kind=Kind.config)
    frequency_mhz = readback("frequency_mhz", kind=Kind.omitted)
    reason = readback("reason", kind=Kind.omitted, string=True)

    def check_value(self, value: float, **kwargs: Any) -> None:
        """Refuse a power outside the limits of the rig file."""
        del kwargs
        check_limits(self.name, value, self.settings.limits_dbm, "dBm")

    def set(self, power_dbm: float) -> ProgressStatus:
        """Change the power, dBm."""
        self.check_value(power_dbm)
        status = ProgressStatus(self, what="microwave power", unit="dBm")
        return run_in_thread(status, lambda _: put_and_wait(self.power_dbm, float(power_dbm)))

    def prepare(self, frequency_mhz: Sequence[float]) -> ProgressStatus:
        """Load the frequencies of one pass, MHz, 0 for its output off; fails where the source took another number."""
        frequencies = np.asarray(frequency_mhz, dtype=np.float64)
        if frequencies.size == 0:
            raise DeviceError(f"{self.name}: the frequency list is empty")
        on = frequencies[frequencies != 0.0]
        for edge in (on.min(), on.max()) if on.size else ():
            check_limits(f"{self.name} frequency", float(edge), self.settings.limits_mhz, "MHz")
        return run_in_thread(ProgressStatus(self, what="microwave list"), lambda _: self._load(frequencies))

    def _load(self, frequencies: Any) -> None:
        put_and_wait(self.list_mhz, frequencies)
        taken = int(self.list_count.get(use_monitor=False))
        if taken != frequencies.size:
            why = refusal_of(self)
            raise DeviceError(
                f"{self.name}: the source took {taken} of {frequencies.size} frequencies{f': {why}' if why else ''}"
            )
