"""How the twin's sample got to its state: every change of field while cold, with the highest temperature since.

The sample answers a change of the applied field as after a zero-field cool and never forgets it until it is warmed:
the answer to each change is that of the highest temperature since. A zero-field cool with the field turned on at base
is one step; a field cool is none; a field cool with the field turned off again is one negative step, the trapped flux.
A wrong order therefore gives a wrong map, as in the laboratory.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

from stream.messages import FieldHistory

NORMAL_ABOVE_K = 90.0
"""No part of any sample superconducts above, K: the top of the dome is 80 K, its spread in a pixel 2 K at most."""
EXPELLED_FRACTION = 0.05
"""Part of the field-cooled field that is expelled on cooling; the rest stays pinned."""
FIELD_FREE_GAUSS = 0.3
"""Applied fields below count as none, G."""
TRAPPED_ON_TURNING = 0.3
"""Part of a turned change that stays trapped: flux that has entered does not leave the way it came."""
SMALLEST_CHANGE_GAUSS = 1e-6
"""Changes of field below are none, G."""
SAME_TEMPERATURE_K = 0.05
"""Changes of field whose highest temperatures differ by less are one step, K."""
MOST_STEPS = 8
"""Steps remembered; the two most alike are merged beyond."""


@dataclass(frozen=True)
class FieldStep:
    """One change of the applied field along Z."""

    gauss: float
    """Size of the change, G."""
    temperature_max_k: float
    """Highest sample temperature since, K."""


@dataclass(frozen=True)
class SampleHistory:
    """What the sample remembers; each `advanced` gives the next one."""

    field_gauss: float
    """Applied field along Z, G."""
    temperature_k: float
    """Sample temperature, K."""
    temperature_max_since_field_k: float
    """Highest sample temperature since the field last changed, K."""
    cooled_in_gauss: float = 0.0
    """Applied field when the sample last became cold, G."""
    steps: tuple[FieldStep, ...] = ()
    """Changes of field since the sample became cold."""
    direction: float = 0.0
    """Sign of the first change of field since the sample became cold; 0 before it."""
    turned: bool = False
    """Whether the field has since changed the other way."""

    def advanced(self, field_gauss: float, temperature_k: float) -> SampleHistory:
        """Return the history after the field and the temperature moved a little."""
        change = field_gauss - self.field_gauss
        changed = abs(change) > SMALLEST_CHANGE_GAUSS
        since = temperature_k if changed else max(self.temperature_max_since_field_k, temperature_k)
        if temperature_k >= NORMAL_ABOVE_K:
            return SampleHistory(field_gauss, temperature_k, since, field_gauss)
        steps = tuple(replace(s, temperature_max_k=max(s.temperature_max_k, temperature_k)) for s in self.steps)
        direction = self.direction or (math.copysign(1.0, change) if changed else 0.0)
        backwards = changed and change * direction < 0.0
        if changed:
            answered = change * (1.0 + TRAPPED_ON_TURNING) if backwards else change
            steps = (*steps, FieldStep(answered, temperature_k))
        return replace(
            self,
            field_gauss=field_gauss,
            temperature_k=temperature_k,
            temperature_max_since_field_k=since,
            steps=_merged(steps),
            direction=direction,
            turned=self.turned or backwards,
        )

    def answering_steps(self) -> tuple[FieldStep, ...]:
        """Return the steps that the sample answers, the weak expulsion of a field cool among them."""
        if abs(self.cooled_in_gauss) < FIELD_FREE_GAUSS or self.temperature_k >= NORMAL_ABOVE_K:
            return self.steps
        return (*self.steps, FieldStep(EXPELLED_FRACTION * self.cooled_in_gauss, self.temperature_k))

    def label(self) -> FieldHistory:
        """Name of the history, UNKNOWN for any order that has none."""
        if self.temperature_k >= NORMAL_ABOVE_K:
            return FieldHistory.NORMAL_STATE
        if self.turned:
            return FieldHistory.UNKNOWN
        if abs(self.cooled_in_gauss) < FIELD_FREE_GAUSS:
            return FieldHistory.ZFC_FW
        if not self.direction:
            return FieldHistory.FC
        return FieldHistory.FC_REMNANT if abs(self.field_gauss) < FIELD_FREE_GAUSS else FieldHistory.UNKNOWN


def _merged(steps: tuple[FieldStep, ...]) -> tuple[FieldStep, ...]:
    """Merge neighbours of the same highest temperature, and the two most alike while there are too many."""
    kept: list[FieldStep] = []
    for step in steps:
        if kept and abs(kept[-1].temperature_max_k - step.temperature_max_k) < SAME_TEMPERATURE_K:
            kept[-1] = _sum(kept[-1], step)
        else:
            kept.append(step)
    while len(kept) > MOST_STEPS:
        gaps = [abs(b.temperature_max_k - a.temperature_max_k) for a, b in itertools.pairwise(kept)]
        first = gaps.index(min(gaps))
        kept[first : first + 2] = [_sum(kept[first], kept[first + 1])]
    return tuple(s for s in kept if abs(s.gauss) > SMALLEST_CHANGE_GAUSS)


def _sum(first: FieldStep, second: FieldStep) -> FieldStep:
    return FieldStep(first.gauss + second.gauss, max(first.temperature_max_k, second.temperature_max_k))
