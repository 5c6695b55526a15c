"""What the joint fit's kernel leaves per pixel, and which parts of it mean what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.kernels.hamiltonian import OWN, SHARED

Array = NDArray[np.float64]

COLUMNS = 94
"""Numbers per pixel, see `analyzers.kernels.joint_pixels.fit_joint`."""
FITTED, NOT_CONVERGED, NO_DATA = 0, 1, 2
"""Codes of the kernel."""


@dataclass(frozen=True)
class Fits:
    """Raw results of pixels, in the order of the map."""

    states: Array
    """(pixels, 11 + 22 fields) shared numbers and each field's own."""
    values: Array
    """(pixels, 94) numbers by place."""
    codes: NDArray[np.uint8]
    """(pixels,) codes of the kernel."""

    @staticmethod
    def empty(pixels: int, fields: int) -> Fits:
        """Return results of pixels not fitted."""
        states = np.full((pixels, SHARED + OWN * fields), np.nan)
        return Fits(states, np.full((pixels, COLUMNS), np.nan), np.full(pixels, NO_DATA, np.uint8))

    def put(self, pixels: NDArray[np.int64], some: Fits) -> None:
        """Write the results of some pixels."""
        self.states[pixels] = some.states
        self.values[pixels] = some.values
        self.codes[pixels] = some.codes

    def copy(self, pixels: NDArray[np.int64]) -> Fits:
        """Return the results of some pixels."""
        return Fits(self.states[pixels], self.values[pixels], self.codes[pixels])

    def keep_better(self, pixels: NDArray[np.int64], before: Fits) -> None:
        """Take earlier results of some pixels back where they were not improved on: a refit never makes worse."""
        now = self.copy(pixels)
        improved = (now.chi2 < before.chi2) & (now.codes <= before.codes) | (now.codes < before.codes)
        back = np.flatnonzero(~improved)
        self.put(pixels[back], before.copy(back))

    def doubtful(self, pixels: NDArray[np.int64], factor: float) -> NDArray[np.bool_]:
        """Return which of some pixels did not converge, or have a chi2 above `factor` times their median."""
        some = self.copy(pixels)
        fine = some.codes == FITTED
        if not fine.any():
            return some.codes == NOT_CONVERGED
        with np.errstate(invalid="ignore"):
            return (some.codes == NOT_CONVERGED) | (some.chi2 > factor * float(np.median(some.chi2[fine])))

    def rival(self, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the swap that comes next to what was found in each of some pixels; -1 where none differs."""
        number = self.values[pixels, 83]
        return np.where(np.isfinite(number), number, -1.0).astype(np.int64)

    @property
    def shared(self) -> Array:
        """(pixels, 11) stress parameters, field ratio, depths, widths."""
        return self.values[:, :SHARED]

    def covariance(self) -> Array:
        """Return (pixels, 11, 11) the covariance of `shared`."""
        rows, columns = np.tril_indices(SHARED)
        full = np.empty((len(self.values), SHARED, SHARED))
        full[:, rows, columns] = self.values[:, SHARED:77]
        full[:, columns, rows] = self.values[:, SHARED:77]
        return full

    @property
    def consistency(self) -> Array:
        """(pixels,) fall of chi2 with all lines free, over what noise alone gives."""
        return self.values[:, 77] / self.values[:, 78]

    @property
    def determined(self) -> Array:
        """(pixels,) parameters that the data determine."""
        return self.values[:, 79]

    @property
    def chi2(self) -> Array:
        """(pixels,) chi2 of the data."""
        return self.values[:, 80]

    @property
    def margin(self) -> Array:
        """(pixels,) chi2 that the best rival is higher by; infinite where none differs, NaN where none was tried."""
        return self.values[:, 82]

    @property
    def rival_stress(self) -> Array:
        """(pixels, 6) stress parameters of the best rival."""
        return self.values[:, 84:90]

    def significance(self, tilted: bool) -> Array:
        """Return (pixels,) depth of a class of lines in standard deviations."""
        return self.values[:, 91 if tilted else 90]

    def depth(self, tilted: bool) -> Array:
        """Return (pixels,) mean depth of a class of lines; negative where they are bright."""
        return self.values[:, 93 if tilted else 92]
