"""The simulated rig without EPICS: instruments with set points, lags, refusals and faults on one simulated clock.

Every `set_...` either takes effect and returns an empty text or changes nothing and returns why. `advance` moves the
clock; `state` freezes what the camera needs.
"""

from __future__ import annotations

import math

import numpy as np

from devices.settings import TwinSettings
from devices.twin.cell import Cell
from devices.twin.coils import FIELD_LIMIT_GAUSS, FIELD_RATE_LIMITS, GAUSS_PER_AMPERE, Coils
from devices.twin.faults import THERMOMETER_WRONG_K, Faults
from devices.twin.history import SampleHistory
from devices.twin.meter import DELTA, LOCK_IN, Meter, ResistanceReading
from devices.twin.optics import NOMINAL_LASER_MW
from devices.twin.resistance import ResistanceCurve, resistance_curve
from devices.twin.spectrometer import RubyReading, take_spectrum
from devices.twin.state import TwinState
from devices.twin.thermal import RATE_LIMITS_K_PER_MIN, SET_LIMITS_K, Cryostat
from devices.twin.truth import REFERENCE_TEMPERATURE_K, truth_of

STEP_S = 1.0
"""Longest simulated step, s."""
LASER_HEATING_K_PER_MW = 0.001
"""Rise of the sample per laser power."""
MICROWAVE_HEATING_K = 0.02
"""Rise of the sample at -20 dBm."""
HEATING_K_PER_UW = 0.004
"""Rise of the sample per power of the transport current in sample and contacts."""
RUBY_OFFSET_GPA = 0.25
"""Pressure at the ruby against the mean sigma_ZZ over the sample."""
CURRENT_LIMIT_UA = 1000.0
"""Highest excitation of the transport meter."""
CURVE_STEP_GPA = 0.1
"""Loads whose R(T) is told apart."""
NO_MAINS = "there is no mains power"
"""Reason of every refusal while the mains are gone."""

__all__ = ["GAUSS_PER_AMPERE", "TwinRig"]


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
        self.coils = Coils()
        self.cell = Cell(settings)
        self.meter = Meter()
        self.faults = Faults()
        self.microwave_power_dbm = -20.0
        self.microwave_enable = 0
        self.frequency_mhz: tuple[float, ...] = ()
        self.laser_power_mw = NOMINAL_LASER_MW
        self.shutter = 0
        self._history = SampleHistory(0.0, self.cryostat.sample_k, self.cryostat.sample_k)
        self._rng = np.random.default_rng([settings.seed, 13])
        self._curves: dict[int, ResistanceCurve] = {}

    def advance(self, seconds: float) -> None:
        """Move the simulated clock on."""
        steps = max(1, math.ceil(seconds / STEP_S))
        for _ in range(steps):
            self._step(seconds / steps)

    def _step(self, seconds: float) -> None:
        self.clock_s += seconds
        mains = not self.faults.mains_lost
        if not mains:
            self._lose_mains()
        self.cell.anvil_failed = self.cell.anvil_failed or bool(self.faults.anvil_failed)
        self.cryostat.stuck = bool(self.faults.cryostat_stuck)
        if self.faults.compressor_failed:
            self.cryostat.compressor_on = False
        if self.faults.coil_lead_open:
            self.coils.collapse()
        self.coils.uncooled = bool(self.faults.coil_hot)
        self.cryostat.heating_k = self._heating_k()
        self.cryostat.advance(seconds)
        self.coils.advance(seconds, mains and not self.faults.coil_lead_open)
        self.cell.advance(seconds, self.cryostat.sample_k, mains)
        self._history = self._history.advanced(self.coils.field["z"], self.cryostat.sample_k)

    def _lose_mains(self) -> None:
        """Switch off what needs mains; none of it comes back by itself."""
        self.shutter = self.microwave_enable = 0
        self.laser_power_mw = 0.0
        self.coils.collapse()
        self.cryostat.compressor_on = False

    def _heating_k(self) -> float:
        laser = LASER_HEATING_K_PER_MW * self.laser_power_mw if self.shutter else 0.0
        microwave = MICROWAVE_HEATING_K * 10.0 ** ((self.microwave_power_dbm + 20.0) / 10.0)
        # The sample's own resistance is nothing against its contacts'.
        current = HEATING_K_PER_UW * self.meter.power_uw(0.0) if not self.faults.mains_lost else 0.0
        return laser + (microwave if self.microwave_enable else 0.0) + current

    @property
    def thermometer_k(self) -> float:
        """What the thermometer at the sample reads, K."""
        return self.cryostat.sample_k + (THERMOMETER_WRONG_K if self.faults.thermometer_wrong else 0.0)

    @property
    def field(self) -> dict[str, float]:
        """Field of each coil, G."""
        return self.coils.field

    @property
    def field_done(self) -> bool:
        """True where both coils are at their set points."""
        return self.coils.done

    @property
    def membrane_bar(self) -> float:
        """Membrane pressure, bar."""
        return self.cell.membrane_bar

    @property
    def membrane_done(self) -> bool:
        """True where the membrane is at its set point."""
        return self.cell.done

    @property
    def load_index(self) -> int:
        """Number of the pressure point."""
        return self.cell.load_index

    def set_temperature_k(self, value: float) -> str:
        """Ramp the cryostat to a set point; the compressor starts where it was off."""
        if not SET_LIMITS_K[0] <= value <= SET_LIMITS_K[1]:
            return f"{value:g} K is outside {SET_LIMITS_K[0]:g} to {SET_LIMITS_K[1]:g} K"
        if self.faults.mains_lost:
            return NO_MAINS
        if self.faults.compressor_failed:
            return "the compressor has failed"
        self.cryostat.restart(value)
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
        if self.faults.mains_lost:
            return NO_MAINS
        if self.faults.coil_lead_open and value != 0.0:
            return "a lead of the coil is open"
        self.coils.set_target(axis, value)
        return ""

    def set_field_rate(self, value: float) -> str:
        """Change the ramp rate of the coils, G/s."""
        if not FIELD_RATE_LIMITS[0] <= value <= FIELD_RATE_LIMITS[1]:
            return f"{value:g} G/s is outside {FIELD_RATE_LIMITS[0]:g} to {FIELD_RATE_LIMITS[1]:g} G/s"
        self.coils.rate_gauss_per_s = value
        return ""

    def set_membrane_bar(self, value: float) -> str:
        """Raise the membrane pressure; it never falls."""
        return NO_MAINS if self.faults.mains_lost else self.cell.set_target(value)

    def set_output(self, name: str, value: float) -> str:
        """Change `microwave_power_dbm`, `microwave_enable`, `laser_power_mw` or `shutter`; off is always taken."""
        if self.faults.mains_lost and value > 0.0:
            return NO_MAINS
        setattr(self, name, value)
        return ""

    def set_transport_mode(self, value: float) -> str:
        """Choose how resistance is measured: 0 lock-in, 1 delta mode."""
        if value not in (LOCK_IN, DELTA):
            return f"{value:g} is no mode: 0 is lock-in, 1 delta"
        self.meter.mode = int(value)
        return ""

    def set_transport_current(self, value: float) -> str:
        """Change the excitation, uA."""
        if not 0.0 <= value <= CURRENT_LIMIT_UA:
            return f"{value:g} uA is outside 0 to {CURRENT_LIMIT_UA:g} uA"
        self.meter.current_ua = value
        return ""

    def measure_resistance(self) -> ResistanceReading:
        """Measure the resistance once."""
        if self.faults.mains_lost:
            return ResistanceReading(math.nan, math.nan, 0.0)
        return self.meter.read(self.resistance_curve().ohm(self.cryostat.sample_k), self._rng)

    def resistance_curve(self) -> ResistanceCurve:
        """Return R(T) at the present load; solved once per 0.1 GPa, at the first load asked for in it."""
        load = self.cell.load_gpa
        key = round(load / CURVE_STEP_GPA)
        if key not in self._curves:
            self._curves[key] = resistance_curve(truth_of(self.settings, load))
        return self._curves[key]

    def take_ruby(self) -> RubyReading:
        """Take a ruby spectrum with the laser as it is."""
        temperature = self.cryostat.sample_k
        drift = self.cell.drift_at_gpa(temperature, REFERENCE_TEMPERATURE_K)
        pressure = max(0.0, self.cell.load_gpa + RUBY_OFFSET_GPA + drift)
        light = self.laser_power_mw / NOMINAL_LASER_MW if self.shutter else 0.0
        return take_spectrum(pressure, temperature, light, self._rng)

    def state(self) -> TwinState:
        """Freeze everything that a frame depends on."""
        return TwinState(
            sample=self.settings.sample,
            seed=self.settings.seed,
            load_index=self.load_index,
            load_gpa=self.cell.load_gpa,
            sample_temperature_k=round(self.cryostat.sample_k, 6),
            stage_temperature_k=round(self.cryostat.stage_k, 6),
            temperature_max_since_field_k=round(self._history.temperature_max_since_field_k, 6),
            field_xyz_gauss=(self.coils.field["x"], 0.0, self.coils.field["z"]),
            history=self._history.label(),
            field_steps=self._history.answering_steps(),
            microwave_power_dbm=self.microwave_power_dbm,
            microwave_enable=self.microwave_enable,
            laser_power_mw=self.laser_power_mw,
            shutter=self.shutter,
            clock_s=round(self.clock_s, 3),
            pressure_drift_gpa=self.cell.drift_gpa,
            dropped_frame=self.faults.dropped_frame,
            frequency_slip=self.faults.frequency_slip,
            hot_pixels=self.faults.hot_pixels,
            anvil_failed=int(self.cell.anvil_failed),
        )
