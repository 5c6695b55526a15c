"""How the sample got here, derived from readings alone: a pure fold over the records of the ledger.

Nothing a plan says enters. What is not known stays unknown: a gap in the record, a thermometer or a coil that did not
answer, or mains that were lost make the history UNKNOWN until the sample has been in the normal state again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from stream.messages import FieldHistory

READINGS = ("field_z_gauss", "field_x_gauss", "sample_k", "stage_k")
"""What is read: fields along and across the culet normal, and the two thermometers."""
ENDED = "HISTORY_ENDED"
"""First word of the reason where the field below Tc moved as no history allows."""
Kind = Literal["reading", "beat", "lost", "event", "break"]


@dataclass(frozen=True)
class Record:
    """One line of the ledger."""

    time_s: float
    """Wall time, seconds since the epoch."""
    kind: Kind
    """`reading`, `beat` (nothing changed), `lost` (a PV stopped answering), `event` or `break` (ends what is known)."""
    name: str = ""
    """Which reading, or what happened."""
    value: float = math.nan
    """Of a reading, in the unit of its name."""
    text: str = ""
    """Of an event or a break: one line for people."""

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values, without what is empty."""
        row: dict[str, Any] = {"t": round(self.time_s, 4), "k": self.kind, "n": self.name, "s": self.text}
        if math.isfinite(self.value):
            row["v"] = self.value
        return {key: value for key, value in row.items() if value != ""}


def record_from_json(row: dict[str, Any]) -> Record:
    """Return the record of JSON values.

    Raises
    ------
    KeyError, TypeError, ValueError
        Where they are no record.
    """
    return Record(
        float(row["t"]), row["k"], str(row.get("n", "")), float(row.get("v", math.nan)), str(row.get("s", ""))
    )


@dataclass(frozen=True)
class HistoryRules:
    """What counts as normal, as no field, as a gap."""

    normal_above_k: float
    """Sample temperature above which it is surely normal, K: Tc,max and a margin."""
    field_free_gauss: float = 0.3
    """Fields below count as none, G."""
    tolerance_gauss: float = 0.5
    """Changes of field below are noise of the readback, G."""
    gap_s: float = 10.0
    """Longest time between two records that is no gap, s."""


@dataclass(frozen=True)
class HistoryState:
    """What the records say; each one gives the next state."""

    broken: str = "the ledger begins here, and the sample has not been seen in the normal state"
    """Why nothing is known; empty where it is."""
    ended: str = ""
    """What ended a history below Tc, such as a field that went back; empty where it goes on."""
    time_s: float = 0.0
    """Time of the last record, seconds since the epoch; 0 before the first."""
    field_z_gauss: float | None = None
    """Field along the culet normal, G; None where not known."""
    field_x_gauss: float | None = None
    """Field across it, G; None where not known or not there."""
    sample_k: float | None = None
    """Sample temperature, K; None where not known."""
    stage_k: float | None = None
    """Stage temperature, K; None where not known."""
    normal: bool = False
    """Whether the sample is in the normal state."""
    cooled_in_gauss: float = 0.0
    """Field along the culet normal when the sample last became cold, G."""
    cooled_across_gauss: float = 0.0
    """Field across it then, G."""
    farthest_gauss: float = 0.0
    """Field along the culet normal at its greatest distance from `cooled_in_gauss` since, G."""
    settled_gauss: float = 0.0
    """Field that `temperature_max_since_field_k` counts from, G."""
    field_max_below_tc_gauss: float = 0.0
    """Largest |H| since the sample last became cold, G; 0 in the normal state."""
    temperature_max_since_field_k: float = 0.0
    """Highest sample temperature since the field last changed, K."""

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """What the ledger says of the sample, for documents and for plans."""

    history: FieldHistory
    """Name of the history; UNKNOWN where it has none or it is not known."""
    reason: str
    """One line for people."""
    field_max_below_tc_gauss: float
    """Largest |H| since the sample last became cold, G."""
    temperature_max_since_field_k: float
    """Highest sample temperature since the field last changed, K."""


def advance(state: HistoryState, record: Record, rules: HistoryRules) -> HistoryState:
    """Return the state after one more record."""
    silent_s = record.time_s - state.time_s
    if state.time_s and not -1.0 <= silent_s <= rules.gap_s:
        state = _broken(state, f"a gap of {abs(silent_s):.0f} s in the ledger")
    state = replace(state, time_s=record.time_s)
    if record.kind == "lost" and record.name == "stage_k":
        return replace(state, stage_k=None)  # nothing is derived from it
    if record.kind == "lost":
        return _broken(state, record.text or f"{record.name} did not answer")
    if record.kind == "break":
        return _broken(state, record.text)
    if record.kind != "reading" or record.name not in READINGS or not math.isfinite(record.value):
        return state
    now = replace(state, **{record.name: record.value})
    if now.sample_k is None or now.field_z_gauss is None:
        return now
    return _judged(state, now, now.sample_k, now.field_z_gauss, rules)


def fold(records: Iterable[Record], rules: HistoryRules, state: HistoryState | None = None) -> HistoryState:
    """Return the state after all records."""
    now = state or HistoryState()
    for record in records:
        now = advance(now, record, rules)
    return now


def verdict(state: HistoryState, rules: HistoryRules) -> Verdict:
    """Return the name of the history, and why."""
    history, reason = _named(state, rules)
    return Verdict(history, reason, state.field_max_below_tc_gauss, state.temperature_max_since_field_k)


def _broken(state: HistoryState, why: str) -> HistoryState:
    """Forget what was known; the first reason stays until the sample is normal again."""
    return replace(
        state, broken=state.broken or why, field_x_gauss=None, field_z_gauss=None, sample_k=None, stage_k=None
    )


def _judged(
    before: HistoryState, now: HistoryState, sample_k: float, field_gauss: float, rules: HistoryRules
) -> HistoryState:
    """Take a new reading into account."""
    across = now.field_x_gauss or 0.0
    strength = math.hypot(field_gauss, across)
    normal = sample_k >= rules.normal_above_k
    if normal or abs(field_gauss - now.settled_gauss) > rules.tolerance_gauss:
        now = replace(now, settled_gauss=field_gauss, temperature_max_since_field_k=sample_k)
    else:
        now = replace(now, temperature_max_since_field_k=max(now.temperature_max_since_field_k, sample_k))
    if normal:
        return replace(now, normal=True, broken="", ended="", field_max_below_tc_gauss=0.0)
    if before.normal:
        return replace(
            now,
            normal=False,
            cooled_in_gauss=field_gauss,
            cooled_across_gauss=across,
            farthest_gauss=field_gauss,
            field_max_below_tc_gauss=strength,
        )
    now = replace(now, field_max_below_tc_gauss=max(now.field_max_below_tc_gauss, strength))
    return now if now.ended else _followed(now, field_gauss, across, f"at {sample_k:.4g} K", rules)


def _followed(now: HistoryState, field: float, across: float, at: str, rules: HistoryRules) -> HistoryState:
    """Follow the field of a cold sample: it may leave where it was cooled in one direction, once."""
    start = now.cooled_in_gauss
    if abs(field - start) > abs(now.farthest_gauss - start):
        now = replace(now, farthest_gauss=field)
    way = now.farthest_gauss - start
    back = (now.farthest_gauss - field) * math.copysign(1.0, way)
    if abs(way) > rules.tolerance_gauss and back > rules.tolerance_gauss:
        return replace(now, ended=f"the field went back from {now.farthest_gauss:.4g} to {field:.4g} G {at}")
    if abs(across - now.cooled_across_gauss) > rules.tolerance_gauss:
        return replace(now, ended=f"the transverse field went to {across:.4g} G {at}")
    return now


def _named(state: HistoryState, rules: HistoryRules) -> tuple[FieldHistory, str]:
    if state.broken:
        return FieldHistory.UNKNOWN, state.broken
    if state.sample_k is None or state.field_z_gauss is None:
        return FieldHistory.UNKNOWN, "field or temperature have not been read yet"
    if state.normal:
        return FieldHistory.NORMAL_STATE, f"the sample is normal at {state.sample_k:.4g} K"
    if state.ended:
        return FieldHistory.UNKNOWN, f"{ENDED}: {state.ended}"
    return _named_cold(state, state.field_z_gauss, rules)


def _named_cold(state: HistoryState, field: float, rules: HistoryRules) -> tuple[FieldHistory, str]:
    """Name the history of a cold sample whose field went at most one way."""
    start = state.cooled_in_gauss
    if math.hypot(start, state.cooled_across_gauss) < rules.field_free_gauss:
        return (
            FieldHistory.ZFC_FW,
            f"cooled in {abs(start):.2g} G, at most {state.field_max_below_tc_gauss:.4g} G since",
        )
    if abs(field - start) <= rules.tolerance_gauss:
        return FieldHistory.FC, f"cooled in {start:.4g} G, which stands"
    if abs(field) < rules.field_free_gauss:
        return FieldHistory.FC_REMNANT, f"cooled in {start:.4g} G, which was switched off"
    return FieldHistory.UNKNOWN, f"cooled in {start:.4g} G, and the field is {field:.4g} G now"
