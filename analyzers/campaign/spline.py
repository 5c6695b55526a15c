"""The three-dimensional diagram: s over (temperature, sigma_ZZ, shear), binned, and a spline through the bins.

The binned means are measured; the spline is not. It is smooth between the bins and extrapolates beyond them, and every
value says which of the two it is: `measured` is 1 in bins with pixels, `between` is 1 where the nearest measured bin is
no further than one bin away along each axis; elsewhere the spline is extrapolated.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import RBFInterpolator

from analyzers.campaign.bins import binned_mean
from analyzers.campaign.parts import part
from analyzers.campaign.rows import TemperatureRows
from stream.maps_file import MapsPart
from stream.messages import Json

Array = NDArray[np.float64]

SPLINE = "spline_of_temperature_sigma_zz_and_tau"
"""Name of the part."""
FEWEST_BINS = 24
"""Measured bins that a spline needs."""
NEIGHBOURS = 64
"""Bins around a place that its value is made of."""
STIFFNESS = 1.0
"""Smoothing, in units of the bins' variances: the spline passes within about their errors."""
FLOOR = 3e-4
"""Error of a bin that none is known better than."""


def spline_part(
    rows: TemperatureRows, temperature_edges: Array, sigma_edges: Array, tau_edges: Array, about: Json
) -> MapsPart | None:
    """Return the three-dimensional diagram, None where too few bins hold pixels.

    Its planes are (temperature, sigma_ZZ, tau).
    """
    edges = temperature_edges, sigma_edges, tau_edges
    coordinates = rows.temperature_k, rows.sigma_zz_gpa, rows.tau_gpa
    found = binned_mean(coordinates, edges, rows.s, rows.units.block, rows.sweep, rows.common_sigma)
    measured = found.count > 0
    if np.count_nonzero(measured) < FEWEST_BINS or min(np.ptp(np.nonzero(measured), axis=1)) == 0:
        return None
    places = np.stack(np.nonzero(measured), axis=1).astype(np.float64)
    error = np.fmax(np.where(np.isfinite(found.error), found.error, found.scatter)[measured], FLOOR)
    error = np.where(np.isfinite(error), error, np.nanmax(error))
    smoothing: Any = STIFFNESS * (error / np.median(error)) ** 2
    fit = RBFInterpolator(places, found.mean[measured], min(NEIGHBOURS, len(places)), smoothing=smoothing, degree=1)
    grid = np.indices(measured.shape).reshape(3, -1).T.astype(np.float64)
    spline = np.asarray(fit(grid), np.float64).reshape(measured.shape)
    between = ndimage.binary_dilation(measured, np.ones((3, 3, 3), np.bool_))
    axes = "(temperature_k, sigma_zz_gpa, tau_gpa)"
    return part(
        {
            "temperature_k_edges": (temperature_edges, "K", "edges of the bins of temperature_k"),
            "sigma_zz_gpa_edges": (sigma_edges, "GPa", "edges of the bins of sigma_zz_gpa"),
            "tau_gpa_edges": (tau_edges, "GPa", "edges of the bins of tau_gpa"),
            "mean": (found.mean, "1", f"measured mean of s {axes}; NaN where no pixel is"),
            "error": (
                found.error,
                "1",
                "standard deviation of the mean, from blocks; NaN for few",
            ),
            "count": (found.count, "1", "values in the bin"),
            "blocks": (found.blocks, "1", "independent blocks in the bin"),
            "spline": (
                spline,
                "1",
                f"SPLINE through the means {axes}, not measured; extrapolated if not between",
            ),
            "between": (between.astype(np.uint8), "1", "1 where a measured bin is no further than one bin away"),
        },
        about,
    )
