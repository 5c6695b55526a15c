"""Where superconductivity ends: Tc against sigma_ZZ at little shear, the lowest sigma_ZZ, and the critical shear.

* `boundary_k`: Tc of responding pixels at a shear of `REFERENCE_TAU_GPA`, on knots of sigma_ZZ. Around each knot Tc^2
  is a straight line in tau^2 (turning the shear round changes nothing, so tau^2 is its first power), fitted robustly.
  A knot counts where pixels lie on both sides of it and shear reaches down to `LOW_TAU_GPA`: nothing is extrapolated.
* `sigma_edge_gpa`: sigma_ZZ at which half of the low-shear pixels respond at the lowest temperature.
* `tau_critical_gpa`: shear at which the cold response has fallen to half of what it is below, over sigma_ZZ where
  low-shear pixels do respond. No law of Tc against shear enters.
* `tau_from_tc_gpa`: where Tc^2 of the lines above reaches zero. It assumes that Tc^2 stays straight: a cross-check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analyzers.campaign.bootstrap import DRAWS, Interval, bootstrap
from analyzers.campaign.load_maps import LoadMaps
from analyzers.campaign.rows import PixelRows, pixel_rows

Array = NDArray[np.float64]

REFERENCE_TAU_GPA = 0.5
"""Shear at which the boundary is given, GPa."""
RATIO_OPTIMUM = 1.5
"""La:Ni of the superconducting phase, La3Ni2O7."""
RATIO_WINDOW = 0.06
"""Pixels whose La:Ni is known and differs by more are left out."""
LOW_TAU_GPA = 1.0
"""Pixels below count as low shear, GPa."""
KNOT_STEP_GPA = 1.0
"""Distance of the knots of sigma_ZZ, GPa."""
FIT_TAU_GPA = 1.7
"""Shear up to which the lines in tau^2 are fitted, GPa: above, Tc of neighbours spills over."""
FEWEST_PIXELS = 12
"""Weighted pixels that a knot needs on each side."""
TC_SCATTER_K = 3.0
"""Scatter of Tc among pixels of equal stress, K: errors far below it do not weigh more."""
ROUNDS = 6
"""Rounds of the robust fit."""
HUBER = 1.5
"""Residuals beyond this many scatters count less."""
PLACE_STEP_GPA = 0.02
"""Places of the step that are tried, GPa apart."""
STEP_WIDTHS_GPA = np.array([0.03, 0.06, 0.1, 0.15, 0.25, 0.4])
"""Widths of the step that are tried, GPa."""
TAU_STEP_GPA = 0.1
"""Bins of shear whose means the step of the response is fitted to, GPa."""


@dataclass(frozen=True)
class Boundary:
    """Boundary of superconductivity with its intervals."""

    knots_gpa: Array
    """(k,) sigma_ZZ, GPa."""
    boundary_k: Interval
    """Tc on the knots at `REFERENCE_TAU_GPA`, K."""
    sigma_edge_gpa: Interval
    """(1,) lowest sigma_ZZ that responds at the lowest temperature, GPa."""
    tau_critical_gpa: Interval
    """(1,) shear that halves the response, GPa."""
    tau_from_tc_gpa: Interval
    """(1,) shear at which the extrapolated Tc^2 vanishes, GPa."""


def boundary(loads: Sequence[LoadMaps], draws: int = DRAWS, seed: int = 0) -> Boundary:
    """Return the boundary of superconductivity of all loads together."""
    rows = near_optimum(pixel_rows(loads))
    knots = knots_of(rows)

    def estimate(weight: Array) -> Array:
        tc, tau = boundary_k(rows, knots, weight)
        return np.concatenate([tc, [sigma_edge_gpa(rows, weight), tau_critical_gpa(rows, weight), tau]])

    whole = bootstrap(estimate, rows.units, draws, seed)
    return Boundary(
        knots, *(_part(whole, part) for part in (slice(0, -3), slice(-3, -2), slice(-2, -1), slice(-1, None)))
    )


def near_optimum(rows: PixelRows) -> PixelRows:
    """Return the rows without those whose La:Ni is known to be far from the superconducting phase's."""
    return rows.chosen(~(np.abs(rows.la_ni - RATIO_OPTIMUM) > RATIO_WINDOW))


def _part(whole: Interval, part: slice) -> Interval:
    return Interval(
        whole.value[part],
        whole.low[part],
        whole.high[part],
        whole.draws_with_value[part],
        whole.levels,
        whole.units,
        whole.effective_blocks,
    )


def knots_of(rows: PixelRows) -> Array:
    """Return (k,) whole GPa of sigma_ZZ that the rows reach."""
    known = rows.sigma_zz_gpa[np.isfinite(rows.sigma_zz_gpa)]
    if known.size == 0:
        return np.zeros(0)
    return np.arange(np.floor(known.min()), np.ceil(known.max()) + 0.5 * KNOT_STEP_GPA, KNOT_STEP_GPA)


def boundary_k(rows: PixelRows, knots: Array, weight: Array) -> tuple[Array, float]:
    """Return ((k,) Tc at the reference shear, K; the shear at which the lines reach zero in the median, GPa)."""
    usable = rows.responds & np.isfinite(rows.sigma_zz_gpa) & (rows.tau_gpa < FIT_TAU_GPA) & (weight > 0)
    stress, tau2, tc2, w = (
        column[usable] for column in (rows.sigma_zz_gpa, rows.tau_gpa**2, rows.tc_k**2, weight.astype(np.float64))
    )
    # by the error of Tc alone: a weight that knew Tc^2 would favour low ones
    w = w / (rows.tc_sigma_k[usable] ** 2 + TC_SCATTER_K**2)
    found, zeros = np.full(knots.size, np.nan), np.full(knots.size, np.nan)
    for number, knot in enumerate(knots):
        near = np.abs(stress - knot) < KNOT_STEP_GPA
        left = near & (stress < knot)
        low = near & (tau2 < LOW_TAU_GPA**2)
        sides = np.count_nonzero(left), np.count_nonzero(near & ~left), np.count_nonzero(low)
        if min(sides) < FEWEST_PIXELS:
            continue
        place = stress[near] - knot
        hat = (1.0 - np.abs(place) / KNOT_STEP_GPA) * w[near]
        design = np.stack([np.ones(place.size), tau2[near], place], axis=1)
        level, slope, _ = _robust(design, tc2[near], hat)
        at = level + slope * REFERENCE_TAU_GPA**2
        found[number] = np.sqrt(at) if at > 0 else np.nan
        if slope < 0 < level:
            zeros[number] = np.sqrt(-level / slope)
    return found, float(np.nanmedian(zeros)) if np.isfinite(zeros).any() else float("nan")


def _robust(design: Array, values: Array, weight: Array) -> Array:
    """Return the coefficients of a weighted line with Huber's weights."""
    now = weight
    solution = np.zeros(design.shape[1])
    for _ in range(ROUNDS):
        weighted = design * now[:, None]
        solution = np.linalg.lstsq(weighted.T @ design, weighted.T @ values, rcond=None)[0]
        left = np.abs(values - design @ solution)
        scale = 1.4826 * float(np.median(left)) + 1e-9
        now = weight * np.minimum(1.0, HUBER * scale / np.maximum(left, 1e-300))
    return np.asarray(solution, dtype=np.float64)


def sigma_edge_gpa(rows: PixelRows, weight: Array) -> float:
    """Return the lowest sigma_ZZ at which half of the low-shear pixels respond, GPa; NaN where the rows do not span it.

    A rising step (a normal distribution's integral) is fitted to the share of responding pixels in bins of 0.25 GPa,
    up to the bin where the share is largest: beyond the dome's top it may fall again.
    """
    usable = np.isfinite(rows.sigma_zz_gpa) & (rows.tau_gpa < LOW_TAU_GPA) & np.isfinite(rows.suppression)
    if not usable.any():
        return float("nan")
    stress, respond, w = rows.sigma_zz_gpa[usable], rows.responds[usable].astype(np.float64), weight[usable]
    step = 0.25
    cell = np.floor(stress / step).astype(np.int64)
    cell -= cell.min()
    total = np.bincount(cell, w)
    with np.errstate(invalid="ignore"):
        share = np.bincount(cell, w * respond) / total
    centre = (np.floor(stress.min() / step) + np.arange(total.size) + 0.5) * step
    kept = total >= FEWEST_PIXELS / 2
    centre, share = centre[kept], share[kept]
    if share.size < 4 or share.max() < 0.7 or share[: int(np.argmax(share)) + 1].min() > 0.3:
        return float("nan")
    last = int(np.flatnonzero(share >= 0.95 * share.max())[0]) + 1
    centre, share = centre[: last + 2], share[: last + 2]
    below = np.flatnonzero(share < 0.5)
    if below.size == 0 or below[-1] + 1 >= share.size:
        return float("nan")
    at = int(below[-1])
    return float(np.interp(0.5, share[at : at + 2], centre[at : at + 2]))


def tau_critical_gpa(rows: PixelRows, weight: Array) -> float:
    """Return the shear at which the cold response falls to half, GPa; NaN where the rows do not reach across it."""
    within = _responding_stress(rows, weight)
    usable = within & np.isfinite(rows.tau_gpa) & np.isfinite(rows.suppression) & (rows.tau_gpa > 0.5 * LOW_TAU_GPA)
    if not usable.any():
        return float("nan")
    tau, response, w = rows.tau_gpa[usable], rows.suppression[usable], weight[usable]
    cell = np.floor(tau / TAU_STEP_GPA).astype(np.int64)
    total = np.bincount(cell, w)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(cell, w * response) / total
    centre = np.asarray((np.arange(total.size) + 0.5) * TAU_STEP_GPA, dtype=np.float64)
    kept = total >= FEWEST_PIXELS / 3
    centre, mean, total = centre[kept], mean[kept], total[kept]
    if centre.size < 6:
        return float("nan")
    return _step(centre, mean, np.sqrt(total))


def _responding_stress(rows: PixelRows, weight: Array) -> NDArray[np.bool_]:
    """Return which rows have a sigma_ZZ at which low-shear pixels respond with at least half of the plateau."""
    known = np.isfinite(rows.sigma_zz_gpa) & np.isfinite(rows.suppression)
    low = known & (rows.tau_gpa < FIT_TAU_GPA) & (rows.tau_gpa > 0.5 * LOW_TAU_GPA)
    cell = np.floor(np.nan_to_num(rows.sigma_zz_gpa)).astype(np.int64)
    size = int(cell.max()) + 1 if cell.size else 1
    total = np.bincount(cell[low], weight[low], size)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(cell[low], (weight * rows.suppression)[low], size) / total
    return known & (np.nan_to_num(mean)[cell] > 0.5) & (total[cell] >= FEWEST_PIXELS)


def _step(tau: Array, response: Array, weight: Array) -> float:
    """Fit a rounded step down to a floor on a sloping plateau; returns where it is half way, NaN without both sides.

    Place and width of the step lie on a grid, plateau, slope and floor are solved for; the best place is refined by a
    parabola.
    """
    places = np.arange(tau[2], tau[-2] + 1e-9, PLACE_STEP_GPA)
    if places.size < 3:
        return float("nan")
    cost, widths = np.full((places.size, STEP_WIDTHS_GPA.size), np.inf), STEP_WIDTHS_GPA
    for column, width in enumerate(widths):
        fall = 0.5 * special.erfc((tau - places[:, None]) / (np.sqrt(2.0) * width))
        design = np.stack([fall, 1.0 - fall, fall * (tau - places[:, None])], axis=2) * weight[:, None]
        normal = np.einsum("kij,kil->kjl", design, design) + 1e-12 * np.eye(3)
        solution = np.linalg.solve(normal, np.einsum("kij,i->kj", design, response * weight)[..., None])[..., 0]
        left = np.einsum("kij,kj->ki", design, solution) - response * weight
        falls = solution[:, 1] < 0.5 * solution[:, 0]
        cost[:, column] = np.where(falls, (left**2).sum(axis=1), np.inf)
    if not np.isfinite(cost).any():
        return float("nan")
    row, column = np.unravel_index(int(np.argmin(cost)), cost.shape)
    if row in (0, places.size - 1) or not np.isfinite(cost[row - 1 : row + 2, column]).all():
        return float(places[row])
    before, at, after = cost[row - 1 : row + 2, column]
    bend = before - 2.0 * at + after
    return float(places[row] + (PLACE_STEP_GPA * 0.5 * (before - after) / bend if bend > 0 else 0.0))
