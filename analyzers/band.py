"""One band of one sweep in a worker: its cube, its fits, its tiles."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analyzers.assembly import RegionSums
from analyzers.cube import Cube
from analyzers.fitmap import FitMap
from analyzers.fitting import fit_band
from analyzers.prepare import fit_terms, prepare_sums
from analyzers.regions import Regions
from analyzers.rescue import keep_unresolved
from analyzers.settings import AnalysisSettings
from analyzers.spectrum import rectangle_sums
from stream.messages import SpectrumRequest, Tile
from stream.worker_link import BandFrame, BandGranted, BandLost, BandSum

PROVISIONAL_INTERVAL_S = 0.3
"""Shortest time between two provisional fits of a band, s."""

PROVISIONAL_REST = 2.0
"""Rest after a provisional fit, in units of its duration: frames and final fits of other bands come first."""

Key = tuple[str, int, int, int]
"""Run uid, sweep, first row, lease: what tells bands apart."""


def key_of(event: BandGranted | BandFrame | BandLost | BandSum) -> Key:
    """Return the key of the band that an event is about."""
    if isinstance(event, BandGranted):
        return event.sweep.run_uid, event.sweep.sweep, event.y0, event.lease
    return event.run_uid, event.sweep, event.y0, event.lease


@dataclass
class Band:
    """A band that this worker owns: adds frames, fits while it grows and once for good."""

    grant: BandGranted
    """Run, sweep, rows and lease."""
    settings: AnalysisSettings
    """Settings of the run's analysis."""
    regions: Regions
    """Masks of the whole view."""
    worker: str
    """Name of this worker."""
    cube: Cube = field(init=False)
    """Sums so far."""
    done: bool = False
    """True once the final tile was made."""
    due_s: float = 0.0
    """Monotonic time before which no provisional fit is made, s."""
    lost: NDArray[np.int64] = field(init=False)
    """(f,) frames that the camera lost, per frequency."""
    frames_lost: int = 0
    """All of them."""
    _revision: int = 0
    _fitted_frames: int = 0
    _fit: FitMap | None = None
    _sums_fitted: NDArray[np.generic] = field(init=False)

    def __post_init__(self) -> None:
        """Begin an empty cube."""
        sweep, run = self.grant.sweep, self.grant.run
        if self.grant.y0 % self.settings.bin_px:
            raise ValueError(f"a band that begins at row {self.grant.y0} cuts bins of {self.settings.bin_px} pixels")
        self.lost = np.zeros(sweep.frequency_mhz.size, np.int64)
        self.cube = Cube(sweep.frequency_mhz.size, self.grant.y1 - self.grant.y0, run.width, run.dtype)

    @property
    def complete(self) -> bool:
        """True when every frame of the sweep is in the cube, but for those that the camera lost."""
        return (
            self.cube.frames_added + self.frames_lost == self.grant.sweep.frequency_mhz.size * self.grant.sweep.passes
        )

    @property
    def stale(self) -> bool:
        """True when frames came since the last fit and the final one is not made."""
        return not self.done and self.cube.frames_added > self._fitted_frames

    @property
    def pixels(self) -> int:
        """Spectra in the band."""
        return (self.grant.y1 - self.grant.y0) * self.grant.run.width

    def add(self, part: BandFrame | BandLost | BandSum) -> None:
        """Add a frame's pixels, count one that the camera lost, or take a sum over.

        Raises
        ------
        analyzers.cube.CubeError
            Where it does not fit the cube.
        """
        match part:
            case BandFrame():
                self.cube.add(part.index, part.pixels)
            case BandLost():
                self.lost[part.index] += 1
                self.frames_lost += 1
            case BandSum():
                self.cube.take_over(part.index, part.frames, part.sums)
                self.lost[part.index] = part.passes_done - part.frames
                self.frames_lost = int(self.lost.sum())

    def fit(self) -> Tile:
        """Fit what is there: for good from the settings alone when complete, else from the last fit on.

        Before the first pass is whole nothing is claimed: a line that was not measured yet would lend its number to
        another one, and a pixel would look resolved at a wrong s.
        """
        final = self.complete
        began = time.monotonic()
        whole_pass = bool(self.cube.passes_added.all())
        self._fit = self._fitted(None if final else self._fit) if whole_pass else None
        self._fitted_frames = self.cube.frames_added
        self._revision += 1
        self.done = final
        now = time.monotonic()
        self.due_s = now + max(PROVISIONAL_INTERVAL_S, PROVISIONAL_REST * (now - began))
        return self._tile(self._fit or self._unfitted(), final)

    def _fitted(self, start: FitMap | None) -> FitMap:
        sweep, run = self.grant.sweep, self.grant.run
        passes = self.cube.passes_added
        self._sums_fitted = prepare_sums(self.cube.sums, passes, sweep, run, self.settings, self.grant.y0)
        terms = fit_terms(sweep.frequency_mhz, passes, run.width, run.noise, self.settings)
        return fit_band(self._sums_fitted, terms.passes, sweep.frequency_mhz, terms.noise, terms.settings, start)

    def _unfitted(self) -> FitMap:
        n = self.settings.bin_px
        rows, width = (self.grant.y1 - self.grant.y0) // n, self.grant.run.width // n
        return FitMap.empty(self.settings.lines, self.settings.doublets, rows, width)

    def _tile(self, fit: FitMap, final: bool) -> Tile:
        return Tile(
            run_uid=self.grant.sweep.run_uid,
            sweep=self.grant.sweep.sweep,
            y0=self.grant.y0,
            y1=self.grant.y1,
            lease=self.grant.lease,
            revision=self._revision,
            final=final,
            frames_added=self.cube.frames_added,
            worker=self.worker,
            planes=fit.to_planes(),
            spectra=self._sums() | (self._unresolved(fit) if final else {}),
            frames_lost=self.frames_lost,
        )

    def _unresolved(self, fit: FitMap) -> dict[str, NDArray[np.generic]]:
        """Return the sums of the pixels that the builder may try again once it has the whole map."""
        if not self.settings.rescue:
            return {}
        n = self.settings.bin_px
        return keep_unresolved(self._sums_fitted, fit, self.grant.y0 // n, self.grant.run.height // n).to_arrays()

    def _sums(self) -> dict[str, NDArray[np.generic]]:
        """Sum the counts of the named regions within the band."""
        rows = slice(self.grant.y0, self.grant.y1)
        masks = {"all": np.ones((rows.stop - rows.start, self.grant.run.width), dtype=np.bool_)}
        masks["sample"] = self.regions.judged[rows]
        sums: dict[str, NDArray[np.generic]] = {"passes": self.cube.passes_added.astype("<u4")}
        for name, mask in masks.items():
            sums[name] = masked_sums(self.cube.sums, mask)
            sums[f"{name}_pixels"] = np.array([np.count_nonzero(mask)], dtype="<u4")
        return sums

    def holds(self, request: SpectrumRequest) -> bool:
        """Return whether the requested rectangle lies within the band of the requested sweep."""
        sweep = self.grant.sweep
        same = request.run_uid in ("", sweep.run_uid) and request.sweep == sweep.sweep
        return same and self.grant.y0 <= request.y0 and request.y1 <= self.grant.y1

    def rectangle(self, request: SpectrumRequest) -> RegionSums:
        """Return the counts of a rectangle within the band."""
        rows = slice(request.y0 - self.grant.y0, request.y1 - self.grant.y0)
        return rectangle_sums(self.cube.sums, self.cube.passes_added, rows, slice(request.x0, request.x1))


def masked_sums(cube_sums: NDArray[np.generic], mask: NDArray[np.bool_]) -> NDArray[np.generic]:
    """Sum a cube (f, y, x) over the pixels of a mask (y, x): u8 exactly, floats as f8 in row order."""
    total = "<u8" if cube_sums.dtype.kind == "u" else "<f8"
    sums = np.zeros(cube_sums.shape[0], dtype=total)
    for index, plane in enumerate(cube_sums):
        sums[index] = plane[mask].sum(dtype=total)
    return sums
