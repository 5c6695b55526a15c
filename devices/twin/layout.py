"""Where things lie in the twin's view besides the sample: the ruby disc and the leads, as masks and as polygons, um."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from devices.twin.samples import Crystal

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

RUBY_UM = (15.0, -22.5, 5.0)
"""Centre and radius of the ruby disc, um: partly on the sample's edge."""
LEAD_AZIMUTHS_DEG = (24.0, -24.0, 156.0, 204.0)
"""Directions of the four leads from the sample's centre."""
LEAD_WIDTH_UM = 4.0
"""Width of a lead, um."""
LEAD_REACH = 0.9
"""Where a lead ends, in units of the sample's outline."""


def ruby_mask(x: Array, y: Array) -> Mask:
    """Return True on the ruby disc."""
    return np.hypot(x - RUBY_UM[0], y - RUBY_UM[1]) <= RUBY_UM[2]


def ruby_polygon(points: int = 24) -> list[list[float]]:
    """Return the outline of the ruby disc, um."""
    x, y, radius = RUBY_UM
    angle = np.linspace(0.0, 2.0 * math.pi, points, endpoint=False)
    return [[round(x + radius * math.cos(a), 3), round(y + radius * math.sin(a), 3)] for a in angle]


def lead_end_um(crystal: Crystal, azimuth_deg: float) -> float:
    """Return how far from the sample's centre a lead ends, um."""
    a, b = crystal.kind.semi_axes_um
    angle = math.radians(azimuth_deg)
    return LEAD_REACH / math.hypot(math.cos(angle) / a, math.sin(angle) / b)


def lead_mask(crystal: Crystal, x: Array, y: Array) -> Mask:
    """Return True on the leads."""
    mask = np.zeros(x.shape, dtype=np.bool_)
    for azimuth in LEAD_AZIMUTHS_DEG:
        cos, sin = math.cos(math.radians(azimuth)), math.sin(math.radians(azimuth))
        along, across = x * cos + y * sin, y * cos - x * sin
        mask |= (np.abs(across) <= 0.5 * LEAD_WIDTH_UM) & (along >= lead_end_um(crystal, azimuth))
    return mask


def lead_polygons(crystal: Crystal) -> list[list[list[float]]]:
    """Return the outlines of the leads from just inside the sample's edge outwards, um."""
    return [_lead_polygon(crystal, azimuth) for azimuth in LEAD_AZIMUTHS_DEG]


def _lead_polygon(crystal: Crystal, azimuth_deg: float) -> list[list[float]]:
    angle, inner = math.radians(azimuth_deg), lead_end_um(crystal, azimuth_deg)
    along, across = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))
    corners = ((inner, -0.5), (300.0, -0.5), (300.0, 0.5), (inner, 0.5))
    return [[round(r * along[i] + w * LEAD_WIDTH_UM * across[i], 3) for i in (0, 1)] for r, w in corners]
