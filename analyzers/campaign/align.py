"""Maps of other instruments on the pixels of a run: from control points, with residuals, handedness and errors.

Points are places that both pictures show and that do not move with the state: corners of leads and wire, the culet's
edge. Fringes and s itself move and are no such places. The error of the registration is measured by leaving each point
out in turn; times the local gradient it is part of every sigma.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.campaign.load_maps import CampaignError
from analyzers.campaign.views import interpolated

Array = NDArray[np.float64]

KINDS = {"similarity": 3, "affine": 4}
"""Kinds of transform, and the points that each needs: one more than it is fitted through, for the residual."""
MIRROR_FACTOR = 3.0
"""A mirrored transform that fits this many times better means a mirrored picture."""


@dataclass(frozen=True)
class Alignment:
    """A linear map from the pixels of a run to those of another picture."""

    matrix: Array
    """(2, 2) rows and columns of the other picture per row and column of the run."""
    offset: Array
    """(2,) row and column of the other picture at the run's pixel (0, 0)."""
    kind: str
    """`similarity` or `affine`."""
    residual_px: Array
    """(n, 2) what is left at each point, pixels of the run."""
    sigma_px: float
    """Error of the registration per axis, pixels of the run, from points left out in turn."""
    points: int
    """Control points."""

    def places(self, shape: tuple[int, int]) -> Array:
        """Return (2, y, x) row and column of the other picture for every pixel of the run."""
        grid = np.indices(shape).astype(np.float64)
        return np.tensordot(self.matrix, grid, axes=1) + self.offset[:, None, None]


def align(run_points: Array, other_points: Array, kind: str = "similarity", mirrored: bool = False) -> Alignment:
    """Return the transform that takes control points of a run to those of another picture.

    Parameters
    ----------
    run_points, other_points
        (n, 2) row and column of the same places in both.
    kind
        `similarity` (shift, rotation, one scale) or `affine`.
    mirrored
        True where the other picture is known to be mirrored; else one that is is refused.

    Raises
    ------
    CampaignError
        Where points are too few, on one line, or say that the picture is mirrored.
    """
    if kind not in KINDS:
        raise CampaignError(f"registration {kind!r}: known are {', '.join(KINDS)}")
    if run_points.shape != other_points.shape or run_points.ndim != 2 or run_points.shape[1] != 2:
        raise CampaignError("control points: give row and column in both pictures for each")
    count = run_points.shape[0]
    if count < KINDS[kind]:
        raise CampaignError(f"{count} control points; {kind} needs at least {KINDS[kind]}, so that its error is known")
    spread = np.linalg.svd(run_points - run_points.mean(axis=0), compute_uv=False)
    if spread[1] < 0.05 * spread[0]:
        raise CampaignError("the control points lie on one line; add one far beside it")
    matrix, offset = _fit(run_points, other_points, kind, mirrored)
    inverse = np.linalg.inv(matrix)
    residual = (other_points - run_points @ matrix.T - offset) @ inverse.T
    if not mirrored and (np.linalg.det(matrix) < 0 or _mirror_fits(run_points, other_points, residual)):
        raise CampaignError("the control points fit a mirrored picture; flip it, or say that it is mirrored")
    left_out = np.array([_left_out(run_points, other_points, kind, mirrored, i) for i in range(count)])
    sigma = float(np.sqrt(np.mean(left_out**2) / max(1.0, count / 2.0)))
    return Alignment(matrix, offset, kind, residual, sigma, count)


def _fit(run: Array, other: Array, kind: str, mirrored: bool) -> tuple[Array, Array]:
    """Return matrix and offset by least squares."""
    middle, there = run.mean(axis=0), other.mean(axis=0)
    a, b = run - middle, other - there
    if kind == "affine":
        matrix = np.linalg.lstsq(a, b, rcond=None)[0].T
    else:
        u, s, vt = np.linalg.svd(b.T @ a)
        sign = np.array([1.0, np.sign(np.linalg.det(u @ vt)) * (-1.0 if mirrored else 1.0)])
        matrix = u @ np.diag(sign) @ vt * float((s * sign).sum() / (a**2).sum())
    return np.asarray(matrix, dtype=np.float64), np.asarray(there - matrix @ middle, dtype=np.float64)


def _mirror_fits(run: Array, other: Array, residual: Array) -> bool:
    matrix, offset = _fit(run, other, "similarity", mirrored=True)
    left = (other - run @ matrix.T - offset) @ np.linalg.pinv(matrix).T
    return bool(np.sqrt((left**2).mean()) * MIRROR_FACTOR < np.sqrt((residual**2).mean()))


def _left_out(run: Array, other: Array, kind: str, mirrored: bool, index: int) -> Array:
    """Return (2,) how far off a point is that the fit does not know, pixels of the run."""
    kept = np.arange(run.shape[0]) != index
    matrix, offset = _fit(run[kept], other[kept], kind, mirrored)
    return np.asarray(np.linalg.pinv(matrix) @ (other[index] - matrix @ run[index] - offset))


def on_run_pixels(values: Array, sigma: Array, alignment: Alignment, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Return a map and its sigma on the pixels of a run; NaN where the other picture ends or lacks a value.

    The error of the registration times the local gradient is added to sigma.
    """
    return interpolated(values, sigma, alignment.places(shape), alignment.sigma_px)


RATIO_RANGE = (0.2, 5.0)
"""La:Ni that a map of this material may have in the median."""


def ratio_of(first: Array, second: Array | None, unit: str) -> tuple[Array, Array]:
    """Return La:Ni and its sigma from what an EDX map holds.

    Parameters
    ----------
    first
        (y, x) the ratio (`unit` ratio), or La.
    second
        (y, x) Ni in the same unit as La; None for a ratio.
    unit
        `ratio`, `at%` (atomic per cent) or `wt%` (weight per cent).

    Raises
    ------
    CampaignError
        Where the values are not of that unit, or a second map is missing.
    """
    if unit == "ratio":
        value = first
        if second is not None:
            raise CampaignError("a map of the ratio has one plane; give --unit at% for La and Ni")
    elif unit in ("at%", "wt%"):
        if second is None:
            raise CampaignError(f"unit {unit} needs both La and Ni; give --unit ratio for a map of the ratio")
        if np.nanmax(first) <= 1.0 or np.nanmedian(first + second) > 100.5:
            raise CampaignError(
                f"La and Ni are not in {unit}: they lie between {np.nanmin(first):g} and {np.nanmax(first):g}"
            )
        scale = 1.0 if unit == "at%" else NI_MASS / LA_MASS
        value = scale * first / np.where(second > 0, second, np.nan)
    else:
        raise CampaignError(f"unit {unit!r}: known are ratio, at% and wt%")
    middle = float(np.nanmedian(value))
    if not RATIO_RANGE[0] <= middle <= RATIO_RANGE[1]:
        raise CampaignError(
            f"La:Ni has a median of {middle:g}, not within {RATIO_RANGE[0]:g} to {RATIO_RANGE[1]:g}: "
            "atomic per cent given as a ratio, or La and Ni exchanged?"
        )
    return value, np.full(value.shape, _noise(value))


LA_MASS, NI_MASS = 138.905, 58.693
"""Atomic weights (IUPAC), for maps in weight per cent."""


def _noise(values: Array) -> float:
    """Return the noise of a map's pixels from its second differences along rows."""
    second = values[:, 2:] - 2.0 * values[:, 1:-1] + values[:, :-2]
    second = second[np.isfinite(second)]
    return float(1.4826 * np.median(np.abs(second)) / np.sqrt(6.0)) if second.size else 0.0
