"""Dialogue with an SRS SG380-series signal generator: power, output and the list that is stepped by trigger. No EPICS.

Commands of the manual: FREQ?, AMPR, ENBR, LSTC?, LSTP, LSTE, LSTR, LSTD, LSTS?, LERR?. A list is stepped by the trigger
input at the rear, one step per camera frame.
"""

from __future__ import annotations

from collections.abc import Sequence

from devices.ioc.link import Link, RefusedError
from devices.ioc.replies import identity, integer, number
from devices.ioc.settings import MicrowaveBridgeSettings

MODELS_MHZ = {"SG382": 2025.0, "SG384": 4050.0, "SG386": 6075.0}
"""Model -> highest frequency of the type-N output, MHz."""
LOWEST_MHZ = 0.95
"""Lowest frequency of the type-N output, MHz."""
POWER_DBM = (-110.0, 16.5)
"""What the type-N output can do, dBm."""
KEPT = ",N" * 14
"""The 14 other values of a list's state, all kept: phase, the other outputs, modulation."""
ERRORS = {10: "illegal value", 11: "illegal mode", 12: "not allowed", 110: "illegal command", 113: "illegal set"}
"""Error codes that a set point can lead to."""


class SignalGenerator:
    """A signal generator.

    Parameters
    ----------
    link
        The line to it.
    settings
        Limits of power and frequency.
    """

    def __init__(self, link: Link, settings: MicrowaveBridgeSettings) -> None:
        self._link = link
        self._settings = settings
        self._highest_mhz = max(MODELS_MHZ.values())

    def identify(self) -> str:
        """Return who answers, and learn its frequency range."""
        who = self._link.retry(lambda: identity(self._link, *MODELS_MHZ))
        self._highest_mhz = next(highest for model, highest in MODELS_MHZ.items() if model in who)
        return who

    def power_dbm(self) -> float:
        """Return the power of the type-N output, dBm."""
        return self._link.retry(lambda: number(self._link.ask("AMPR?"), "power, dBm", -200, 30))

    def set_power(self, dbm: float) -> None:
        """Change the power, dBm; refused outside the limits."""
        low, high = self._settings.limits_dbm
        if not low <= dbm <= high:
            raise RefusedError(f"{dbm:g} dBm is outside {low:g} to {high:g} dBm")

        def put() -> None:
            self._link.tell(f"AMPR {dbm:.2f}")
            taken = number(self._link.ask("AMPR?"), "power, dBm", -200, 30)
            if abs(taken - dbm) > 0.02:
                raise RefusedError(f"the source took {taken:g} dBm instead of {dbm:g} dBm{self._error()}")

        self._link.retry(put)

    def output(self) -> bool:
        """Return whether the type-N output is on."""
        return bool(self._link.retry(lambda: integer(self._link.ask("ENBR?"), "output", 0, 1)))

    def switch(self, on: bool) -> None:
        """Switch the output; where it goes on, the list begins anew."""

        def put() -> None:
            if on:
                self._link.tell("LSTR")
            self._link.tell(f"ENBR {int(on)}")
            if integer(self._link.ask("ENBR?"), "output", 0, 1) != int(on):
                raise RefusedError(f"the source does not switch its output {'on' if on else 'off'}{self._error()}")

        self._link.retry(put)

    def frequency_mhz(self) -> float:
        """Return the frequency now, MHz."""
        return self._link.retry(lambda: number(self._link.ask("FREQ?"), "frequency, Hz", 0, 1e10)) / 1e6

    def list_size(self) -> int:
        """Return the length of the list that the source holds."""
        return self._link.retry(lambda: integer(self._link.ask("LSTS?"), "list size", 0, 100_000))

    def load_list(self, frequency_mhz: Sequence[float]) -> None:
        """Load the frequencies of one pass and enable the list, which then waits for triggers.

        Raises
        ------
        RefusedError
            Where one is out of range (nothing is changed then), or the source took another list.
        """
        low = max(LOWEST_MHZ, self._settings.limits_mhz[0])
        high = min(self._highest_mhz, self._settings.limits_mhz[1])
        for value in frequency_mhz:
            if not low <= value <= high:
                raise RefusedError(f"{value:g} MHz is outside {low:g} to {high:g} MHz")
        if not frequency_mhz:
            raise RefusedError("the list is empty")
        self._link.retry(lambda: self._load(frequency_mhz))

    def _load(self, frequency_mhz: Sequence[float]) -> None:
        self._error()  # clears what was there before
        self._link.tell("LSTD")
        if not integer(self._link.ask(f"LSTC? {len(frequency_mhz)}"), "list creation", 0, 1):
            raise RefusedError(f"the source has no room for {len(frequency_mhz)} frequencies")
        for index, value in enumerate(frequency_mhz):
            self._link.tell(f"LSTP {index},{1e6 * value:.3f}{KEPT}")
        size = integer(self._link.ask("LSTS?"), "list size", 0, 100_000)
        last = number(self._link.ask(f"LSTP? {size - 1}").partition(",")[0], "last frequency, Hz", 0, 1e10)
        if size != len(frequency_mhz) or abs(last - 1e6 * frequency_mhz[-1]) > 1.0:
            raise RefusedError(f"the source holds another list, of {size} frequencies{self._error()}")
        self._link.tell("LSTE 1")
        if not integer(self._link.ask("LSTE?"), "list enabled", 0, 1):
            raise RefusedError(f"the source does not enable its list{self._error()}")

    def _error(self) -> str:
        """Return `: why` for the source's last error, which is cleared; empty without one."""
        code = integer(self._link.ask("LERR?"), "last error", 0, 255)
        return f": {ERRORS.get(code, f'error {code}')}" if code else ""
