"""FitMap: what the fit of every pixel of a band or map says, as planes with units."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.status import StatusCode

Plane = NDArray[np.float32]

UNITS: dict[str, str] = {
    "centre_mhz": "MHz",
    "centre_mhz_sigma": "MHz",
    "fwhm_mhz": "MHz",
    "fwhm_mhz_sigma": "MHz",
    "contrast": "1",
    "contrast_sigma": "1",
    "pair_correlation": "1",
    "baseline": "counts",
    "slope": "1/MHz",
    "chi2": "1",
    "line_status": "code",
    "doublet_status": "code",
    "status": "code",
}
"""Unit of each plane."""

DESCRIPTIONS: dict[str, str] = {
    "centre_mhz": "centre of each line (line, y, x), ascending; NaN where the line is not resolved",
    "centre_mhz_sigma": "standard deviation of centre_mhz, the width's uncertainty in it, times sqrt(max(1, chi2))",
    "fwhm_mhz": "full width at half maximum of each line (line, y, x)",
    "fwhm_mhz_sigma": "standard deviation of fwhm_mhz, times sqrt(max(1, chi2))",
    "contrast": "contrast of each line relative to the baseline (line, y, x): a dip is negative, a peak positive",
    "contrast_sigma": "standard deviation of contrast, times sqrt(max(1, chi2))",
    "pair_correlation": "correlation between the two centres of each doublet (doublet, y, x)",
    "baseline": "mean counts off the lines at the middle of the list, camera offset taken off (y, x)",
    "slope": "relative slope of the baseline (y, x)",
    "chi2": "chi2 per degree of freedom against the noise model (y, x)",
    "line_status": "status code of each line (line, y, x)",
    "doublet_status": "status code of each doublet (doublet, y, x)",
    "status": "status code of the pixel: OK where every line is resolved, else the first doublet's reason (y, x)",
}
"""One sentence on each plane."""


@dataclass(frozen=True)
class Doublet:
    """Lower and upper resonance of one NV group, per pixel; NaN where not resolved."""

    centre_mhz: Plane
    """(y, x) (f+ + f-)/2, MHz."""
    centre_mhz_sigma: Plane
    """(y, x) its standard deviation, MHz."""
    half_splitting_mhz: Plane
    """(y, x) (f+ - f-)/2, MHz."""
    half_splitting_sigma_mhz: Plane
    """(y, x) its standard deviation, MHz."""
    status: NDArray[np.uint8]
    """(y, x) status codes."""


@dataclass(frozen=True)
class FitMap:
    """Fitted lines of every pixel; units in `UNITS`, meanings in `DESCRIPTIONS`. Float planes are float32."""

    centre_mhz: Plane
    centre_mhz_sigma: Plane
    fwhm_mhz: Plane
    fwhm_mhz_sigma: Plane
    contrast: Plane
    contrast_sigma: Plane
    pair_correlation: Plane
    baseline: Plane
    slope: Plane
    chi2: Plane
    line_status: NDArray[np.uint8]
    doublet_status: NDArray[np.uint8]
    status: NDArray[np.uint8]
    pairs: tuple[tuple[int, int], ...] = ()
    """Line numbers of each doublet."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.status.shape[0], self.status.shape[1]

    @property
    def lines(self) -> int:
        """Lines per spectrum."""
        return self.centre_mhz.shape[0]

    def doublet(self, number: int) -> Doublet:
        """Return doublet `number`: centre and half splitting with the covariance of its two lines."""
        low, high = self.pairs[number]
        status = self.doublet_status[number]
        first, second = self.centre_mhz[low], self.centre_mhz[high]
        sum_of_squares = self.centre_mhz_sigma[low] ** 2 + self.centre_mhz_sigma[high] ** 2
        cross = 2 * self.pair_correlation[number] * self.centre_mhz_sigma[low] * self.centre_mhz_sigma[high]

        def where_ok(values: Plane) -> Plane:
            return np.where(status == StatusCode.OK, values, np.float32(np.nan)).astype(np.float32)

        return Doublet(
            centre_mhz=where_ok((first + second) / 2),
            centre_mhz_sigma=where_ok(np.sqrt(np.maximum(sum_of_squares + cross, 0)) / 2),
            half_splitting_mhz=where_ok((second - first) / 2),
            half_splitting_sigma_mhz=where_ok(np.sqrt(np.maximum(sum_of_squares - cross, 0)) / 2),
            status=status,
        )

    def to_planes(self) -> dict[str, NDArray[np.generic]]:
        """Return the planes by name, as a `Tile` carries them."""
        return {name: getattr(self, name) for name in UNITS}

    @staticmethod
    def from_planes(planes: Mapping[str, NDArray[np.generic]], pairs: Sequence[Sequence[int]] = ()) -> FitMap:
        """Make a map of planes by name; `pairs` are `AnalysisSettings.doublets`.

        Raises
        ------
        KeyError
            Where a plane is missing.
        """
        values: dict[str, Any] = {name: np.asarray(planes[name]) for name in UNITS}
        return FitMap(**values, pairs=tuple((int(low), int(high)) for low, high in pairs))

    @staticmethod
    def concat(bands: Sequence[FitMap]) -> FitMap:
        """Join bands (in row order) to one map."""
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(band, name) for band in bands], axis=-2) for name in UNITS
        }
        return FitMap(**joined, pairs=bands[0].pairs)

    @staticmethod
    def empty(lines: int, pairs: Sequence[Sequence[int]], rows: int, width: int) -> FitMap:
        """Return a map without any result: NaN, status NOT_YET_MEASURED."""
        leading = {"pair_correlation": len(pairs), "doublet_status": len(pairs)}
        per_pixel = ("baseline", "slope", "chi2", "status")
        planes: dict[str, NDArray[np.generic]] = {}
        for name in UNITS:
            shape = (rows, width) if name in per_pixel else (leading.get(name, lines), rows, width)
            code = name.endswith("status")
            fill = StatusCode.NOT_YET_MEASURED if code else np.nan
            planes[name] = np.full(shape, fill, np.uint8 if code else np.float32)
        return FitMap.from_planes(planes, pairs)

    def rows(self, y0: int, y1: int) -> FitMap:
        """Return rows y0:y1 as a map of their own (views)."""
        cut: dict[str, Any] = {name: getattr(self, name)[..., y0:y1, :] for name in UNITS}
        return dataclasses.replace(self, **cut)
