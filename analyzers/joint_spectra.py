"""Spectra of all fields of a joint fit, laid out for the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.joint_problem import JointSettings, Problem, field_list, make_problem
from analyzers.kernels.hamiltonian import OWN
from stream.messages import NoiseModel

Array = NDArray[np.float64]


@dataclass(frozen=True)
class JointSweep:
    """The spectra of one field."""

    sums: NDArray[np.generic]
    """(f, y, x) sums of counts."""
    passes_added: NDArray[np.integer]
    """(f,) passes in each sum; frequencies with 0 are left out."""
    frequency_mhz: Array
    """(f,) frequencies in any order, MHz."""
    field_gauss: tuple[float, float, float]
    """Applied field in the culet frame, Z along the culet normal, G."""
    temperature_k: float
    """Sample temperature, K."""


@dataclass(frozen=True)
class Spectra:
    """Spectra of all pixels over their level, laid out for the kernel."""

    sweeps: tuple[JointSweep, ...]
    orders: tuple[NDArray[np.int64], ...]
    problem: Problem
    noise: NoiseModel

    def of(self, pixels: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return spectra (pixels, n) and weights (pixels, fields) of some pixels; NaN where a level is not positive."""
        y = np.ones((len(pixels), len(self.problem.f)))
        weights = np.empty((len(pixels), len(self.sweeps)))
        gain, noise = self.noise.electrons_per_count, self.noise
        for k, (sweep, order) in enumerate(zip(self.sweeps, self.orders, strict=True)):
            flat = sweep.sums.reshape(len(sweep.frequency_mhz), -1)
            passes = np.asarray(sweep.passes_added)[order].astype(np.float64)
            light = flat[np.ix_(order, pixels)].astype(np.float64) / passes[:, None] - noise.offset_counts
            level = np.zeros(len(pixels))
            for row in light:
                level += row
            level /= len(order)
            level = np.where(level > 0.0, level, np.nan)
            shot = level * noise.excess_noise_factor / gain
            variance = (shot + (noise.read_noise_electrons / gain) ** 2) / noise.accumulations
            first = int(self.problem.edges[k])
            y[:, first : first + len(order)] = (light / level).T
            weights[:, k] = np.where(np.isfinite(level), level * level / variance, 0.0)
        return y, weights


def prepare(sweeps: Sequence[JointSweep], noise: NoiseModel, settings: JointSettings) -> Spectra:
    """Return the spectra and the problem they pose; ValueError as `analyzers.joint.joint_map`."""
    orders: list[NDArray[np.int64]] = []
    lists = []
    for sweep in sweeps:
        frequency = np.asarray(sweep.frequency_mhz, np.float64)
        passes = np.asarray(sweep.passes_added)
        if sweep.sums.shape[0] != len(frequency) or passes.shape != frequency.shape:
            raise ValueError(f"cube of {sweep.sums.shape[0]} frequencies, list of {len(frequency)}: must agree")
        if sweep.sums.shape[1:] != sweeps[0].sums.shape[1:]:
            raise ValueError("the sweeps of a joint fit must show the same pixels")
        order = np.argsort(frequency, kind="stable")
        order = order[passes[order] > 0].astype(np.int64)
        if len(order) < OWN or frequency[order[0]] == frequency[order[-1]]:
            raise ValueError(f"{len(order)} frequencies are too few for eight lines")
        orders.append(order)
        state = sweep.field_gauss, sweep.temperature_k
        lists.append(
            field_list(frequency[order], passes[order].astype(np.float64), *state, settings.zero_field_splitting)
        )
    return Spectra(tuple(sweeps), tuple(orders), make_problem(lists, settings), noise)
