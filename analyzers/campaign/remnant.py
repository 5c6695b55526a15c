"""Trapped flux: b = sqrt(E^2 - E_perp^2) / gamma per pixel, and an upper limit where it hides below E_perp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.campaign.bins import Binned, binned_mean
from physics.constants import GAMMA_MHZ_PER_GAUSS

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

LIMIT_SIGMA = 3.0
"""Below this many standard deviations of E - E_perp only an upper limit is given."""
ONE_SIDED_95 = 1.645
"""Standard deviations of a one-sided 95 % limit."""
FALLBACK_SHARE = 0.1
"""Systematic error of E_perp that comes from the normal state, as a share of it."""
APART_MHZ, APART_SHARE = 4.0, 0.25
"""A splitting without field further from that of the shear, in MHz and as a share of it, is not E_perp."""
OVERLAP_WIDTHS = 1.2
"""Lines nearer than so many widths cannot be told from one, or from one and a tilted line."""
UNMAPPED_MHZ = 2.0
"""What the anisotropy in the plane and local charges, which no map has, may add to E_perp, MHz."""
SUPPRESSION_EDGES = np.array([-0.04, -0.02, -0.01, 0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2])
"""Bins of 1 - s."""


@dataclass(frozen=True)
class TrappedFlux:
    """Field along [111] that is left with the applied field off; its sign is not seen."""

    b_gauss: Array
    """(y, x) G; NaN where only a limit is known."""
    b_sigma_gauss: Array
    """(y, x) its standard deviation, G."""
    limit_gauss: Array
    """(y, x) 95 % upper limit, G, wherever E is known."""
    limited: Mask
    """(y, x) True where only the limit is known."""


def trapped_flux(
    half_mhz: Array, half_sigma_mhz: Array, transverse_mhz: Array, transverse_sigma_mhz: Array, same_state: bool
) -> TrappedFlux:
    """Return the trapped flux of a remnant map.

    Parameters
    ----------
    half_mhz, half_sigma_mhz
        (y, x) half splitting of the [111] doublet in the remnant state, MHz.
    transverse_mhz, transverse_sigma_mhz
        (y, x) half splitting without any field: E_perp, MHz.
    same_state
        True where E_perp is of the same load and temperature after a zero-field cool; else 10 % of it is added to its
        error.
    """
    systematic = 0.0 if same_state else FALLBACK_SHARE
    error = np.hypot(transverse_sigma_mhz, systematic * transverse_mhz)
    gamma = GAMMA_MHZ_PER_GAUSS.value
    square = half_mhz**2 - transverse_mhz**2
    square_sigma = 2.0 * np.hypot(half_mhz * half_sigma_mhz, transverse_mhz * error)
    known = np.isfinite(square) & np.isfinite(square_sigma)
    limited = known & (half_mhz - transverse_mhz < LIMIT_SIGMA * np.hypot(half_sigma_mhz, error))
    with np.errstate(invalid="ignore", divide="ignore"):
        b = np.sqrt(np.maximum(square, 0.0)) / gamma
        sigma = square_sigma / (2.0 * gamma**2 * np.maximum(b, 1e-9))
        limit = np.sqrt(np.maximum(square, 0.0) + ONE_SIDED_95 * square_sigma) / gamma
    shown = known & ~limited
    return TrappedFlux(
        np.where(shown, b, np.nan), np.where(shown, sigma, np.nan), np.where(known, limit, np.nan), limited
    )


def checked_transverse(
    transverse_mhz: Array, sigma_mhz: Array, tau_gpa: Array, coupling_mhz: float, fwhm_mhz: float = 0.0
) -> tuple[Array, Array, Mask]:
    """Return E_perp and its error, taken from the shear where a map without field says something else.

    Near zero field the two [111] lines overlap where the shear is small; a fit may then take them for one and a tilted
    line for the other, and what it calls E_perp is many times too large: a limit from it would be false.

    Parameters
    ----------
    transverse_mhz, sigma_mhz
        (y, x) half splitting of the map without field.
    tau_gpa
        (y, x) shear of the load's stress map; NaN where unknown: the map is believed there.
    coupling_mhz
        MHz/GPa of E_perp per shear.
    fwhm_mhz
        Width of the lines: where they would overlap, the shear's E_perp is the better one.

    Returns
    -------
    tuple
        E_perp, its standard deviation, and where the shear's was taken.
    """
    expected = np.abs(coupling_mhz) * tau_gpa
    apart = np.abs(transverse_mhz - expected)
    with np.errstate(invalid="ignore"):
        wrong = apart > np.maximum(APART_MHZ, APART_SHARE * expected) + LIMIT_SIGMA * sigma_mhz
        wrong |= 2.0 * expected < OVERLAP_WIDTHS * fwhm_mhz
    error = np.hypot(FALLBACK_SHARE * expected, UNMAPPED_MHZ)
    return np.where(wrong, expected, transverse_mhz), np.where(wrong, error, sigma_mhz), wrong


@dataclass(frozen=True)
class FluxAgainstSuppression:
    """Trapped flux against the suppression after a zero-field cool at the same pixels."""

    binned: Binned
    """b where it is resolved, over bins of 1 - s, G."""
    limited: NDArray[np.int64]
    """Pixels of each bin that have an upper limit only."""
    median_limit_gauss: Array
    """Median of their limits, G; NaN without any."""


def flux_against_suppression(
    flux: TrappedFlux, suppression: Array, judged: Mask, block: NDArray[np.int64]
) -> FluxAgainstSuppression:
    """Return trapped flux against 1 - s over the judged pixels of one load; planes are (y, x)."""
    edges = SUPPRESSION_EDGES
    inside = judged & np.isfinite(suppression)
    binned = binned_mean((suppression[inside],), (edges,), flux.b_gauss[inside], block[inside])
    only = inside & flux.limited
    place = np.searchsorted(edges, suppression[only], side="right") - 1
    limits = [flux.limit_gauss[only][place == number] for number in range(edges.size - 1)]
    return FluxAgainstSuppression(
        binned,
        np.array([one.size for one in limits]),
        np.array([np.median(one) if one.size else np.nan for one in limits]),
    )
