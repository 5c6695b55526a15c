"""The transport meter: one resistance per trigger, by lock-in or delta mode, and what may falsify it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ophyd import Component, Kind, Signal
from ophyd.utils import LimitError

from devices.counting import take_reading
from devices.epics import DeviceError, RigDevice, readback, refusable, setting
from devices.limits import check_limits
from devices.settings import TransportSettings
from devices.waiting import ProgressStatus, fresh_value, put_and_wait, run_in_thread


class TransportMeter(RigDevice):
    """Four-terminal resistance; `trigger()` measures once, `set(current_ua)` changes the excitation.

    `mode.set(0)` is the lock-in, `mode.set(1)` delta mode, where the rig has both; `contact_check()` tests the leads.
    After a reading `resistive` is 0 where the quadrature is too large for a resistance, and `power_uw` is what the
    current heats.
    """

    settings: TransportSettings
    measure = setting("measure", kind=Kind.omitted)
    resistance_ohm = readback("resistance_ohm", kind=Kind.hinted)
    sigma_ohm = readback("sigma_ohm")
    phase_deg = readback("phase_deg")
    current_ua = refusable("current_ua", read="current_ua_rbv", kind=Kind.config)
    count = readback("count", kind=Kind.omitted)
    mode = refusable("mode", kind=Kind.config)
    check_contacts = setting("check_contacts", kind=Kind.omitted)
    contacts_ohm = readback("contacts_ohm", kind=Kind.omitted)
    contacts_count = readback("contacts_count", kind=Kind.omitted)
    reason = readback("reason", kind=Kind.omitted, string=True)
    resistive = Component(Signal, value=1)
    power_uw = Component(Signal, value=0.0)

    def check_value(self, value: float, **kwargs: Any) -> None:
        """Refuse an excitation outside the limits of the rig file, or one that heats the sample too much.

        Raises
        ------
        LimitError
            Naming the value and the limit.
        """
        del kwargs
        check_limits(self.name, value, self.settings.limits_ua, "uA")
        power = self.power_at_uw(value)
        if power > self.settings.heating_limit_uw:
            most = value * math.sqrt(self.settings.heating_limit_uw / power)
            raise LimitError(
                f"{self.name}: {value:g} uA would heat sample and contacts with {power:.3g} uW, above the limit of "
                f"{self.settings.heating_limit_uw:g} uW; at most {most:.3g} uA"
            )

    def power_at_uw(self, current_ua: float) -> float:
        """Return the power in the sample and its two worst contacts, uW; of the sample alone before a contact check."""
        sample = float(fresh_value(self.resistance_ohm))
        contacts = self._known_contacts()
        worst = float(np.sort(contacts[np.isfinite(contacts)])[-2:].sum())
        return 1e-6 * current_ua**2 * ((sample if math.isfinite(sample) else 0.0) + worst)

    def set(self, current_ua: float) -> ProgressStatus:
        """Change the excitation, uA."""
        self.check_value(current_ua)
        status = ProgressStatus(self, what="transport current", unit="uA")
        return run_in_thread(status, lambda _: put_and_wait(self.current_ua, float(current_ua)))

    def trigger(self) -> ProgressStatus:
        """Measure once."""
        timeout_s = self.settings.timeout_s
        return take_reading(
            self, start=self.measure, count=self.count, what="resistance", timeout_s=timeout_s, then=self._judge
        )

    def contact_check(self) -> ProgressStatus:
        """Test every contact; the status fails naming those that are open or bad."""
        if not self.settings.check_contacts:
            raise DeviceError(f"{self.name}: this rig has no contact check; name its PV check_contacts in the rig file")
        return take_reading(
            self,
            start=self.check_contacts,
            count=self.contacts_count,
            what="contact check",
            timeout_s=self.settings.timeout_s,
            then=self._judge_contacts,
        )

    def _judge(self) -> None:
        phase = float(fresh_value(self.phase_deg))
        self.resistive.put(int(abs(math.tan(math.radians(phase))) <= self.settings.quadrature_limit))
        self.power_uw.put(self.power_at_uw(float(fresh_value(self.current_ua))))

    def _judge_contacts(self) -> None:
        bad = [
            f"contact {number}: " + (f"{ohm:.4g} ohm" if math.isfinite(ohm) else "open")
            for number, ohm in enumerate(self._known_contacts(), start=1)
            if not ohm <= self.settings.contact_limit_ohm
        ]
        if bad:
            raise DeviceError(f"{self.name}: {', '.join(bad)}; check the lead before any current flows")

    def _known_contacts(self) -> Any:
        """(n,) ohm of the contacts as last checked; NaN before, empty without such a PV."""
        if not self.settings.contacts_ohm:
            return np.zeros(0)
        return np.atleast_1d(np.asarray(fresh_value(self.contacts_ohm), dtype=np.float64))
