"""The coil from its calibration: scale and remanence out of half splittings at several set fields."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from physics.constants import GAMMA_MHZ_PER_GAUSS
from plans.settings import CoilCalibration

Array = NDArray[np.float64]
CUT = 3.5
"""A half splitting counts within so many standard deviations of its pixel's parabola."""
LEAST_SHARE, LEAST_PIXELS = 0.2, 20
"""Fewer pixels than these on one parabola are no calibration."""
LARGEST_SCATTER = 8.0
"""Larger scatter of the pixels that agree, in their own sigmas, is no agreement."""
TRIES, JUDGES, STEPS = 200, 400, 60
"""Parabolas tried, pixels that judge them, steps of the fit at most."""
BLOCKS = 8
"""The image falls into so many blocks along a side: neighbours share their errors."""
MISFIT = 6.0
"""Misfit of the mean over the pixels, chi2 per degree of freedom, that chance does not make."""


@dataclass(frozen=True)
class _Squares:
    """Squared half splittings: everything of (n pixels, f fields)."""

    field: Array
    """(f,) set fields, G."""
    e2: Array
    """MHz^2; 0 where there is none."""
    sigma: Array
    """Standard deviation of the half splitting, MHz."""
    measured: NDArray[np.bool_]
    scatter: float = 1.0
    """Of the pixels that agree, in their own sigmas."""

    def at(self, pixels: ArrayLike) -> _Squares:
        """Return some of the pixels."""
        chosen = np.asarray(pixels)
        return replace(self, e2=self.e2[chosen], sigma=self.sigma[chosen], measured=self.measured[chosen])

    def design(self) -> Array:
        """(f, 2) what slope and curvature multiply."""
        return np.stack([self.field, self.field**2], axis=-1)

    def needed(self) -> int:
        """Fields at which a pixel must agree: one in five may be wrong."""
        return max(3, math.ceil(0.75 * self.field.size))


@dataclass(frozen=True)
class _Agreement:
    """The pixels beside one slope and curvature."""

    residual: Array
    """(n, f) E^2 above the parabola, MHz^2."""
    weight: Array
    """(n, f) one over its variance, 0 where it does not count."""

    def agree(self) -> NDArray[np.bool_]:
        """(n,) pixels that count."""
        return np.asarray(np.any(self.weight > 0, axis=1))

    def chi2(self) -> float:
        """Return chi2 per degree of freedom, the sigmas as given."""
        freedom = np.count_nonzero(self.weight) - np.count_nonzero(self.agree()) - 2
        return float((self.weight * self.residual**2).sum() / max(1, freedom))


def fit_coil(
    set_field_gauss: ArrayLike, half_splitting_mhz: ArrayLike, sigma_mhz: ArrayLike = 0.3, time_s: float | None = None
) -> CoilCalibration:
    """Return scale and remanence from half splittings of [111] at several set fields.

    E^2 = E_perp^2 + gamma^2 (k H + b)^2 is a parabola in H for every pixel: gamma^2 k^2 and 2 gamma^2 k b are its
    coefficients, whatever the pixel's E_perp. Where lines of other groups were taken for [111] the half splitting is
    far off: slope and curvature are those on which most pixels agree (M. A. Fischler, R. C. Bolles,
    Commun. ACM 24, 381, 1981), and what lies beyond `CUT` of its pixel's parabola does not count. The uncertainty is
    the larger of what the sigmas say, scaled by chi2, and of what the spread between blocks of the image says.

    Parameters
    ----------
    set_field_gauss
        (f,) set fields, G; at least four.
    half_splitting_mhz
        (f, ...) half splittings, MHz; NaN where there is none. Blocks of the image are made of (f, y, x).
    sigma_mhz
        Their standard deviation, broadcast, MHz.
    time_s
        When it was measured, seconds since the epoch; now where None.

    Raises
    ------
    ValueError
        Where the shapes do not agree, no pixel has enough fields, or too few pixels agree.
    """
    squares = _squares(set_field_gauss, half_splitting_mhz, sigma_mhz)
    kept = np.flatnonzero(np.count_nonzero(squares.measured, axis=1) >= squares.needed())
    if not kept.size:
        raise ValueError("no pixel has a half splitting at enough of the fields")
    squares = squares.at(kept)
    squares, found, agreement = _fit(squares, _consensus(squares))
    slope, curvature = found
    share = float(np.mean(agreement.agree()))
    if share < LEAST_SHARE or np.count_nonzero(agreement.agree()) < min(LEAST_PIXELS, kept.size):
        raise ValueError(
            f"only {share:.0%} of {kept.size} pixels agree on one scale and remanence, {LEAST_SHARE:.0%} are needed: "
            "lines of other groups were taken at some fields; look at the run's maps and fit them again"
        )
    if squares.scatter >= LARGEST_SCATTER:
        raise ValueError(
            f"the half splittings scatter by {LARGEST_SCATTER:g} of their sigmas or more about any parabola: "
            "look at the run's maps and fit them again"
        )
    if curvature <= 0.0:
        raise ValueError("the splitting does not rise with the field on both sides: not a [111] doublet")
    blocks = _blocks(np.shape(half_splitting_mhz)[1:])[kept]
    gamma = GAMMA_MHZ_PER_GAUSS.value
    scale = float(np.sqrt(curvature) / gamma)
    remanence = float(slope / (2.0 * gamma**2 * scale))
    of_remanence = [1.0 / (2.0 * gamma**2 * scale), -remanence / (2.0 * curvature)]
    gradients = np.array([of_remanence, [0.0, 0.5 * scale / curvature]])
    remanence_sigma, scale_sigma = _sigmas(squares, agreement, blocks, gradients)
    return CoilCalibration(
        remanence_gauss=remanence,
        remanence_sigma_gauss=remanence_sigma,
        scale=scale,
        scale_sigma=scale_sigma,
        time_s=time.time() if time_s is None else time_s,
        agreeing_share=share,
    )


def _squares(set_field_gauss: ArrayLike, half_splitting_mhz: ArrayLike, sigma_mhz: ArrayLike) -> _Squares:
    field = np.asarray(set_field_gauss, dtype=np.float64)
    e = np.asarray(half_splitting_mhz, dtype=np.float64)
    if field.ndim != 1 or field.size < 4 or e.shape[:1] != field.shape:
        raise ValueError("half_splitting_mhz needs one map for each of at least four fields")
    sigma = np.broadcast_to(np.asarray(sigma_mhz, dtype=np.float64), e.shape).reshape(field.size, -1).T
    e = e.reshape(field.size, -1).T
    measured = np.isfinite(e) & (e > 0) & np.isfinite(sigma) & (sigma > 0)
    return _Squares(field, np.where(measured, e, 0.0) ** 2, np.where(measured, sigma, 1.0), measured)


def _consensus(squares: _Squares) -> Array:
    """Return the slope and curvature, out of parabolas through three fields of one pixel, that most pixels share."""
    rng = np.random.default_rng(0)
    count, fields = squares.e2.shape
    pixels = rng.integers(count, size=TRIES)
    chosen = np.argsort(rng.random((TRIES, fields)), axis=1)[:, :3]
    usable = np.take_along_axis(squares.measured[pixels], chosen, 1).all(axis=1)
    usable &= np.array([np.unique(three).size == 3 for three in squares.field[chosen]])
    pixels, chosen = pixels[usable], chosen[usable]
    if not pixels.size:
        raise ValueError("half_splitting_mhz needs at least three different fields")
    design = np.stack([np.ones_like(chosen, dtype=float), squares.field[chosen], squares.field[chosen] ** 2], axis=-1)
    parabolas = np.linalg.solve(design, squares.e2[pixels[:, None], chosen][..., None])[:, 1:, 0]
    judges = squares.at(np.linspace(0, count - 1, min(count, JUDGES)).astype(np.int64))
    return parabolas[np.argmin([_doubt(judges, parabola) for parabola in parabolas])]


def _doubt(squares: _Squares, parabola: Array) -> float:
    """Return the sum of squared deviations, each cut: small where many pixels agree."""
    return float(_distances(squares, parabola).sum(axis=2).min(axis=1).sum())


def _distances(squares: _Squares, parabola: Array) -> Array:
    """(n, f, f) squared distances between the E_perp^2 that any two fields give, in variances, cut."""
    perpendicular = squares.e2 - squares.design() @ parabola
    variance = 4.0 * np.maximum(squares.e2, squares.sigma**2) * squares.sigma**2
    apart = (perpendicular[:, None, :] - perpendicular[:, :, None]) ** 2 / (variance[:, None, :] + variance[:, :, None])
    both = squares.measured[:, None, :] & squares.measured[:, :, None]
    limit = (CUT * squares.scatter) ** 2
    return np.where(both, np.minimum(apart, limit), limit)


def _agreement(squares: _Squares, parabola: Array) -> _Agreement:
    """Return which half splittings agree with a parabola, E_perp of every pixel free."""
    rise = squares.design() @ parabola
    above = squares.e2 - rise
    distances = _distances(squares, parabola)
    centre = distances.sum(axis=2).argmin(axis=1)
    near = np.take_along_axis(distances, centre[:, None, None], 1)[:, 0] < (CUT * squares.scatter) ** 2
    perpendicular = np.take_along_axis(above, centre[:, None], 1)
    residual = weight = variance = above
    for _ in range(3):  # the variance is that of the parabola: the measured E would favour small ones
        model = np.maximum(perpendicular + rise, squares.sigma**2)
        variance = 4.0 * model * squares.sigma**2
        weight = near / variance
        perpendicular = (weight * above).sum(axis=1, keepdims=True) / np.maximum(weight.sum(axis=1), 1e-300)[:, None]
        residual = above - perpendicular
        near = squares.measured & (residual**2 < (CUT * squares.scatter) ** 2 * variance)
    weight = near / variance
    weight[np.count_nonzero(near, axis=1) < squares.needed()] = 0.0
    total = np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    return _Agreement(above - (weight * above).sum(axis=1, keepdims=True) / total, weight)


def _normal(squares: _Squares, agreement: _Agreement) -> tuple[Array, Array]:
    """Return each pixel's (n, 2, 2) information on slope and curvature and its (n, 2) pull, E_perp free."""
    design, weight = squares.design(), agreement.weight
    total = np.maximum(weight.sum(axis=1), 1e-300)
    across = weight @ design
    information = np.einsum("nf,fi,fj->nij", weight, design, design)
    information -= across[:, :, None] * across[:, None, :] / total[:, None, None]
    return information, (weight * agreement.residual) @ design


def _fit(squares: _Squares, parabola: Array) -> tuple[_Squares, Array, _Agreement]:
    """Refine slope and curvature with the half splittings that agree, and the scatter with them."""
    agreement = _agreement(squares, parabola)
    for _ in range(STEPS):
        information, pull = _normal(squares, agreement)
        total = information.sum(axis=0)
        if not agreement.agree().any() or np.linalg.matrix_rank(total) < 2:
            break
        step = np.linalg.solve(total, pull.sum(axis=0))
        parabola = parabola + step
        scatter = float(np.clip(np.sqrt(agreement.chi2()), 0.3, LARGEST_SCATTER))
        settled = step @ total @ step < 1e-6 and abs(scatter / squares.scatter - 1.0) < 1e-3
        squares = replace(squares, scatter=scatter)
        agreement = _agreement(squares, parabola)
        if settled:
            break
    return squares, parabola, agreement


def _sigmas(squares: _Squares, agreement: _Agreement, blocks: NDArray[np.int64], gradients: Array) -> list[float]:
    """Return standard deviations of what has these (m, 2) gradients in slope and curvature."""
    information, pull = _normal(squares, agreement)
    inverse = np.linalg.inv(information.sum(axis=0))
    pulls = np.stack([np.bincount(blocks[agreement.agree()], pull[agreement.agree(), i]) for i in range(2)], axis=-1)
    used = np.count_nonzero(pulls.any(axis=1))
    between = inverse @ (pulls.T @ pulls) @ inverse * used / max(1, used - 1)
    within = inverse * max(1.0, agreement.chi2())
    misfit = _misfit(agreement, blocks)
    widen = misfit if misfit > MISFIT else 1.0
    return [float(np.sqrt(widen * max(row @ between @ row, row @ within @ row))) for row in gradients]


def _misfit(agreement: _Agreement, blocks: NDArray[np.int64]) -> float:
    """Return chi2 per degree of freedom of the mean residual at every field: no parabola where it is large."""
    weight = np.maximum(agreement.weight.sum(axis=0), 1e-300)
    pulls = (agreement.weight * agreement.residual).T
    mean = pulls.sum(axis=1) / weight
    spread = np.stack([np.bincount(blocks, row) for row in pulls])
    variance = np.maximum((spread**2).sum(axis=1) / weight**2 - mean**2 / len(spread.T), agreement.chi2() / weight)
    return float((mean**2 / variance).sum() / max(1, mean.size - 3))


def _blocks(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the block of every pixel: squares of an image, else each pixel its own."""
    if len(shape) != 2 or min(shape) < 2 * BLOCKS:
        return np.arange(math.prod(shape))
    y, x = (np.arange(size) * BLOCKS // size for size in shape)
    return (y[:, None] * BLOCKS + x).ravel()
