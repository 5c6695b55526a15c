"""Dialogue with a Keithley 6221 and the 2182A on its serial port, in delta mode. No EPICS.

The current is reversed between readings and three readings make one: constant and linearly drifting thermal voltages
drop out. Commands of the 6221's manual: SOUR:DELT:NVPR?, :HIGH, :DEL, :COUN, :CAB, :ARM, INIT, TRAC:POIN:ACT?,
TRAC:DATA?, SOUR:SWE:ABOR.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator

import numpy as np

from devices.ioc.link import InstrumentError, Link, RefusedError
from devices.ioc.meter import Resistance, heat_complaint
from devices.ioc.replies import identity, integer, number, numbers, scpi_error
from devices.ioc.settings import DeltaSettings

LARGEST_UA = 1e5
"""What a 6221 can source, uA (peak, its highest range)."""
CORRELATION = (2.0 / 3.0, 1.0 / 6.0)
"""Correlation of neighbouring delta readings, which share voltages: (V1 - 2 V2 + V3)/4 for white noise of V."""
PATIENCE = 4.0
"""A measurement may take this many times what its readings should."""


class DeltaMode:
    """A 6221 and a 2182A as a transport meter.

    Parameters
    ----------
    link
        The line to the 6221.
    settings
        Compliance, delay and limits.
    """

    def __init__(self, link: Link, settings: DeltaSettings) -> None:
        self._link = link
        self._settings = settings

    def identify(self) -> str:
        """Return who answers; refuse another instrument, and a 6221 without its 2182A."""
        return self._link.retry(self._identify)

    def _identify(self) -> str:
        who = identity(self._link, "MODEL 6221", "MODEL 6220")
        if not integer(self._link.ask("SOUR:DELT:NVPR?"), "2182A present", 0, 1):
            raise RefusedError("the 6221 finds no 2182A on its serial port: check cable, baud rate and flow control")
        return who

    def current_ua(self) -> float:
        """Return the amplitude of the current, uA."""
        return self._link.retry(self._current_ua)

    def _current_ua(self) -> float:
        return 1e6 * number(self._link.ask("SOUR:DELT:HIGH?"), "delta current, A", 0.0, 1e-6 * LARGEST_UA)

    def set_current(self, ua: float) -> None:
        """Change the amplitude of the current, uA; the source is off between measurements."""
        low, high = self._settings.limits_ua
        if not low <= ua <= high:
            raise RefusedError(f"{ua:g} uA is outside {low:g} to {high:g} uA")

        def put() -> None:
            self._link.tell(f"SOUR:DELT:HIGH {1e-6 * ua:.6E}")
            taken = self._current_ua()
            if abs(taken - ua) > 1e-3 * ua + 1e-6:
                why = scpi_error(self._link)
                raise RefusedError(f"the source took {taken:g} uA instead of {ua:g} uA" + (f": {why}" if why else ""))

        self._link.retry(put)

    def measure(self) -> Generator[float, None, Resistance]:
        """Measure once; see `Meter`.

        Raises
        ------
        RefusedError
            Where there is no current, delta mode does not start, or it stops before its readings are there.
        """
        settings, ua = self._settings, self.current_ua()
        if ua <= 0.0:
            raise RefusedError("the current is 0: set an excitation first")
        try:
            self._start()
            yield settings.readings * settings.reading_s
            yield from self._wait_for_readings()
            volt = numbers(self._link.ask("TRAC:DATA?"), "delta readings, V", settings.readings, -120.0, 120.0)
        finally:
            with contextlib.suppress(InstrumentError):
                self._link.tell("SOUR:SWE:ABOR")
                self._link.ask("SOUR:DELT:ARM?")  # answered once the source is off
        return self._resistance(np.asarray(volt), ua)

    def _start(self) -> None:
        settings, link = self._settings, self._link
        scpi_error(link)  # clears what was there before
        for command in (
            "SOUR:SWE:ABOR",
            "FORM:ELEM READ",
            "UNIT V",
            f"SOUR:CURR:COMP {settings.compliance_v:g}",
            f"SOUR:DELT:DEL {settings.delay_s:g}",
            f"SOUR:DELT:COUN {settings.readings}",
            "SOUR:DELT:CAB ON",
            "TRAC:CLE",
            f"TRAC:POIN {settings.readings}",
            "SOUR:DELT:ARM",
        ):
            link.tell(command)
        if not integer(link.ask("SOUR:DELT:ARM?"), "armed", 0, 1):
            why = scpi_error(link)
            raise RefusedError(f"delta mode does not arm{': ' if why else ''}{why}")
        link.tell("INIT:IMM")

    def _wait_for_readings(self) -> Generator[float, None, None]:
        wanted, step = self._settings.readings, self._settings.reading_s
        taken = 0
        for _ in range(math.ceil((PATIENCE - 1.0) * wanted)):
            taken = integer(self._link.ask("TRAC:POIN:ACT?"), "readings taken", 0, 65536)
            if taken >= wanted:
                return
            yield step
        why = scpi_error(self._link) or f"a lead is open, or {self._settings.compliance_v:g} V were reached"
        raise RefusedError(f"delta mode stopped after {taken} of {wanted} readings: {why}")

    def _resistance(self, volt: np.ndarray, ua: float) -> Resistance:
        ohm = float(volt.mean()) / (1e-6 * ua)
        sigma = float(volt.std(ddof=1)) * _mean_factor(len(volt)) / (1e-6 * ua)
        return Resistance(ohm, sigma, 0.0, heat_complaint(ohm, ua, self._settings.power_limit_uw))


def _mean_factor(count: int) -> float:
    """Return the standard deviation of the mean of `count` delta readings over their sample standard deviation."""
    excess = sum(2.0 * rho * (1.0 - lag / count) for lag, rho in enumerate(CORRELATION, start=1))
    variance_of_mean = (1.0 + excess) / count
    # The readings hang together, so that their scatter is below their standard deviation.
    return math.sqrt(variance_of_mean / ((1.0 - variance_of_mean) * count / (count - 1)))
