"""A second try for unresolved pixels, from the solution of their neighbours.

It runs once, on the complete final map: by the builder while frames stream, and by `nvdac fit`, with the same bits. The
sums of the pixels that may need it travel with the final tiles. Near a known solution a line need not stand out among
all places where it could be, so a smaller significance does; the try counts only where it explains the spectrum better
than the first fit and lies where the neighbours say. Rescued pixels help no other ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analyzers.engine import fit_flat
from analyzers.fitmap import UNITS, FitMap
from analyzers.plan import cached_plan
from analyzers.settings import AnalysisSettings
from analyzers.status import StatusCode
from stream.messages import NoiseModel

Mask = NDArray[np.bool_]

NEIGHBOURS = 3
"""Fewest resolved neighbours whose solution is tried."""
RADIUS = 2
"""How far neighbours are, rows or columns: 24 of them."""
SIGNIFICANCE = 2.5
"""Smallest significance of a line where its neighbours have it: noise there passes for a line in about 2 %."""
PAIR_FALSE_ALARM = 0.1
"""Chance that a single line passes for two near ones where the neighbours have two."""
REACH = 0.5
"""Farthest from the neighbours' centre that a line may be found, in units of their width."""
HOPELESS = (StatusCode.BAD_FRAME, StatusCode.NOT_YET_MEASURED, StatusCode.MASKED)
"""Reasons that no start mends."""
_AROUND = [(dy, dx) for dy in range(2 * RADIUS + 1) for dx in range(2 * RADIUS + 1) if (dy, dx) != (RADIUS, RADIUS)]
PLACES, SUMS = "unresolved_places", "unresolved_sums"
"""Names under which a tile carries them."""


@dataclass(frozen=True)
class Unresolved:
    """Sums of pixels that may be tried again."""

    places: NDArray[np.int64]
    """(n,) row times width plus column, ascending."""
    sums: NDArray[np.generic]
    """(f, n) sums over the passes, as they were fitted."""

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays that a tile carries."""
        return {PLACES: self.places.astype("<i8"), SUMS: np.ascontiguousarray(self.sums)}

    @staticmethod
    def of_tiles(tiles: Sequence[Mapping[str, NDArray[np.generic]]]) -> Unresolved | None:
        """Join what the tiles of a sweep carry, in row order; None where one of them carries none."""
        if not tiles or any(PLACES not in tile for tile in tiles):
            return None
        places = np.concatenate([tile[PLACES] for tile in tiles]).astype(np.int64)
        return Unresolved(places, np.concatenate([tile[SUMS] for tile in tiles], axis=1))


def resolved(fit: FitMap) -> Mask:
    """Return where the first doublet, or without one every line, is resolved, (y, x)."""
    return (fit.doublet_status[0] if fit.pairs else fit.status) == StatusCode.OK


def candidates(fit: FitMap, more_above: bool = False, more_below: bool = False) -> Mask:
    """Return the pixels (y, x) that are unresolved among enough resolved neighbours.

    `more_above` and `more_below` say that rows beyond the map exist and are taken as resolved: a band keeps whatever
    the whole map may need.
    """
    good = resolved(fit)
    padded = np.pad(good, RADIUS)
    padded[:RADIUS], padded[-RADIUS:] = more_above, more_below
    rows, columns = good.shape
    count = np.zeros(good.shape, np.uint8)
    for dy, dx in _AROUND:
        count += padded[dy : dy + rows, dx : dx + columns]
    return ~good & ~np.isin(fit.status, HOPELESS) & (count >= NEIGHBOURS)


def keep_unresolved(cube_sums: NDArray[np.generic], fit: FitMap, y0: int, height: int) -> Unresolved:
    """Return the sums (f, y, x) of a band's pixels that may be tried again; `y0` is its first row of `height`."""
    rows, width = fit.shape
    places = np.flatnonzero(candidates(fit, more_above=y0 > 0, more_below=y0 + rows < height))
    return Unresolved(places + y0 * width, cube_sums.reshape(cube_sums.shape[0], -1)[:, places])


def rescue(
    fit: FitMap,
    unresolved: Unresolved,
    passes_added: NDArray[np.integer],
    frequency_mhz: NDArray[np.float64],
    noise: NoiseModel,
    settings: AnalysisSettings,
) -> tuple[FitMap, Mask]:
    """Try the unresolved pixels of a whole map again; returns the map and where it changed, (y, x)."""
    tried = candidates(fit)
    kept = np.isin(unresolved.places, np.flatnonzero(tried))
    places = unresolved.places[kept]
    changed = np.zeros(tried.shape, np.bool_)
    easier = replace(
        settings,
        significance=min(settings.significance or SIGNIFICANCE, SIGNIFICANCE),
        false_alarm=max(settings.false_alarm, PAIR_FALSE_ALARM),
    )
    plan = cached_plan(passes_added, frequency_mhz, len(frequency_mhz), noise, easier, provisional=False)
    if not places.size or plan is None:
        return fit, changed
    start = _neighbours(fit, places)
    sums = np.ascontiguousarray(unresolved.sums[:, kept])
    planes = fit_flat(plan, sums.reshape(-1), places.size, places.size, start)
    again = FitMap.from_planes({name: plane[..., None, :] for name, plane in planes.items()}, fit.pairs)
    accepted = _accepted(again, start, fit.chi2.reshape(-1)[places])
    changed.reshape(-1)[places[accepted]] = True
    merged: dict[str, NDArray[np.generic]] = {}
    for name in UNITS:
        plane = getattr(fit, name).copy()
        plane.reshape(*plane.shape[:-2], -1)[..., places[accepted]] = planes[name][..., accepted]
        merged[name] = plane
    return FitMap.from_planes(merged, fit.pairs), changed


def _neighbours(fit: FitMap, places: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the median of the resolved neighbours' lines, (3, lines, n) centre, fwhm and contrast; NaN without any."""
    lines = np.stack([fit.centre_mhz, fit.fwhm_mhz, fit.contrast]).astype(np.float64)
    lines[:, fit.line_status != StatusCode.OK] = np.nan
    lines[:, :, ~resolved(fit)] = np.nan
    edge = (RADIUS, RADIUS)
    padded = np.pad(lines, ((0, 0), (0, 0), edge, edge), constant_values=np.nan)
    rows, columns = np.divmod(places, fit.shape[1])
    around = np.stack([padded[:, :, rows + dy, columns + dx] for dy, dx in _AROUND])
    known = np.isfinite(around).any(axis=0)
    return np.where(known, np.nanmedian(np.where(known, around, 0.0), axis=0), np.nan).astype(np.float32)


def _accepted(again: FitMap, start: NDArray[np.float32], chi2_before: NDArray[np.float32]) -> Mask:
    """Return which second tries count, (n,): resolved, where the neighbours are, and no worse than the first fit."""
    found = again.line_status[:, 0] == StatusCode.OK
    away = np.abs(again.centre_mhz[:, 0].astype(np.float64) - start[0])
    near = away <= REACH * start[1]  # False where the neighbours have no such line
    same_sign = again.contrast[:, 0] * start[2] > 0
    better = ~np.isfinite(chi2_before) | (again.chi2[0] <= chi2_before)
    return resolved(again)[0] & (~found | (near & same_sign)).all(axis=0) & better
