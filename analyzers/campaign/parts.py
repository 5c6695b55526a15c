"""Planes with units and sentences as a part of a campaign's file, and numbers as its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from stream.maps_file import MapsPart
from stream.messages import Json


def part(planes: Mapping[str, tuple[NDArray[Any], str, str]], attributes: Json) -> MapsPart:
    """Return a part of name -> (plane, unit, sentence)."""
    return MapsPart(
        {name: row[0] for name, row in planes.items()},
        {name: row[1] for name, row in planes.items()},
        {name: row[2] for name, row in planes.items()},
        attributes,
    )


def number(value: float) -> float | None:
    """Return a number as JSON has it: None where it is not finite."""
    return float(value) if np.isfinite(value) else None


def made_with(attributes: Json) -> Json:
    """Return what the maps of a run were made with: their version and the constants."""
    facts = cast("dict[str, Any]", attributes)
    return {"version": facts.get("version", ""), "constants": facts.get("constants", {})}
