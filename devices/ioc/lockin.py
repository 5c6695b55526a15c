"""Dialogue with an SRS lock-in amplifier, SR830 or SR86x, that drives the sample through a resistor. No EPICS.

Commands of the manuals: SNAP?, SLVL, OFLT?, LIAS? (SR830) and CUROVLDSTAT? (SR86x).
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from devices.ioc.link import Link, RefusedError
from devices.ioc.meter import Resistance, heat_complaint
from devices.ioc.replies import identity, integer, number, numbers
from devices.ioc.settings import LockinSettings

SETTLE_TAU = 5.0
"""Wait before the first reading, in time constants of the filter."""
APART_TAU = 3.0
"""Time between readings, in time constants: nearer ones are not independent (5 % are left at 3)."""
LARGEST_V = 1.5
"""An input voltage above this is no reading."""
QUADRATURE = 0.1
"""|Y/X| above which a lead, or the phase, is suspected."""


@dataclass(frozen=True)
class Dialect:
    """In what the two families differ."""

    names: tuple[str, ...]
    """Words in *IDN? of which one must be there."""
    snap: str
    """Query of X and Y."""
    status: str
    """Query of the status word."""
    faults: dict[int, str]
    """Bit of it -> what is wrong."""
    sine_v: tuple[float, float]
    """Range of the sine output, V."""
    shortest_s: float
    """Time constant of OFLT 0, s."""
    filters: int
    """Number of time constants: 1 and 3 of each decade."""


DIALECTS = {
    "sr830": Dialect(
        ("SR830", "SR810"),
        "SNAP? 1,2",
        "LIAS?",
        {1: "input overload", 2: "filter overload", 4: "output overload", 8: "reference unlocked"},
        (0.004, 5.0),
        1e-5,
        20,
    ),
    "sr860": Dialect(
        ("SR860", "SR865"),
        "SNAP? 0,1",
        "CUROVLDSTAT?",
        {1: "output overload", 2: "output overload", 8: "reference unlocked", 16: "input overload"},
        (1e-9, 2.0),
        1e-6,
        22,
    ),
}


class Lockin:
    """A lock-in amplifier as a transport meter.

    Parameters
    ----------
    link
        The line to it.
    settings
        Model, resistor and limits.
    """

    def __init__(self, link: Link, settings: LockinSettings) -> None:
        self._link = link
        self._settings = settings
        self._dialect = DIALECTS[settings.model]

    def identify(self) -> str:
        """Return who answers; refuse another instrument."""
        return self._link.retry(lambda: identity(self._link, *self._dialect.names))

    def current_ua(self) -> float:
        """Return the rms current that the sine output drives, uA."""
        return self._link.retry(self._current_ua)

    def _current_ua(self) -> float:
        volt = number(self._link.ask("SLVL?"), "sine output, V", 0.0, 1.01 * self._dialect.sine_v[1])
        return 1e6 * volt / self._settings.series_ohm

    def set_current(self, ua: float) -> None:
        """Change the rms current, uA; 0 is the least that the sine output can do.

        Raises
        ------
        RefusedError
            Where it is outside the limits, or the amplifier took another amplitude.
        """
        low, high = self._settings.limits_ua
        least, most = self._dialect.sine_v
        volt = 1e-6 * ua * self._settings.series_ohm
        if not low <= ua <= high or volt > most:
            raise RefusedError(
                f"{ua:g} uA is outside {low:g} to {min(high, 1e6 * most / self._settings.series_ohm):g} uA"
            )
        volt = max(volt, least)

        def put() -> None:
            self._link.tell(f"SLVL {volt:.4g}")
            taken = 1e-6 * self._current_ua() * self._settings.series_ohm
            if abs(taken - volt) > 0.01 * volt + 1e-3:  # the SR830 rounds to 2 mV
                raise RefusedError(f"the lock-in took a sine output of {taken:g} V instead of {volt:g} V")

        self._link.retry(put)

    def measure(self) -> Generator[float, None, Resistance]:
        """Measure once; see `Meter`.

        Raises
        ------
        RefusedError
            Where the amplifier was overloaded or unlocked during the measurement.
        """
        tau = self._link.retry(self._time_constant_s)
        yield SETTLE_TAU * tau
        self._link.retry(self._faults)  # reading clears what was there before
        rows: list[list[float]] = []
        for _ in range(self._settings.readings):
            yield APART_TAU * tau
            rows.append(self._link.retry(self._xy))
        fault = self._link.retry(self._faults)
        if fault:
            raise RefusedError(f"lock-in: {fault}")
        ua = self.current_ua()
        return self._resistance(np.asarray(rows), ua)

    def _resistance(self, xy: np.ndarray, ua: float) -> Resistance:
        (x, y), ampere = xy.mean(axis=0), 1e-6 * ua
        ohm = float(x) / ampere
        trouble = heat_complaint(ohm, ua, self._settings.power_limit_uw)
        if abs(y) > QUADRATURE * abs(x):
            trouble = trouble or f"|Y/X| = {abs(y / x) if x else math.inf:.2g}: check phase and leads"
        sigma = float(xy[:, 0].std(ddof=1)) / math.sqrt(len(xy)) / ampere
        return Resistance(ohm, sigma, math.degrees(math.atan2(y, x)), trouble)

    def _time_constant_s(self) -> float:
        index = integer(self._link.ask("OFLT?"), "time constant", 0, self._dialect.filters - 1)
        return self._dialect.shortest_s * 10.0 ** (index // 2) * (3.0 if index % 2 else 1.0)

    def _xy(self) -> list[float]:
        return numbers(self._link.ask(self._dialect.snap), "X, Y, V", 2, -LARGEST_V, LARGEST_V)

    def _faults(self) -> str:
        status = integer(self._link.ask(self._dialect.status), "lock-in status", 0, 0xFFFF)
        return ", ".join(dict.fromkeys(text for bit, text in self._dialect.faults.items() if status & bit))
