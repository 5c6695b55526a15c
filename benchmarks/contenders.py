"""Contenders on a world: this policy, bluesky's adaptive_scan and python-adaptive's Learner1D."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from bluesky import RunEngine
from bluesky import plans as bp
from ophyd import Component, Device, Signal
from ophyd.status import Status

from analyzers.onset import tc_density
from benchmarks.ladders import RESOLVED, Frontier
from benchmarks.warming import BASE_K, TOP_K, Warming, World
from plans.adaptive import decide
from plans.ladder import PointSummary, TemperatureLimits

PASS_H = 1.0 / 60.0
"""One pass: 300 frequencies at 5 frames/s, h."""
LIMITS = TemperatureLimits(
    top_k=TOP_K, point_price_k=0.3, tc_max_k=95.0, passes_min=1, passes_max=900, tc_goal_k=0.37, reference_passes=60
)
"""The policy's settings: the same for all samples and seeds."""
BASE_PASSES = 10
"""Passes at the base temperature."""
PERCENTILE = 5.0
"""The peers follow one number: this percentile of s over the sample."""


def summary(run: Warming, set_point_k: float, passes: int) -> PointSummary:
    """Return what the analysis would report of the newest point."""
    density = tc_density(run.estimate())
    sigma = np.hypot(run.own_sigma[-1], run.reference_sigma)
    return PointSummary(
        set_point_k,
        run.temperature_k[-1],
        valid=True,
        open_fraction=density.open_fraction,
        tc_sigma_median_k=density.tc_sigma_median_k,
        s_low=float(np.percentile(run.s[-1], 1)),
        s_high=float(np.percentile(run.s[-1], 99)),
        sigma_s_median=float(np.median(sigma)),
        passes=passes,
        candidate_temperature_k=tuple(float(value) for value in density.candidate_temperature_k),
        tc_density_per_k=tuple(float(value) for value in density.tc_density_per_k),
    )


def policy(world: World, draw: int, limits: TemperatureLimits = LIMITS) -> Warming:
    """Run the policy of `plans.adaptive` once up the ladder."""
    run = Warming(world, draw, limits.reference_passes * PASS_H)
    history: list[PointSummary] = []
    target, passes = BASE_K, BASE_PASSES
    while True:
        run.measure(target, passes * PASS_H)
        older = [dataclasses.replace(row, candidate_temperature_k=(), tc_density_per_k=()) for row in history]
        history = [*older, summary(run, target, passes)]
        decision = decide(history, limits)
        if decision.next_temperature_k is None:
            return run
        target, passes = decision.next_temperature_k, decision.passes


class _Stage(Device):
    """A cryostat and a camera in one: setting measures at the set point."""

    temperature_k = Component(Signal, value=BASE_K)
    s_percentile = Component(Signal, value=1.0)

    def __init__(self, run: Warming, averaging_h: float) -> None:
        super().__init__("", name="stage")
        self._run, self._averaging_h = run, averaging_h

    def set(self, temperature_k: float) -> Status:
        """Go there."""
        self.temperature_k.put(float(temperature_k))
        status = Status(self)
        status.set_finished()
        return status

    def trigger(self) -> Any:
        """Average there."""
        here: Any = self.temperature_k.get()
        self._run.measure(float(here), self._averaging_h)
        self.s_percentile.put(float(np.percentile(self._run.s[-1], PERCENTILE)))
        status = Status(self)
        status.set_finished()
        return status


def adaptive_scan(world: World, draw: int, averaging_h: float, delta: float) -> Warming:
    """Run `bluesky.plans.adaptive_scan`, 2 to 16 K, aiming at a change of `delta` per step; the top is added."""
    run = Warming(world, draw, averaging_h)
    stage: Any = _Stage(run, averaging_h)
    engine = RunEngine({}, context_managers=[])
    plan: Any = bp.adaptive_scan(
        [stage], "stage_s_percentile", stage, BASE_K, TOP_K, 2.0, 16.0, delta, backstep=False, threshold=None
    )
    engine(plan)
    run.measure(TOP_K, averaging_h)
    return run


def learner_1d(world: World, draw: int, averaging_h: float, points: int) -> Warming:
    """Let Learner1D choose `points` temperatures; that a warming cannot turn back is forgiven, only the way counts.

    Raises
    ------
    ImportError
        Where `adaptive` is not installed.
    """
    run = Warming(world, draw, averaging_h)
    make: Any = import_module("adaptive").Learner1D
    learner = make(None, bounds=(BASE_K, TOP_K))
    for _ in range(points):
        asked = float(learner.ask(1)[0][0])
        run.measure(asked, averaging_h)
        learner.tell(asked, float(np.percentile(run.s[-1], PERCENTILE)))
    return run


ADAPTIVE_SCAN_DELTAS = (0.05, 0.1, 0.2)
"""Changes aimed at, in units of the amplitude at the base."""
LEARNER_POINTS = (14, 20, 28)
"""Numbers of points given to Learner1D."""


Peer = Callable[[World, int, float, Any], Warming]
"""World, noise draw, averaging time in h, option -> run."""


def peer_frontier(run: Peer, world: World, options: tuple[Any, ...], averaging_h: tuple[float, ...]) -> Frontier:
    """Return hours and errors of a peer over its options and averaging times: tuned per world, as the ladder is."""
    hours = np.empty((len(options), len(averaging_h)))
    error = np.empty_like(hours)
    for i, option in enumerate(options):
        for j, averaging in enumerate(averaging_h):
            done = run(world, 1, averaging, option)
            found, resolved = done.error()
            hours[i, j], error[i, j] = done.hours, found if resolved >= RESOLVED else np.inf
    return Frontier(np.arange(len(options), dtype=np.float64), hours, error)
