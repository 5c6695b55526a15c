"""The laser and its shutter."""

from __future__ import annotations

from typing import Any

from ophyd import Kind

from devices.epics import RigDevice, readback, refusable, switch
from devices.limits import check_limits
from devices.settings import LaserSettings
from devices.waiting import ProgressStatus, put_and_wait, run_in_thread


class Laser(RigDevice):
    """Laser; `set(power_mw)` changes the power, `shutter.set(1)` opens the shutter."""

    settings: LaserSettings
    power_mw = refusable("power_mw", read="power_mw_rbv", kind=Kind.hinted)
    shutter = switch("shutter", read="shutter_rbv")
    reason = readback("reason", kind=Kind.omitted, string=True)

    def check_value(self, value: float, **kwargs: Any) -> None:
        """Refuse a power outside the limits of the rig file."""
        del kwargs
        check_limits(self.name, value, self.settings.limits_mw, "mW")

    def set(self, power_mw: float) -> ProgressStatus:
        """Change the power, mW."""
        self.check_value(power_mw)
        status = ProgressStatus(self, what="laser power", unit="mW")
        return run_in_thread(status, lambda _: put_and_wait(self.power_mw, float(power_mw)))
