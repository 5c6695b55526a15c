"""Whether a map was taken in the order that it is read in: flux that entered once does not tell how it came in.

s of a warming is B/H only after a zero-field cool with the field on since, and it is that of the highest temperature
since. What the source says about the sample decides, not what the plan meant to do.
"""

from __future__ import annotations

from stream.messages import FieldHistory, SweepRole, SweepStart

OVERSHOOT_K = 0.2
"""Warming beyond the sweep's own temperature, since the field was turned on, that is flagged."""
_READABLE = (FieldHistory.ZFC_FW, FieldHistory.NORMAL_STATE)


def wrong_history(sweep: SweepStart) -> str:
    """Return why the map of a warming sweep is no s of a zero-field cool; empty where it is one."""
    history = sweep.state.history
    if sweep.role != SweepRole.WARMING or history in _READABLE:
        return ""
    if history == FieldHistory.UNKNOWN:
        return "nobody knows in which order field and temperature were changed: s may be that of trapped flux"
    return f"the sample's history is {history}, but s of a warming needs a zero-field cool with the field on since"


def history_flags(sweep: SweepStart) -> tuple[str, ...]:
    """Return what is wrong with the order in which a sweep was taken, one sentence each; empty where nothing is."""
    state, flags = sweep.state, [wrong_history(sweep)]
    above = state.temperature_max_since_field_k - state.temperature_k
    if sweep.role == SweepRole.WARMING and state.history != FieldHistory.NORMAL_STATE and above > OVERSHOOT_K:
        flags.append(
            f"the sample was at {state.temperature_max_since_field_k:.4g} K since the field was changed: "
            f"the map is that of this temperature, not of {state.temperature_k:.4g} K"
        )
    return tuple(flag for flag in flags if flag)
