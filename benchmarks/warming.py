"""Field warmings simulated on maps: noise-free s(T) of the twin, noise by averaging time, hours of its cryostat.

A sweep of `t` hours at temperature T measures every pixel's s with sigma = SIGMA_HOUR * relative noise of the pixel *
dip(T) / sqrt(t); the reference is one more such sweep, common to all temperatures of a run. Ramps and settling are
those of the twin's cryostat, stepped until it calls itself settled.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analyzers.onset import OnsetEstimate, estimate_onset
from analyzers.status import StatusCode
from deploy.evaluate import SIGNAL_FLOOR, Onsets, tc_error_k, true_onsets
from devices.settings import TwinSettings
from devices.twin.optics import brightness, temperature_factor
from devices.twin.rig import TwinRig
from devices.twin.thermal import Cryostat, sample_offset_k
from devices.twin.truth import truth_of

Array = NDArray[np.float64]

SIGMA_HOUR = 1e-3
"""Median sigma of s at 97 G of one hour of averaging: 6e6 electrons per point, 0.5 % contrast, 18 MHz width."""
BASE_K, TOP_K = 20.0, 150.0
"""First and last set point, K."""
PIXELS = 400
"""Pixels of a sample that are followed: a random subset, the same for every contender."""
HEATING_K = 0.12
"""Laser and microwave at their default powers warm the sample by this much, K."""


@dataclass(frozen=True)
class World:
    """One crystal, as far as a warming sees it."""

    sample: str
    """S1, S2 or S3."""
    seed: int
    """Seed of the twin."""
    grid_k: Array
    """(g,) temperatures of the noise-free maps, K."""
    s: Array
    """(g, n) noise-free s of the pixels that count."""
    true_k: Array
    """(n,) Tc of the pixels by the analysis' definition without noise, K."""
    relative: Array
    """(n,) noise of a pixel over the median."""
    dips: tuple[float, float]
    """Temperatures of the dips of brightness and contrast, K."""

    def noise_factor(self, temperature_k: float) -> float:
        """Return the noise at a temperature over that at 300 K: light and contrast dip."""
        light = temperature_factor(temperature_k, self.dips[0], 0.06)
        return 1.0 / (temperature_factor(temperature_k, self.dips[1], 0.15) * light**0.5)

    def s_at(self, temperature_k: float) -> Array:
        """(n,) noise-free s, linear between the maps."""
        x = float(np.clip(temperature_k, self.grid_k[0], self.grid_k[-1]))
        i = min(int(np.searchsorted(self.grid_k, x, side="right")) - 1, self.grid_k.size - 2)
        part = (x - self.grid_k[i]) / (self.grid_k[i + 1] - self.grid_k[i])
        return (1.0 - part) * self.s[i] + part * self.s[i + 1]


def make_world(sample: str, seed: int, cache: Path | None = None) -> World:
    """Return the world of a sample and seed at 21 GPa, from `cache` where it is there."""
    path = cache / f"world-{sample}-{seed}.npz" if cache else None
    if path is not None and path.exists():
        with np.load(path) as data:
            dips = (float(data["dips"][0]), float(data["dips"][1]))
            return World(sample, seed, data["grid_k"], data["s"], data["true_k"], data["relative"], dips)
    world = _compute(sample, seed)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            grid_k=world.grid_k,
            s=world.s,
            true_k=world.true_k,
            relative=world.relative,
            dips=np.array(world.dips),
        )
    return world


def _compute(sample: str, seed: int) -> World:
    settings = TwinSettings(sample=sample, seed=seed)
    truth = truth_of(settings)
    grid = np.append(np.arange(BASE_K, 100.0, 1.0), TOP_K + 1.0)
    maps = [truth.noise_free_s(float(value)) for value in grid]
    counted = truth.sample & ~truth.ruby & (np.abs(maps[0] - 1.0) > SIGNAL_FLOOR)
    places = np.flatnonzero(counted)
    rng = np.random.default_rng([seed, 17])
    chosen = np.sort(rng.choice(places, min(PIXELS, places.size), replace=False))
    true = true_onsets(truth, BASE_K, TOP_K).tc_k.ravel()[chosen]
    rig = TwinRig(settings)
    rig.shutter = 1
    noise = 1.0 / np.sqrt(brightness(truth, rig.state()).centres)
    light_dip = float(np.random.default_rng([seed, 7]).uniform(35.0, 60.0))
    contrast_dip = float(np.random.default_rng([seed, 8]).uniform(30.0, 55.0))
    relative = (noise / np.median(noise[truth.sample])).ravel()[chosen]
    s = np.stack([image.ravel()[chosen] for image in maps])
    return World(sample, seed, grid, s, true, relative, (light_dip, contrast_dip))


@functools.lru_cache(maxsize=4096)
def move_h(from_k: float, to_k: float) -> float:
    """Return how long the twin's cryostat takes from rest at one set point to rest at another, h."""
    cryostat = Cryostat.resting(from_k)
    cryostat.heating_k = HEATING_K
    cryostat.sample_k += HEATING_K
    cryostat.target_k = to_k
    seconds = 0.0
    while seconds == 0.0 or not cryostat.settled:
        cryostat.advance(2.0)
        seconds += 2.0
    return seconds / 3600.0


class Warming:
    """One run under way: what was measured, and the hours it took.

    Parameters
    ----------
    world
        The crystal.
    draw
        Number of the noise draw.
    reference_h
        Averaging of the opening reference, h; it counts.
    """

    def __init__(self, world: World, draw: int, reference_h: float) -> None:
        self.world = world
        self._rng = np.random.default_rng([world.seed, draw, 5])
        self.reference_sigma = self.sigma(TOP_K, reference_h)
        self._reference_noise = self._rng.standard_normal(world.true_k.size) * self.reference_sigma
        self.reference_h = reference_h
        self.set_points: list[float] = []
        self.sweeps_h: list[float] = []
        self.temperature_k: list[float] = []
        self.s: list[Array] = []
        self.own_sigma: list[Array] = []
        self.averaging_h = reference_h
        self.moving_h = 0.0
        self._estimates: dict[int, OnsetEstimate] = {}

    @property
    def hours(self) -> float:
        """Opening reference, ramps and settling from the base temperature on, sweeps, closing reference."""
        return self.averaging_h + self.moving_h

    def sigma(self, temperature_k: float, hours: float) -> Array:
        """(n,) sigma of s of a sweep."""
        return SIGMA_HOUR * self.world.noise_factor(temperature_k) * self.world.relative / np.sqrt(hours)

    def measure(self, set_point_k: float, hours: float) -> None:
        """Go to a set point and average."""
        if self.set_points:
            self.moving_h += move_h(round(self.set_points[-1], 2), round(set_point_k, 2))
        temperature = set_point_k + sample_offset_k(set_point_k) + HEATING_K
        sigma = self.sigma(temperature, hours)
        noise = self._rng.standard_normal(sigma.size) * sigma
        self.set_points.append(set_point_k)
        self.temperature_k.append(temperature)
        self.s.append(self.world.s_at(temperature) + self._reference_noise + noise)
        self.own_sigma.append(sigma)
        self.sweeps_h.append(hours)
        self.averaging_h += hours

    def estimate(self) -> OnsetEstimate:
        """Return Tc from everything measured so far."""
        count = len(self.s)
        if count not in self._estimates:
            total = np.hypot(np.stack(self.own_sigma), self.reference_sigma)
            self._estimates = {count: estimate_onset(self.temperature_k, np.stack(self.s), total, self.reference_sigma)}
        return self._estimates[count]

    def error(self) -> tuple[float, float]:
        """Return (median error of Tc in K with unresolved pixels at 20 K, share of resolved pixels)."""
        estimate = self.estimate()
        found = Onsets(estimate.tc_k, np.asarray(estimate.status == StatusCode.OK))
        return tc_error_k(found, self.world.true_k, np.ones(self.world.true_k.size, dtype=bool))
