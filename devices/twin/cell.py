"""The twin's pressure cell: membrane, creep after loading, and what thermal cycles change for good.

A load is the mean sigma_ZZ over the sample at 150 K. It follows the membrane, the last part of it by creep; a cycle to
the cold and back leaves it changed by an amount that nobody knows before.
"""

from __future__ import annotations

import math

import numpy as np

from devices.settings import TwinSettings
from devices.twin.faults import ANVIL_LOAD

GPA_PER_BAR = 0.5
"""Mean sigma_ZZ per membrane pressure."""
MEMBRANE_LIMIT_BAR = 56.0
"""Highest membrane pressure: 28 GPa."""
MEMBRANE_RATE_BAR_PER_S = 0.02
"""How fast the membrane loads."""
CREEP_SHARE = 0.04
"""Part of a change of load that comes by creep."""
CREEP_S = 1800.0
"""Time constant of the creep."""
LOAD_STEP_GPA = 0.01
"""Loads are told apart in these steps, so that creep does not make a new truth every moment."""
LOAD_LIMITS_GPA = (0.0, 30.0)
"""Range of the load."""
CYCLE_COLD_K = 100.0
"""A thermal cycle goes below this, K ..."""
CYCLE_WARM_K = 250.0
"""... and ends above this, K."""


class Cell:
    """Membrane and load of one twin."""

    def __init__(self, settings: TwinSettings) -> None:
        self._settings = settings
        self.membrane_bar = settings.load_gpa / GPA_PER_BAR
        self.target_bar = self.membrane_bar
        self.load_index = 0
        self.cycles = 0
        self._crept_bar = self.membrane_bar
        self._shift_gpa = 0.0
        self._was_cold = False
        self.drift_gpa = settings.pressure_drift_gpa
        self.anvil_failed = False

    @property
    def done(self) -> bool:
        """True where the membrane is at its set point."""
        return self.membrane_bar == self.target_bar

    @property
    def load_gpa(self) -> float:
        """Mean sigma_ZZ over the sample at 150 K, GPa."""
        bar = (1.0 - CREEP_SHARE) * self.membrane_bar + CREEP_SHARE * self._crept_bar
        load = GPA_PER_BAR * bar + self._shift_gpa
        if self.anvil_failed:
            load *= ANVIL_LOAD
        low, high = LOAD_LIMITS_GPA
        start = self._settings.load_gpa
        return round(start + LOAD_STEP_GPA * round((min(high, max(low, load)) - start) / LOAD_STEP_GPA), 4)

    def set_target(self, value: float) -> str:
        """Raise the membrane pressure, bar; it never falls, but may be stopped on its way."""
        present = self.membrane_bar
        if not value <= MEMBRANE_LIMIT_BAR:
            return f"{value:g} bar is above the limit of {MEMBRANE_LIMIT_BAR:g} bar"
        if value < present - 1e-9:
            return f"{value:g} bar is below the present {present:g} bar: pressure only increases"
        if value > self.target_bar:
            self.load_index += 1
        self.target_bar = max(value, present)
        return ""

    def advance(self, seconds: float, sample_k: float, mains: bool = True) -> None:
        """Move on by simulated seconds at a sample temperature; without mains the membrane's valve is closed."""
        if mains:
            self.membrane_bar = min(self.target_bar, self.membrane_bar + MEMBRANE_RATE_BAR_PER_S * seconds)
        self._crept_bar += (self.membrane_bar - self._crept_bar) * -math.expm1(-seconds / CREEP_S)
        if sample_k < CYCLE_COLD_K:
            self._was_cold = True
        elif self._was_cold and sample_k > CYCLE_WARM_K:
            self._end_cycle()

    def _end_cycle(self) -> None:
        """Change load and drift for good; the same at the same number of the cycle."""
        self._was_cold = False
        self.cycles += 1
        rng = np.random.default_rng([self._settings.seed, 19, self.cycles])
        self._shift_gpa += self._settings.pressure_cycle_gpa * float(rng.standard_normal())
        self.drift_gpa = self._settings.pressure_drift_gpa * float(rng.uniform(0.5, 1.5))

    def drift_at_gpa(self, temperature_k: float, reference_k: float) -> float:
        """Rise of the mean sigma_ZZ at a temperature against the reference temperature, GPa."""
        return self.drift_gpa * (reference_k - temperature_k) / 130.0
