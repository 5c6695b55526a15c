"""An oracle that knows every Tc and amplitude: the allocation of hours that an optimal design would choose.

For steps of 8 and 6 K up to just above the highest Tc, and the top, the hours per temperature (and of the reference)
minimise the mean log variance of Tc over the pixels, with amplitude, exponent, Tc and the common offset unknown
(multiplicative algorithm). The same estimator and noise as everybody then say what it reaches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.ladders import DRAWS, RESOLVED, Frontier
from benchmarks.warming import BASE_K, HEATING_K, SIGMA_HOUR, TOP_K, Warming, World
from devices.twin.thermal import sample_offset_k

Array = NDArray[np.float64]

STEPS_K = (8.0, 6.0)
HOURS = tuple(0.5 * 2.0**power for power in range(8))
"""Hours of averaging that are allocated."""
EXPONENT, EXPONENT_SIGMA, AMPLITUDE_SIGMA, TC_SIGMA_K = 2.5, 0.8, 0.1, 30.0
"""What is known beforehand of the law."""
ROUNDING_K = 1.5
SHORTEST_H = 1.0 / 120.0
ROUNDS = 120


def slopes(temperature_k: Array, amplitude: Array, tc_k: Array) -> Array:
    """(n, t, 4) derivatives of s by amplitude, exponent, Tc and offset."""
    z = np.linspace(-3.0, 3.0, 13)
    weight = np.exp(-0.5 * z**2)
    weight /= weight.sum()
    tc = tc_k[:, None, None] + z * ROUNDING_K
    ratio = np.minimum(temperature_k[None, :, None] / tc, 1.0)
    power = ratio**EXPONENT
    by_amplitude = (weight * (1.0 - power)).sum(-1)
    by_exponent = (weight * -power * np.log(ratio)).sum(-1) * amplitude[:, None]
    by_tc = (weight * np.where(ratio < 1.0, EXPONENT * power / tc, 0.0)).sum(-1) * amplitude[:, None]
    return np.stack([by_amplitude, by_exponent, by_tc, np.ones_like(by_tc)], axis=-1)


def allocate(world: World, set_points_k: Array, hours: float) -> Array:
    """(t + 1,) hours per set point, the reference's last."""
    few = slice(None, None, 4)
    temperature = np.array([value + sample_offset_k(value) + HEATING_K for value in set_points_k])
    noise = SIGMA_HOUR * np.array([world.noise_factor(value) for value in temperature])
    g = slopes(temperature, (world.s[0] - 1.0)[few], world.true_k[few])
    g = g / noise[None, :, None] / world.relative[few][:, None, None]
    reference = 1.0 / (noise[-1] * world.relative[few]) ** 2
    prior = np.diag([AMPLITUDE_SIGMA**-2, EXPONENT_SIGMA**-2, TC_SIGMA_K**-2, 0.0])
    share = np.full(temperature.size + 1, hours / (temperature.size + 1))
    for _ in range(ROUNDS):
        information = np.einsum("pti,ptj,t->pij", g, g, share[:-1], optimize=True) + prior
        information[:, 3, 3] += share[-1] * reference
        column = np.linalg.inv(information)[:, :, 2]
        variance = column[:, 2]
        gain = (np.einsum("pti,pi->pt", g, column) ** 2 / variance[:, None]).mean(axis=0)
        gain = np.append(gain, (column[:, 3] ** 2 * reference / variance).mean())
        share *= np.sqrt(gain)
        share *= hours / share.sum()
    return np.maximum(share, SHORTEST_H)


def oracle(world: World) -> Frontier:
    """Return hours and errors of the oracle."""
    hours = np.empty((len(STEPS_K), len(HOURS)))
    error = np.empty_like(hours)
    for i, step in enumerate(STEPS_K):
        low = np.arange(BASE_K, float(np.percentile(world.true_k, 98.0)) + step, step)
        points = np.append(low, [low[-1] + step, TOP_K])
        for j, budget in enumerate(HOURS):
            share = allocate(world, points, budget)
            runs = [_climb(world, draw, points, share) for draw in DRAWS]
            found = np.array([run.error() for run in runs]).mean(axis=0)
            hours[i, j], error[i, j] = runs[0].hours, found[0] if found[1] >= RESOLVED else np.inf
    return Frontier(np.array(STEPS_K), hours, error)


def _climb(world: World, draw: int, points: Array, share: Array) -> Warming:
    run = Warming(world, draw, float(share[-1]))
    for set_point, averaging in zip(points, share[:-1], strict=True):
        run.measure(float(set_point), float(averaging))
    return run
