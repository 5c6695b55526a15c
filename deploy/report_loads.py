"""What the report shows of each load by itself: R(T) beside s(T), and the trapped flux."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analyzers.campaign.by_load import LINE_CUT, RESISTANCE, TC_MAP, TRAPPED, TRAPPED_BINS
from deploy.figures import colour_map, scale_bar

Planes = Mapping[str, NDArray[Any]]

ONSETS = {
    "onset_k": "tangents meet",
    "first_deviation_k": "first drop (3 scatters)",
    "at_90_k": "90 %",
    "at_50_k": "50 %",
    "at_10_k": "10 %",
    "zero_k": "zero",
}
"""Columns of the table of R(T): each definition by its name."""


CUT_SPECTRA = 11
"""Spectra that are drawn of a line."""
EMPTY = "#e6e9ec"
"""Places without a value, on white paper."""


def on_paper(name: str) -> Colormap:
    """Return the page's colour table for white paper: what has no value is light grey."""
    return colour_map(name).with_extremes(bad=EMPTY)


def kind_of(name: str) -> str:
    """Return which of the parts by load a part is; empty for none of them."""
    kinds = RESISTANCE, TRAPPED_BINS, TRAPPED, TC_MAP, LINE_CUT
    return next((kind for kind in kinds if name.startswith(f"{kind}_")), "")


def title_of(name: str) -> str:
    """Return the title of a part by load."""
    titles = {
        RESISTANCE: "s over the sample beside R(T)",
        LINE_CUT: "spectra along a line, lowest temperature",
        TC_MAP: "Tc, empty: no onset found",
        TRAPPED: "trapped flux, empty: upper limit only",
        TRAPPED_BINS: "trapped flux against suppression",
    }
    kind = kind_of(name)
    sample, _, load = name.removeprefix(f"{kind}_").partition("_")[2].rpartition("_load_")
    return f"{titles[kind]}: {sample}, load {load}"


def draw_by_load(name: str, planes: Planes) -> Figure:
    """Return the figure of a part by load."""
    draw = {RESISTANCE: _resistance, TRAPPED: _trapped, TRAPPED_BINS: _bins, TC_MAP: _tc, LINE_CUT: _cut}[kind_of(name)]
    figure = draw(planes)
    figure.suptitle(title_of(name), fontsize=9)
    return figure


def _resistance(planes: Planes) -> Figure:
    figure = Figure(figsize=(4.8, 4.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    at = planes["s_temperature_k"]
    upper.fill_between(at, planes["s_low"], planes["s_high"], color="#92c5de", lw=0)
    upper.plot(at, planes["s_median"], "o-", ms=3, lw=0.8, color="#2166ac")
    upper.axhline(1.0, color="0.5", lw=0.8, ls=":")
    upper.set_ylabel("s (median, 10 to 90 %)")
    lower.plot(planes["temperature_k"], planes["resistance_ohm"], ".", ms=3, color="0.3")
    lower.set(xlabel="temperature (K)", ylabel="R (Ohm)")
    return figure


def _tc(planes: Planes) -> Figure:
    """Draw Tc on the sample; pixels without an onset are left empty."""
    figure = Figure(figsize=(4.4, 3.6), layout="constrained")
    axis = figure.subplots()
    value = np.where(planes["judged"].astype(bool), planes["tc_k"], np.nan)
    low, high = np.nanpercentile(value, [2, 98]) if np.isfinite(value).any() else (0.0, 1.0)
    image = axis.imshow(np.ma.masked_invalid(value), cmap=on_paper("ember"), vmin=low, vmax=max(high, low + 1.0))
    _scale_bar(axis, planes)
    figure.colorbar(image, ax=axis, label="Tc (K)", extend="both")
    return figure


def _scale_bar(axis: Axes, planes: Planes) -> None:
    """Draw a bar of a round length below the map, in place of pixel numbers; those where the pixel is not known."""
    if "pixel_size_um" not in planes:
        axis.set(xlabel="x (px)", ylabel="y (px)")
        return
    width, pixel_um = next(iter(planes.values())).shape[1], float(planes["pixel_size_um"])
    scale_bar(axis, width - 0.5, width * pixel_um, 1.0 / pixel_um)


def _cut(planes: Planes) -> Figure:
    """Draw spectra along the line, each lower by the same step than the one before."""
    figure = Figure(figsize=(4.8, 4.6), layout="constrained")
    axis = figure.subplots()
    chosen = np.unique(np.linspace(0, planes["x_um"].size - 1, CUT_SPECTRA).round().astype(int))
    signal = planes["signal"][chosen]
    step = 0.6 * float(np.nanmax(1.0 - np.nanpercentile(signal, 1.0, axis=1)))
    for place, (x, spectrum) in enumerate(zip(planes["x_um"][chosen], signal, strict=True)):
        axis.plot(planes["frequency_mhz"], spectrum - place * step, lw=0.8, color="#2166ac")
        axis.annotate(f"{x:.0f} um", (1.01, 1.0 - place * step), xycoords=("axes fraction", "data"), fontsize=7)
    axis.set(xlabel="frequency (MHz)", ylabel="light over that off the lines, stepped")
    return figure


def _trapped(planes: Planes) -> Figure:
    """Draw the map; pixels with a limit only are left empty."""
    figure = Figure(figsize=(4.4, 3.6), layout="constrained")
    axis = figure.subplots()
    judged = planes["judged"].astype(bool)
    value = np.where(judged, planes["trapped_gauss"], np.nan)
    high = float(np.nanpercentile(value, 98)) if np.isfinite(value).any() else 1.0
    image = axis.imshow(np.ma.masked_invalid(value), cmap=on_paper("acton"), vmin=0.0, vmax=high)
    _scale_bar(axis, planes)
    figure.colorbar(image, ax=axis, label="trapped field along [111] (G)", extend="max")
    return figure


def _bins(planes: Planes) -> Figure:
    figure = Figure(figsize=(4.8, 3.2), layout="constrained")
    axis = figure.subplots()
    edges = planes["suppression_edges"]
    middle = 0.5 * (edges[1:] + edges[:-1])
    error = np.nan_to_num(planes["error"])
    axis.errorbar(middle, planes["mean"], error, fmt="o", ms=3, lw=0.8, color="#2166ac", label="resolved")
    axis.plot(middle, planes["median_limit_gauss"], "v", ms=4, mfc="none", color="0.4", label="95 % limit (median)")
    axis.set(xlabel="1 - s after a zero-field cool", ylabel="trapped field (G)")
    axis.legend(frameon=False, fontsize=8)
    return figure


def numbers_of(name: str, planes: Planes) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of the table of a part by load; no rows where it is a map."""
    kind = kind_of(name)
    if kind == RESISTANCE:
        rows = np.stack([planes["temperature_k"], planes["resistance_ohm"]], axis=1)
        return ["temperature (K)", "R (Ohm)"], [[f"{value:.5g}" for value in row] for row in rows]
    if kind in (TRAPPED, TC_MAP, LINE_CUT):
        return [], []
    edges = planes["suppression_edges"]
    columns = "mean", "error", "median_limit_gauss"
    rows = [
        [
            f"{edges[i]:.3g} to {edges[i + 1]:.3g}",
            *(f"{planes[column][i]:.4g}" for column in columns),
            *(str(planes[column][i]) for column in ("count", "limited", "blocks")),
        ]
        for i in np.flatnonzero(planes["count"] + planes["limited"])
    ]
    head = ["1 - s", "mean (G)", "error (G)", "median 95 % limit (G)", "resolved pixels", "limit only", "blocks"]
    return head, rows
