"""What people want of the next set points of a ladder: plain values, inputs of a decision like the maps are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wishes:
    """Pins and vetoes that a decision is made under."""

    pin_k: float | None = None
    """Set point to go to next, K; None where nobody pinned one."""
    pin_by: str = ""
    """Who pinned it."""
    veto_k: tuple[float, ...] = ()
    """Set points not to go to, K: nothing nearer than half of the smallest step is chosen."""
    veto_by: tuple[str, ...] = ()
    """Who vetoed each."""
