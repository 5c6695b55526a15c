"""The cryostat: stage and sample thermometer, ramp, and when everything has come to rest."""

from __future__ import annotations

from typing import Any

from ophyd import Component, Kind, Signal

from devices.epics import DeviceError, RigDevice, readback, refusable, setting
from devices.limits import check_limits
from devices.settings import CryostatSettings
from devices.waiting import Kept, ProgressStatus, Watch, fresh_value, put_and_wait, require_taken, run_in_thread


class Cryostat(RigDevice):
    """Temperature controller; `set(temperature_k)` is done when SETTLED rises after the set point was taken.

    `overshoot_k` is how far the sample went above where it came to rest in the last approach from below, K: trapped
    flux remembers the highest temperature, so a plan flags points that overshot.
    """

    settings: CryostatSettings
    temperature_k = setting("temperature_k")
    temperature_k_rbv = readback("temperature_k_rbv", kind=Kind.omitted)
    stage_k = readback("stage_k")
    sample_k = readback("sample_k", kind=Kind.hinted)
    rate_k_per_min = refusable("rate_k_per_min", kind=Kind.config)
    drift_k_per_min = readback("drift_k_per_min")
    settled = readback("settled", kind=Kind.omitted)
    reason = readback("reason", kind=Kind.omitted, string=True)
    overshoot_k = Component(Signal, value=0.0)

    _running: ProgressStatus | None = None

    def check_value(self, value: float, **kwargs: Any) -> None:
        """Refuse a set point outside the limits of the rig file."""
        del kwargs
        check_limits(self.name, value, self.settings.limits_k, "K")

    def set(self, temperature_k: float) -> ProgressStatus:
        """Ramp to `temperature_k` and wait until set point, stage and sample have come to rest."""
        self.check_value(temperature_k)
        status = ProgressStatus(self, what="temperature", unit="K")
        self._running = status
        return run_in_thread(status, lambda running: self._settle(running, float(temperature_k)))

    def stop(self, *, success: bool = False) -> None:
        """Hold the ramp where it is; a cryostat at rest is not touched."""
        if self._running is not None:
            self._running.give_up(success=success)
        if int(fresh_value(self.settled)) != 1:
            self.temperature_k.put(fresh_value(self.temperature_k_rbv), use_complete=False)

    def _settle(self, status: ProgressStatus, target: float) -> None:
        put = self.temperature_k
        with Watch(settled=self.settled, ramp=self.temperature_k_rbv, sample=self.sample_k, put=put) as watch:
            highest = [float(watch.values["sample"])]

            taken = False
            kept = Kept(self, put, target, self.settings.tolerance_k)

            def follow(values: dict[str, Any]) -> None:
                if taken:
                    kept(values["put"])
                highest[0] = max(highest[0], float(values["sample"]))
                status.progress(float(values["ramp"]), target)

            watch.was_zero.clear()
            put_and_wait(self.temperature_k, target)
            require_taken(self, self.temperature_k, target, self.settings.tolerance_k)
            watch.refresh()
            taken = True
            # A new set point takes SETTLED to 0 before it rises: waiting for that edge keeps a stale 1 from passing as
            # the answer. Where nothing has to move it never falls, and the grace ends the wait.
            grace = min(self.settings.grace_s, self.settings.timeout_s)
            watch.wait_for(lambda _: "settled" in watch.was_zero, grace, cancelled=status.cancelled, on_change=follow)
            there = watch.wait_for(
                lambda values: self._arrived(values, target),
                self.settings.timeout_s,
                cancelled=status.cancelled,
                on_change=follow,
            )
        if not there:
            raise DeviceError(
                f"{self.name}: not settled at {target:g} K, the ramp is at {float(watch.values['ramp']):g} K"
            )
        self.overshoot_k.put(max(0.0, highest[0] - float(fresh_value(self.sample_k))))

    def _arrived(self, values: dict[str, Any], target: float) -> bool:
        return int(values["settled"]) == 1 and abs(float(values["ramp"]) - target) <= self.settings.tolerance_k
