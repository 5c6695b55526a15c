"""Dialogue with a bipolar current supply, and a coil on it: ramps that never overshoot, within limits. No EPICS.

Commands: SCPI-1995 power supplies, and the Kepco BOP with BIT 4886 or 802E (FUNC:MODE CURR, CURR, VOLT, MEAS:CURR?,
OUTP, SYST:ERR?).
"""

from __future__ import annotations

from dataclasses import dataclass

from devices.ioc.link import Link, RefusedError
from devices.ioc.replies import identity, integer, number, scpi_error
from devices.ioc.settings import SupplySettings

RESOLUTION_A = 2e-3
"""How far the set point that a supply tells may be from the one it was given, A."""
BEYOND = 1.2
"""A measured current above the limit times this is no reading."""


@dataclass(frozen=True)
class SupplyState:
    """What a supply says of itself."""

    set_a: float
    """Current set point, A."""
    measured_a: float
    """Measured current, A."""
    output: bool
    """Whether the output is on."""


class Supply:
    """A current supply.

    Parameters
    ----------
    link
        The line to it.
    settings
        Its limits.
    """

    def __init__(self, link: Link, settings: SupplySettings) -> None:
        self._link = link
        self._settings = settings

    def prepare(self) -> str:
        """Choose current mode and compliance, which move nothing, and return who answers."""
        return self._link.retry(self._prepare)

    def _prepare(self) -> str:
        who = identity(self._link, *(("kepco",) if self._settings.kind == "kepco" else ()))
        if self._settings.kind == "kepco":
            self._link.tell("FUNC:MODE CURR")
        self._link.tell(f"VOLT {self._settings.voltage_limit_v:g}")
        self._refuse_error("its compliance")
        return who

    def state(self) -> SupplyState:
        """Read set point, current and output."""
        return self._link.retry(self._state)

    def _state(self) -> SupplyState:
        largest = BEYOND * self._settings.limit_a
        return SupplyState(
            self._set_point(),
            number(self._link.ask("MEAS:CURR?"), "measured current, A", -largest, largest),
            bool(integer(self._link.ask("OUTP?"), "output", 0, 1)),
        )

    def _set_point(self) -> float:
        return number(self._link.ask("CURR?"), "current set point, A", -1e3, 1e3)

    def set_current(self, ampere: float) -> None:
        """Change the current at once, and make sure that the supply took it.

        Raises
        ------
        RefusedError
            Where it is beyond the limit, or the supply took another value.
        """
        if not abs(ampere) <= self._settings.limit_a:
            raise RefusedError(f"{ampere:g} A is beyond the limit of {self._settings.limit_a:g} A")
        self._link.retry(lambda: self._set_current(ampere))

    def _set_current(self, ampere: float) -> None:
        self._link.tell(f"CURR {ampere:.5f}")
        taken = self._set_point()
        if abs(taken - ampere) > RESOLUTION_A:
            why = scpi_error(self._link)
            raise RefusedError(f"the supply took {taken:g} A instead of {ampere:g} A" + (f": {why}" if why else ""))

    def switch_on(self) -> None:
        """Switch the output on, at zero current."""
        self.set_current(0.0)
        self._link.retry(self._switch_on)

    def _switch_on(self) -> None:
        self._link.tell("OUTP ON")
        if not integer(self._link.ask("OUTP?"), "output", 0, 1):
            why = scpi_error(self._link)
            raise RefusedError(f"the supply does not switch its output on{': ' if why else ''}{why}")

    def _refuse_error(self, what: str) -> None:
        why = scpi_error(self._link)
        if why:
            raise RefusedError(f"the supply refuses {what}: {why}")


class Coil:
    """One coil: follows its set point at a rate, never beyond it, and waits for a current that lags.

    Parameters
    ----------
    supply
        Its supply.
    settings
        Limits of the coil.
    """

    def __init__(self, supply: Supply, settings: SupplySettings) -> None:
        self.rate_a_per_s = settings.rate_a_per_s
        self.target_a = 0.0
        self.measured_a = 0.0
        self.trouble = ""
        self._supply = supply
        self._settings = settings
        self._set_a = 0.0
        self._output = False
        self._known = False
        self._lagging_s = 0.0

    def adopt(self) -> None:
        """Take over what the supply does: at the start, and after each loss of the line. Nothing moves.

        A ramp goes on where the supply is as it was left; where it is not, it was switched off meanwhile, and the coil
        rests where it is until somebody sets a field.
        """
        self._supply.prepare()
        state = self._supply.state()
        same = self._known and state.output == self._output and abs(state.set_a - self._set_a) <= RESOLUTION_A
        left_at, known, self._known = self._set_a, self._known, True
        self._take(state)
        if same:
            return
        self.target_a = self._set_a if state.output else 0.0
        if known:
            self.trouble = (
                f"the supply is at {state.set_a:g} A, output {'on' if state.output else 'off'}, and was left at "
                f"{left_at:g} A: what happened to the field is unknown"
            )

    def ask_for(self, ampere: float) -> str:
        """Set where the current goes; return why not, empty where it does."""
        if not abs(ampere) <= self._settings.limit_a:
            return f"{ampere:.4g} A is beyond the limit of {self._settings.limit_a:g} A"
        if not self._known:
            return "the supply does not answer"
        self.trouble = ""
        self._lagging_s = 0.0
        if not self._output and ampere != 0.0:
            self._supply.switch_on()
            self._take(self._supply.state())
        self.target_a = ampere
        return ""

    def tick(self, seconds: float) -> None:
        """Read the current and go one step towards the set point.

        Parameters
        ----------
        seconds
            Time since the last step; a long one, after the process was held up, counts as a second.
        """
        self._take(self._supply.state())
        left = self.target_a - self._set_a
        if self._output and self._follows(seconds) and abs(left) > 0.0:
            reach = self.rate_a_per_s * min(seconds, 1.0)
            following = self.target_a if abs(left) <= reach else self._set_a + (reach if left > 0 else -reach)
            self._supply.set_current(following)
            self._set_a = following

    def _take(self, state: SupplyState) -> None:
        # The number we gave is exact, what the supply tells is rounded: a ramp must not walk on rounded numbers.
        if abs(state.set_a - self._set_a) > RESOLUTION_A:
            self._set_a = state.set_a
        self.measured_a = state.measured_a if state.output else 0.0
        if self._output and not state.output:
            self.trouble = "the supply has switched its output off"
            self.target_a = 0.0
        self._output = state.output

    def _follows(self, seconds: float) -> bool:
        """Return True where the measured current keeps up; a coil that is open would jump when it is closed again."""
        if abs(self.measured_a - self._set_a) <= self._settings.follow_a:
            self._lagging_s = 0.0
            return True
        self._lagging_s += seconds
        if self._lagging_s > self._settings.follow_s:
            self.trouble = (
                f"the current does not follow: {self._set_a:.4g} A set, {self.measured_a:.4g} A measured; "
                "coil open, or supply at its voltage limit"
            )
        return False

    @property
    def done(self) -> bool:
        """True where set point and measured current are where they were asked to be."""
        there = self._set_a == self.target_a or (not self._output and self.target_a == 0.0)
        return self._known and there and abs(self.measured_a - self.target_a) <= self._settings.tolerance_a
