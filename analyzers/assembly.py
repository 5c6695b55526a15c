"""Bands become one sweep: the newest tile of each band laid into full planes, region sums added exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from analyzers.rescue import Unresolved
from analyzers.status import StatusCode
from stream.messages import SweepStart, Tile

Planes = dict[str, NDArray[np.generic]]


@dataclass
class SweepAssembly:
    """What is known of one sweep so far."""

    start: SweepStart
    """The sweep."""
    height: int
    """Camera rows."""
    width: int
    """Camera columns."""
    bin_px: int = 1
    """Edge of a pixel of the planes, camera pixels."""
    tiles: dict[tuple[int, int], Tile] = field(default_factory=dict[tuple[int, int], Tile])
    """Newest tile of each band, by its rows."""
    frames_sent: int = 0
    """Frames the camera has sent, as far as it said."""
    revision: int = 0
    """Rises with each tile."""

    @property
    def frames_total(self) -> int:
        """Frames of the complete sweep."""
        return self.start.frequency_mhz.size * self.start.passes

    def add(self, tile: Tile) -> None:
        """Take a tile; one that overlaps others (bands were cut anew) replaces them, a final one is never replaced."""
        for other in self.tiles.values():
            if _form(other) != _form(tile):
                raise ValueError(f"a tile of {tile.worker} has other planes than those of {other.worker}")
        overlapping = [rows for rows in self.tiles if rows[0] < tile.y1 and tile.y0 < rows[1]]
        if any(self.tiles[rows].final for rows in overlapping):
            return
        for rows in overlapping:
            del self.tiles[rows]
        self.tiles[tile.y0, tile.y1] = tile
        self.revision += 1

    @property
    def complete(self) -> bool:
        """True when final tiles cover every row."""
        return sum(y1 - y0 for (y0, y1), tile in self.tiles.items() if tile.final) == self.height

    @property
    def frames_added(self) -> int:
        """Frames added by every band: the least over the bands, 0 while one is missing."""
        covered = sum(y1 - y0 for y0, y1 in self.tiles)
        if covered != self.height:
            return 0
        return min(tile.frames_added for tile in self.tiles.values())

    @property
    def frames_lost(self) -> int:
        """Frames that the camera itself lost, as far as the bands have counted."""
        return max((tile.frames_lost for tile in self.tiles.values()), default=0)

    def planes(self) -> Planes:
        """Return the planes of the whole view, (..., y, x); rows without a tile are NaN and NOT_YET_MEASURED."""
        if not self.tiles:
            return {}
        ordered = [self.tiles[rows] for rows in sorted(self.tiles)]
        full: Planes = {}
        for name, plane in ordered[0].planes.items():
            fill = np.nan if np.issubdtype(plane.dtype, np.floating) else int(StatusCode.NOT_YET_MEASURED)
            shape = (*plane.shape[:-2], self.height // self.bin_px, self.width // self.bin_px)
            full[name] = np.full(shape, fill, dtype=plane.dtype)
        for tile in ordered:
            for name, plane in tile.planes.items():
                first = tile.y0 // self.bin_px
                full[name][..., first : first + plane.shape[-2], :] = plane
        return full

    def unresolved(self) -> Unresolved | None:
        """Return the sums of the pixels that may be tried again; None where a tile does not carry them."""
        return Unresolved.of_tiles([self.tiles[rows].spectra for rows in sorted(self.tiles)])

    def region_sums(self, region: str) -> RegionSums:
        """Return the counts of a named region summed over all bands."""
        return add_region_sums(
            [self.tiles[rows].spectra for rows in sorted(self.tiles)], region, self.start.frequency_mhz.size
        )


@dataclass(frozen=True)
class RegionSums:
    """Counts summed over a region of the view."""

    counts: NDArray[np.generic]
    """(f,) u8 sums of counts, or f8 for frames of floats."""
    exposures: NDArray[np.uint64]
    """(f,) pixels times passes that went into each sum."""


def _form(tile: Tile) -> dict[str, object]:
    """Return what the planes of every tile of a sweep have in common."""
    return {name: (plane.dtype.str, plane.shape[:-2]) for name, plane in tile.planes.items()}


def add_region_sums(spectra: list[Mapping[str, NDArray[np.generic]]], region: str, frequencies: int) -> RegionSums:
    """Add the sums of one region over bands, integers exactly; bands are taken in the order given."""
    exposures = np.zeros(frequencies, dtype=np.uint64)
    counts: NDArray[Any] = np.zeros(frequencies, dtype=np.uint64)
    for band in spectra:
        if region not in band:
            continue
        sums = cast("NDArray[Any]", band[region])
        counts = counts + sums if sums.dtype.kind == "u" else counts.astype(np.float64) + sums
        exposures = exposures + band[f"{region}_pixels"].astype(np.uint64) * band["passes"].astype(np.uint64)
    return RegionSums(counts, exposures)
