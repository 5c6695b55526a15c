"""Tc and response against La:Ni, and the ratio at which they are largest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from analyzers.campaign.bins import Binned, binned_mean
from analyzers.campaign.bootstrap import DRAWS, Interval, bootstrap
from analyzers.campaign.boundary import LOW_TAU_GPA
from analyzers.campaign.load_maps import LoadMaps
from analyzers.campaign.rows import PixelRows, TemperatureRows, pixel_rows

Array = NDArray[np.float64]

SMOOTHING_PX = 0.5
"""The La:Ni map is smoothed by this much first: its noise widens the peak, more smoothing shifts it at edges."""
RATIO_STEP = 0.04
"""Bins of La:Ni."""
SMALLEST_SPAN = 0.15
"""Span of La:Ni (5th to 95th percentile) below which a sample says nothing on the optimum."""
FEWEST_PIXELS = 60
"""Pixels that a fit needs."""


@dataclass(frozen=True)
class Optimum:
    """La:Ni at which Tc peaks."""

    ratio: Interval
    """(2,) the ratio, and the standard deviation of the peak."""
    samples: tuple[str, ...]
    """Samples whose La:Ni varies enough."""
    one_sided: bool
    """True where the data lie on one side of the peak: its place then rests on the peak's shape."""


def smoothed_ratio(load: LoadMaps) -> Array:
    """Return (y, x) La:Ni smoothed over known pixels; NaN where it is not known."""
    known = np.isfinite(load.la_ni)
    share = ndimage.gaussian_filter(known.astype(np.float64), SMOOTHING_PX)
    values = ndimage.gaussian_filter(np.where(known, load.la_ni, 0.0), SMOOTHING_PX)
    return np.where(known, values / np.maximum(share, 1e-9), np.nan)


def optimum(loads: Sequence[LoadMaps], draws: int = DRAWS, seed: int = 0) -> Optimum | None:
    """Return the La:Ni at which Tc of low-shear pixels peaks, or None where no sample's La:Ni varies enough.

    A Gaussian peak with one height per load is fitted to Tc, 0 where a pixel does not respond.
    """
    varied = varied_loads(loads)
    if not varied:
        return None
    rows = pixel_rows(varied)
    ratio = np.concatenate([smoothed_ratio(load)[load.judged] for load in varied])
    usable = np.isfinite(ratio) & np.isfinite(rows.suppression) & (rows.tau_gpa < LOW_TAU_GPA)
    known = rows.chosen(usable)
    ratio = ratio[usable]
    if ratio.size < FEWEST_PIXELS:
        return None
    tc = np.where(known.responds, known.tc_k, 0.0)
    interval = bootstrap(lambda weight: _peak(known, ratio, tc, weight), known.units, draws, seed)
    centre = float(interval.value[0])
    high = float(np.percentile(ratio, 99)) < centre + 0.5 * float(interval.value[1])
    low = float(np.percentile(ratio, 1)) > centre - 0.5 * float(interval.value[1])
    return Optimum(interval, tuple(sorted({load.sample for load in varied})), high or low)


def varied_loads(loads: Sequence[LoadMaps]) -> list[LoadMaps]:
    """Return the loads whose La:Ni varies enough to say something on it: others would pile up at one ratio."""
    return [load for load in loads if _span(load) >= SMALLEST_SPAN]


def _span(load: LoadMaps) -> float:
    values = load.la_ni[load.judged]
    values = values[np.isfinite(values)]
    return float(np.ptp(np.percentile(values, [5, 95]))) if values.size else 0.0


def _peak(rows: PixelRows, ratio: Array, tc: Array, weight: Array) -> Array:
    """Return (centre, standard deviation) of the peak that fits best; NaN where there is none inside the data."""
    loads, member = np.unique(rows.units.load, return_inverse=True)
    usable = weight > 0
    if np.count_nonzero(usable) < FEWEST_PIXELS:
        return np.full(2, np.nan)
    r, t, w, m = ratio[usable], tc[usable], np.sqrt(weight[usable]), member[usable]

    def residual(parameters: Array) -> Array:
        shape = np.exp(-0.5 * ((r - parameters[0]) / parameters[1]) ** 2)
        top = np.bincount(m, w**2 * shape * t, loads.size) / np.maximum(
            np.bincount(m, (w * shape) ** 2, loads.size), 1e-12
        )
        return w * (t - top[m] * shape)

    start = [float(np.median(r[t >= np.percentile(t, 80)])), 0.1]
    bounds = ([float(r.min()) - 0.05, 0.02], [float(r.max()) + 0.05, 1.0])
    fit = optimize.least_squares(residual, np.clip(start, *bounds), bounds=bounds, loss="soft_l1", f_scale=5.0)
    return np.asarray(fit.x, dtype=np.float64)


def response_by_ratio(rows: PixelRows) -> Binned:
    """Return the cold response of low-shear pixels, in units of its sample's plateau, against La:Ni."""
    response = np.where(rows.tau_gpa < LOW_TAU_GPA, rows.suppression, np.nan)
    return binned_mean((rows.la_ni,), (ratio_edges(rows.la_ni),), response, rows.units.block)


def ratio_temperature(rows: TemperatureRows, temperature_edges: Array) -> Binned:
    """Return s over (La:Ni, temperature): the stoichiometry-temperature diagram."""
    edges = (ratio_edges(rows.la_ni), temperature_edges)
    return binned_mean((rows.la_ni, rows.temperature_k), edges, rows.s, rows.units.block, rows.sweep, rows.common_sigma)


def ratio_edges(la_ni: Array) -> Array:
    """Return edges of bins of La:Ni that hold every known value."""
    known = la_ni[np.isfinite(la_ni)]
    if known.size == 0:
        return np.array([1.0, 1.0 + RATIO_STEP])
    first, last = np.floor(known.min() / RATIO_STEP), np.floor(known.max() / RATIO_STEP) + 1
    return np.arange(first, last + 0.5) * RATIO_STEP
