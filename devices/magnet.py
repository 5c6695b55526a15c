"""The coils: a field along the culet normal and across it; ramps without overshoot, reasons of a refusal passed on."""

from __future__ import annotations

from typing import Any

from ophyd import Kind

from devices.epics import DeviceError, RigDevice, readback, refusable, setting
from devices.limits import check_limits
from devices.settings import MagnetSettings
from devices.waiting import Kept, ProgressStatus, Watch, fresh_value, put_and_wait, require_taken, run_in_thread


class Magnet(RigDevice):
    """Coils; `set(field_z_gauss)` ramps and is done at the set point; what the supply refuses fails with its reason."""

    settings: MagnetSettings
    field_z_gauss = setting("field_z_gauss", kind=Kind.config)
    field_z_gauss_rbv = readback("field_z_gauss_rbv", kind=Kind.hinted)
    field_x_gauss = setting("field_x_gauss", kind=Kind.config)
    field_x_gauss_rbv = readback("field_x_gauss_rbv")
    rate_gauss_per_s = refusable("rate_gauss_per_s", kind=Kind.config)
    current_a = readback("current_a")
    done = readback("done", kind=Kind.omitted)
    reason = readback("reason", kind=Kind.omitted, string=True)

    _running: ProgressStatus | None = None

    @property
    def transverse(self) -> TransverseField:
        """The coil across the culet normal, set like a device of its own."""
        return TransverseField(self)

    def check_value(self, value: float, **kwargs: Any) -> None:
        """Refuse a field outside the limits of the rig file."""
        del kwargs
        check_limits(self.name, value, self.settings.limits_gauss, "G")

    def set(self, field_z_gauss: float) -> ProgressStatus:
        """Ramp the field along the culet normal to `field_z_gauss`."""
        self.check_value(field_z_gauss)
        status = ProgressStatus(self, what="field", unit="G")
        self._running = status
        return run_in_thread(status, lambda running: self._ramp(running, float(field_z_gauss)))

    def stop(self, *, success: bool = False) -> None:
        """Hold the field where it is; a coil at rest is not touched, for a field change below Tc ends a history."""
        if self._running is not None:
            self._running.give_up(success=success)
        if int(fresh_value(self.done)) != 1:
            self.field_z_gauss.put(fresh_value(self.field_z_gauss_rbv), use_complete=False)

    def _ramp(self, status: ProgressStatus, target: float) -> None:
        self._follow(status, self.field_z_gauss, self.field_z_gauss_rbv, target, "G")

    def ramp_transverse(self, status: ProgressStatus, target: float) -> None:
        """Ramp the field across the culet normal; for `TransverseField`."""
        self._follow(status, self.field_x_gauss, self.field_x_gauss_rbv, target, "G across")

    def _follow(self, status: ProgressStatus, put: Any, field: Any, target: float, unit: str) -> None:
        put_and_wait(put, target)
        kept = Kept(self, put, target, self.settings.tolerance_gauss)

        def follow(values: dict[str, Any]) -> None:
            kept(values["put"])
            status.progress(float(values["field"]), target)

        with Watch(done=self.done, field=field, put=put) as watch:
            reason = str(fresh_value(self.reason)).strip()
            if reason:
                raise DeviceError(f"{self.name}: {target:g} {unit} refused: {reason}")
            require_taken(self, put, target, self.settings.tolerance_gauss)
            there = watch.wait_for(
                lambda values: self._arrived(values, target),
                self.settings.timeout_s,
                cancelled=status.cancelled,
                on_change=follow,
            )
        if not there:
            raise DeviceError(_stuck(self.name, watch.values, target, str(fresh_value(self.reason))))

    def _arrived(self, values: dict[str, Any], target: float) -> bool:
        return int(values["done"]) == 1 and abs(float(values["field"]) - target) <= self.settings.tolerance_gauss


class TransverseField:
    """The field across the culet normal: `set(field_x_gauss)` ramps and is done at the set point.

    Parameters
    ----------
    magnet
        Whose coil it is.
    """

    parent = None

    def __init__(self, magnet: Magnet) -> None:
        self.name = f"{magnet.name}_transverse"
        self._magnet = magnet

    def check_value(self, value: float, **kwargs: Any) -> None:
        """Refuse a field outside the limits of the rig file."""
        del kwargs
        check_limits(self.name, value, self._magnet.settings.limits_gauss, "G")

    def set(self, field_x_gauss: float) -> ProgressStatus:
        """Ramp the field across the culet normal."""
        self.check_value(field_x_gauss)
        status = ProgressStatus(self._magnet, what="transverse field", unit="G")
        return run_in_thread(status, lambda running: self._magnet.ramp_transverse(running, float(field_x_gauss)))


def _stuck(name: str, values: dict[str, Any], target: float, reason: str) -> str:
    why = f": {reason}" if reason.strip() else ""
    return f"{name}: did not reach {target:g} G, it is at {float(values['field']):g} G{why}"
