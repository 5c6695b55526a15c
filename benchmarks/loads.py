"""What adaptive loading saves: loads until the first superconductivity is bracketed, on the twin's maps at 20 K.

Each load is a zero-field-cooled map at the base with sigma_s 0.1 %; superconductivity is seen where enough pixels are
4 sigma off s = 1 (the twin's noise-free s decides, so that every contender sees the same). The stress map gives the
highest local sigma_ZZ (99th percentile) with 0.15 GPa of noise. The fixed ladder climbs in steps of the bracket from
the same first load; a 1 GPa ladder is what about half of its loads would buy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from devices.settings import TwinSettings
from devices.twin.truth import truth_of
from plans.pressure import LoadLimits, LoadSummary, bracket_of, decide_load

FIRST_GPA = 10.0
"""First load, GPa."""
CHANGED = 0.004
"""|s - 1| that stands out of the noise."""
STRESS_NOISE_GPA = 0.15
"""Noise of the highest local sigma_ZZ, GPa."""
LIMITS = LoadLimits(step_above_gpa=0.0)
"""One setting for all samples and seeds."""


class Cell:
    """One crystal under rising load."""

    def __init__(self, sample: str, seed: int) -> None:
        self._settings = TwinSettings(sample=sample, seed=seed, height=48, width=48, pixel_size_um=2.0)
        self._rng = np.random.default_rng([seed, 23])

    def look(self, load_gpa: float) -> LoadSummary:
        """Return what the maps of a load say."""
        truth = truth_of(self._settings, round(load_gpa, 3))
        judged = truth.sample & ~truth.ruby
        changed = np.abs(truth.noise_free_s(20.0)[judged] - 1.0) > CHANGED
        highest = (
            float(np.percentile(truth.sigma_zz_gpa[judged], 99.0)) + STRESS_NOISE_GPA * self._rng.standard_normal()
        )
        return LoadSummary(load_gpa, float(highest), float(changed.mean()))


def climb(cell: Cell, following: Callable[[list[LoadSummary]], float | None]) -> tuple[int, float]:
    """Return loads taken and the width of the bracket, GPa; an infinite width where nothing was seen."""
    history = [cell.look(FIRST_GPA)]
    while bracket_of(history, LIMITS) is None:
        target = following(history)
        if target is None:
            return len(history), float("inf")
        history.append(cell.look(target))
    low, high = bracket_of(history, LIMITS) or (0.0, float("inf"))
    return len(history), high - low


def loads(sample: str, seed: int) -> dict[str, Any]:
    """Return loads and brackets of the policy and of fixed ladders for one crystal."""

    def even(step: float) -> Callable[[list[LoadSummary]], float | None]:
        return lambda history: history[-1].load_gpa + step if history[-1].load_gpa < LIMITS.maximum_gpa else None

    mine, bracket = climb(Cell(sample, seed), lambda history: decide_load(history, LIMITS).next_load_gpa)
    fixed, _ = climb(Cell(sample, seed), even(LIMITS.bracket_gpa))
    coarse, coarse_bracket = climb(Cell(sample, seed), even(2 * LIMITS.bracket_gpa))
    return {
        "loads": mine,
        "bracket_gpa": bracket,
        "fixed_ladder_loads": fixed,
        "loads_ratio": mine / fixed,
        "one_gpa_ladder": {"loads": coarse, "bracket_gpa": coarse_bracket},
    }
