"""Opening and closing reference together: what s is divided by in the end, and what their difference says of drift.

While a warming runs only the opening reference is there. Once the closing one is measured, E_ref of a pixel is the
weighted mean of both, the closing one divided by the far off-sample ratio of the two. How much they differ beyond their
noise is the closure's spread: the truth may lie anywhere between them, so half of it is a systematic error of s; all of
it where a pixel has only one of the two.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analyzers.fitmap import Doublet
from analyzers.maps import FieldRatioMap, field_ratio
from analyzers.regions import Regions
from analyzers.status import StatusCode

MINIMUM_PIXELS = 8
"""Fewer pixels than this have no spread."""


class ReferenceKind(enum.IntEnum):
    """What s of a pixel is divided by."""

    NONE = 0
    OPENING = 1
    CLOSING = 2
    BOTH = 3


@dataclass(frozen=True)
class Reference:
    """E_ref of every pixel."""

    doublet: Doublet
    """The [111] doublet of the normal state; its centre is that of the opening reference."""
    kind: NDArray[np.uint8]
    """(y, x) `ReferenceKind` codes."""
    spread: float
    """How much closing and opening reference differ per pixel beyond their noise, relative; 0 without a closing one."""
    closed: bool
    """True where the closing reference is part of it."""

    @property
    def systematic(self) -> NDArray[np.float32]:
        """(y, x) relative systematic error of E_ref."""
        share = np.where(self.kind == ReferenceKind.BOTH, 0.5, 1.0)
        return (self.spread * share).astype(np.float32)

    @property
    def counts(self) -> dict[str, int]:
        """Pixels of each kind, by its name."""
        return {kind.name: int(np.count_nonzero(self.kind == kind)) for kind in ReferenceKind}


def opening_only(opening: Doublet) -> Reference:
    """Return the reference of a run without a closing one."""
    kind = np.where(opening.status == StatusCode.OK, ReferenceKind.OPENING, ReferenceKind.NONE).astype(np.uint8)
    return Reference(opening, kind, 0.0, closed=False)


def combine(opening: Doublet, closing: Doublet, regions: Regions) -> Reference:
    """Return the reference made of both.

    Parameters
    ----------
    opening, closing
        The [111] doublets, (y, x).
    regions
        Sample (where the spread is taken) and the far region (whose median ratio is common drift).
    """
    closure = field_ratio(closing, opening, regions)
    divisor = closure.off_sample_ratio
    first, second = opening.half_splitting_mhz.astype(np.float64), closing.half_splitting_mhz / divisor
    weights = [
        np.where(doublet.status == StatusCode.OK, 1.0 / np.square(sigma.astype(np.float64)), 0.0)
        for doublet, sigma in (
            (opening, opening.half_splitting_sigma_mhz),
            (closing, closing.half_splitting_sigma_mhz / divisor),
        )
    ]
    total = weights[0] + weights[1]
    usable = total > 0
    summed = np.where(weights[0] > 0, weights[0] * first, 0.0) + np.where(weights[1] > 0, weights[1] * second, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.where(usable, summed / total, np.nan).astype(np.float32)
        sigma = np.where(usable, 1.0 / np.sqrt(total), np.nan).astype(np.float32)
    kind = ReferenceKind.OPENING * (weights[0] > 0) + ReferenceKind.CLOSING * (weights[1] > 0)
    both = replace(
        opening,
        half_splitting_mhz=half,
        half_splitting_sigma_mhz=sigma,
        status=np.where(usable, StatusCode.OK, opening.status).astype(np.uint8),
    )
    return Reference(both, kind.astype(np.uint8), closure_spread(closure, regions.judged), closed=True)


def closure_spread(closure: FieldRatioMap, judged: NDArray[np.bool_]) -> float:
    """Return how much the judged pixels' closure differs from 1 beyond its noise, >= 0; 0 with too few pixels.

    The scatter beyond the noise and the common shift count where each exceeds twice its own uncertainty.
    """
    usable = judged & np.isfinite(closure.s)
    count = int(np.count_nonzero(usable))
    if count < MINIMUM_PIXELS:
        return 0.0
    deviation = closure.s[usable].astype(np.float64) - 1.0
    middle = float(np.median(deviation))
    scatter = (1.4826 * float(np.median(np.abs(deviation - middle)))) ** 2
    noise = float(np.median(closure.sigma_s[usable].astype(np.float64))) ** 2
    # of n normal values: relative error sqrt(2.7/n) of the squared median deviation, variance pi/2n of the median
    excess = scatter - noise if scatter - noise > 2.0 * noise * np.sqrt(2.7 / count) else 0.0
    shift = middle**2 if middle**2 > 4.0 * (scatter * np.pi / 2 / count + closure.off_sample_sigma**2) else 0.0
    return float(np.sqrt(excess + shift))


def ratio_to(sweep: Doublet, reference: Reference, regions: Regions) -> FieldRatioMap:
    """Return s of a sweep against a reference, its systematic part included.

    The systematic error is common to all sweeps with the reference, so it is part of `sigma_s_reference` too.
    """
    plain = field_ratio(sweep, reference.doublet, regions)
    systematic = np.abs(plain.s) * reference.systematic
    return replace(
        plain,
        sigma_s=np.hypot(plain.sigma_s, systematic).astype(np.float32),
        sigma_s_reference=np.hypot(plain.sigma_s_reference, systematic).astype(np.float32),
        sigma_s_systematic=systematic.astype(np.float32),
    )
