"""What the builder shows: header and arrays of each state channel (docs/reference/state-channels.md), made of maps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.assembly import SweepAssembly
from analyzers.expectation import expected_s
from analyzers.masks import flag_counts
from analyzers.onset import OnsetSettings
from analyzers.pipeline import RunMaps, SweepMaps
from analyzers.spectrum import FittedSpectrum
from analyzers.status import StatusCode
from analyzers.tc import ladder
from stream.messages import AnalysisReport, Json, SweepStart

FILM_EDGE_PX = 64
"""Longest edge of a picture of the film strip, pixels."""

POINT_WINDOW_PX = 3
"""Edge of the square around a marked point whose pixels are averaged, pixels."""


AHEAD_STEP_K = 2.0
"""Step of the temperatures at which s is foretold, K."""


@dataclass(frozen=True)
class Channel:
    """One value of one channel."""

    name: str
    """Name of the channel, such as `map/s`."""
    header: Json
    """Small values."""
    arrays: Mapping[str, NDArray[np.generic]]
    """Arrays by name."""


def run_channel(run: RunMaps, finished: bool, counts: Json | None = None) -> Channel:
    """Return `run`: what is being measured, and once it is finished what became of its frames."""
    start = run.start
    header: Json = {
        "run_uid": start.run_uid,
        "mode": str(start.mode),
        "sample": start.sample,
        "rig": start.rig,
        "pixel_size_um": start.pixel_size_um,
        "regions": start.regions,
        "height": start.height,
        "width": start.width,
        "started_s": start.time_s,
        "finished": finished,
        "version": run.version,
        **(counts or {}),
    }
    return Channel("run", header, {})


def sweep_channel(assembly: SweepAssembly, final: bool) -> Channel:
    """Return `sweep`: how far the newest sweep is."""
    sweep = assembly.start
    header: Json = {
        **_about(sweep, assembly.revision, final),
        "role": str(sweep.role),
        "field_gauss": sweep.state.field_gauss,
        "history": str(sweep.state.history),
        "passes": sweep.passes,
        "frames_total": assembly.frames_total,
        "frames_sent": assembly.frames_sent,
        "frames_added": assembly.frames_added,
        "frames_lost": assembly.frames_lost,
    }
    return Channel("sweep", header, {})


def map_channels(maps: SweepMaps, revision: int, final: bool) -> list[Channel]:
    """Return `map/s`, `map/sigma_s`, `map/sigma_zz` and `map/chi2`, those that the sweep has."""
    about = _about(maps.start, revision, final)
    chi2 = _map("chi2", {**about, "pixel_flags": flag_counts(maps.flags)}, "1", maps.fit.chi2, maps.fit.status, "")
    found = [Channel(chi2.name, chi2.header, {**chi2.arrays, "flags": maps.flags})]
    if maps.ratio is not None:
        reference = f"sweep {maps.reference_sweep}, {maps.ratio.off_sample_name}"
        found.append(_map("s", about, "1", maps.ratio.s, maps.ratio.status, reference))
        found.append(_map("sigma_s", about, "1", maps.ratio.sigma_s, maps.ratio.status, reference))
    if maps.stress is not None:
        stress = maps.stress
        found.append(_map("sigma_zz", about, "GPa", stress.sigma_zz_gpa, stress.status, stress.constants))
    return found


def tc_channel(
    sweep: SweepStart, tc_k: NDArray[np.floating], tc_sigma_k: NDArray[np.floating], status: NDArray[np.uint8]
) -> Channel:
    """Return `map/tc`: Tc of every pixel as known after the sweep."""
    channel = _map("tc", _about(sweep, 1, final=True), "K", tc_k, status, "")
    return Channel(channel.name, channel.header, {**channel.arrays, "sigma": tc_sigma_k.astype(np.float32)})


def film_channel(maps: SweepMaps) -> Channel | None:
    """Return `film/NNNN`: a small s map, or None where the sweep has no s."""
    if maps.ratio is None:
        return None
    s = maps.ratio.s
    step = -(-max(s.shape) // FILM_EDGE_PX)
    header: Json = {
        "run_uid": maps.start.run_uid,
        "sweep": maps.start.sweep,
        "temperature_k": maps.start.state.temperature_k,
        "field_gauss": maps.start.state.field_gauss,
        "role": str(maps.start.role),
        "status_names": [code.name for code in StatusCode],
    }
    planes = {"value": s, "status": maps.ratio.status}
    arrays = {name: np.ascontiguousarray(plane[::step, ::step]) for name, plane in planes.items()}
    return Channel(f"film/{maps.start.sweep:04d}", header, arrays)


def curve_channel(run: RunMaps) -> Channel:
    """Return `curve/s`: s over temperature at the marked points, from all final maps with s."""
    with_s = [maps for _, maps in sorted(run.finals.items()) if maps.ratio is not None]
    points = run.regions.points
    s, sigma = np.full((2, len(points), len(with_s)), np.nan)
    for column, maps in enumerate(with_s):
        for row, position in enumerate(points.values()):
            s[row, column], sigma[row, column] = window_mean(maps, position)
    header: Json = {
        "run_uid": run.start.run_uid,
        "window_px": POINT_WINDOW_PX,
        "points": [{"name": name, "x_px": x, "y_px": y} for name, (y, x) in points.items()],
    }
    temperatures = np.array([maps.start.state.temperature_k for maps in with_s], dtype=np.float64)
    return Channel("curve/s", header, {"temperature_k": temperatures, "s": s, "sigma_s": sigma})


def expected_channel(run: RunMaps) -> Channel | None:
    """Return `curve/expected`: s at the marked points ahead of the present temperature, None before a warming.

    Above every Tc there is nothing ahead: then the arrays are empty.
    """
    maps = ladder(run)
    if not maps or not run.regions.points or maps[-1].ratio is None:
        return None
    temperature = np.array([one.start.state.temperature_k for one in maps])
    ahead = np.arange(temperature.max(), OnsetSettings().tc_maximum_k + 0.5 * AHEAD_STEP_K, AHEAD_STEP_K)
    places = list(run.regions.points.values())
    means = np.array([[window_mean(one, place) for one in maps] for place in places])
    shared = [maps[-1].ratio.sigma_s_reference[_window(place)] for place in places]
    reference = [weighted_mean(part, part)[1] for part in shared]
    s, sigma = expected_s(temperature, means[..., 0], means[..., 1], reference, ahead)
    header: Json = {
        "run_uid": run.start.run_uid,
        "sweep": maps[-1].start.sweep,
        "points": list(run.regions.points),
        "band_sigmas": 2.0,
    }
    return Channel("curve/expected", header, {"temperature_k": ahead, "s": s, "sigma_s": sigma})


def _window(position: tuple[int, int]) -> tuple[slice, slice]:
    half = POINT_WINDOW_PX // 2
    y, x = (slice(max(0, centre - half), centre + half + 1) for centre in position)
    return y, x


def window_mean(maps: SweepMaps, position: tuple[int, int]) -> tuple[float, float]:
    """Return the weighted mean of s around a pixel (row, column) and its sigma; NaN where nothing is resolved."""
    if maps.ratio is None:
        return np.nan, np.nan
    window = _window(position)
    return weighted_mean(maps.ratio.s[window], maps.ratio.sigma_s[window])


def weighted_mean(values: NDArray[np.floating], sigma: NDArray[np.floating]) -> tuple[float, float]:
    """Return the mean of the finite values with weights 1/sigma^2, and its sigma; NaN without any."""
    usable = np.isfinite(values) & np.isfinite(sigma) & (sigma > 0)
    if not usable.any():
        return np.nan, np.nan
    weight = 1.0 / np.square(sigma[usable].astype(np.float64))
    return float((weight * values[usable]).sum() / weight.sum()), float(1.0 / np.sqrt(weight.sum()))


def mean_spectrum_channel(maps: SweepMaps, run: RunMaps, fitted: FittedSpectrum, final: bool) -> Channel:
    """Return `spectrum/mean`: the sample's mean spectrum, its fit and where the lines would be at s = 1."""
    judged = run.regions.judged
    s, sigma_s = (np.nan, np.nan)
    if maps.ratio is not None:
        s, sigma_s = weighted_mean(maps.ratio.s[judged], maps.ratio.sigma_s[judged])
    header: Json = {
        "run_uid": maps.start.run_uid,
        "sweep": maps.start.sweep,
        "temperature_k": maps.start.state.temperature_k,
        "guides_mhz": guides(maps, run),
        "final": final,
    }
    if np.isfinite(s):
        header |= {"s": s, "sigma_s": sigma_s}
    arrays = {
        "frequency_mhz": fitted.data.frequency_mhz,
        "signal": fitted.data.signal.astype(np.float32),
        "sigma": fitted.data.sigma.astype(np.float32),
        "model": fitted.model.astype(np.float32),
    }
    return Channel("spectrum/mean", header, arrays)


def guides(maps: SweepMaps, run: RunMaps) -> list[float]:
    """Return where the [111] lines of the sample would lie at s = 1, MHz; empty without a reference."""
    if maps.ratio is None or maps.reference_sweep not in run.finals:
        return []
    judged = run.regions.judged
    centre = _median(maps.fit.doublet(0).centre_mhz[judged])
    half = _median(run.finals[maps.reference_sweep].fit.doublet(0).half_splitting_mhz[judged])
    expected = half * maps.ratio.off_sample_ratio
    return [centre - expected, centre + expected] if np.isfinite(centre + expected) else []


def analysis_channel(report: AnalysisReport) -> Channel:
    """Return `analysis`: the report a plan decides on; scalars in the header, arrays as arrays."""
    header: Json = {}
    arrays: dict[str, NDArray[np.generic]] = {}
    for item in dataclasses.fields(report):
        value = getattr(report, item.name)
        if isinstance(value, np.ndarray):
            arrays[item.name] = value
        else:
            header[item.name] = value
    return Channel("analysis", header, arrays)


def workers_channel(workers: Iterable[Json], frames_lost: int) -> Channel:
    """Return `workers`: health of each worker and the frames lost in the run."""
    return Channel("workers", {"workers": list(workers), "frames_lost": frames_lost}, {})


def _median(values: NDArray[np.floating]) -> float:
    good = values[np.isfinite(values)]
    return float(np.median(good.astype(np.float64))) if good.size else float("nan")


def _about(sweep: SweepStart, revision: int, final: bool) -> Json:
    return {
        "run_uid": sweep.run_uid,
        "sweep": sweep.sweep,
        "temperature_k": sweep.state.temperature_k,
        "revision": revision,
        "final": final,
    }


def _map(
    name: str, about: Json, unit: str, value: NDArray[np.floating], status: NDArray[np.uint8], reference: str
) -> Channel:
    header: Json = {**about, "unit": unit, "reference": reference, "status_names": [code.name for code in StatusCode]}
    return Channel(f"map/{name}", header, {"value": value.astype(np.float32), "status": status})
