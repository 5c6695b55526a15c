"""The twin's cryostat: a ramped set point, a stage that lags behind it and a sample that lags behind the stage.

All times are simulated seconds. Neither lag overshoots, so an approach from below never warms the sample beyond where
it comes to rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

STAGE_LAG_S = 20.0
"""Time constant of the stage behind the ramp."""
SAMPLE_LAG_S = 45.0
"""Time constant of the sample behind the stage."""
RATE_LIMITS_K_PER_MIN = (0.05, 10.0)
"""Ramp rates the controller takes."""
SET_LIMITS_K = (4.0, 310.0)
"""Set points the controller takes."""
ROOM_K = 295.0
"""Where a cryostat without compressor warms to."""
WARM_UP_S = 6.0 * 3600.0
"""Time constant of that."""
SETTLED_K_PER_MIN = 0.05
"""Drift of stage and sample below which the cryostat counts as settled."""
SETTLED_STAGE_K = 0.05
"""Distance of the stage from the set point below which it counts as settled."""


def sample_offset_k(stage_k: float) -> float:
    """Return how much warmer than the stage the sample rests, K: a link that gets worse in the cold."""
    return 0.15 + 0.8 * math.exp(-stage_k / 40.0)


@dataclass
class Cryostat:
    """Temperatures of the twin; `advance` moves them on."""

    target_k: float
    """Set point asked for."""
    ramp_k: float
    """Set point as ramped so far."""
    stage_k: float
    """Stage temperature."""
    sample_k: float
    """Sample temperature."""
    rate_k_per_min: float = 3.0
    """Ramp rate."""
    heating_k: float = 0.0
    """Rise of the sample by laser, microwave and transport current at rest."""
    stuck: bool = False
    """True where the controller takes set points and does not ramp."""
    compressor_on: bool = True
    """False where nothing cools: the stage warms up towards the room."""

    @classmethod
    def resting(cls, temperature_k: float) -> Cryostat:
        """Return a cryostat that has been at one temperature for long."""
        return cls(temperature_k, temperature_k, temperature_k, temperature_k + sample_offset_k(temperature_k))

    def restart(self, target_k: float) -> None:
        """Take a set point; a cryostat that was off ramps from where its stage is."""
        if not self.compressor_on:
            self.compressor_on = True
            self.ramp_k = self.stage_k
        self.target_k = target_k

    def advance(self, seconds: float) -> None:
        """Move on by simulated seconds, in one step: call with about a second at most."""
        if not self.compressor_on:
            self.ramp_k += (ROOM_K - self.ramp_k) * -math.expm1(-seconds / WARM_UP_S)
        elif not self.stuck:
            largest = self.rate_k_per_min / 60.0 * seconds
            self.ramp_k += max(-largest, min(largest, self.target_k - self.ramp_k))
        self.stage_k += (self.ramp_k - self.stage_k) * -math.expm1(-seconds / STAGE_LAG_S)
        self.sample_k += (self._sample_rest_k() - self.sample_k) * -math.expm1(-seconds / SAMPLE_LAG_S)

    def _sample_rest_k(self) -> float:
        return self.stage_k + sample_offset_k(self.stage_k) + self.heating_k

    @property
    def drift_k_per_min(self) -> float:
        """Present drift of the sample."""
        return 60.0 * (self._sample_rest_k() - self.sample_k) / SAMPLE_LAG_S

    @property
    def settled(self) -> bool:
        """True at the set point with stage and sample at rest."""
        stage_drift = 60.0 * (self.ramp_k - self.stage_k) / STAGE_LAG_S
        return (
            self.compressor_on
            and abs(self.ramp_k - self.target_k) < 1e-9
            and abs(self.stage_k - self.target_k) < SETTLED_STAGE_K
            and abs(stage_drift) < SETTLED_K_PER_MIN
            and abs(self.drift_k_per_min) < SETTLED_K_PER_MIN
        )
