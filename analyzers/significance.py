"""Where s differs from 1: per resolution element, at a stated false-discovery rate, after clustering."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

FALSE_DISCOVERY_RATE = 0.01
"""Expected share of false ones among the elements reported as changed."""

MINIMUM_CLUSTER = 3
"""Fewest neighbouring elements of one sign that count: a physical change is wider than the optics' spot."""

SUPPRESSED_BELOW = 0.97
"""Limit of the figure in the seed paper (Mandyam et al. 2026, Fig. 2): for comparison with it only."""


@dataclass(frozen=True)
class Change:
    """Which resolution elements have s != 1."""

    sign: NDArray[np.int8]
    """(y, x) -1 where s < 1, 1 where s > 1, 0 where it does not differ or is not judged; at full pixel resolution."""
    fraction: float
    """Changed elements over judged ones; 0 where none could be judged."""
    elements: int
    """Number of judged elements."""
    sigma_scale: float
    """Factor on sigma_s that the scatter of the off-sample elements asks for, >= 1."""

    @property
    def changed(self) -> NDArray[np.bool_]:
        """(y, x) True where s differs from 1, either sign."""
        return self.sign != 0


def changed_elements(
    s: NDArray[np.floating],
    sigma_s: NDArray[np.floating],
    judged: NDArray[np.bool_],
    off_sample: NDArray[np.bool_],
    element_px: int = 1,
    common_sigma: float = 0.0,
) -> Change:
    """Find where s != 1 of either sign.

    Parameters
    ----------
    s, sigma_s : (y, x)
        Field ratio and its standard deviation; NaN where unresolved.
    judged : (y, x)
        Pixels to judge (sample without the ruby).
    off_sample : (y, x)
        Pixels where s = 1 by definition: their scatter calibrates `sigma_s`, never downwards.
    element_px : int
        Edge of a resolution element, pixels; its s is the weighted mean of its pixels.
    common_sigma : float
        Standard deviation of an error that all pixels share, such as that of the off-sample median.
    """
    value, sigma, member = _elements(s, sigma_s, judged, element_px)
    far, far_sigma, far_member = _elements(s, sigma_s, off_sample, element_px)
    scale = _scatter((far[far_member] - 1.0) / far_sigma[far_member])
    total = np.hypot(np.where(member, sigma * scale, 1.0), common_sigma)
    deviation = np.where(member, (value - 1.0) / total, 0.0)
    significant = np.zeros(member.shape, dtype=np.bool_)
    significant[member] = benjamini_hochberg(special.erfc(np.abs(deviation[member]) / np.sqrt(2.0)))
    low, high = _clustered(significant & (deviation < 0)), _clustered(significant & (deviation > 0))
    kept = high.astype(np.int8) - low.astype(np.int8)
    elements = int(np.count_nonzero(member))
    fraction = np.count_nonzero(kept) / elements if elements else 0.0
    full = np.repeat(np.repeat(kept, element_px, axis=0), element_px, axis=1)[: s.shape[0], : s.shape[1]]
    return Change(np.where(judged, full, 0).astype(np.int8), float(fraction), elements, scale)


def probability_below(
    s: NDArray[np.floating], sigma_s: NDArray[np.floating], limit: float = SUPPRESSED_BELOW
) -> NDArray[np.float32]:
    """Return the probability (y, x) that s lies below a limit, from its normal error alone; NaN where unresolved."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return special.ndtr((limit - s.astype(np.float64)) / sigma_s).astype(np.float32)


def benjamini_hochberg(
    p_values: NDArray[np.float64], false_discovery_rate: float = FALSE_DISCOVERY_RATE
) -> NDArray[np.bool_]:
    """Return which of (n,) p-values are significant at the false-discovery rate (Benjamini and Hochberg 1995)."""
    count = p_values.size
    if not count:
        return np.zeros(0, dtype=np.bool_)
    ordered = np.sort(p_values)
    passing = np.nonzero(ordered <= false_discovery_rate * np.arange(1, count + 1) / count)[0]
    if not passing.size:
        return np.zeros(count, dtype=np.bool_)
    return p_values <= ordered[passing[-1]]


def _elements(
    s: NDArray[np.floating], sigma_s: NDArray[np.floating], mask: NDArray[np.bool_], element_px: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Average the masked, resolved pixels of each element with weights 1/sigma^2."""
    with np.errstate(invalid="ignore"):
        usable = mask & np.isfinite(s) & (sigma_s > 0) & np.isfinite(sigma_s)
    weight = np.zeros(s.shape, dtype=np.float64)
    weight[usable] = 1.0 / np.square(sigma_s[usable].astype(np.float64))
    weighted = weight * np.where(usable, s, 0.0)
    total = _block_sum(weight, element_px)
    member = total > 0
    safe = np.where(member, total, 1.0)
    return _block_sum(weighted, element_px) / safe, 1.0 / np.sqrt(safe), member


def _block_sum(values: NDArray[np.float64], element_px: int) -> NDArray[np.float64]:
    """Sum blocks of (element_px, element_px) pixels; the last ones may be partial."""
    if element_px == 1:
        return values
    rows = np.add.reduceat(values, np.arange(0, values.shape[0], element_px), axis=0)
    return np.add.reduceat(rows, np.arange(0, values.shape[1], element_px), axis=1)


def _scatter(deviations: NDArray[np.float64]) -> float:
    """Return the robust standard deviation of normalised deviations, at least 1."""
    if deviations.size < 8:
        return 1.0
    spread = 1.4826 * float(np.median(np.abs(deviations - np.median(deviations))))
    return max(1.0, spread)


def _clustered(significant: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep connected elements (edges and corners) of at least the smallest cluster."""
    found, count = ndimage.label(significant, structure=np.ones((3, 3)))  # pyright: ignore[reportGeneralTypeIssues, reportAssignmentType]  # scipy's label returns a pair here
    labels = np.asarray(found, dtype=np.intp)
    large = np.bincount(labels.ravel(), minlength=int(count) + 1) >= MINIMUM_CLUSTER
    large[0] = False
    return large[labels]
