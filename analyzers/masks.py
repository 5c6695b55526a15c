"""Pixels that must not be believed: hot, dead, saturated, or named by the user.

They are found on the whole map, so that no band sees other neighbours than another. The optics spread the light of a
place over a pixel or more: a single pixel far above or below everything around it is the camera's, not the sample's;
edges and corners of the ruby or a lead always have pixels like themselves.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from analyzers.fitmap import UNITS, FitMap
from analyzers.kernels.neighbours import neighbour_levels
from analyzers.status import StatusCode
from stream.messages import Json

Flags = NDArray[np.uint8]

LEVEL_SHARE = 0.15
"""Smallest relative difference from the neighbours of a pixel that is called hot or dead."""
LEVEL_SIGMA = 10.0
"""Smallest difference from their median in units of their scatter."""
DARK_SHARE = 0.05
"""A pixel without a fit and with less than this share of its neighbours' light is dead."""


class PixelFlag(enum.IntFlag):
    """What is known of a pixel beside its fit."""

    HOT = 1
    DEAD = 2
    SATURATED = 4
    UNUSABLE = 8
    GIVEN = 16
    RESCUED = 32


MASKING = PixelFlag.HOT | PixelFlag.DEAD | PixelFlag.SATURATED | PixelFlag.UNUSABLE | PixelFlag.GIVEN
"""Flags of pixels whose values do not count."""


def find_flags(
    fit: FitMap,
    given: Sequence[tuple[int, int]] = (),
    search: bool = True,
    bin_px: int = 1,
) -> Flags:
    """Return the flags (y, x) of a whole map.

    Parameters
    ----------
    fit
        The fit of the whole view: `baseline` is the light, BAD_FRAME a pixel that the fit refused.
    given
        (row, column) of camera pixels to leave out; those outside the view are ignored.
    search
        False where only the pixels given, and those that the fit refused, are flagged.
    bin_px
        Edge of a pixel of the map, camera pixels. A bin that lacks some of its pixels is darker than others: not dead.
    """
    light = fit.baseline.astype(np.float64)
    height, width = fit.shape
    around = np.empty((4, height, width))
    neighbour_levels(light, around)
    level, scatter, high, low = around
    flags = np.zeros((height, width), np.uint8)
    with np.errstate(invalid="ignore"):
        if search:
            far = np.abs(light - level) > LEVEL_SIGMA * scatter + LEVEL_SHARE * level
            flags[far & (light > (1.0 + LEVEL_SHARE) * high)] = PixelFlag.HOT
            flags[far & (light < (1.0 - LEVEL_SHARE) * low)] = PixelFlag.DEAD
        refused = fit.status == StatusCode.BAD_FRAME
        flags[refused] = PixelFlag.UNUSABLE
        flags[refused & (light < DARK_SHARE * level)] = PixelFlag.DEAD
        flags[refused & (light >= level)] = PixelFlag.SATURATED
    lacking, darker = binned_pixels(given, bin_px)
    for row, column in darker:
        if 0 <= row < height and 0 <= column < width and not refused[row, column]:
            flags[row, column] = 0
    for row, column in lacking:
        if 0 <= row < height and 0 <= column < width:
            flags[row, column] |= PixelFlag.GIVEN
    return flags


def binned_pixels(given: Sequence[tuple[int, int]], bin_px: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the bins (row, column) that lack every camera pixel, and those that lack some."""
    counts = Counter((row // bin_px, column // bin_px) for row, column in set(given))
    whole = [place for place, count in counts.items() if count == bin_px**2]
    return whole, [place for place, count in counts.items() if count < bin_px**2]


def apply_flags(fit: FitMap, flags: Flags) -> FitMap:
    """Return the map without the values of the flagged pixels: NaN, status BAD_FRAME, or MASKED where given."""
    masked = (flags & MASKING) != 0
    if not masked.any():
        return fit
    code = np.where(flags & PixelFlag.GIVEN, StatusCode.MASKED, StatusCode.BAD_FRAME).astype(np.uint8)
    changed: dict[str, NDArray[np.generic]] = {}
    for name in UNITS:
        if name != "baseline":  # the light itself stays to be seen
            plane = getattr(fit, name)
            blank = code if name.endswith("status") else np.float32(np.nan)
            changed[name] = np.where(masked, blank, plane).astype(plane.dtype)
    return replace(fit, **changed)  # pyright: ignore[reportArgumentType] - planes of the dtypes they had


def flag_counts(flags: Flags) -> Json:
    """Return the pixels of each flag, by its name in small letters."""
    return {flag.name.lower(): int(np.count_nonzero(flags & flag)) for flag in PixelFlag if flag.name is not None}
