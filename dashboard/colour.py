"""Colour tables of every picture: the one source for the page and for exported figures.

A table is a (256, 3) u1 array of sRGB values, interpolated linearly between a few control points. `RdBu_r` uses the
eleven ColorBrewer colours that matplotlib uses, so the two agree to one unit; `acton` and `lajolla` are our own
approximations of the perceptually uniform tables of those names; `ember` is for onset temperatures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ENTRIES = 256
"""Rows of a table."""

UNRESOLVED_DARK = (11, 18, 13)
"""Ground of an unresolved pixel: near black. Plain green is one unit from RdBu_r for a deuteranope."""
UNRESOLVED_GREEN = (47, 158, 68)
"""Hatch over that ground."""
EXCLUDED = (92, 96, 104)
"""Pixels that are left out on purpose (ruby, leads)."""
POINTS = ((142, 110, 214), (242, 112, 168), (38, 166, 154), (214, 158, 46))
"""Colours of the marked points, in their order."""

_CONTROL: dict[str, tuple[str, ...]] = {
    "RdBu_r": (
        "#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7", "#fddbc7", "#f4a582", "#d6604d", "#b2182b",
        "#67001f",
    ),
    "acton": ("#260d3f", "#41315f", "#63507e", "#8d5f90", "#b5608f", "#d17ba5", "#d79cbe", "#dcbed6", "#e6e6f0"),
    "lajolla": ("#1a1a01", "#3a2414", "#6b3426", "#a8453f", "#d9604b", "#e58651", "#edac57", "#f5d671", "#fffecb"),
    "ember": ("#0d1030", "#2b2a6c", "#5b2f87", "#8f3788", "#c0457a", "#e36360", "#f4904d", "#f9c25a", "#fbf3a7"),
    "grey": ("#000000", "#ffffff"),
}  # fmt: skip


def names() -> tuple[str, ...]:
    """Return the names of the tables."""
    return tuple(_CONTROL)


def table(name: str) -> NDArray[np.uint8]:
    """Return the colour table `name`.

    Returns
    -------
    ndarray
        (256, 3) u1, sRGB, from the lowest value to the highest.

    Raises
    ------
    KeyError
        Where no table has that name.
    """
    hexes = _CONTROL[name]
    points = np.array([[int(text[i : i + 2], 16) for i in (1, 3, 5)] for text in hexes], dtype=np.float64)
    at = np.linspace(0.0, len(hexes) - 1.0, ENTRIES)
    channels = [np.interp(at, np.arange(len(hexes)), points[:, i]) for i in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


def palette() -> dict[str, object]:
    """Return every table and fixed colour as JSON values: what the browser is sent."""
    return {
        "tables": {name: table(name).ravel().tolist() for name in _CONTROL},
        "unresolved": [list(UNRESOLVED_DARK), list(UNRESOLVED_GREEN)],
        "excluded": list(EXCLUDED),
        "points": [list(point) for point in POINTS],
    }
