"""The twin's coils: supplies ramp their current, the field follows late, and it never turns on its way."""

from __future__ import annotations

import math

from devices.twin.faults import COIL_HOT_K

FIELD_LIMIT_GAUSS = 210.0
"""Highest field of each coil."""
FIELD_RATE_LIMITS = (0.01, 24.0)
"""Ramp rates of the coils, G/s: at most 1 A/s."""
GAUSS_PER_AMPERE = 24.11
"""Coil constant."""
COIL_LAG_S = 0.8
"""Time constant of the field behind the current: eddy currents in the cell."""
THERE_GAUSS = 1e-3
"""Distance from the set point below which the field counts as there, G."""
COLLAPSE_GAUSS_PER_S = 1000.0
"""How fast the current of a supply without mains falls, G/s."""
COIL_REST_K = 295.0
"""Temperature of a coil without current."""
COIL_HEATING_K_PER_A2 = 1.6
"""Rise of a coil's temperature at rest per squared current."""
COIL_WARMING_S = 600.0
"""Time constant of a coil's temperature."""


class Coils:
    """Two coils, `x` and `z`, in gauss."""

    def __init__(self) -> None:
        self.field = {"x": 0.0, "z": 0.0}
        self.supply = {"x": 0.0, "z": 0.0}
        self.target = {"x": 0.0, "z": 0.0}
        self.rate_gauss_per_s = 10.0
        self.temperature_k = COIL_REST_K
        self.uncooled = False

    @property
    def done(self) -> bool:
        """True where both fields are at their set points."""
        return self.field == self.target

    def set_target(self, axis: str, value: float) -> None:
        """Ramp to a field. A set point between field and current stops the supply there: the field does not turn."""
        field, supply = self.field[axis], self.supply[axis]
        if min(field, supply) <= value <= max(field, supply):
            self.supply[axis] = value
        self.target[axis] = value

    def collapse(self) -> None:
        """Lose the current of both supplies at once."""
        for axis in self.target:
            self.target[axis] = 0.0

    def advance(self, seconds: float, mains: bool = True) -> None:
        """Move on by simulated seconds."""
        reach = (self.rate_gauss_per_s if mains else COLLAPSE_GAUSS_PER_S) * seconds
        for axis, target in self.target.items():
            before = self.supply[axis]
            supply = before + max(-reach, min(reach, target - before))
            # Exact for a current that rises evenly: behind by rate times lag, after a start that dies out.
            behind = (supply - before) / seconds * COIL_LAG_S if seconds > 0.0 else 0.0
            field = supply - behind + (self.field[axis] - before + behind) * math.exp(-seconds / COIL_LAG_S)
            self.supply[axis] = supply
            self.field[axis] = target if supply == target and abs(field - target) < THERE_GAUSS else field
        power = sum((supply / GAUSS_PER_AMPERE) ** 2 for supply in self.supply.values())
        rest = COIL_REST_K + COIL_HEATING_K_PER_A2 * power
        rest = max(rest, COIL_HOT_K) if self.uncooled else rest
        self.temperature_k += (rest - self.temperature_k) * -math.expm1(-seconds / COIL_WARMING_S)
