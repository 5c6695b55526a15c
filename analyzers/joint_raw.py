"""What the joint fit's kernel leaves per pixel, and which parts of it mean what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.kernels.hamiltonian import OWN, SHARED, STRESS

Array = NDArray[np.float64]

COLUMNS = 95
"""Numbers per pixel, see `analyzers.kernels.joint_pixels.fit_joint`."""
RIVALS = 8
"""Solutions compared with what was found, that itself among them: see `analyzers.joint_problem.swaps`."""
FITTED, NOT_CONVERGED, NO_DATA = 0, 1, 2
"""Codes of the kernel."""


@dataclass(frozen=True)
class Fits:
    """Raw results of pixels, in the order of the map."""

    states: Array
    """(pixels, 11 + 22 fields) shared numbers and each field's own."""
    values: Array
    """(pixels, 95) numbers by place."""
    codes: NDArray[np.uint8]
    """(pixels,) codes of the kernel."""
    costs: Array
    """(pixels, 8) chi2 that other solutions are worse by; infinite where there is none."""
    apart: Array
    """(pixels, 8, 6) stress parameters of other solutions minus those found, GPa."""

    @staticmethod
    def empty(pixels: int, fields: int) -> Fits:
        """Return results of pixels not fitted."""
        states = np.full((pixels, SHARED + OWN * fields), np.nan)
        values, codes = np.full((pixels, COLUMNS), np.nan), np.full(pixels, NO_DATA, np.uint8)
        costs, apart = np.full((pixels, RIVALS), np.inf), np.zeros((pixels, RIVALS, STRESS))
        return Fits(states, values, codes, costs, apart)

    def put(self, pixels: NDArray[np.int64], some: Fits, rivals: bool = True) -> None:
        """Write the results of some pixels, with or without what is known of other solutions."""
        self.states[pixels] = some.states
        self.values[pixels] = some.values
        self.codes[pixels] = some.codes
        if rivals:
            self.costs[pixels] = some.costs
            self.apart[pixels] = some.apart

    def copy(self, pixels: NDArray[np.int64]) -> Fits:
        """Return the results of some pixels."""
        return Fits(
            self.states[pixels], self.values[pixels], self.codes[pixels], self.costs[pixels], self.apart[pixels]
        )

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

    def own_rivals(self) -> None:
        """Let the one rival that the kernel itself found count as all other solutions."""
        self.costs[:] = np.inf
        self.costs[:, 0] = np.where(np.isfinite(self.values[:, 82]), self.values[:, 82], np.inf)
        self.apart[:] = 0.0
        self.apart[:, 0] = np.nan_to_num(self.values[:, 84:90] - self.shared[:, :STRESS])

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
    def energy(self) -> Array:
        """(pixels,) chi2 with the priors."""
        return self.values[:, 94]

    def variances(self) -> Array:
        """Return (pixels, 11) the variances of `shared`."""
        return self.values[:, [SHARED + a * (a + 3) // 2 for a in range(SHARED)]]

    def significance(self, tilted: bool) -> Array:
        """Return (pixels,) depth of a class of lines in standard deviations."""
        return self.values[:, 91 if tilted else 90]

    def depth(self, tilted: bool) -> Array:
        """Return (pixels,) mean depth of a class of lines; negative where they are bright."""
        return self.values[:, 93 if tilted else 92]
