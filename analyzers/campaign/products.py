"""Everything that a campaign's loads say together, as planes for a file and as numbers that name their runs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from analyzers.campaign.bins import Binned, binned_mean
from analyzers.campaign.bootstrap import Interval
from analyzers.campaign.boundary import REFERENCE_TAU_GPA, boundary
from analyzers.campaign.by_load import by_load
from analyzers.campaign.chemistry import optimum, ratio_temperature, response_by_ratio, varied_loads
from analyzers.campaign.load_maps import CampaignError, LoadMaps
from analyzers.campaign.parts import number, part
from analyzers.campaign.rows import load_correlation_um, pixel_rows, plateaus, sample_names, temperature_rows
from analyzers.campaign.shear_test import ShearTest, mean_suppression, shear_test
from analyzers.campaign.spline import SPLINE, spline_part
from stream.maps_file import MapsPart
from stream.messages import Json

Array = NDArray[np.float64]

CAMPAIGN_VERSION = 5
"""Raised whenever a campaign's numbers may differ for the same inputs."""
RATIO_OPTIMUM = 1.5


@dataclass(frozen=True)
class CampaignSettings:
    """How a campaign's maps are put together."""

    temperature_step_k: float = 10.0
    """Bins of temperature, K."""
    sigma_step_gpa: float = 1.0
    """Bins of sigma_ZZ, GPa."""
    tau_step_gpa: float = 0.25
    """Bins of shear, GPa."""
    bootstrap_draws: int = 400
    """Draws of each bootstrap."""
    null_draws: int = 199
    """Simulated nulls of the shear test."""
    seed: int = 0
    """Seed of both."""

    def __post_init__(self) -> None:
        """Refuse settings that make no bins or no draws."""
        steps = self.temperature_step_k, self.sigma_step_gpa, self.tau_step_gpa
        if min(steps) <= 0 or self.bootstrap_draws < 20 or self.null_draws < 19:
            raise ValueError("steps must be positive, bootstrap_draws at least 20 and null_draws at least 19")


@dataclass(frozen=True)
class CampaignProducts:
    """What a campaign found."""

    parts: dict[str, MapsPart]
    """Diagrams by name."""
    facts: Json
    """Numbers with intervals, units and the runs they come from."""


def make_campaign(loads: Sequence[LoadMaps], settings: CampaignSettings | None = None) -> CampaignProducts:
    """Return the products of a campaign.

    Raises
    ------
    CampaignError
        Where there is no load, or the same load of a sample comes twice.
    """
    chosen = settings or CampaignSettings()
    if not loads:
        raise CampaignError("no load to look at: none of the runs is a field warming with maps")
    ordered = sorted(loads, key=lambda load: (load.sample, load.load_index))
    keys = [(load.sample, load.load_index) for load in ordered]
    for key in keys:
        if keys.count(key) > 1:
            raise CampaignError(f"sample {key[0]!r}, load {key[1]} comes twice; name the run that counts")
    uids = [uid for load in ordered for uid in load.run_uids]
    parts = _diagrams(ordered, chosen)
    edge = boundary(ordered, chosen.bootstrap_draws, chosen.seed)
    single = by_load(ordered)
    parts["boundary"] = part(
        {
            "sigma_zz_gpa": (edge.knots_gpa, "GPa", "normal stress of the boundary"),
            "tc_k": (edge.boundary_k.value, "K", f"Tc at a shear of {REFERENCE_TAU_GPA} GPa"),
            "tc_low_k": (edge.boundary_k.low, "K", "lower end of its 68 % interval"),
            "tc_high_k": (edge.boundary_k.high, "K", "upper end of its 68 % interval"),
        },
        {"run_uids": uids},
    )
    parts |= single.parts
    best = optimum(ordered, chosen.bootstrap_draws, chosen.seed)
    numbers: dict[str, object] = {
        "sigma_edge_gpa": _interval(edge.sigma_edge_gpa, 0, "GPa", uids),
        "tau_critical_gpa": _interval(edge.tau_critical_gpa, 0, "GPa", uids),
        "tau_from_tc_gpa": _interval(edge.tau_from_tc_gpa, 0, "GPa", uids),
    }
    if best is not None:
        runs = [uid for load in ordered if load.sample in best.samples for uid in load.run_uids]
        numbers["la_ni_optimum"] = {**_interval(best.ratio, 0, "1", runs), "one_sided": best.one_sided}
    return CampaignProducts(
        parts,
        {
            "campaign_version": CAMPAIGN_VERSION,
            "settings": dataclasses.asdict(chosen),
            "numbers": numbers,
            "shear_tests": _shear_tests(ordered, chosen),
            "transport": single.transport,
            "trapped": single.trapped,
            "loads": [_about(load) for load in ordered],
            "constants": _constants(ordered),
        },
    )


def _diagrams(loads: Sequence[LoadMaps], settings: CampaignSettings) -> dict[str, MapsPart]:
    rows, pixels = temperature_rows(loads), pixel_rows(loads)
    uids = [uid for load in loads for uid in load.run_uids]
    t_edges = _edges(rows.temperature_k, settings.temperature_step_k)
    z_edges = _edges(rows.sigma_zz_gpa, settings.sigma_step_gpa)
    tau_edges = _edges(rows.tau_gpa, settings.tau_step_gpa)
    common = rows.sweep, rows.common_sigma
    warm = binned_mean((rows.temperature_k, rows.sigma_zz_gpa), (t_edges, z_edges), rows.s, rows.units.block, *common)
    diagrams: dict[str, tuple[Binned, tuple[str, ...], str]] = {
        "s_of_temperature_and_sigma_zz": (warm, ("temperature_k", "sigma_zz_gpa"), "s")
    }
    if np.isfinite(rows.tau_gpa).any():
        cold = np.isin(rows.sweep, _coldest_sweeps(loads))
        shear = binned_mean(
            (rows.sigma_zz_gpa, rows.tau_gpa),
            (z_edges, tau_edges),
            np.where(cold, rows.s, np.nan),
            rows.units.block,
            *common,
        )
        diagrams["s_of_sigma_zz_and_tau"] = (shear, ("sigma_zz_gpa", "tau_gpa"), "s at the lowest temperature")
    tc = binned_mean(
        (pixels.sigma_zz_gpa,), (z_edges,), np.where(pixels.responds, pixels.tc_k, np.nan), pixels.units.block
    )
    diagrams["tc_of_sigma_zz"] = (tc, ("sigma_zz_gpa",), "Tc of responding pixels")
    made = {name: _binned_part(binned, axes, what, uids) for name, (binned, axes, what) in diagrams.items()}
    if np.isfinite(rows.tau_gpa).any():
        spline = spline_part(rows, t_edges, z_edges, tau_edges, {"run_uids": uids})
        if spline is not None:
            made[SPLINE] = spline
    return made | _chemistry_diagrams(varied_loads(loads), t_edges)


def _chemistry_diagrams(loads: Sequence[LoadMaps], t_edges: Array) -> dict[str, MapsPart]:
    """Return the diagrams against La:Ni of the loads in which it varies."""
    if not loads:
        return {}
    uids = [uid for load in loads for uid in load.run_uids]
    warm, cold = ratio_temperature(temperature_rows(loads), t_edges), response_by_ratio(pixel_rows(loads))
    what = "1 - s of low-shear pixels over the sample's plateau"
    return {
        "s_of_la_ni_and_temperature": _binned_part(warm, ("la_ni", "temperature_k"), "s", uids),
        "response_of_la_ni": _binned_part(cold, ("la_ni",), what, uids),
    }


def _coldest_sweeps(loads: Sequence[LoadMaps]) -> list[int]:
    """Return the numbers, as in `temperature_rows`, of the coldest map of each load."""
    counts = np.cumsum([0, *(load.temperature_k.size for load in loads)])
    return [int(start) + load.coldest for start, load in zip(counts[:-1], loads, strict=True)]


def _edges(values: Array, step: float) -> Array:
    known = values[np.isfinite(values)]
    if known.size == 0:
        return np.array([0.0, step])
    return np.arange(np.floor(known.min() / step), np.floor(known.max() / step) + 1.5) * step


_AXIS_UNITS = {"temperature_k": "K", "sigma_zz_gpa": "GPa", "tau_gpa": "GPa", "la_ni": "1"}


def _binned_part(binned: Binned, axes: tuple[str, ...], what: str, uids: list[str]) -> MapsPart:
    unit = "K" if what.startswith("Tc") else "1"
    planes: dict[str, tuple[NDArray[Any], str, str]] = {
        f"{axis}_edges": (edge, _AXIS_UNITS[axis], f"edges of the bins of {axis}")
        for axis, edge in zip(axes, binned.edges, strict=True)
    }
    planes |= {
        "mean": (binned.mean, unit, f"mean of {what} ({', '.join(axes)}); NaN where no pixel is, never extrapolated"),
        "error": (binned.error, unit, "standard deviation of the mean, from blocks of correlated pixels; NaN for few"),
        "scatter": (binned.scatter, unit, "standard deviation of the values within the bin"),
        "count": (binned.count, "1", "values in the bin"),
        "blocks": (binned.blocks, "1", "independent blocks in the bin"),
        "effective": (binned.effective, "1", "independent values with the same error of the mean"),
    }
    return part(planes, {"run_uids": uids})


def _interval(interval: Interval, place: int, unit: str, uids: list[str]) -> dict[str, object]:
    """Return a number with its interval as JSON; None where it is not known."""
    return {
        "value": number(interval.value[place]),
        "low": number(interval.low[place]),
        "high": number(interval.high[place]),
        "unit": unit,
        "confidence": 0.68,
        "draws_with_value": number(interval.draws_with_value[place]),
        "levels": list(interval.levels),
        "samples_loads_blocks": list(interval.units),
        "effective_blocks": number(interval.effective_blocks),
        "run_uids": list(uids),
    }


def _shear_tests(loads: Sequence[LoadMaps], settings: CampaignSettings) -> list[object]:
    """Test each sample once, at the load that responds most: loads of one sample share their disorder."""
    levels = plateaus(loads)
    made: list[object] = []
    for name in sample_names(loads):
        mine = [load for load in loads if load.sample == name]
        if not np.isfinite(levels[name]):
            continue
        means = [np.nanmean((1.0 - load.s[load.coldest])[load.judged]) for load in mine]
        load = mine[int(np.nanargmax(means))]
        made.append(
            {**_test(load, settings), "sample": name, "load_index": load.load_index, "run_uids": list(load.run_uids)}
        )
    return made


def _test(load: LoadMaps, settings: CampaignSettings) -> dict[str, object]:
    covariates: tuple[Array, ...] = ()
    if np.isfinite(load.la_ni[load.judged]).mean() > 0.5:
        covariates = ((load.la_ni - RATIO_OPTIMUM) ** 2,)
    found: ShearTest = shear_test(
        mean_suppression(load.temperature_k, load.s),
        load.sigma_zz_gpa[load.coldest],
        load.tau_gpa,
        load.judged | _holes(load),
        load.judged,
        load.pixel_size_um,
        covariates=covariates,
        draws=settings.null_draws,
        seed=settings.seed,
    )
    facts = {name: number(v) if isinstance(v, float) else v for name, v in dataclasses.asdict(found).items()}
    return {**facts, "suppresses": found.suppresses}


def _holes(load: LoadMaps) -> NDArray[np.bool_]:
    """Return the sample's own pixels that ruby and leads cover: the convex hull of what is judged."""
    from skimage.morphology import convex_hull_image

    return np.asarray(convex_hull_image(load.judged), dtype=np.bool_)


def _constants(loads: Sequence[LoadMaps]) -> list[object]:
    """Return every constant set that runs were analysed with, each with the runs; more than one is worth a warning."""
    found: dict[str, dict[str, Any]] = {}
    for load in loads:
        for uid, made in load.made_with.items():
            constants: Any = cast("dict[str, Any]", made)["constants"]
            row = found.setdefault(json.dumps(constants, sort_keys=True), {"set": constants, "run_uids": []})
            row["run_uids"].append(uid)
    return list(found.values())


def _about(load: LoadMaps) -> Json:
    status, counts = np.unique(load.tc_status[load.judged], return_counts=True)
    return {
        "sample": load.sample,
        "load_index": load.load_index,
        "run_uids": list(load.run_uids),
        "made_with": load.made_with,
        "chemistry_view": load.chemistry_view,
        "mean_sigma_zz_gpa": number(load.mean_sigma_zz_gpa),
        "temperatures_k": [round(float(t), 3) for t in load.temperature_k],
        "pixels": int(np.count_nonzero(load.judged)),
        "correlation_um": number(load_correlation_um(load)),
        "tc_pixels": {str(int(code)): int(count) for code, count in zip(status, counts, strict=True)},
        "median_tc_k": number(float(np.nanmedian(load.tc_k[load.judged])))
        if np.isfinite(load.tc_k[load.judged]).any()
        else None,
        "has_shear": bool(np.isfinite(load.tau_gpa).any()),
        "has_chemistry": bool(np.isfinite(load.la_ni).any()),
    }
