"""The simulated rig without EPICS: instruments with set points, lags and refusals on one simulated clock.

Every `set_...` either takes effect and returns an empty text or changes nothing and returns why. `advance` moves the
clock; `state` freezes what the camera needs.
"""

from __future__ import annotations

import math

import numpy as np

from devices.settings import TwinSettings
from devices.twin.history import SampleHistory
from devices.twin.optics import NOMINAL_LASER_MW
from devices.twin.resistance import ResistanceCurve, resistance_curve
from devices.twin.spectrometer import RubyReading, take_spectrum
from devices.twin.state import TwinState
from devices.twin.thermal import RATE_LIMITS_K_PER_MIN, SET_LIMITS_K, Cryostat
from devices.twin.truth import REFERENCE_TEMPERATURE_K, truth_of

STEP_S = 1.0
"""Longest simulated step, s."""
GPA_PER_BAR = 0.5
"""Mean sigma_ZZ per membrane pressure."""
MEMBRANE_LIMIT_BAR = 56.0
"""Highest membrane pressure: 28 GPa."""
MEMBRANE_RATE_BAR_PER_S = 0.02
"""How fast the membrane loads."""
FIELD_LIMIT_GAUSS = 210.0
"""Highest field of each coil."""
FIELD_RATE_LIMITS = (0.01, 24.0)
"""Ramp rates of the coils, G/s: at most 1 A/s."""
GAUSS_PER_AMPERE = 24.11
"""Coil constant."""
LASER_HEATING_K_PER_MW = 0.001
"""Rise of the sample per laser power."""
MICROWAVE_HEATING_K = 0.02
"""Rise of the sample at -20 dBm."""
RUBY_OFFSET_GPA = 0.25
"""Pressure at the ruby against the mean sigma_ZZ over the sample."""
RESISTANCE_NOISE = 1e-3
"""Relative noise of one resistance reading."""


def load_gpa(membrane_bar: float) -> float:
    """Mean sigma_ZZ at 150 K of a membrane pressure."""
    return round(GPA_PER_BAR * membrane_bar, 4)


class TwinRig:
    """All instruments of the twin.

    Parameters
    ----------
    settings
        Which twin.
    """

    def __init__(self, settings: TwinSettings) -> None:
        self.settings = settings
        self.clock_s = 0.0
        self.cryostat = Cryostat.resting(settings.start_temperature_k)
        self.field = {"x": 0.0, "z": 0.0}
        self.field_target = {"x": 0.0, "z": 0.0}
        self.field_rate_gauss_per_s = 10.0
        self.membrane_bar = settings.load_gpa / GPA_PER_BAR
        self.membrane_target_bar = self.membrane_bar
        self.load_index = 0
        self.microwave_power_dbm = -20.0
        self.microwave_enable = 0
        self.frequency_mhz: tuple[float, ...] = ()
        self.laser_power_mw = NOMINAL_LASER_MW
        self.shutter = 0
        self.current_ua = 100.0
        self._history = SampleHistory(0.0, self.cryostat.sample_k, self.cryostat.sample_k)
        self._rng = np.random.default_rng([settings.seed, 13])
        self._curves: dict[float, ResistanceCurve] = {}

    def advance(self, seconds: float) -> None:
        """Move the simulated clock on."""
        steps = max(1, math.ceil(seconds / STEP_S))
        for _ in range(steps):
            self._step(seconds / steps)

    def _step(self, seconds: float) -> None:
        self.clock_s += seconds
        self.cryostat.heating_k = self._heating_k()
        self.cryostat.advance(seconds)
        reach = self.field_rate_gauss_per_s * seconds
        for axis, target in self.field_target.items():
            self.field[axis] += max(-reach, min(reach, target - self.field[axis]))
        self.membrane_bar = min(self.membrane_target_bar, self.membrane_bar + MEMBRANE_RATE_BAR_PER_S * seconds)
        self._history = self._history.advanced(self.field["z"], self.cryostat.sample_k)

    def _heating_k(self) -> float:
        laser = LASER_HEATING_K_PER_MW * self.laser_power_mw if self.shutter else 0.0
        microwave = MICROWAVE_HEATING_K * 10.0 ** ((self.microwave_power_dbm + 20.0) / 10.0)
        return laser + (microwave if self.microwave_enable else 0.0)

    @property
    def field_done(self) -> bool:
        """True where both coils are at their set points."""
        return self.field == self.field_target

    @property
    def membrane_done(self) -> bool:
        """True where the membrane is at its set point."""
        return self.membrane_bar == self.membrane_target_bar

    def set_temperature_k(self, value: float) -> str:
        """Ramp the cryostat to a set point."""
        if not SET_LIMITS_K[0] <= value <= SET_LIMITS_K[1]:
            return f"{value:g} K is outside {SET_LIMITS_K[0]:g} to {SET_LIMITS_K[1]:g} K"
        self.cryostat.target_k = value
        return ""

    def set_temperature_rate(self, value: float) -> str:
        """Change the ramp rate of the cryostat, K/min."""
        if not RATE_LIMITS_K_PER_MIN[0] <= value <= RATE_LIMITS_K_PER_MIN[1]:
            return f"{value:g} K/min is outside {RATE_LIMITS_K_PER_MIN[0]:g} to {RATE_LIMITS_K_PER_MIN[1]:g} K/min"
        self.cryostat.rate_k_per_min = value
        return ""

    def set_field_gauss(self, axis: str, value: float) -> str:
        """Ramp the coil of an axis (`x` or `z`) to a field."""
        if not abs(value) <= FIELD_LIMIT_GAUSS:
            return f"{value:g} G is outside -{FIELD_LIMIT_GAUSS:g} to {FIELD_LIMIT_GAUSS:g} G"
        self.field_target[axis] = value
        return ""

    def set_field_rate(self, value: float) -> str:
        """Change the ramp rate of the coils, G/s."""
        if not FIELD_RATE_LIMITS[0] <= value <= FIELD_RATE_LIMITS[1]:
            return f"{value:g} G/s is outside {FIELD_RATE_LIMITS[0]:g} to {FIELD_RATE_LIMITS[1]:g} G/s"
        self.field_rate_gauss_per_s = value
        return ""

    def set_membrane_bar(self, value: float) -> str:
        """Raise the membrane pressure; it never falls."""
        present = max(self.membrane_bar, self.membrane_target_bar)
        if not value <= MEMBRANE_LIMIT_BAR:
            return f"{value:g} bar is above the limit of {MEMBRANE_LIMIT_BAR:g} bar"
        if value < present - 1e-9:
            return f"{value:g} bar is below the present {present:g} bar: pressure only increases"
        if value > present:
            self.load_index += 1
            self.membrane_target_bar = value
        return ""

    def measure_resistance(self) -> tuple[float, float, float]:
        """Return resistance in Ohm, its standard deviation in Ohm, and the phase in degrees."""
        if self.current_ua <= 0.0:
            return math.nan, math.nan, 0.0
        ohm = self.resistance_curve().ohm(self.cryostat.sample_k)
        # Noise of the amplifier: 1e-4 relative at 100 uA on 0.1 Ohm, more at smaller currents.
        sigma = math.hypot(RESISTANCE_NOISE * ohm, 1e-5 * 100.0 / self.current_ua)
        return float(self._rng.normal(ohm, sigma)), sigma, float(self._rng.normal(0.4, 0.1))

    def resistance_curve(self) -> ResistanceCurve:
        """Return R(T) at the present load; solved once per load."""
        load = load_gpa(self.membrane_bar)
        if load not in self._curves:
            self._curves[load] = resistance_curve(truth_of(self.settings, load))
        return self._curves[load]

    def take_ruby(self) -> RubyReading:
        """Take a ruby spectrum with the laser as it is."""
        temperature = self.cryostat.sample_k
        drift = self.settings.pressure_drift_gpa * (REFERENCE_TEMPERATURE_K - temperature) / 130.0
        pressure = max(0.0, load_gpa(self.membrane_bar) + RUBY_OFFSET_GPA + drift)
        light = self.laser_power_mw / NOMINAL_LASER_MW if self.shutter else 0.0
        return take_spectrum(pressure, temperature, light, self._rng)

    def state(self) -> TwinState:
        """Freeze everything that a frame depends on."""
        return TwinState(
            sample=self.settings.sample,
            seed=self.settings.seed,
            load_index=self.load_index,
            load_gpa=load_gpa(self.membrane_bar),
            sample_temperature_k=round(self.cryostat.sample_k, 6),
            stage_temperature_k=round(self.cryostat.stage_k, 6),
            temperature_max_since_field_k=round(self._history.temperature_max_since_field_k, 6),
            field_xyz_gauss=(self.field["x"], 0.0, self.field["z"]),
            history=self._history.label(),
            field_steps=self._history.answering_steps(),
            microwave_power_dbm=self.microwave_power_dbm,
            microwave_enable=self.microwave_enable,
            laser_power_mw=self.laser_power_mw,
            shutter=self.shutter,
            clock_s=round(self.clock_s, 3),
        )
