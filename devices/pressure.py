"""The membrane that loads the anvils: pressure only ever rises."""

from __future__ import annotations

from typing import Any

from ophyd import Kind
from ophyd.utils import LimitError

from devices.epics import DeviceError, RigDevice, readback, setting
from devices.limits import check_limits
from devices.settings import PressureSettings
from devices.waiting import Kept, ProgressStatus, Watch, fresh_value, put_and_wait, require_taken, run_in_thread


class Membrane(RigDevice):
    """Membrane pressure; `set(membrane_bar)` refuses a decrease before it touches the PV: unloading breaks anvils."""

    settings: PressureSettings
    membrane_bar = setting("membrane_bar", kind=Kind.config)
    membrane_bar_rbv = readback("membrane_bar_rbv", kind=Kind.hinted)
    load_index = readback("load_index")
    done = readback("done", kind=Kind.omitted)
    reason = readback("reason", kind=Kind.omitted, string=True)

    def check_value(self, value: float, **kwargs: Any) -> None:
        """Refuse a pressure outside the limits of the rig file, or below what was ever asked for.

        Raises
        ------
        LimitError
            Naming the present and the asked pressure.
        """
        del kwargs
        check_limits(self.name, value, self.settings.limits_bar, "bar")
        now = float(fresh_value(self.membrane_bar_rbv)) - self.settings.tolerance_bar
        if not self._refusal():  # else the set point is one that the controller did not take
            now = max(now, float(fresh_value(self.membrane_bar)))
        if value < now:
            raise LimitError(
                f"{self.name}: {value:g} bar is below the present {now:g} bar; pressure only increases, "
                "unload by hand at room temperature"
            )

    def set(self, membrane_bar: float) -> ProgressStatus:
        """Raise the membrane pressure, bar."""
        self.check_value(membrane_bar)
        status = ProgressStatus(self, what="membrane", unit="bar")
        return run_in_thread(status, lambda running: self._raise(running, float(membrane_bar)))

    def _raise(self, status: ProgressStatus, target: float) -> None:
        put_and_wait(self.membrane_bar, target)
        kept = Kept(self, self.membrane_bar, target, self.settings.tolerance_bar)

        def follow(values: dict[str, Any]) -> None:
            kept(values["put"])
            status.progress(float(values["bar"]), target)

        with Watch(done=self.done, bar=self.membrane_bar_rbv, put=self.membrane_bar) as watch:
            reason = self._refusal()
            if reason:
                raise DeviceError(f"{self.name}: {target:g} bar refused: {reason}")
            require_taken(self, self.membrane_bar, target, self.settings.tolerance_bar)
            there = watch.wait_for(
                lambda values: self._arrived(values, target),
                self.settings.timeout_s,
                cancelled=status.cancelled,
                on_change=follow,
            )
        if not there:
            now = float(watch.values["bar"])
            raise DeviceError(
                f"{self.name}: did not reach {target:g} bar, it is at {now:g} bar {fresh_value(self.reason)}"
            )

    def _refusal(self) -> str:
        """Return why the last put was refused; empty where it was not."""
        return str(fresh_value(self.reason)).strip()

    def _arrived(self, values: dict[str, Any], target: float) -> bool:
        return int(values["done"]) == 1 and abs(float(values["bar"]) - target) <= self.settings.tolerance_bar
