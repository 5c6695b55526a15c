"""The transport meter: one resistance per trigger."""

from __future__ import annotations

from typing import Any

from ophyd import Kind

from devices.counting import take_reading
from devices.epics import RigDevice, readback, setting
from devices.limits import check_limits
from devices.settings import TransportSettings
from devices.waiting import ProgressStatus, put_and_wait, run_in_thread


class TransportMeter(RigDevice):
    """Four-terminal resistance; `trigger()` measures once, `set(current_ua)` changes the excitation."""

    settings: TransportSettings
    measure = setting("measure", kind=Kind.omitted)
    resistance_ohm = readback("resistance_ohm", kind=Kind.hinted)
    sigma_ohm = readback("sigma_ohm")
    phase_deg = readback("phase_deg")
    current_ua = setting("current_ua", read="current_ua_rbv", kind=Kind.config)
    count = readback("count", kind=Kind.omitted)

    def check_value(self, value: float, **kwargs: Any) -> None:
        """Refuse an excitation outside the limits of the rig file."""
        del kwargs
        check_limits(self.name, value, self.settings.limits_ua, "uA")

    def set(self, current_ua: float) -> ProgressStatus:
        """Change the excitation, uA."""
        self.check_value(current_ua)
        status = ProgressStatus(self, what="transport current", unit="uA")
        return run_in_thread(status, lambda _: put_and_wait(self.current_ua, float(current_ua)))

    def trigger(self) -> ProgressStatus:
        """Measure once."""
        timeout_s = self.settings.timeout_s
        return take_reading(self, start=self.measure, count=self.count, what="resistance", timeout_s=timeout_s)
