"""The guard's PVs. Import after the EPICS environment is set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from softioc import alarm, builder

from devices.ioc.history import Verdict
from devices.ioc.permit import GUARDED, Permit, guard_pv
from stream.messages import FieldHistory

TEXT_LENGTH = 512
"""Longest text, characters."""

Take = Callable[[int], Awaitable[None]]
TakeText = Callable[[str], Awaitable[str]]
"""Takes a text; returns why not, empty where it was taken."""


class GuardRecords:
    """Every record of the guard.

    Parameters
    ----------
    prefix
        Prefix of the PVs.
    lease, ask, cool, acknowledge
        What a put to LEASE, ASK, ZERO_FIELD_COOL and ACKNOWLEDGE does; ASK completes when it is done.
    """

    def __init__(self, prefix: str, lease: Take, ask: Take, cool: Take, acknowledge: TakeText) -> None:
        self._prefix = prefix
        self._shown: dict[str, Any] = {}
        self._put("LEASE", lease, blocking=False)
        self._put("ASK", ask)
        self._put_text("ACKNOWLEDGE", "ACKNOWLEDGE_REASON", acknowledge)
        self.cool = self._put("ZERO_FIELD_COOL", cool)
        self._records: dict[str, Any] = {
            "LEASE_HELD": builder.longIn(prefix + "GUARD:LEASE_HELD", initial_value=0),
            "LEASES_LOST": builder.longIn(prefix + "GUARD:LEASES_LOST", initial_value=0),
            "HISTORY": builder.stringIn(prefix + "GUARD:HISTORY", initial_value=str(FieldHistory.UNKNOWN)),
            "HISTORY_REASON": self._text("HISTORY_REASON"),
            "FIELD_MAX_GAUSS": builder.aIn(prefix + "GUARD:FIELD_MAX_GAUSS", EGU="G", PREC=3, initial_value=0.0),
            "TEMPERATURE_MAX_K": builder.aIn(prefix + "GUARD:TEMPERATURE_MAX_K", EGU="K", PREC=3, initial_value=0.0),
            "FAULTS": self._text("FAULTS"),
            "LATCHED": self._text("LATCHED"),
        }
        for name in GUARDED:
            self._permit(name)

    def show_permits(
        self, permits: Mapping[str, Permit], faults: str, latched: str, *, held: bool, lost: int, cool: bool
    ) -> None:
        """Bring the permits up to date; LEASE_HELD last, so that who sees it sees the permits too."""
        for name, permit in permits.items():
            # the reason first: who sees the refusal sees why
            self._show(guard_pv("", name, "REASON"), permit.reason)
            self._show(guard_pv("", name, "LOW"), permit.low)
            self._show(guard_pv("", name, "HIGH"), permit.high)
            self._show(guard_pv("", name, "RATE_HIGH"), permit.rate_high)
            self._show(guard_pv("", name, "PERMIT"), int(permit.permit))
        self._show("FAULTS", faults, alarm.MAJOR_ALARM if faults else alarm.NO_ALARM)
        self._show("LATCHED", latched)
        self._show("LEASES_LOST", lost)
        if self.cool.get() != int(cool):
            self.cool.set(int(cool), process=False)
        self._show("LEASE_HELD", int(held))

    def show_verdict(self, verdict: Verdict) -> None:
        """Bring what the ledger says up to date."""
        unknown = verdict.history is FieldHistory.UNKNOWN
        self._show("HISTORY_REASON", verdict.reason)
        self._show("FIELD_MAX_GAUSS", verdict.field_max_below_tc_gauss)
        self._show("TEMPERATURE_MAX_K", verdict.temperature_max_since_field_k)
        self._show("HISTORY", str(verdict.history), alarm.MINOR_ALARM if unknown else alarm.NO_ALARM)

    def _put(self, name: str, take: Take, *, blocking: bool = True) -> Any:
        return builder.longOut(
            f"{self._prefix}GUARD:{name}", initial_value=0, on_update=take, always_update=True, blocking=blocking
        )

    def _put_text(self, name: str, why_name: str, take: TakeText) -> None:
        why = self._text(why_name)

        async def put(asked: str) -> None:
            why.set((await take(asked))[: TEXT_LENGTH - 1])

        builder.longStringOut(
            f"{self._prefix}GUARD:{name}", length=TEXT_LENGTH, on_update=put, always_update=True, blocking=True
        )

    def _text(self, name: str) -> Any:
        return builder.longStringIn(f"{self._prefix}GUARD:{name}", length=TEXT_LENGTH)

    def _permit(self, name: str) -> None:
        for what, value in (("LOW", 0.0), ("HIGH", 0.0), ("RATE_HIGH", 0.0)):
            key = guard_pv("", name, what)
            self._records[key] = builder.aIn(self._prefix + key, PREC=3, initial_value=value)
        key = guard_pv("", name, "PERMIT")
        self._records[key] = builder.longIn(self._prefix + key, initial_value=0)
        key = guard_pv("", name, "REASON")
        self._records[key] = builder.longStringIn(
            self._prefix + key, length=TEXT_LENGTH, initial_value="the guard is starting"
        )

    def _show(self, name: str, value: Any, severity: int = alarm.NO_ALARM) -> None:
        if self._shown.get(name) != (value, severity):
            self._shown[name] = (value, severity)
            text = isinstance(value, str) and name != "HISTORY"
            shown = value.encode()[: TEXT_LENGTH - 1].decode(errors="ignore") if text else value
            self._records[name].set(shown, severity=severity)
