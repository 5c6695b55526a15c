"""Figures of a run as PNG, in the page's colours. A process of its own: `python -m deploy.figures SETTINGS.json`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory
from numpy.typing import NDArray

from dashboard.colour import EXCLUDED, POINTS, UNRESOLVED_DARK, UNRESOLVED_GREEN, table
from dashboard.encode import EXCLUDED_NAMES
from stream.maps_file import read_maps
from stream.settings import load_settings
from stream.stored_maps import marked_points, run_documents

S_LIMITS = (0.92, 1.08)
BAR_UM = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Lengths of scale bars, um."""


@dataclass(frozen=True)
class FiguresProcess:
    """Which run is drawn, and where to."""

    data_dir: str
    """Data folder of the site."""
    run_uid: str
    """The run."""
    folder: str
    """Folder of the PNG files."""
    transport_k: tuple[float, ...] = ()
    """Temperatures of R(T), K."""
    transport_ohm: tuple[float, ...] = ()
    """R(T), ohm."""


@dataclass(frozen=True)
class SweepPicture:
    """What the figures need of one sweep."""

    role: str
    temperature_k: float
    planes: dict[str, NDArray[Any]]
    attributes: dict[str, Any]


def colour_map(name: str) -> Colormap:
    """Return the page's colour table as a matplotlib colour map; unresolved pixels show the dark green ground."""
    return ListedColormap(table(name) / 255.0, name=name).with_extremes(bad=_hex(UNRESOLVED_DARK))


def draw(settings: FiguresProcess) -> list[Path]:
    """Draw every figure of the run; returns the files."""
    mpl.rcParams.update({"font.size": 9, "figure.dpi": 160, "savefig.bbox": "tight"})
    sweeps = _read(Path(settings.data_dir) / "processed" / settings.run_uid)
    warming = sorted((s for s in sweeps if "s" in s.planes), key=lambda sweep: sweep.temperature_k)
    reference = next((s for s in sweeps if s.role == "OPENING_REFERENCE"), None)
    folder = Path(settings.folder)
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    if warming:
        files.append(_save(_warming(warming), folder / "s-against-temperature.png"))
        files.append(_save(points_figure(warming, settings), folder / "s-and-resistance.png"))
    if reference is not None and "sigma_zz_gpa" in reference.planes:
        files.append(_save(_stress(reference), folder / "sigma-zz.png"))
    return files


def _read(folder: Path) -> list[SweepPicture]:
    rows: list[SweepPicture] = []
    for path in sorted(folder.glob("*/sweep_*.h5")):
        planes, attributes = read_maps(path)
        facts = cast("dict[str, Any]", attributes)
        rows.append(SweepPicture(facts["sweep_start"]["role"], float(facts["temperature_k"]), planes, facts))
    return rows


def _warming(warming: list[SweepPicture]) -> Figure:
    """Draw the s maps of the warming on one locked colour scale."""
    columns = min(6, len(warming))
    rows = -(-len(warming) // columns)
    figure = Figure(figsize=(1.8 * columns + 0.8, 1.95 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    image: Any = None
    for axis, sweep in zip(axes.flat, warming, strict=False):
        image = map_on(axis, sweep, "s", "RdBu_r", S_LIMITS)
        axis.set_title(f"{sweep.temperature_k:.1f} K", fontsize=8)
    for axis in axes.flat[len(warming) :]:
        axis.set_axis_off()
    figure.colorbar(image, ax=axes, label="s = B/H", shrink=0.8, extend="both")
    return figure


def _stress(reference: SweepPicture) -> Figure:
    figure = Figure(figsize=(4.4, 3.6), layout="constrained")
    axis = figure.subplots()
    plane = reference.planes["sigma_zz_gpa"]
    limits = tuple(np.nanpercentile(plane, [2, 98])) if np.isfinite(plane).any() else (0.0, 1.0)
    image = map_on(axis, reference, "sigma_zz_gpa", "acton", cast("tuple[float, float]", limits))
    figure.colorbar(image, ax=axis, label="sigma_ZZ (GPa)", extend="both")
    axis.set_title(
        f"normal stress at {reference.temperature_k:.0f} K, {reference.attributes['constants']['stress_constants']}",
        fontsize=8,
    )
    return figure


def points_figure(warming: list[SweepPicture], settings: FiguresProcess) -> Figure:
    """Draw s(T) at the marked points over R(T)."""
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    upper, lower = cast("tuple[Axes, Axes]", figure.subplots(2, 1, sharex=True, height_ratios=(2, 1)))
    temperature = [sweep.temperature_k for sweep in warming]
    facts = warming[0].attributes
    # a maps file sorts its attributes; the start document keeps the order of the rig file, so the colours of the page
    regions = run_documents(settings.data_dir, settings.run_uid).start.get("regions") or facts["regions"]
    points = marked_points({**facts, "regions": regions}, warming[0].planes["s"].shape)
    for point, colour in zip(cast("list[dict[str, Any]]", points), POINTS, strict=False):
        y, x = point["y_px"], point["x_px"]
        s = [float(sweep.planes["s"][y, x]) for sweep in warming]
        sigma = [float(sweep.planes["sigma_s"][y, x]) for sweep in warming]
        rgb = [v / 255 for v in colour]
        upper.errorbar(temperature, s, sigma, fmt="*-", ms=7, lw=0.8, color=rgb, label=point["name"])
    upper.axhline(1.0, color="0.5", lw=0.8, ls=":")
    upper.set_ylabel("s = B/H")
    upper.legend(frameon=False)
    lower.plot(settings.transport_k, settings.transport_ohm, ".-", color="0.3", lw=0.8)
    lower.set(xlabel="temperature (K)", ylabel="R (ohm)")
    return figure


def map_on(axis: Axes, sweep: SweepPicture, name: str, colours: str, limits: tuple[float, float]) -> Any:
    """Draw one map in um with the sample's outline; unresolved pixels hatched, excluded ones grey, as on the page."""
    plane, facts = sweep.planes[name], sweep.attributes
    height, width = plane.shape
    half_x, half_y = 0.5 * width * float(facts["pixel_size_um"]), 0.5 * height * float(facts["pixel_size_um"])
    extent = (-half_x, half_x, half_y, -half_y)
    image = axis.imshow(
        plane, cmap=colour_map(colours), vmin=limits[0], vmax=limits[1], extent=extent, interpolation="nearest"
    )
    excluded = _excluded(sweep, name)
    missing = ~np.isfinite(plane) & ~excluded
    if missing.any():
        x = np.linspace(-half_x, half_x, width)
        y = np.linspace(-half_y, half_y, height)
        with mpl.rc_context({"hatch.color": _hex(UNRESOLVED_GREEN), "hatch.linewidth": 0.6}):
            axis.contourf(x, y, missing.astype(float), levels=[0.5, 1.5], colors="none", hatches=["////"])
    if excluded.any():
        grey = ListedColormap([_hex(EXCLUDED)])
        axis.imshow(np.ma.masked_where(~excluded, excluded), cmap=grey, extent=extent, interpolation="nearest")
    outline = np.array(facts["regions"].get("sample", []), dtype=float)
    if outline.size:
        closed = np.vstack([outline, outline[:1]])
        axis.plot(closed[:, 0], closed[:, 1], "k--", lw=0.7)
    scale_bar(axis, half_x, 2.0 * half_x, 1.0)
    return image


def _excluded(sweep: SweepPicture, name: str) -> NDArray[np.bool_]:
    """Return which pixels were left out: under ruby, leads and mask."""
    status = sweep.planes.get({"s": "s_status", "sigma_zz_gpa": "sigma_zz_status"}[name])
    if status is None:
        return np.zeros(sweep.planes[name].shape, dtype=np.bool_)
    words = cast("dict[str, str]", sweep.attributes.get("status_codes", {}))
    codes = [int(code) for code, said in words.items() if said.partition(":")[0] in EXCLUDED_NAMES]
    return np.isin(status, codes) & ~np.isfinite(sweep.planes[name])


def scale_bar(axis: Axes, right: float, width_um: float, units_per_um: float) -> None:
    """Draw a bar of a round length below a map's right corner, in place of ticks.

    Parameters
    ----------
    right, units_per_um
        Right edge of the map and length of a um, in units of the x axis.
    width_um
        Width of the map, um.
    """
    fits = [length for length in BAR_UM if length <= 0.3 * width_um]
    length = fits[-1] if fits else BAR_UM[0]
    axis.set_xticks([])
    axis.set_yticks([])
    place = blended_transform_factory(axis.transData, axis.transAxes)
    left = right - length * units_per_um
    axis.plot([left, right], [-0.04, -0.04], "k-", lw=2, transform=place, clip_on=False, solid_capstyle="butt")
    axis.text(0.5 * (left + right), -0.06, f"{length} um", transform=place, ha="center", va="top", fontsize=7)


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path)
    return path


def main() -> None:
    """Draw what the settings file names."""
    draw(load_settings(FiguresProcess, sys.argv[1]))


if __name__ == "__main__":
    main()
