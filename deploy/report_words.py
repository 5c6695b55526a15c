"""What the report says in words where a campaign does not tell a number, or has nothing to draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES = {
    "sigma_edge_gpa": "lowest sigma_ZZ that responds at the lowest temperature",
    "tau_critical_gpa": "critical shear (cold response halved)",
    "tau_from_tc_gpa": "critical shear (Tc squared extrapolated to zero; a cross-check)",
    "la_ni_optimum": "La:Ni at which Tc peaks",
}
"""What each number is."""
NEEDS = {
    "sigma_edge_gpa": "pixels of little shear at sigma_ZZ where none respond and where most do",
    "tau_critical_gpa": "pixels of shear below and above the one at which the response falls",
    "tau_from_tc_gpa": "a Tc that falls with shear, at little shear and at several sigma_ZZ",
    "la_ni_optimum": "samples whose La:Ni varies across the optimum",
    "boundary": "at least 12 responding pixels of little shear on both sides of a whole GPa of sigma_ZZ",
}
"""What a number, or a figure, is made of."""
NO_SHEAR = "no load has shear: it comes from the joint fit of a stress map at several fields"


def counted(count: object, what: str) -> str:
    """Return a count with its noun, such as `1 load`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def said(value: float | None, digits: int = 3) -> str:
    """Return a number as text."""
    return "not known" if value is None else f"{value:.{digits}g}"


def why_unknown(name: str, loads: list[dict[str, Any]]) -> str:
    """Return why a campaign of these loads does not tell a number, or shows nothing in a figure."""
    there = counted(len(loads), "load")
    if not any(load["has_shear"] for load in loads) and name != "la_ni_optimum":
        return f"{NO_SHEAR}; there {'is' if len(loads) == 1 else 'are'} {there}"
    needs = f"needs {NEEDS[name]}" if name in NEEDS else "no pixel has the values that it is made of"
    return f"{needs}; {there} {'does' if len(loads) == 1 else 'do'} not reach there"


def has_values(planes: Mapping[str, NDArray[Any]]) -> bool:
    """Tell whether there is anything to draw in a diagram: a mean or a boundary that is known somewhere."""
    shown = [planes[name] for name in ("mean", "tc_k") if name in planes]
    return not shown or any(bool(np.isfinite(plane).any()) for plane in shown)
