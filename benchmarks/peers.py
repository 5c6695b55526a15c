"""Fit engines a user could pick instead: scipy, lmfit, a batched Levenberg-Marquardt in JAX.

Each takes a scene and returns centres, their standard deviations and whether it calls the pixel good. Two Lorentzian
lines and an offset, from the scene's common guess.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit, least_squares

from benchmarks.scenarios import Scene

Floats = NDArray[np.float64]


class Result(NamedTuple):
    """What an engine says of n pixels with two lines."""

    centre: Floats
    """(2, n) MHz, ascending."""
    sigma: Floats
    """(2, n) standard deviations of the centres, MHz."""
    good: NDArray[np.bool_]
    """(n,) pixels the engine calls good."""
    strength: Floats
    """(n,) smaller |contrast| over its standard deviation: what a careful user would look at."""


Engine = Callable[[Scene], Result]

CENTRES = (2, 5)
"""Places of the centres among the seven parameters: offset, then contrast, centre, fwhm of each line."""
CONTRASTS = (1, 4)
"""Places of the contrasts."""


def model(f: Floats, *p: float) -> Floats:
    """Return offset and two lines."""
    return _value_and_slopes(f, p)[0]


def slopes(f: Floats, *p: float) -> Floats:
    """Return the derivatives (f, 7)."""
    return _value_and_slopes(f, p)[1]


def _value_and_slopes(f: Floats, p: Any) -> tuple[Floats, Floats]:
    """Return the model and its derivatives."""
    value, columns = np.full(len(f), p[0]), [np.ones(len(f))]
    for k in (1, 4):
        contrast, centre, fwhm = p[k : k + 3]
        t = 2 * (f - centre) / fwhm
        height = 1 / (1 + t * t)
        slope = 4 * contrast * t * height**2 / fwhm
        value = value + contrast * height
        columns += [height, slope, slope * t / 2]
    return value, np.stack(columns, axis=1)


def start_of(scene: Scene) -> list[float]:
    """Return the common guess: the scene's centres and width, 1.5 % dips."""
    low, high = scene.start_mhz
    return [1.0, -0.015, low, scene.fwhm_start_mhz, -0.015, high, scene.fwhm_start_mhz]


def _each(scene: Scene, fit: Callable[[Floats, Floats], tuple[Floats, Floats, bool]]) -> Result:
    """Fit pixel by pixel."""
    kept = scene.passes > 0
    f = scene.frequency_mhz[kept]
    count = scene.signal.shape[1]
    centre, sigma, good = np.full((2, count), np.nan), np.full((2, count), np.nan), np.zeros(count, bool)
    strength = np.zeros(count)
    for n in range(count):
        try:
            best, covariance, ok = fit(f, scene.signal[kept, n])
        except (ValueError, RuntimeError, np.linalg.LinAlgError):
            continue
        order = np.argsort(best[list(CENTRES)])
        with np.errstate(invalid="ignore"):
            every = np.sqrt(np.diag(covariance))
            strength[n] = (np.abs(best) / every)[list(CONTRASTS)].min()
        centre[:, n], sigma[:, n], good[n] = best[list(CENTRES)][order], every[list(CENTRES)][order], ok
    return Result(centre, sigma, good, np.nan_to_num(strength))


def scipy_curve_fit(scene: Scene) -> Result:
    """Fit with scipy.optimize.curve_fit, MINPACK, and analytic derivatives: scipy's fastest."""

    def fit(f: Floats, values: Floats) -> tuple[Floats, Floats, bool]:
        noise = np.full(len(f), scene.sigma)
        best, covariance = curve_fit(model, f, values, start_of(scene), noise, absolute_sigma=True, jac=slopes)
        return best, covariance, bool(np.isfinite(covariance).all())

    return _each(scene, fit)


def scipy_bounded(scene: Scene) -> Result:
    """Fit with scipy.optimize.least_squares, trust region, contrasts bounded to dips: what many scripts do."""

    def fit(f: Floats, values: Floats) -> tuple[Floats, Floats, bool]:
        low = [0.5, -1.0, f[0], 0.5, -1.0, f[0], 0.5]
        high = [1.5, 0.0, f[-1], 80.0, 0.0, f[-1], 80.0]

        def rest(p: Floats) -> Floats:
            return (model(f, *p) - values) / scene.sigma

        def jacobian(p: Floats) -> Floats:
            return slopes(f, *p) / scene.sigma

        solve: Any = least_squares
        found = solve(rest, start_of(scene), jacobian, (low, high), x_scale="jac")
        return found.x, np.linalg.inv(found.jac.T @ found.jac), bool(found.success)

    return _each(scene, fit)


def lmfit_model(scene: Scene) -> Result:
    """Fit with lmfit.Model of the same function."""
    lmfit = import_module("lmfit")

    names = ["offset", "c0", "f0", "w0", "c1", "f1", "w1"]

    def shape(f: Any, offset: float, c0: float, f0: float, w0: float, c1: float, f1: float, w1: float) -> Any:
        return model(f, offset, c0, f0, w0, c1, f1, w1)

    prepared: Any = lmfit.Model(shape)

    def fit(f: Floats, values: Floats) -> tuple[Floats, Floats, bool]:
        given = dict(zip(names, start_of(scene), strict=True))
        found = prepared.fit(values, f=f, weights=1 / scene.sigma, scale_covar=False, **given)
        covariance = found.covar if found.covar is not None else np.full((7, 7), np.nan)
        return np.array([found.best_values[name] for name in names]), covariance, bool(found.success)

    return _each(scene, fit)


def jax_batched(scene: Scene) -> Result:
    """Fit with a hand-written Levenberg-Marquardt over all pixels at once, compiled by JAX, single precision."""
    return make_jax()(scene)


_made: dict[str, Engine] = {}


def make_jax() -> Engine:
    """Return the JAX engine; compiled once.

    Raises
    ------
    ImportError
        Where JAX is not installed.
    """
    if "jax" not in _made:
        _made["jax"] = _make_jax()
    return _made["jax"]


def _make_jax() -> Engine:
    """Write the engine."""
    jax, jnp = import_module("jax"), import_module("jax.numpy")

    def evaluate(f: Any, y: Any, p: Any) -> tuple[Any, Any, Any]:
        rest, columns = y - p[0], [jnp.ones_like(f)]
        for k in (1, 4):
            t = 2 * (f - p[k + 1]) / p[k + 2]
            height = 1 / (1 + t * t)
            slope = 4 * p[k] * t * height**2 / p[k + 2]
            rest = rest - p[k] * height
            columns += [height, slope, slope * t / 2]
        jacobian = jnp.stack(columns)
        return jnp.vdot(rest, rest), jacobian @ jacobian.T, jacobian @ rest

    def fit(f: Any, y: Any, p: Any) -> tuple[Any, Any, Any, Any]:
        def turn(state: Any) -> Any:
            p, damping, chi2, matrix, gradient, count, _ = state
            step = jnp.linalg.solve(matrix + damping * jnp.diag(jnp.diag(matrix)), gradient)
            found, new_matrix, new_gradient = evaluate(f, y, p + step)
            better = found < chi2
            done = (jnp.vdot(step, gradient) < 1e-3 * chi2 / (f.size - 7)) & (damping < 0.1)
            kept = (
                jnp.where(better, p + step, p),
                jnp.where(better, damping * 0.1, damping * 10),
                jnp.where(better, found, chi2),
                jnp.where(better, new_matrix, matrix),
                jnp.where(better, new_gradient, gradient),
            )
            return (*kept, count + 1, done)

        def going(state: Any) -> Any:
            return ~state[-1] & (state[-2] < 30)

        first = evaluate(f, y, p)
        end = jax.lax.while_loop(going, turn, (p, 1e-3, *first, 0, False))
        return end[0], jnp.diag(jnp.linalg.inv(end[3])), end[2], end[-1]

    every = jax.jit(jax.vmap(fit, in_axes=(None, 0, None)))

    def engine(scene: Scene) -> Result:
        kept = scene.passes > 0
        f, middle = scene.frequency_mhz[kept], scene.frequency_mhz.mean()
        p = np.array(start_of(scene))
        p[0] -= 1.0
        p[list(CENTRES)] -= middle
        y = (scene.signal[kept] - 1.0).T.astype(np.float32)
        best, variance, _, done = (
            np.asarray(v) for v in every((f - middle).astype(np.float32), y, p.astype(np.float32))
        )
        centre = best[:, list(CENTRES)].T.astype(float) + middle
        with np.errstate(invalid="ignore"):
            deviation = scene.sigma * np.sqrt(variance.T.astype(float))
            sigma = deviation[list(CENTRES)]
            strength = (np.abs(best.T) / deviation)[list(CONTRASTS)].min(axis=0)
        order = np.argsort(centre, axis=0)
        return Result(
            np.take_along_axis(centre, order, 0),
            np.take_along_axis(sigma, order, 0),
            done & np.isfinite(sigma).all(0),
            np.nan_to_num(strength),
        )

    return engine


ENGINES: dict[str, Engine] = {
    "scipy_curve_fit": scipy_curve_fit,
    "scipy_bounded": scipy_bounded,
    "lmfit": lmfit_model,
    "jax_batched": jax_batched,
}
"""The peers by name; those not installed raise ImportError."""
