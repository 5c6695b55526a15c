"""The pixels of all loads as columns: one row per pixel, or per pixel and temperature, each with its block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from analyzers.campaign.blocks import block_labels, correlation_length_um, trend_residual
from analyzers.campaign.load_maps import LoadMaps
from analyzers.status import StatusCode

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

RESPONSE_SHARE = 0.3
"""A pixel responds by itself where 1 - s is above this share of its sample's plateau: less spills over from others."""
PLATEAU_PERCENTILE = 90.0
"""Plateau of a sample: this percentile of 1 - s at the lowest temperature, over the load that responds most."""


@dataclass(frozen=True)
class Units:
    """What can be drawn anew of every row: sample, load of it, block of that."""

    sample: Integers
    """(n,) number of the sample."""
    load: Integers
    """(n,) number of the load, over all samples."""
    block: Integers
    """(n,) number of the block, over all loads."""


@dataclass(frozen=True)
class TemperatureRows:
    """One row per judged pixel and temperature; values may be NaN."""

    units: Units
    """Where each row belongs."""
    sweep: Integers
    """(n,) number of the map: its pixels share an error."""
    temperature_k: Array
    """(n,) K."""
    s: Array
    """(n,)."""
    sigma_s: Array
    """(n,)."""
    common_sigma: Array
    """(n,) standard deviation of what the map's pixels share."""
    sigma_zz_gpa: Array
    """(n,) at the row's temperature, GPa."""
    tau_gpa: Array
    """(n,) GPa."""
    la_ni: Array
    """(n,)."""


@dataclass(frozen=True)
class PixelRows:
    """One row per judged pixel of each load."""

    units: Units
    """Where each row belongs."""
    suppression: Array
    """(n,) 1 - s at the lowest temperature, over the sample's plateau; NaN for a sample that never responds."""
    tc_k: Array
    """(n,) Tc, K; NaN where there is none."""
    tc_sigma_k: Array
    """(n,) its standard deviation, K."""
    responds: NDArray[np.bool_]
    """(n,) True where the pixel has a Tc and a response of its own."""
    sigma_zz_gpa: Array
    """(n,) at the temperature nearest to Tc, the lowest one without, GPa."""
    tau_gpa: Array
    """(n,) GPa."""
    la_ni: Array
    """(n,)."""

    def chosen(self, keep: NDArray[np.bool_]) -> PixelRows:
        """Return the rows (n,) that are kept."""
        units = Units(self.units.sample[keep], self.units.load[keep], self.units.block[keep])
        columns = {field.name: getattr(self, field.name)[keep] for field in fields(self) if field.name != "units"}
        return PixelRows(units=units, **columns)


def load_correlation_um(load: LoadMaps) -> float:
    """Return the correlation length of what stress does not explain of the coldest s of a load, um."""
    at = load.coldest
    left = trend_residual(load.s[at], load.judged, (load.sigma_zz_gpa[at], load.tau_gpa))
    return correlation_length_um(left, load.judged, load.pixel_size_um)


def sample_names(loads: Sequence[LoadMaps]) -> list[str]:
    """Return the samples' names, sorted: their numbers in every row."""
    return sorted({load.sample for load in loads})


def plateaus(loads: Sequence[LoadMaps]) -> dict[str, float]:
    """Return 1 - s of each sample's plateau at the lowest temperature; NaN where its best load says nothing."""
    found: dict[str, float] = {name: float("nan") for name in sample_names(loads)}
    for load in loads:
        cold = 1.0 - load.s[load.coldest][load.judged]
        noise = load.sigma_s[load.coldest][load.judged]
        cold, noise = cold[np.isfinite(cold)], noise[np.isfinite(noise)]
        if cold.size and noise.size:
            level = float(np.percentile(cold, PLATEAU_PERCENTILE))
            if level > 3.0 * float(np.median(noise)):
                found[load.sample] = float(np.fmax(found[load.sample], level))
    return found


def _units(loads: Sequence[LoadMaps]) -> list[Integers]:
    """Return (y, x) numbers of the blocks of each load, unique over all of them."""
    labels: list[Integers] = []
    start = 0
    for load in loads:
        label = block_labels(load.judged.shape, load.pixel_size_um, load_correlation_um(load))  # pyright: ignore[reportArgumentType]
        labels.append(label + start)
        start += int(label.max()) + 1
    return labels


def temperature_rows(loads: Sequence[LoadMaps]) -> TemperatureRows:
    """Return one row per judged pixel and temperature of every load."""
    names, blocks = sample_names(loads), _units(loads)
    parts: dict[str, list[NDArray[np.generic]]] = {
        name: [] for name in ("sample", "load", "block", "sweep", "t", "s", "e", "c", "z", "tau", "la")
    }
    sweep = 0
    for number, (load, block) in enumerate(zip(loads, blocks, strict=True)):
        inside = load.judged
        pixels = int(np.count_nonzero(inside))
        for index, temperature in enumerate(load.temperature_k):
            row = {
                "sample": np.full(pixels, names.index(load.sample)),
                "load": np.full(pixels, number),
                "block": block[inside],
                "sweep": np.full(pixels, sweep),
                "t": np.full(pixels, temperature),
                "s": load.s[index][inside],
                "e": load.sigma_s[index][inside],
                "c": np.full(pixels, load.s_common_sigma[index]),
                "z": load.sigma_zz_gpa[index][inside],
                "tau": load.tau_gpa[inside],
                "la": load.la_ni[inside],
            }
            for name, values in row.items():
                parts[name].append(values)
            sweep += 1
    joined = {name: np.concatenate(values) if values else np.zeros(0) for name, values in parts.items()}
    units = Units(*(joined[name].astype(np.int64) for name in ("sample", "load", "block")))
    numbers = {name: joined[name].astype(np.float64) for name in ("t", "s", "e", "c", "z", "tau", "la")}
    return TemperatureRows(units, joined["sweep"].astype(np.int64), *numbers.values())


def pixel_rows(loads: Sequence[LoadMaps]) -> PixelRows:
    """Return one row per judged pixel of every load."""
    names, blocks, levels = sample_names(loads), _units(loads), plateaus(loads)
    columns: list[list[NDArray[np.generic]]] = [[] for _ in range(10)]
    for number, (load, block) in enumerate(zip(loads, blocks, strict=True)):
        inside = load.judged
        pixels = int(np.count_nonzero(inside))
        share = (1.0 - load.s[load.coldest]) / levels[load.sample]
        has_tc = load.tc_status == StatusCode.OK
        tc = np.where(has_tc, load.tc_k, np.nan)
        nearest = np.abs(load.temperature_k[:, None] - np.where(has_tc, tc, load.temperature_k.min())[inside]).argmin(0)
        values = (
            np.full(pixels, names.index(load.sample)),
            np.full(pixels, number),
            block[inside],
            share[inside],
            tc[inside],
            load.tc_sigma_k[inside],
            (has_tc & (share > RESPONSE_SHARE))[inside],
            load.sigma_zz_gpa[:, inside][nearest, np.arange(pixels)],
            load.tau_gpa[inside],
            load.la_ni[inside],
        )
        for column, part in zip(columns, values, strict=True):
            column.append(part)
    joined = [np.concatenate(column) if column else np.zeros(0) for column in columns]
    units = Units(*(column.astype(np.int64) for column in joined[:3]))
    share, tc, tc_sigma, stress, tau, la_ni = (joined[i].astype(np.float64) for i in (3, 4, 5, 7, 8, 9))
    return PixelRows(units, share, tc, tc_sigma, joined[6].astype(np.bool_), stress, tau, la_ni)
