"""Tc of every sample pixel from a run's final maps, for the report, the live map and the products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.maps import FieldRatioMap
from analyzers.onset import OnsetSettings, TcDensity, estimate_onset, tc_density
from analyzers.pipeline import RunMaps, SweepMaps
from analyzers.status import StatusCode
from stream.messages import SweepRole

_LADDER = (SweepRole.WARMING, SweepRole.CLOSING_REFERENCE)


@dataclass(frozen=True)
class TcMaps:
    """Onset of diamagnetism per pixel, (y, x) each; NaN where `status` is not OK or the pixel is not judged."""

    tc_k: NDArray[np.float32]
    """Tc, K, as `definition` says."""
    tc_sigma_k: NDArray[np.float32]
    """Half of its central 68 %, K."""
    amplitude: NDArray[np.float32]
    """s - 1 far below Tc."""
    exponent: NDArray[np.float32]
    """Mean exponent of the law."""
    significance: NDArray[np.float32]
    """|amplitude| over its sigma; NaN off the sample."""
    status: NDArray[np.uint8]
    """Why a pixel has no Tc."""
    density: TcDensity
    """What the pixels say together."""
    definition: str
    """Name of the Tc definition."""


def ladder(run: RunMaps, last_sweep: int | None = None) -> list[SweepMaps]:
    """Return the final warming maps with s up to a sweep, in order: those of the newest load and reference."""
    found = [
        maps
        for number, maps in sorted(run.finals.items())
        if maps.ratio is not None and maps.start.role in _LADDER and (last_sweep is None or number <= last_sweep)
    ]
    return [maps for maps in found if maps.reference_sweep == found[-1].reference_sweep]


def tc_of(run: RunMaps, last_sweep: int | None = None) -> TcMaps | None:
    """Return Tc from the final warming maps up to a sweep; None where there is none yet, or all are too warm for it."""
    points = [
        (maps.start.state.temperature_k, maps.ratio) for maps in ladder(run, last_sweep) if maps.ratio is not None
    ]
    return tc_of_points(points, run.regions.judged)


def tc_of_points(points: Sequence[tuple[float, FieldRatioMap]], judged: NDArray[np.bool_]) -> TcMaps | None:
    """Return Tc from s at several temperatures (K); None where there is none, or all are too warm for it."""
    warmest_start_k = OnsetSettings().tc_flat_k
    if not judged.any() or not any(temperature <= warmest_start_k for temperature, _ in points):
        return None
    ratios = [ratio for _, ratio in points]
    estimate = estimate_onset(
        [temperature for temperature, _ in points],
        np.stack([ratio.s[judged] for ratio in ratios]),
        np.stack([ratio.sigma_s[judged] for ratio in ratios]),
        reference_sigma=_reference_sigma([ratio.sigma_s_reference[judged] for ratio in ratios]),
    )
    ok = estimate.status == StatusCode.OK

    def plane(values: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float32]:
        full = np.full(judged.shape, np.nan, dtype=np.float32)
        full[judged] = np.where(where, values, np.nan)
        return full

    status = np.full(judged.shape, StatusCode.MASKED, dtype=np.uint8)
    status[judged] = estimate.status
    everywhere = np.ones_like(ok)
    return TcMaps(
        tc_k=plane(estimate.tc_k, ok),
        tc_sigma_k=plane(estimate.tc_sigma_k, ok),
        amplitude=plane(estimate.amplitude, ok),
        exponent=plane(estimate.exponent, ok),
        significance=plane(estimate.significance, everywhere),
        status=status,
        density=tc_density(estimate),
        definition=estimate.definition,
    )


def _reference_sigma(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the common part of sigma_s per pixel: the largest over the sweeps that resolved it, 0 where none did."""
    return np.nan_to_num(np.fmax.reduce(np.stack(parts), axis=0))
