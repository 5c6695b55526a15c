"""The ruby spectrometer: one spectrum and one pressure per trigger."""

from __future__ import annotations

from ophyd import Kind

from devices.counting import take_reading
from devices.epics import RigDevice, readback, setting
from devices.settings import RubySettings
from devices.waiting import ProgressStatus


class RubySpectrometer(RigDevice):
    """Ruby fluorescence; `trigger()` takes one spectrum."""

    settings: RubySettings
    acquire = setting("acquire", kind=Kind.omitted)
    wavelength_nm = readback("wavelength_nm", kind=Kind.omitted)
    spectrum = readback("spectrum", kind=Kind.omitted)
    r1_nm = readback("r1_nm")
    pressure_gpa = readback("pressure_gpa", kind=Kind.hinted)
    count = readback("count", kind=Kind.omitted)

    def trigger(self) -> ProgressStatus:
        """Take one spectrum."""
        timeout_s = self.settings.timeout_s
        return take_reading(self, start=self.acquire, count=self.count, what="ruby spectrum", timeout_s=timeout_s)
