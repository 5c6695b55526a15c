"""R(T): every definition of where it drops, each by its name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NORMAL_RANGE = (1.1, 1.5)
"""The normal-state line is fitted between these multiples of the guess of Tc."""
DEVIATION_SIGMA = 3.0
"""First deviation: this many scatters below the normal-state line, here and at the next lower temperature."""
SMALLEST_DROP = 0.02
"""Drop over the normal state's resistance below which there is no transition."""
FEWEST_POINTS = 4
"""Points that the normal-state line needs."""
SLOPE_POINTS = 7
"""Points of the line that gives a slope."""
TOP_SHARE = 0.3
"""Share of the range of temperatures, from the top, that is taken as normal for a first guess."""
FRACTIONS = (0.9, 0.5, 0.1)
"""Shares of the normal-state resistance."""


@dataclass(frozen=True)
class TransportOnsets:
    """Temperatures by definition; NaN where a definition finds none. K."""

    onset_k: float
    """Normal-state line meets the line of the steepest drop."""
    first_deviation_k: float
    """First drop: below the normal-state line by 3 scatters."""
    at_90_k: float
    """R falls to 90 % of the normal-state line."""
    at_50_k: float
    """To 50 %."""
    at_10_k: float
    """To 10 %."""
    zero_k: float
    """R falls below its noise."""
    drop: float
    """Largest drop over the normal-state line, as a share of it."""
    reason: str
    """Why there is no onset; empty where there is one."""


def transport_onsets(temperature_k: Array, resistance_ohm: Array, noise_ohm: float = 0.0) -> TransportOnsets:
    """Return the onsets of a transition in R(T).

    Parameters
    ----------
    temperature_k, resistance_ohm
        (n,) in any order; several readings at a temperature are averaged.
    noise_ohm
        Standard deviation of one reading, Ohm; 0: the scatter about the normal-state line alone.
    """
    known = np.isfinite(temperature_k) & np.isfinite(resistance_ohm)
    t, place = np.unique(np.round(temperature_k[known], 2), return_inverse=True)
    if t.size < 2 * FEWEST_POINTS:
        return _none(f"R(T) has {t.size} temperatures; at least {2 * FEWEST_POINTS} are needed")
    r = np.bincount(place, resistance_ohm[known]) / np.bincount(place)
    guess = _steepest(t, r)
    line, scatter = _normal_line(t, r, guess)
    scatter = float(np.hypot(scatter, noise_ohm))
    # a line through few points extrapolates badly: what both lines call a drop is one
    top = _top_line(t, r)
    level = np.minimum(np.polyval(line, t), np.polyval(top, t))
    under = t <= NORMAL_RANGE[0] * guess
    below = np.where(under & (level > 0), (level - r) / np.maximum(level, 1e-300), 0.0)
    drop = float(below.max())
    deviates = under & (level - r > DEVIATION_SIGMA * np.hypot(scatter, _line_sigma(t, r, top)))
    deviates &= level - r > 1e-9 * level
    if drop < SMALLEST_DROP or not deviates[:-1].any():
        return _none(f"R falls by no more than {drop:.1%} below its normal-state line", drop)
    last = np.flatnonzero(deviates & np.append(True, deviates[:-1]))
    zero = np.flatnonzero(r < max(scatter, 1e-3 * level.max()))
    high, middle, low = (_crossing(t, r / level, share) for share in FRACTIONS)
    return TransportOnsets(
        onset_k=_tangent(t, r, line),
        first_deviation_k=float(t[last[-1]]) if last.size else float("nan"),
        at_90_k=high,
        at_50_k=middle,
        at_10_k=low,
        zero_k=float(t[zero[-1]]) if zero.size else float("nan"),
        drop=drop,
        reason="",
    )


def _none(reason: str, drop: float = float("nan")) -> TransportOnsets:
    nan = float("nan")
    return TransportOnsets(nan, nan, nan, nan, nan, nan, drop, reason)


def _slopes(t: Array, r: Array) -> Array:
    """Return dR/dT from a straight line through each point and its two neighbours on either side."""
    reach = SLOPE_POINTS // 2
    return np.array(
        [
            np.polyfit(t[max(0, i - reach) : i + reach + 1], r[max(0, i - reach) : i + reach + 1], 1)[0]
            for i in range(t.size)
        ]
    )


def _steepest(t: Array, r: Array) -> float:
    """Return the temperature of the steepest drop below the line through the highest temperatures."""
    slope = float(_top_line(t, r)[0])
    inner = slice(1, -1)
    return float(t[inner][int(np.argmax(_slopes(t, r)[inner] - slope))])


def _top(t: Array) -> NDArray[np.bool_]:
    """Return which temperatures are the highest."""
    top = t >= t[0] + (1.0 - TOP_SHARE) * (t[-1] - t[0])
    return top if np.count_nonzero(top) >= FEWEST_POINTS else np.arange(t.size) >= t.size - FEWEST_POINTS


def _top_line(t: Array, r: Array) -> Array:
    """Return the straight line through the highest temperatures."""
    return np.polyfit(t[_top(t)], r[_top(t)], 1)


def _line_sigma(t: Array, r: Array, line: Array) -> Array:
    """Return (n,) the standard deviation of the line through the highest temperatures where it is extrapolated to."""
    x, left = t[_top(t)], (r - np.polyval(line, t))[_top(t)]
    scatter2 = (left**2).sum() / max(1, x.size - 2)
    return np.sqrt(scatter2 * (1.0 / x.size + (t - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()))


def _normal_line(t: Array, r: Array, guess: float) -> tuple[Array, float]:
    """Return the normal-state line, and the scatter about it."""
    chosen = (t >= NORMAL_RANGE[0] * guess) & (t <= NORMAL_RANGE[1] * guess)
    if np.count_nonzero(chosen) < FEWEST_POINTS:
        chosen = _top(t)
    line = np.polyfit(t[chosen], r[chosen], 1)
    left = r[chosen] - np.polyval(line, t[chosen])
    return line, float(np.sqrt((left**2).sum() / max(1, left.size - 2)))


def _tangent(t: Array, r: Array, line: Array) -> float:
    """Return where the line of the steepest drop meets the normal-state line."""
    slope = _slopes(t, r)
    excess = np.where(np.polyval(line, t) > r, slope - line[0], -np.inf)
    at = int(np.argmax(excess))
    if not np.isfinite(excess[at]) or excess[at] <= 0:
        return float("nan")
    return float((r[at] - slope[at] * t[at] - line[1]) / (line[0] - slope[at]))


def _crossing(t: Array, share: Array, level: float) -> float:
    """Return the highest temperature at which a share falls through a level."""
    below = np.flatnonzero(share < level)
    if below.size == 0 or below[-1] + 1 >= t.size:
        return float("nan")
    at = int(below[-1])
    return float(np.interp(level, share[at : at + 2], t[at : at + 2]))
