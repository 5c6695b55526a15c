"""What is shown of each load by itself: R(T) beside s(T), and the trapped flux against the suppression."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analyzers.campaign.blocks import block_labels
from analyzers.campaign.load_maps import LoadMaps
from analyzers.campaign.parts import number, part
from analyzers.campaign.remnant import TrappedFlux, flux_against_suppression
from analyzers.campaign.rows import load_correlation_um
from analyzers.campaign.transport import TransportOnsets, transport_onsets
from stream.maps_file import MapsPart
from stream.messages import Json

Array = NDArray[np.float64]

RESISTANCE, TRAPPED, TRAPPED_BINS, TC_MAP = "resistance", "trapped_flux", "trapped_flux_of_suppression", "tc_map"
LINE_CUT = "line_cut"
"""First words of the names of the parts; sample and load follow."""


@dataclasses.dataclass(frozen=True)
class ByLoad:
    """What the loads say one by one."""

    parts: dict[str, MapsPart]
    """Diagrams by name."""
    transport: list[object]
    """Onsets of R(T), one JSON object per load that has R(T)."""
    trapped: list[object]
    """Numbers of the trapped flux, one JSON object per load that has a remnant map."""


def by_load(loads: Sequence[LoadMaps]) -> ByLoad:
    """Return R(T) and trapped flux of every load that has them."""
    parts: dict[str, MapsPart] = {}
    transport: list[object] = []
    trapped: list[object] = []
    for place, load in enumerate(loads):
        name = f"{place:02d}_{re.sub(r'[^A-Za-z0-9.-]', '-', load.sample) or 'sample'}_load_{load.load_index}"
        about: Json = {"sample": load.sample, "load_index": load.load_index, "run_uids": list(load.run_uids)}
        if np.isfinite(load.tc_k[load.judged]).any():
            parts[f"{TC_MAP}_{name}"] = _tc_part(load, about)
        if load.cut_signal.size:
            parts[f"{LINE_CUT}_{name}"] = _cut_part(load, about)
        if load.resistance_ohm.size:
            parts[f"{RESISTANCE}_{name}"] = _resistance_part(load, about)
            transport.append({**about, **_onsets(load)})
        if np.isfinite(load.trapped_limit_gauss).any():
            parts[f"{TRAPPED}_{name}"] = _trapped_part(load, about)
            parts[f"{TRAPPED_BINS}_{name}"] = _trapped_bins(load, about)
            trapped.append({**about, **_trapped_facts(load)})
    return ByLoad(parts, transport, trapped)


def _tc_part(load: LoadMaps, about: Json) -> MapsPart:
    planes = {
        "tc_k": (load.tc_k, "K", "onset of diamagnetism; NaN where tc_status is not OK"),
        "tc_sigma_k": (load.tc_sigma_k, "K", "half of the central 68 % of tc_k"),
        "tc_status": (load.tc_status, "code", "why a pixel has no tc_k"),
        "judged": (load.judged.astype(np.uint8), "1", "1 on the sample outside ruby and leads"),
    }
    return part(planes, {**about, "pixel_size_um": load.pixel_size_um})


def _cut_part(load: LoadMaps, about: Json) -> MapsPart:
    planes = {
        "x_um": (load.cut_x_um, "um", "places along a row of the camera, from the image centre"),
        "frequency_mhz": (load.cut_frequency_mhz, "MHz", "microwave frequencies"),
        "signal": (load.cut_signal, "1", "light over that off the lines (x_um, frequency_mhz)"),
    }
    at = float(load.temperature_k[load.coldest])
    return part(planes, {**about, "temperature_k": at, "axes": ["x_um", "frequency_mhz"]})


def _resistance_part(load: LoadMaps, about: Json) -> MapsPart:
    order = np.argsort(load.transport_temperature_k, kind="stable")
    s = np.where(load.judged, load.s, np.nan).reshape(load.temperature_k.size, -1)
    known = np.isfinite(s).any(axis=1)
    low, middle, high = (np.full(load.temperature_k.size, np.nan) for _ in range(3))
    low[known], middle[known], high[known] = np.nanpercentile(s[known], [10.0, 50.0, 90.0], axis=1)
    planes = {
        "temperature_k": (load.transport_temperature_k[order], "K", "sample temperature of each resistance"),
        "resistance_ohm": (load.resistance_ohm[order], "Ohm", "resistance between the leads"),
        "s_temperature_k": (load.temperature_k, "K", "sample temperature of each s map"),
        "s_median": (middle, "1", "median of s over the sample"),
        "s_low": (low, "1", "10th percentile of s over the sample"),
        "s_high": (high, "1", "90th percentile of s over the sample"),
    }
    tables = {"transport": ["temperature_k", "resistance_ohm"], "s": [name for name in planes if name.startswith("s_")]}
    return part(planes, {**about, "tables": tables})


def _onsets(load: LoadMaps) -> Json:
    found: TransportOnsets = transport_onsets(load.transport_temperature_k, load.resistance_ohm)
    return {n: number(v) if isinstance(v, float) else v for n, v in dataclasses.asdict(found).items()}


def _trapped_part(load: LoadMaps, about: Json) -> MapsPart:
    planes = {
        "trapped_gauss": (load.trapped_gauss, "G", "size of the field along [111]; NaN where only a limit is known"),
        "trapped_sigma_gauss": (load.trapped_sigma_gauss, "G", "standard deviation of trapped_gauss"),
        "trapped_limit_gauss": (load.trapped_limit_gauss, "G", "95 % upper limit"),
        "judged": (load.judged.astype(np.uint8), "1", "1 on the sample outside ruby and leads"),
    }
    return part(planes, {**about, "pixel_size_um": load.pixel_size_um})


def _trapped_bins(load: LoadMaps, about: Json) -> MapsPart:
    block = block_labels(load.judged.shape, load.pixel_size_um, load_correlation_um(load))
    found = flux_against_suppression(_flux(load), 1.0 - load.s[load.coldest], load.judged, block)
    binned = found.binned
    planes = {
        "suppression_edges": (binned.edges[0], "1", "edges of the bins of 1 - s after a zero-field cool"),
        "mean": (binned.mean, "G", "mean trapped field where it is resolved"),
        "error": (binned.error, "G", "standard deviation of the mean, from blocks of correlated pixels; NaN for few"),
        "scatter": (binned.scatter, "G", "standard deviation of the values within the bin"),
        "count": (binned.count, "1", "pixels with a resolved field"),
        "blocks": (binned.blocks, "1", "independent blocks in the bin"),
        "limited": (found.limited, "1", "pixels that have an upper limit only"),
        "median_limit_gauss": (found.median_limit_gauss, "G", "median of their 95 % limits"),
    }
    return part(planes, about)


def _flux(load: LoadMaps) -> TrappedFlux:
    limited = np.isfinite(load.trapped_limit_gauss) & ~np.isfinite(load.trapped_gauss)
    return TrappedFlux(load.trapped_gauss, load.trapped_sigma_gauss, load.trapped_limit_gauss, limited)


def _trapped_facts(load: LoadMaps) -> Json:
    flux = _flux(load)
    resolved = load.judged & np.isfinite(flux.b_gauss)
    limited = load.judged & flux.limited
    return {
        "resolved_pixels": int(np.count_nonzero(resolved)),
        "limited_pixels": int(np.count_nonzero(limited)),
        "median_gauss": _percentile(flux.b_gauss[resolved], 50.0),
        "high_gauss": _percentile(flux.b_gauss[resolved], 95.0),
        "median_limit_gauss": _percentile(flux.limit_gauss[limited], 50.0),
        "zero_field_same_state": load.zero_field_same_state,
        "transverse_from_shear": load.transverse_from_shear,
    }


def _percentile(values: Array, percent: float) -> float | None:
    return float(np.percentile(values, percent)) if values.size else None
