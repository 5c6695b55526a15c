"""Where the pixels of one run lie in the view of another: found in the light, shift, affine or bent.

Runs of a load, and loads of a sample, are looked at anew each time: the sample's place in the view shifts, turns and,
from load to load, deforms. What does not change by itself (culet edge, leads, wire, ruby) is compared patch by patch;
the sample, where fringes and s move, is left out as far as enough remains. An affine map goes through the patches'
shifts; between loads a thin-plate spline may bend it, where patches left out in turn are then foretold better. That
says where a place of the view has gone, never that it is the same material.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import RBFInterpolator

from analyzers.registration import find_drift, structure

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

PATCHES = 6
"""Patches along the shorter edge of the view; they overlap by half."""
SMALLEST_PATCH_PX = 8
USABLE_SHARE = 0.6
"""Share of a patch that must be comparable."""
LARGEST_SIGMA_PX = 0.3
"""Patches whose shift is known less well say nothing."""
FARTHEST_PX = 3.0
"""Patches that say more than this beside the whole view's shift have found something else."""
FEWEST_PATCHES = 6
LARGEST_ERROR_PX = 0.7
"""Patches that foretell each other less well show no common view."""
SMALLEST_CORRELATION = 0.5
"""Two pictures of one place agree at least so well."""
ROUNDS = 8
HUBER = 2.0
SMOOTHINGS = (0.1, 1.0, 10.0, 100.0)
"""Stiffness of the spline that is tried, in units of the patches' errors."""
BETTER = 0.8
"""A bent map must foretell patches this much better than an affine one."""
SMALLEST_MOVE_PX = 0.1
"""A view that moved less is taken as it is: to interpolate would only blur it."""


@dataclass(frozen=True)
class View:
    """Where each pixel of a run is seen in another."""

    displacement_px: Array
    """(2, y, x) rows and columns to add to a pixel's own to find its place in the other view."""
    sigma_px: float
    """Error per axis, pixels, from patches left out in turn; NaN where the light does not tell."""
    kind: str
    """`shift`, `affine`, `bent`, or `unknown`."""
    patches: int
    """Patches that were compared."""

    @property
    def moved(self) -> bool:
        """Whether it moved far enough, and is known well enough, to be undone."""
        return bool(np.isfinite(self.sigma_px) and np.abs(self.displacement_px).max() > SMALLEST_MOVE_PX)

    def about(self) -> dict[str, object]:
        """Return what is stored with the load."""
        largest = float(np.abs(self.displacement_px).max())
        sigma = float(self.sigma_px) if np.isfinite(self.sigma_px) else None
        return {
            "kind": self.kind,
            "largest_px": round(largest, 3),
            "sigma_px": sigma,
            "patches": self.patches,
            "undone": self.moved,
        }


def find_view(reference: NDArray[np.floating], light: NDArray[np.floating], moving: Mask, bend: bool = False) -> View:
    """Return where the pixels of a run lie in another's view.

    Parameters
    ----------
    reference, light
        (y, x) light off the lines in the run and in the other view; NaN where unknown.
    moving
        (y, x) pixels of the run whose light changes by itself.
    bend
        Whether the map may be bent: between loads.
    """
    shape = (int(reference.shape[0]), int(reference.shape[1]))
    grid = np.indices(shape).astype(np.float64)
    drift = find_drift(reference, light, moving)
    whole = np.array(drift.shift_px)
    error = float(np.hypot(*drift.sigma_px) / np.sqrt(2.0))
    if not np.isfinite(error) or error > LARGEST_SIGMA_PX:
        return View(np.zeros((2, *shape)), float("nan"), "unknown", 0)
    middles, shifts, sigmas = _patches(reference, light, moving, whole)
    if len(middles) < FEWEST_PATCHES:
        known = _known(reference, light)
        moved = ndimage.shift(structure(light, known), -whole, order=1)
        if _correlation(structure(reference, known), moved, known & ~moving) < SMALLEST_CORRELATION:
            return View(np.zeros((2, *shape)), float("nan"), "unknown", len(middles))
        return View(np.broadcast_to(whole[:, None, None], (2, *shape)).copy(), error, "shift", len(middles))
    affine = _left_out_affine(middles, shifts, sigmas)
    matrix = _affine(middles, shifts, sigmas)
    if bend:
        errors = [_left_out_bent(middles, shifts, sigmas, stiffness) for stiffness in SMOOTHINGS]
        best = int(np.argmin(errors))
        if errors[best] < min(BETTER * affine, LARGEST_ERROR_PX):
            spline = _spline(middles, shifts, sigmas, SMOOTHINGS[best])
            bent = np.asarray(spline(grid.reshape(2, -1).T), np.float64).T.reshape(2, *shape)
            return View(bent, errors[best], "bent", len(middles))
    if affine > LARGEST_ERROR_PX:  # they do not agree: chance, or another place
        return View(np.zeros((2, *shape)), float("nan"), "unknown", len(middles))
    places = np.concatenate([np.ones((1, *shape)), grid])
    return View(np.tensordot(matrix.T, places, axes=1), affine, "affine", len(middles))


def _patches(
    reference: NDArray[np.floating], light: NDArray[np.floating], moving: Mask, whole: Array
) -> tuple[Array, Array, Array]:
    """Return (n, 2) middles of patches, (n, 2) their shifts and (n,) errors, pixels."""
    known = _known(reference, light)
    first, second = structure(reference, known), structure(light, known)
    usable = known & ~moving
    edge = max(SMALLEST_PATCH_PX, min(reference.shape) // PATCHES)
    middles, shifts, sigmas = [], [], []
    for top in range(0, reference.shape[0] - edge + 1, max(1, edge // 2)):
        for left in range(0, reference.shape[1] - edge + 1, max(1, edge // 2)):
            box = slice(top, top + edge), slice(left, left + edge)
            if usable[box].mean() < USABLE_SHARE:
                continue
            shift, sigma = _shift_of(first[box], second, usable[box], whole, (top, left))
            if sigma < LARGEST_SIGMA_PX and np.abs(shift - whole).max() < FARTHEST_PX:
                middles.append((top + (edge - 1) / 2, left + (edge - 1) / 2))
                shifts.append(shift)
                sigmas.append(max(sigma, 0.01))
    return np.reshape(middles, (-1, 2)), np.reshape(shifts, (-1, 2)), np.array(sigmas)


def _known(reference: NDArray[np.floating], light: NDArray[np.floating]) -> Mask:
    return np.isfinite(reference) & np.isfinite(light) & (reference > 0) & (light > 0)


def _correlation(one: Array, other: Array, usable: Mask) -> float:
    if np.count_nonzero(usable) < 3 or not (one[usable].std() > 0 and other[usable].std() > 0):
        return 0.0
    return float(np.corrcoef(one[usable], other[usable])[0, 1])


def _shift_of(patch: Array, second: Array, usable: Mask, start: Array, corner: tuple[int, int]) -> tuple[Array, float]:
    """Return the shift of a patch and its error, by least squares in shift, gain and offset; infinite where none."""
    shift = start.copy()
    inside = np.indices(patch.shape).astype(np.float64) + np.array(corner, np.float64)[:, None, None]
    sigma, moved = float("inf"), patch
    for _ in range(ROUNDS):
        places = inside + shift[:, None, None]
        moved = ndimage.map_coordinates(second, places, order=1, mode="nearest")
        slopes = np.gradient(moved)
        design = np.stack([slopes[0][usable], slopes[1][usable], moved[usable], np.ones(int(usable.sum()))], axis=1)
        normal = design.T @ design
        if np.linalg.cond(normal) > 1e10:
            return shift, float("inf")
        step = np.linalg.solve(normal, design.T @ (patch - moved)[usable])
        left = (patch - moved)[usable] - design @ step
        inverse = np.linalg.inv(normal) * float(left @ left) / max(1, left.size - 4)
        sigma = float(np.sqrt(inverse[0, 0] + inverse[1, 1]) / np.sqrt(2.0))
        shift = shift + np.clip(step[:2], -1.0, 1.0)
        if np.abs(step[:2]).max() < 1e-3:
            break
    return shift, sigma if _correlation(patch, moved, usable) > SMALLEST_CORRELATION else float("inf")


def _affine(middles: Array, shifts: Array, sigmas: Array) -> Array:
    """Return (3, 2) the affine map of the patches' shifts, robustly: constant, per row, per column."""
    design = np.column_stack([np.ones(len(middles)), middles])
    weight = 1.0 / sigmas
    found = np.zeros((3, 2))
    for _ in range(ROUNDS):
        solved = np.linalg.lstsq(design * weight[:, None], shifts * weight[:, None], rcond=None)[0]
        found = np.asarray(solved, np.float64)
        left = np.hypot(*(shifts - design @ found).T)
        scatter = max(1.4826 * float(np.median(left)) / 1.18, 1e-3)
        weight = np.minimum(1.0, HUBER * scatter / np.maximum(left, 1e-12)) / sigmas
    return found


def _left_out_affine(middles: Array, shifts: Array, sigmas: Array) -> float:
    def foretold(kept: Mask, at: Array) -> Array:
        return np.array([1.0, *at]) @ _affine(middles[kept], shifts[kept], sigmas[kept])

    return _left_out(middles, shifts, foretold)


def _left_out_bent(middles: Array, shifts: Array, sigmas: Array, stiffness: float) -> float:
    def foretold(kept: Mask, at: Array) -> Array:
        return np.asarray(_spline(middles[kept], shifts[kept], sigmas[kept], stiffness)(at[None])[0], np.float64)

    return _left_out(middles, shifts, foretold)


def _left_out(middles: Array, shifts: Array, foretold: Callable[[Mask, Array], Array]) -> float:
    """Return how far off a patch is, per axis, that the map does not know: 68th percentile, pixels."""
    apart = []
    for index in range(len(middles)):
        kept = np.arange(len(middles)) != index
        apart.append(np.abs(shifts[index] - foretold(kept, middles[index])))
    return float(np.percentile(apart, 68.0))


def _spline(middles: Array, shifts: Array, sigmas: Array, stiffness: float) -> RBFInterpolator:
    smoothing = stiffness * (sigmas / np.median(sigmas)) ** 2
    each: Any = smoothing  # one per patch, which its annotation forgets
    return RBFInterpolator(middles, shifts, smoothing=each, kernel="thin_plate_spline", degree=1)


def mirrored(light: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return a picture with its columns, and one with its rows, turned round."""
    return light[:, ::-1], light[::-1]


def seen_from(plane: Array, sigma: Array, view: View) -> tuple[Array, Array]:
    """Return a map of the other view and its sigma on the run's pixels; NaN where the other view lacks one.

    The error of the view times the local gradient is added to sigma.
    """
    places = np.indices(plane.shape).astype(np.float64) + view.displacement_px
    return interpolated(plane, sigma, places, view.sigma_px)


def interpolated(plane: Array, sigma: Array, places: Array, sigma_px: float) -> tuple[Array, Array]:
    """Return a map and its sigma at (2, y, x) places; NaN beyond its edge and beside missing values.

    An error of the places, `sigma_px` pixels of the result, times the local gradient is added to sigma.
    """
    known = np.isfinite(plane)
    share = ndimage.map_coordinates(known.astype(np.float64), places, order=1, cval=0.0)
    moved = ndimage.map_coordinates(np.where(known, plane, 0.0), places, order=1, cval=0.0)
    noise = ndimage.map_coordinates(np.where(known & np.isfinite(sigma), sigma, 0.0), places, order=1, cval=0.0)
    good = share > 0.999
    value = np.where(good, moved, np.nan)
    rows, columns = np.gradient(value)
    gradient = np.hypot(np.nan_to_num(rows), np.nan_to_num(columns))
    return value, np.where(good, np.hypot(noise, sigma_px * gradient), np.nan)
