"""The twin's transport meter: lock-in or delta mode on four contacts, with thermal voltages and self-heating."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

LOCK_IN, DELTA = 0, 1
"""Ways to measure: X/I at a low frequency, or the three-point average over a reversed direct current."""
CONTACTS_OHM = (14.0, 11.0, 17.0, 12.0)
"""Resistances of the four contacts at room temperature, ohm."""
THERMAL_UV = 2.0
"""Thermal voltage between the voltage leads, uV."""
THERMAL_DRIFT_UV = 0.05
"""Drift of the thermal voltage from one reversal to the next, uV."""
RESISTANCE_NOISE = 1e-3
"""Relative noise of one resistance reading."""
VOLTAGE_NOISE_UV = 1e-3
"""Noise of one reading of the voltage, uV: 1e-5 ohm at 100 uA."""


@dataclass(frozen=True)
class ResistanceReading:
    """One reading; NaN where there is no current or a lead is open."""

    ohm: float
    """Four-terminal resistance."""
    sigma_ohm: float
    """Its standard deviation."""
    phase_deg: float
    """Phase of the lock-in; 0 in delta mode."""


@dataclass
class Meter:
    """Excitation and contacts."""

    current_ua: float = 100.0
    """Excitation: rms of the lock-in, amplitude in delta mode."""
    mode: int = LOCK_IN
    """`LOCK_IN` or `DELTA`."""
    open_lead: int = 0
    """Number of a lead that came off, 1 to 4; 0: none."""
    contacts_ohm: tuple[float, float, float, float] = field(default=CONTACTS_OHM)
    """Two-terminal resistance of each contact."""

    def contacts(self) -> tuple[float, ...]:
        """Return what a contact check reads, ohm; infinite for an open lead."""
        return tuple(
            math.inf if number == self.open_lead else ohm for number, ohm in enumerate(self.contacts_ohm, start=1)
        )

    def power_uw(self, ohm: float) -> float:
        """Power in the sample and its two current contacts, uW; none through an open lead."""
        if self.open_lead in (1, 3) or not math.isfinite(ohm):
            return 0.0
        return 1e-6 * self.current_ua**2 * (ohm + self.contacts_ohm[0] + self.contacts_ohm[2])

    def read(self, ohm: float, rng: np.random.Generator) -> ResistanceReading:
        """Measure a resistance once."""
        if self.current_ua <= 0.0 or self.open_lead:
            return ResistanceReading(math.nan, math.nan, 0.0)
        sigma = math.hypot(RESISTANCE_NOISE * ohm, VOLTAGE_NOISE_UV / self.current_ua)
        if self.mode == LOCK_IN:
            return ResistanceReading(float(rng.normal(ohm, sigma)), sigma, float(rng.normal(0.4, 0.1)))
        # Reversals weigh 1, 2, 1 over 4: readings a little better than one of them.
        gain = math.sqrt(6.0) / 4.0
        noise = rng.normal(0.0, sigma * self.current_ua, 3)
        thermal = THERMAL_UV + THERMAL_DRIFT_UV * np.arange(3)
        volt = np.array([1.0, -1.0, 1.0]) * self.current_ua * ohm + thermal + noise
        delta = (volt[0] - 2.0 * volt[1] + volt[2]) / 4.0
        return ResistanceReading(float(delta / self.current_ua), gain * sigma, 0.0)
