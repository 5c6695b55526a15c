"""Dialogue with a PACE 5000 or 6000 pressure controller, and a membrane on it that is only ever loaded. No EPICS.

Commands of the manual: :SENS:PRES?, :SOUR:PRES, :SOUR:PRES:SLEW with :MODE and :OVER, :OUTP:STAT,
:UNIT:PRES?, :SYST:ERR?. An answer begins with its question, `:SENS:PRES 20.0013`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from devices.ioc.link import Link, RefusedError, ReplyError
from devices.ioc.replies import identity, integer, number, scpi_error
from devices.ioc.settings import PressureBridgeSettings

RESOLUTION_BAR = 1e-3
"""How far a set point that is told may be from the one that was given, bar."""


@dataclass(frozen=True)
class PaceState:
    """What the controller says of itself."""

    pressure_bar: float
    """Measured pressure, bar."""
    set_bar: float
    """Set point, bar."""
    control: bool
    """Whether it controls (True) or measures only."""


class Pace:
    """A pressure controller.

    Parameters
    ----------
    link
        The line to it.
    settings
        Its limits.
    """

    def __init__(self, link: Link, settings: PressureBridgeSettings) -> None:
        self._link = link
        self._settings = settings

    def identify(self) -> str:
        """Return who answers; refuse another instrument, and one that does not count in bar."""
        return self._link.retry(self._identify)

    def _identify(self) -> str:
        who = identity(self._link, "PACE")
        unit = self._ask(":UNIT:PRES")
        if unit.upper() != "BAR":
            raise RefusedError(f"the controller counts in {unit}: set its unit to BAR")
        return who

    def state(self) -> PaceState:
        """Read pressure, set point and mode."""
        return self._link.retry(self._state)

    def _state(self) -> PaceState:
        most = 1.5 * self._settings.limit_bar
        return PaceState(
            number(self._ask(":SENS:PRES"), "pressure, bar", -1.1, most),
            number(self._ask(":SOUR:PRES"), "set point, bar", -1.1, 1e4),
            bool(integer(self._ask(":OUTP:STAT"), "control", 0, 1)),
        )

    def raise_to(self, bar: float) -> None:
        """Control to a pressure that is not below the present one, at the rate of the rig.

        Raises
        ------
        RefusedError
            Where it is below the present, a jump, beyond the limit, or the controller does not take it.
        """
        self._link.retry(lambda: self._raise_to(bar))

    def _raise_to(self, bar: float) -> None:
        settings, state = self._settings, self._state()
        present = state.pressure_bar - settings.tolerance_bar
        if state.control:
            present = max(present, state.set_bar)
        if not bar <= settings.limit_bar:
            raise RefusedError(f"{bar:g} bar is above the limit of {settings.limit_bar:g} bar")
        if bar < present - RESOLUTION_BAR:
            raise RefusedError(f"{bar:g} bar is below the present {present:.4g} bar: pressure only increases")
        if bar - present > settings.step_limit_bar:
            raise RefusedError(
                f"{bar:g} bar is a jump from {present:.4g} bar: at most {settings.step_limit_bar:g} bar at once"
            )
        self._put(":SOUR:PRES:SLEW:MODE", "LIN")
        self._put(":SOUR:PRES:SLEW:OVER", "0")
        self._put(":SOUR:PRES:SLEW", f"{settings.rate_bar_per_s:.5f}")
        self._put(":SOUR:PRES", f"{bar:.4f}")
        # Last: a controller that is switched on with an older set point would let the membrane down to it.
        self._put(":OUTP:STAT", "1")

    def _put(self, command: str, value: str) -> None:
        """Set something and make sure that it was taken, before anything else is done."""
        self._link.tell(f"{command} {value}")
        taken = self._ask(command)
        same = taken.upper() == value
        if not same and value[0].isdigit():
            same = abs(number(taken, command, -1e4, 1e4) - float(value)) <= RESOLUTION_BAR * min(1.0, float(value))
        if not same:
            why = scpi_error(self._link, ":SYST:ERR?")
            raise RefusedError(
                f"the controller took {command} {taken} instead of {value}" + (f": {why}" if why else "")
            )

    def _ask(self, command: str) -> str:
        answer = self._link.ask(command + "?")
        head, _, value = answer.rpartition(" ")
        if head and not re.sub(r"\d", "", head.upper()).startswith(command):  # modules are numbered, :SENS1:PRES
            raise ReplyError(f"{command}: the answer {answer[:60]!r} belongs to another question")
        return value


class Membrane:
    """The membrane: its set point, whether it is there, and the number of the pressure point.

    Parameters
    ----------
    pace
        Its controller.
    settings
        Its limits.
    load_index
        Number of the pressure point so far.
    """

    def __init__(self, pace: Pace, settings: PressureBridgeSettings, load_index: int) -> None:
        self.load_index = load_index
        self.target_bar = 0.0
        self.pressure_bar = 0.0
        self.trouble = ""
        self._pace = pace
        self._settings = settings
        self._control: bool | None = None

    def adopt(self) -> None:
        """Take over the pressure that is there; nothing moves, also where the controller was switched off meanwhile."""
        self._pace.identify()
        state = self._pace.state()
        self._notice(state)
        self.target_bar = state.set_bar if state.control else state.pressure_bar
        self._control = state.control

    def ask_for(self, bar: float) -> str:
        """Raise the pressure; return why not, empty where it does."""
        self._pace.raise_to(bar)
        if bar > self.target_bar + RESOLUTION_BAR:
            self.load_index += 1
        self.target_bar, self._control, self.trouble = bar, True, ""
        return ""

    def read(self) -> None:
        """Read the pressure."""
        state = self._pace.state()
        self._notice(state)
        self.pressure_bar = state.pressure_bar

    def _notice(self, state: PaceState) -> None:
        """Say so where somebody else has taken the controller in hand, or the mains were lost."""
        if self._control and not state.control:
            self.trouble = "the controller has stopped controlling: the membrane is only measured"
        elif self._control and abs(state.set_bar - self.target_bar) > RESOLUTION_BAR:
            self.trouble = (
                f"the set point was changed at the controller, from {self.target_bar:g} to {state.set_bar:g} bar"
            )
            self.target_bar = state.set_bar
        self._control = state.control if self._control is not None else None

    @property
    def done(self) -> bool:
        """True where the pressure is at its set point, or nothing is controlled."""
        return not self._control or abs(self.pressure_bar - self.target_bar) <= self._settings.tolerance_bar
