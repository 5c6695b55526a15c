"""The ruby spectrometer: one spectrum per trigger, both lines fitted, the pressure on two scales."""

from __future__ import annotations

from typing import Any

import numpy as np
from ophyd import Component, Kind, Signal

from devices.counting import take_reading
from devices.epics import RigDevice, readback, setting
from devices.ruby_lines import RubyLines, RubyPressures, fit_ruby_lines, ruby_pressures
from devices.settings import RubySettings
from devices.waiting import ProgressStatus, fresh_value

NAN = float("nan")


class RubySpectrometer(RigDevice):
    """Ruby fluorescence; `trigger()` takes one spectrum.

    `r1_nm` and `pressure_gpa` are what the rig's own software says. The fit of the spectrum that was read is beside
    them: `fit_r1_nm`, `fit_r2_nm` and, with the temperature of the ruby, `ruby2020_gpa` and `mao_gpa`.
    """

    settings: RubySettings
    acquire = setting("acquire", kind=Kind.omitted)
    wavelength_nm = readback("wavelength_nm", kind=Kind.omitted)
    spectrum = readback("spectrum", kind=Kind.omitted)
    r1_nm = readback("r1_nm")
    pressure_gpa = readback("pressure_gpa", kind=Kind.hinted)
    count = readback("count", kind=Kind.omitted)
    temperature_k = readback("temperature_k")
    fit_r1_nm = Component(Signal, value=NAN)
    fit_r1_sigma_nm = Component(Signal, value=NAN)
    fit_r2_nm = Component(Signal, value=NAN)
    ruby2020_gpa = Component(Signal, value=NAN)
    mao_gpa = Component(Signal, value=NAN)
    fit_sigma_gpa = Component(Signal, value=NAN)

    def trigger(self) -> ProgressStatus:
        """Take one spectrum and fit it."""
        timeout_s = self.settings.timeout_s
        return take_reading(
            self, start=self.acquire, count=self.count, what="ruby spectrum", timeout_s=timeout_s, then=self._fit
        )

    def _fit(self) -> None:
        """Fit both lines; NaN throughout where the spectrum has none."""
        lines = RubyLines()
        if self.settings.wavelength_nm and self.settings.spectrum:
            axis, counts = (_array(fresh_value(one)) for one in (self.wavelength_nm, self.spectrum))
            lines = fit_ruby_lines(axis, counts)
        pressures = RubyPressures(NAN, NAN, NAN)
        if self.settings.temperature_k:
            temperature = float(fresh_value(self.temperature_k))
            pressures = ruby_pressures(lines, temperature, self.settings.r1_zero_nm)
        self.fit_r1_nm.put(lines.r1_nm)
        self.fit_r1_sigma_nm.put(lines.r1_sigma_nm)
        self.fit_r2_nm.put(lines.r2_nm)
        self.ruby2020_gpa.put(pressures.ruby2020_gpa)
        self.mao_gpa.put(pressures.mao_gpa)
        self.fit_sigma_gpa.put(pressures.sigma_gpa)
        if not self.settings.pressure_gpa:
            own: Any = self.pressure_gpa
            own.put(pressures.ruby2020_gpa)


def _array(value: Any) -> Any:
    return np.atleast_1d(np.asarray(value, dtype=np.float64))
