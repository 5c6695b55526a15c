"""The guard as a device: what the ledger says, and why an instrument refuses. Plans ask it, never their own belief."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ophyd import Kind

from devices.epics import DeviceError, RigDevice, readback, setting
from devices.guard_settings import GuardDeviceSettings
from devices.ioc.permit import GUARDED
from devices.waiting import ProgressStatus, fresh_value, put_and_wait, run_in_thread


class GuardLink(RigDevice):
    """The guard; `trigger()` brings the ledger up to date, `read()` puts its verdict into an event."""

    LONGEST_WORD = 512
    """Longest acknowledgement, bytes."""
    settings: GuardDeviceSettings
    latest: Mapping[str, Any] = {}
    """What the ledger said at the last `trigger()`."""
    lease = setting("lease", kind=Kind.omitted)
    lease_held = readback("lease_held", kind=Kind.omitted)
    leases_lost = readback("leases_lost", kind=Kind.omitted)
    ask = setting("ask", kind=Kind.omitted)
    zero_field_cool = setting("zero_field_cool", kind=Kind.omitted)
    acknowledge = setting("acknowledge", kind=Kind.omitted, string=True)
    acknowledge_reason = readback("acknowledge_reason", kind=Kind.omitted, string=True)
    latched = readback("latched", kind=Kind.omitted, string=True)
    history = readback("history", string=True)
    history_reason = readback("history_reason", string=True)
    field_max_gauss = readback("field_max_gauss")
    temperature_max_k = readback("temperature_max_k")
    faults = readback("faults", string=True)
    laser_reason = readback("laser_reason", kind=Kind.omitted, string=True)
    microwave_reason = readback("microwave_reason", kind=Kind.omitted, string=True)
    magnet_reason = readback("magnet_reason", kind=Kind.omitted, string=True)
    cryostat_reason = readback("cryostat_reason", kind=Kind.omitted, string=True)
    pressure_reason = readback("pressure_reason", kind=Kind.omitted, string=True)
    transport_reason = readback("transport_reason", kind=Kind.omitted, string=True)

    def trigger(self) -> ProgressStatus:
        """Ask the guard to read the instruments and bring the ledger up to date."""
        status = ProgressStatus(self, what="history ledger")
        return run_in_thread(status, lambda _: self._ask())

    def _ask(self) -> None:
        put_and_wait(self.ask, 1, self.settings.ask_timeout_s)
        self.latest = self.verdict()

    def verdict(self) -> dict[str, Any]:
        """Return what the ledger says now as JSON values."""
        return {
            "history": str(fresh_value(self.history)),
            "reason": str(fresh_value(self.history_reason)),
            "field_max_below_tc_gauss": float(fresh_value(self.field_max_gauss)),
            "temperature_max_since_field_k": float(fresh_value(self.temperature_max_k)),
            "faults": str(fresh_value(self.faults)),
        }

    @staticmethod
    def instruments() -> tuple[str, ...]:
        """Return the names of the instruments that it permits or refuses."""
        return GUARDED

    def why(self, instrument: str) -> str:
        """Return why an instrument may not be changed now; empty where it may."""
        return str(fresh_value(getattr(self, f"{instrument}_reason"))).strip()


class ZeroFieldCool:
    """Says that a zero-field cool is under way: `set(1)` fails where it cannot begin, `set(0)` ends it.

    Parameters
    ----------
    guard
        Who then refuses any field.
    """

    parent = None

    def __init__(self, guard: GuardLink) -> None:
        self.name = f"{guard.name}_zero_field_cool"
        self._guard = guard

    def set(self, value: int) -> ProgressStatus:
        """Begin or end it."""
        status = ProgressStatus(self._guard, what="zero-field cool")
        return run_in_thread(status, lambda _: self._put(int(value)))

    def _put(self, value: int) -> None:
        guard = self._guard
        put_and_wait(guard.zero_field_cool, value)
        if int(fresh_value(guard.zero_field_cool)) != value:
            verdict = guard.verdict()
            raise DeviceError(
                "a zero-field cool begins in the normal state without a field; the guard's ledger says "
                f"{verdict['history']}: {verdict['reason']}"
            )
