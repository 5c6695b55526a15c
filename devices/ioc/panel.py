"""The records of a bridge. Import after the EPICS environment is set.

A put completes when the instrument has taken it and every PV shows the consequence; one that is refused brings the old
value back and says why in REASON. Where the instrument does not answer, readbacks turn INVALID and keep their value.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from softioc import alarm, builder

from devices.ioc.link import InstrumentError
from devices.ioc.permit import Asked

log = logging.getLogger(__name__)
REASON_LENGTH = 256
LOST = ("lost",)
Taken = Callable[[float], str]
"""Takes a value; returns why not, empty where it was taken."""


class Panel:
    """Makes records, shows readings in them and hands puts on.

    Parameters
    ----------
    prefix
        Prefix of the PVs.
    reason
        Name of the PV that says why a put was refused.
    instrument
        Name of the instrument, as the guard calls it.
    permits
        Asked before each put.
    """

    def __init__(self, prefix: str, reason: str, instrument: str, permits: Asked) -> None:
        self.refresh: Callable[[], None] = lambda: None
        """Called after each put, to show its consequence before it completes."""
        self._prefix = prefix
        self._instrument = instrument
        self._permits = permits
        self._readbacks: dict[str, Any] = {}
        self._shown: dict[str, Any] = {}
        self._taken: dict[str, Any] = {}
        self._value_if_lost: dict[str, int] = {}
        self._reason = builder.longStringIn(prefix + reason, length=REASON_LENGTH)
        self._said = ""
        self._lost = ""

    def number(self, name: str, unit: str, precision: int = 3) -> Any:
        """Make a readback of a number."""
        return self._readback(builder.aIn(self._prefix + name, EGU=unit, PREC=precision, initial_value=0.0))

    def numbers(self, name: str, length: int) -> Any:
        """Make a readback of a list of numbers, not known yet."""
        return builder.WaveformIn(self._prefix + name, [math.nan] * length)

    def integer(self, name: str, lost: int | None = None) -> Any:
        """Make a readback of a whole number; `lost` is shown where the instrument does not answer."""
        record = self._readback(builder.longIn(self._prefix + name, initial_value=0))
        if lost is not None:
            self._value_if_lost[record.name] = lost
        return record

    def _readback(self, record: Any) -> Any:
        self._readbacks[record.name] = record
        return record

    def setting(
        self, name: str, unit: str, take: Taken, value: float = 0.0, *, rate: bool = False, off_at_zero: bool = True
    ) -> Any:
        """Make a settable number; `rate` is asked of the guard as a ramp rate, `off_at_zero` is as for `Permits`."""

        async def ask(asked: float) -> str:
            if rate:
                return await self._permits.rate_refusal(self._instrument, asked)
            return await self._permits.refusal(self._instrument, asked, off_at_zero=off_at_zero)

        async def put(asked: float) -> None:
            self._put(record, asked, await ask(asked), take)

        record = builder.aOut(
            self._prefix + name,
            EGU=unit,
            PREC=4,
            initial_value=value,
            on_update=put,
            always_update=True,
            blocking=True,
        )
        self._taken[record.name] = value
        return record

    def switch(self, name: str, take: Taken) -> Any:
        """Make a settable 0 or 1."""

        async def put(asked: int) -> None:
            value = 1 if asked else 0
            self._put(record, value, await self._permits.refusal(self._instrument, value), take)

        record = self._long_out(name, put)
        self._taken[record.name] = 0
        return record

    def array(self, name: str, length: int, take: Callable[[Sequence[float]], str]) -> Any:
        """Make a settable list of at most `length` numbers, which nobody need permit."""

        def put(asked: Sequence[float]) -> None:
            self._end_put(name, self._attempt(lambda: take([float(value) for value in asked])))

        return builder.WaveformOut(
            self._prefix + name, length=length, datatype=float, on_update=put, always_update=True, blocking=True
        )

    def reading(self, name: str, read: Callable[[], Awaitable[str]]) -> Any:
        """Make a record that reads once when 1 is put, and is 0 again when done; `read` returns what to complain of."""

        async def put(asked: int) -> None:
            if not asked:
                return
            why = await self._permits.refusal(self._instrument, 1)
            try:
                if not why:
                    why = await read()
            except InstrumentError as error:
                why = str(error)
            finally:
                record.set(0, process=False)
            self._end_put(name, why)

        record = self._long_out(name, put)
        return record

    def _long_out(self, name: str, put: Any) -> Any:
        return builder.longOut(
            self._prefix + name, initial_value=0, on_update=put, always_update=True, blocking=True, DRVL=0, DRVH=1
        )

    def _put(self, record: Any, asked: float, why: str, take: Taken) -> None:
        why = why or self._attempt(lambda: take(asked))
        if why:
            record.set(self._taken[record.name], process=False)
        else:
            self._taken[record.name] = asked
        self._end_put(record.name, why)

    def _attempt(self, take: Callable[[], str]) -> str:
        try:
            return take()
        except InstrumentError as error:
            return str(error)

    def _end_put(self, name: str, why: str) -> None:
        self.say(why)
        if why:
            log.warning("%s refused: %s", name, why)
        self.refresh()

    def adopt(self, record: Any, value: float) -> None:
        """Show the set point that the instrument holds, which nobody put here."""
        if self._taken[record.name] != value:
            self._taken[record.name] = value
            record.set(value, process=False)

    def taken(self, record: Any) -> float:
        """Return the value that was taken last."""
        return float(self._taken[record.name])

    def show(self, record: Any, value: Any, severity: int = alarm.NO_ALARM) -> None:
        """Bring a readback up to date."""
        if self._shown.get(record.name) != (value, severity):
            self._shown[record.name] = (value, severity)
            record.set(value, severity=severity)

    def say(self, why: str) -> None:
        """Say in REASON why something was refused or went wrong; empty where all is well."""
        if why != self._said:
            self._said = why
            self._reason.set(why[: REASON_LENGTH - 1])

    def lose(self, why: str) -> None:
        """Mark every readback as INVALID: the instrument does not answer, or not sensibly."""
        self._lost = why
        self.say(why)
        for name, record in self._readbacks.items():
            if self._shown.get(name) != LOST:
                self._shown[name] = LOST
                value = self._value_if_lost.get(name, record.get())
                record.set(value, severity=alarm.INVALID_ALARM, alarm=alarm.COMM_ALARM)

    def regain(self) -> None:
        """Take the complaint of `lose` back."""
        if self._lost and self._said == self._lost:
            self.say("")
        self._lost = ""
