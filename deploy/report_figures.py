"""Figures of a campaign, in the page's colours: PDF, SVG or PNG, or SVG text for the HTML report."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analyzers.campaign.spline import SPLINE
from deploy.figures import S_LIMITS, colour_map
from deploy.report_loads import draw_by_load, kind_of, on_paper

Planes = Mapping[str, NDArray[Any]]

FORMATS = ("pdf", "svg", "png")
AXES = {
    "temperature_k": "temperature (K)",
    "sigma_zz_gpa": "sigma_ZZ (GPa)",
    "tau_gpa": "shear (GPa)",
    "la_ni": "La:Ni",
}
"""Label of each axis."""
TITLES = {
    "s_of_temperature_and_sigma_zz": "s over temperature and normal stress",
    "s_of_sigma_zz_and_tau": "s over normal stress and shear, lowest temperature",
    "s_of_la_ni_and_temperature": "s over La:Ni and temperature",
    "tc_of_sigma_zz": "Tc of responding pixels against normal stress",
    "response_of_la_ni": "cold response against La:Ni",
    SPLINE: "spline of s over temperature, normal stress and shear: no measurement",
    "boundary": "boundary of superconductivity, 68 % interval",
}
"""Title of each figure."""
VALUES = {"tc_of_sigma_zz": "mean Tc (K)", "response_of_la_ni": "mean of (1 - s) / plateau"}
"""Label of what a curve shows."""
SLICES = 4
"""Slices of the three-dimensional diagram that are drawn."""


def axes_of(name: str, planes: Planes) -> list[str]:
    """Return the axes of a diagram, in the order of its arrays."""
    found = [plane.removesuffix("_edges") for plane in planes if plane.endswith("_edges")]
    return found or ["sigma_zz_gpa"] if name == "boundary" else found


def draw_part(name: str, planes: Planes) -> Figure:
    """Return the figure of one diagram."""
    mpl.rcParams.update({"font.size": 9, "svg.hashsalt": "nvdac", "svg.fonttype": "none"})
    if name == "boundary":
        return _boundary(planes)
    if kind_of(name):
        return draw_by_load(name, planes)
    if name == SPLINE:
        return _spline(planes)
    axes = axes_of(name, planes)
    return _plane(name, planes, axes) if len(axes) == 2 else _curve(name, planes, axes[0])


def _plane(name: str, planes: Planes, axes: list[str]) -> Figure:
    figure = Figure(figsize=(4.8, 3.6), layout="constrained")
    axis = figure.subplots()
    x, y = planes[f"{axes[1]}_edges"], planes[f"{axes[0]}_edges"]
    image = axis.pcolormesh(x, y, np.ma.masked_invalid(planes["mean"]), cmap=on_paper("RdBu_r"))
    image.set_clim(*S_LIMITS)
    axis.set(xlabel=AXES[axes[1]], ylabel=AXES[axes[0]])
    axis.set_title(TITLES.get(name, name), fontsize=9)
    figure.colorbar(image, ax=axis, label="mean s")
    return figure


def _spline(planes: Planes) -> Figure:
    """Draw slices of the spline at constant shear: measured bins are outlined, extrapolated ones hatched."""
    edges = planes["tau_gpa_edges"]
    chosen = np.unique(np.linspace(0, edges.size - 2, min(SLICES, edges.size - 1)).round().astype(int))
    figure = Figure(figsize=(2.4 * len(chosen) + 0.8, 3.2), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(chosen), sharex=True, sharey=True))
    x, y = planes["sigma_zz_gpa_edges"], planes["temperature_k_edges"]
    for axis, at in zip(panels, chosen, strict=True):
        image = axis.pcolormesh(x, y, planes["spline"][:, :, at], cmap=colour_map("RdBu_r"))
        image.set_clim(*S_LIMITS)
        middle = 0.5 * (x[1:] + x[:-1]), 0.5 * (y[1:] + y[:-1])
        if min(planes["between"].shape[:2]) > 1:
            axis.contourf(*middle, planes["between"][:, :, at], [-0.5, 0.5], colors="none", hatches=["xxx"])
        measured = np.argwhere(planes["count"][:, :, at] > 0)
        axis.plot(middle[0][measured[:, 1]], middle[1][measured[:, 0]], ".", ms=1.5, color="k")
        axis.set_title(f"shear {edges[at]:.2f} to {edges[at + 1]:.2f} GPa", fontsize=8)
        axis.set_xlabel(AXES["sigma_zz_gpa"])
    panels[0].set_ylabel(AXES["temperature_k"])
    figure.colorbar(image, ax=list(panels), label="s (spline)")  # pyright: ignore[reportPossiblyUnboundVariable]
    said = "SPLINE through the binned means, no measurement; dots: bins with pixels, hatched: extrapolated"
    figure.suptitle(said, fontsize=9)
    return figure


def _curve(name: str, planes: Planes, axis_name: str) -> Figure:
    figure = Figure(figsize=(4.8, 3.2), layout="constrained")
    axis = figure.subplots()
    edges = planes[f"{axis_name}_edges"]
    middle = 0.5 * (edges[1:] + edges[:-1])
    axis.errorbar(middle, planes["mean"], np.nan_to_num(planes["error"]), fmt="o", ms=3, lw=0.8, color="#2166ac")
    axis.set(xlabel=AXES[axis_name], ylabel=VALUES.get(name, "mean"))
    axis.set_title(TITLES.get(name, name), fontsize=9)
    return figure


def _boundary(planes: Planes) -> Figure:
    figure = Figure(figsize=(4.8, 3.2), layout="constrained")
    axis = figure.subplots()
    stress = planes["sigma_zz_gpa"]
    axis.fill_between(stress, planes["tc_low_k"], planes["tc_high_k"], color="#92c5de", lw=0)
    axis.plot(stress, planes["tc_k"], "o-", ms=3, lw=1.0, color="#b2182b")
    axis.set(xlabel=AXES["sigma_zz_gpa"], ylabel="Tc (K)")
    axis.set_title(TITLES["boundary"], fontsize=9)
    return figure


def save(figure: Figure, folder: Path, name: str, formats: tuple[str, ...]) -> list[Path]:
    """Write a figure in every format; the bytes do not depend on when."""
    files: list[Path] = []
    for kind in formats:
        path = folder / f"{name}.{kind}"
        figure.savefig(path, dpi=160, metadata=_no_dates(kind))
        files.append(path)
    return files


def svg_text(figure: Figure) -> str:
    """Return a figure as the SVG element that goes into a page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=_no_dates("svg"))
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _no_dates(kind: str) -> dict[str, None]:
    return {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind, {})
