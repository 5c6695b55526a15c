"""Limits of a rig, checked before a PV is touched."""

from __future__ import annotations

from math import isfinite

from ophyd.utils import LimitError


def check_limits(name: str, value: float, limits: tuple[float, float], unit: str) -> None:
    """Refuse a value outside `limits`.

    Raises
    ------
    LimitError
        Naming the value, the limits and their unit.
    """
    low, high = limits
    if not (isfinite(value) and low <= value <= high):
        raise LimitError(f"{name}: {value:g} {unit} is outside the rig's limits, {low:g} to {high:g} {unit}")
