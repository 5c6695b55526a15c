"""Maps of one sweep: the field ratio s against the reference, by its one definition, with its uncertainty.

s = [E(T)/E_ref] of the pixel, divided by the median of the same ratio over the far off-sample region; E is the half
splitting of the [111] doublet, E_ref that of the run's reference sweep (same field, normal state). The ratio per pixel
cancels shear, miscut and the coil's inhomogeneity to first order, the median cancels what is common to all pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.fitmap import Doublet
from analyzers.regions import Regions
from analyzers.status import StatusCode

Plane = NDArray[np.float32]
Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class FieldRatioMap:
    """s = B/H of every pixel."""

    s: Plane
    """(y, x) field ratio; NaN where `status` is not OK."""
    sigma_s: Plane
    """(y, x) its standard deviation, from the fits of the sweep and of the reference."""
    sigma_s_reference: Plane
    """(y, x) the part of `sigma_s` that comes from the reference: common to all sweeps with that reference."""
    status: Codes
    """(y, x) why a pixel has no s."""
    off_sample_ratio: float
    """Median of E/E_ref over the off-sample region: the divisor; 1 where there is no such region."""
    off_sample_sigma: float
    """Standard error of `off_sample_ratio`: common to all pixels, not part of `sigma_s`."""
    off_sample_name: str
    """How the off-sample region was found, or `none`."""
    sigma_s_systematic: Plane | None = None
    """(y, x) the part of both sigmas that is no noise but the references' closure; None where it is not known yet."""


def field_ratio(sweep: Doublet, reference: Doublet, regions: Regions) -> FieldRatioMap:
    """Return s of a sweep against its reference.

    Parameters
    ----------
    sweep, reference
        The [111] doublets, (y, x).
    regions
        Ruby (no s there) and the off-sample region, (y, x).

    Notes
    -----
    Computed in float64, element by element, so the bits do not depend on how the view was cut into bands.
    """
    status = ratio_status(sweep.status, reference.status, regions)
    usable = status == StatusCode.OK
    ratio, own, common = _ratio(sweep, reference, usable)
    divisor, error, name = _off_sample_median(ratio, usable & regions.off_sample, regions.off_sample_name)
    s = np.where(usable, ratio / divisor, np.nan)
    return FieldRatioMap(
        s=s.astype(np.float32),
        sigma_s=(np.abs(s) * np.sqrt(own * own + common * common)).astype(np.float32),
        sigma_s_reference=(np.abs(s) * common).astype(np.float32),
        status=status,
        off_sample_ratio=divisor,
        off_sample_sigma=error,
        off_sample_name=name,
    )


def ratio_status(sweep: Codes, reference: Codes, regions: Regions) -> Codes:
    """Return why a pixel has no s: the ruby first, then the sweep's own reason, then the missing reference."""
    status = np.where(
        reference == StatusCode.OK, sweep, np.where(sweep == StatusCode.OK, StatusCode.NO_REFERENCE, sweep)
    )
    return np.where(regions.ruby, StatusCode.OCCLUDED, status).astype(np.uint8)


def _ratio(
    sweep: Doublet, reference: Doublet, usable: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return E/E_ref and the relative standard deviations of E and of E_ref, (y, x) f8; NaN where not usable."""

    def pick(values: Plane) -> NDArray[np.float64]:
        return np.where(usable, values.astype(np.float64), np.nan)

    measured, expected = pick(sweep.half_splitting_mhz), pick(reference.half_splitting_mhz)
    with np.errstate(divide="ignore", invalid="ignore"):  # two lines of exactly one centre
        own = pick(sweep.half_splitting_sigma_mhz) / measured
        common = pick(reference.half_splitting_sigma_mhz) / expected
        return measured / expected, own, common


def _off_sample_median(ratio: NDArray[np.float64], chosen: NDArray[np.bool_], name: str) -> tuple[float, float, str]:
    """Return the median ratio, its standard error and the name of the region; (1, 0, none) without pixels."""
    values = ratio[chosen]
    if values.size < 8:
        return 1.0, 0.0, "none"
    median = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - median)))
    # the median of n normal values scatters by sqrt(pi/2) more than their mean
    return median, float(np.sqrt(np.pi / 2 / values.size)) * spread, name
