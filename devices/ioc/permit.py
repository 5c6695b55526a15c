"""What the guard permits, for an IOC that obeys it: the twin and every bridge.

The guard serves five PVs per instrument, `{P}GUARD:<INSTRUMENT>:` with PERMIT (1 free, 0 no change), REASON, LOW, HIGH
(what may be put) and RATE_HIGH. An IOC asks `Permits.refusal(instrument, value)` before it takes a put:

    permits = Permits(prefix)               # NoGuard() where the rig has no guard
    permits.start()                         # in the IOC's loop, once EPICS is there
    why = await permits.refusal("magnet", 97.0, under_way=(present, target))
    # empty: take it; else show it in the REASON PV and change nothing

What makes an instrument safe is never refused: a switch put to 0, a ramp that ends earlier on its way. A guard that is
gone for longer than `grace_s` permits nothing, and `on_silent` is called once, for the IOC to switch laser and
microwave off by itself.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

GUARDED: tuple[str, ...] = ("laser", "microwave", "magnet", "cryostat", "pressure", "transport")
"""Instruments with a permit, named as in the rig file."""
SWITCHED = ("laser", "microwave", "transport")
"""Those whose put is a switch or a power: 0 is off, and always taken."""
GRACE_S = 6.0
"""Silence of the guard through which its last word holds, s: it is restarted in less."""
ASK_S = 2.0
"""Longest wait for the guard's answer, s."""
_NUMBERS = {"PERMIT": "permit", "LOW": "low", "HIGH": "high", "RATE_HIGH": "rate_high"}

log = logging.getLogger(__name__)


def guard_pv(prefix: str, instrument: str, what: str) -> str:
    """Return the name of a guard's PV: `what` is PERMIT, REASON, LOW, HIGH or RATE_HIGH."""
    return f"{prefix}GUARD:{instrument.upper()}:{what}"


@dataclass(frozen=True)
class Permit:
    """What may be done with one instrument now."""

    permit: bool = True
    """False: nothing may change, except to off."""
    reason: str = ""
    """Why not, or why only so much; one line for people."""
    low: float = -math.inf
    """Lowest value that may be put, in the instrument's unit."""
    high: float = math.inf
    """Highest value that may be put."""
    rate_high: float = math.inf
    """Highest ramp rate that may be put."""

    def refusal(self, value: float) -> str:
        """Return why a value may not be put; empty where it may."""
        if not self.permit:
            return self.reason or "the guard does not permit it"
        if not self.low <= value <= self.high:
            why = f": {self.reason}" if self.reason else ""
            return f"{value:g} is outside what the guard permits now, {self.low:g} to {self.high:g}{why}"
        return ""

    def rate_refusal(self, rate: float) -> str:
        """Return why a ramp rate may not be put; empty where it may."""
        return "" if rate <= self.rate_high else f"{rate:g} is above the highest rate, {self.rate_high:g}"


class Asked(Protocol):
    """Whom an IOC asks before it takes a put."""

    async def refusal(
        self, instrument: str, value: float, under_way: tuple[float, float] | None = None, *, off_at_zero: bool = True
    ) -> str:
        """Return why a value may not be put; empty where it may."""
        ...

    async def rate_refusal(self, instrument: str, rate: float) -> str:
        """Return why a ramp rate may not be put; empty where it may."""
        ...


class NoGuard:
    """A rig without a guard: everything is permitted."""

    async def refusal(
        self, instrument: str, value: float, under_way: tuple[float, float] | None = None, *, off_at_zero: bool = True
    ) -> str:
        """Refuse nothing."""
        del instrument, value, under_way, off_at_zero
        return ""

    async def rate_refusal(self, instrument: str, rate: float) -> str:
        """Refuse nothing."""
        del instrument, rate
        return ""


class Permits:
    """The guard's permits, watched over Channel Access from the loop of an IOC.

    Parameters
    ----------
    prefix
        Prefix of the PVs, as in the rig file.
    on_silent
        Called once when the guard has been silent for longer than `grace_s`.
    grace_s
        How long the last word of a guard that is gone holds, s.
    """

    def __init__(self, prefix: str, on_silent: Callable[[], None] | None = None, grace_s: float = GRACE_S) -> None:
        self._prefix = prefix
        self._on_silent = on_silent
        self._grace = grace_s
        self._known: dict[str, Permit] = dict.fromkeys(GUARDED, Permit())
        self._heard: set[str] = set()
        self._lost_at: float | None = None
        self._met = False
        self._told = False
        self._kept: list[Any] = []

    def start(self) -> None:
        """Begin to watch; in the IOC's loop, after the EPICS environment is set."""
        import aioca

        self._lost_at = time.monotonic()
        for instrument in GUARDED:
            for what in (*_NUMBERS, "REASON"):
                taker = self._taker(instrument, what)
                pv = guard_pv(self._prefix, instrument, what)
                datatype = aioca.DBR_CHAR_STR if what == "REASON" else None
                self._kept.append(aioca.camonitor(pv, taker, datatype=datatype, notify_disconnect=True))
        self._kept.append(asyncio.get_running_loop().create_task(self._watch()))

    async def refusal(
        self, instrument: str, value: float, under_way: tuple[float, float] | None = None, *, off_at_zero: bool = True
    ) -> str:
        """Return why a value may not be put; empty where it may. Asks the guard again before it says no.

        Parameters
        ----------
        instrument
            One of `GUARDED`.
        value
            What is put, in the instrument's unit.
        under_way
            Present value and set point of what ramps: a put between them only shortens the way and is taken.
        off_at_zero
            Whether 0 is off where the instrument is one of `SWITCHED`; a power in dBm, or a mode, is not off at 0.
        """
        if off_at_zero and instrument in SWITCHED and value == 0:
            return ""
        if under_way is not None and min(under_way) <= value <= max(under_way):
            return ""
        return await self._judge(instrument, lambda permit: permit.refusal(value))

    async def rate_refusal(self, instrument: str, rate: float) -> str:
        """Return why a ramp rate may not be put; empty where it may."""
        return await self._judge(instrument, lambda permit: permit.rate_refusal(rate))

    async def _judge(self, instrument: str, ask: Callable[[Permit], str]) -> str:
        silent = self.silence()
        if silent and not await self._refresh(instrument):
            return silent
        why = ask(self._known[instrument])
        if why and await self._refresh(instrument):
            why = ask(self._known[instrument])
        return why

    def silence(self) -> str:
        """Return what to say where the guard is gone for too long; empty where it is there."""
        if self._lost_at is None or (self._met and time.monotonic() - self._lost_at <= self._grace):
            return ""
        return "the guard does not answer: nothing may be switched on or moved; see `nvdac status`"

    async def _refresh(self, instrument: str) -> bool:
        """Ask the guard now: a monitor may be behind."""
        import aioca

        names = [guard_pv(self._prefix, instrument, what) for what in _NUMBERS]
        try:
            values: Any = await aioca.caget(names, timeout=ASK_S)
            reason = await aioca.caget(
                guard_pv(self._prefix, instrument, "REASON"), datatype=aioca.DBR_CHAR_STR, timeout=ASK_S
            )
        except aioca.CANothing:
            return False
        numbers = dict(zip(_NUMBERS.values(), map(float, values), strict=True))
        permit = bool(numbers.pop("permit"))
        self._known[instrument] = Permit(permit=permit, reason=str(reason), **numbers)
        return True

    def _taker(self, instrument: str, what: str) -> Callable[[Any], None]:
        def take(value: Any) -> None:
            name = f"{instrument}:{what}"
            if not value.ok:
                self._heard.discard(name)
                self._lost_at = self._lost_at or time.monotonic()
                return
            now = self._known[instrument]
            if what == "REASON":
                now = replace(now, reason=str(value))
            elif what == "PERMIT":
                now = replace(now, permit=bool(value))
            else:
                now = replace(now, **{_NUMBERS[what]: float(value)})
            self._known[instrument] = now
            self._heard.add(name)
            if len(self._heard) == len(GUARDED) * (len(_NUMBERS) + 1):
                self._lost_at, self._met, self._told = None, True, False

        return take

    async def _watch(self) -> None:
        """Say once that the guard is gone."""
        while True:
            await asyncio.sleep(0.2)
            if self._lost_at is None or self._told or time.monotonic() - self._lost_at <= self._grace:
                continue
            self._told = True
            log.error("the guard does not answer; laser and microwave are switched off")
            if self._on_silent is not None:
                self._on_silent()
