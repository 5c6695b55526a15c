"""`nvdac report`: the figures of a campaign, and one HTML page that needs nothing beside it.

Every number on the page names the runs that it was made of; every table says its units.
"""

from __future__ import annotations

import html
import importlib.metadata
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from deploy.campaign import FACTS, PRODUCTS
from deploy.errors import DeployError
from deploy.output import write_whole
from deploy.report_export import check_exports, write_exports
from deploy.report_figures import AXES, FORMATS, TITLES, axes_of, draw_part, save, svg_text
from deploy.report_loads import ONSETS, kind_of, numbers_of, title_of
from deploy.report_words import NAMES, has_values, said, why_unknown
from stream.maps_file import MapsFileError, part_names, read_maps

PAGE = "report.html"
_STYLE = """
body{font:14px/1.45 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#1b1f24}
table{border-collapse:collapse;margin:.6em 0 1.4em}td,th{border:1px solid #c8ccd2;padding:.2em .6em;text-align:left}
th{background:#eef1f4}code{font-size:12px}figure{display:inline-block;margin:.5em 1em .5em 0;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums}details{margin:.4em 0}
"""


def write_report(
    campaign: Path, out: Path | None = None, formats: tuple[str, ...] = FORMATS, exports: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Write figures and page of a campaign, and its numbers for other tools.

    Parameters
    ----------
    campaign
        Folder that `nvdac campaign` wrote.
    out
        Folder of the report; the campaign's own where None.
    formats
        Of the figures: pdf, svg, png.
    exports
        Of the numbers: csv, nexus.

    Raises
    ------
    DeployError
        Where the folder holds no campaign, or a format is unknown.
    """
    unknown = [kind for kind in formats if kind not in FORMATS]
    if unknown:
        raise DeployError(f"no figures as {', '.join(unknown)}; known: {', '.join(FORMATS)}")
    check_exports(exports)
    facts, parts = read_campaign(campaign)
    folder = out or campaign
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    files: list[str] = []
    drawn: list[str] = []
    for name, planes in parts.items():
        if not has_values(planes):
            title = TITLES.get(name) or title_of(name)
            reason = why_unknown(name, facts["loads"])
            drawn.append(f"<p><b>{html.escape(title)}</b> is not drawn: {html.escape(reason)}.</p>")
            continue
        figure = draw_part(name, planes)
        files += [str(path) for path in save(figure, folder / "figures", name, formats)]
        drawn.append(f'<figure id="{name}">{svg_text(figure)}</figure>{_table(name, planes)}')
    write_whole(folder / PAGE, _page(facts, drawn))
    return {
        "page": str(folder / PAGE),
        "figures": files,
        "exports": write_exports(campaign / PRODUCTS, facts, folder, exports),
    }


def read_campaign(campaign: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the facts of a campaign, and the planes of its diagrams by name.

    Raises
    ------
    DeployError
        Where the folder holds no campaign.
    """
    try:
        facts: dict[str, Any] = json.loads((campaign / FACTS).read_text())
        names = part_names(campaign / PRODUCTS)
        return facts, {name: _planes(*read_maps(campaign / PRODUCTS, name)) for name in names}
    except FileNotFoundError as error:
        raise DeployError(f"{campaign} holds no campaign; make it with `nvdac campaign --out {campaign}`") from error
    except (OSError, ValueError, MapsFileError) as error:
        raise DeployError(f"{campaign} holds no campaign ({error}); make it with `nvdac campaign`") from error


def _planes(planes: dict[str, Any], attributes: Any) -> dict[str, Any]:
    """Return the planes of a part, with the length of a pixel where it is a map."""
    pixel_um = attributes.get("pixel_size_um")
    return planes if pixel_um is None else {**planes, "pixel_size_um": np.array(float(pixel_um))}


def _page(facts: dict[str, Any], drawn: Iterable[str]) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>nvdac campaign</title>'
        f"<style>{_STYLE}</style><h1>Campaign</h1>"
        + _numbers(facts["numbers"], facts["loads"])
        + _shear(facts["shear_tests"])
        + _transport(facts["transport"])
        + _trapped(facts["trapped"])
        + _loads(facts["loads"])
        + "<h2>Diagrams</h2><p>Means over the pixels of each bin; a bin without pixels is empty, nothing is "
        "extrapolated but by the spline, which says so. Errors are those of blocks three correlation lengths wide.</p>"
        + "".join(drawn)
        + _provenance(facts)
        + "</html>\n"
    )


def _rows(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = "".join(f"<th>{html.escape(one)}</th>" for one in head)
    body = "".join("<tr>" + "".join(f"<td>{one}</td>" for one in row) + "</tr>" for row in rows)
    return f"<table><tr>{cells}</tr>{body}</table>"


def _runs(uids: Iterable[str]) -> str:
    """Return the runs that a number comes from, folded away where they are many; each leads to its row."""
    links = [f'<a href="#run-{html.escape(uid)}"><code>{html.escape(uid[:8])}</code></a>' for uid in uids]
    if len(links) <= 3:
        return " ".join(links)
    return f"<details><summary>{len(links)} runs</summary>{' '.join(links)}</details>"


def _numbers(numbers: dict[str, Any], loads: list[dict[str, Any]]) -> str:
    rows = [
        (
            html.escape(NAMES.get(name, name)),
            f"not known: {html.escape(why_unknown(name, loads))}"
            if one["value"] is None
            else f"{said(one['value'], 4)}{' ' + one['unit'] if one['unit'] != '1' else ''}",
            "" if one["low"] is None else f"{said(one['low'], 4)} to {said(one['high'], 4)}",
            ""
            if one["value"] is None
            else f"{', '.join(one['levels']) or 'none'}; {said(one['effective_blocks'])} blocks",
            _runs(one["run_uids"]),
        )
        for name, one in numbers.items()
    ]
    return "<h2>Numbers</h2>" + _rows(
        ("quantity", "value", "68 % interval", "drawn anew; effective size", "runs"), rows
    )


def _shear(tests: list[dict[str, Any]]) -> str:
    if not tests:
        return ""
    rows = [
        (
            html.escape(f"{test['sample']}, load {test['load_index']}"),
            (test["reason"] and f"not tested: {html.escape(test['reason'])}")
            or ("suppresses" if test["suppresses"] else "nothing found"),
            "" if test["reason"] else f"{said(test['change'])} &plusmn; {said(test['change_sigma'], 2)}",
            "" if test["reason"] else f"{said(test['p_value'])} ({test['draws']} draws)",
            f"{test['cells']} cells" + ("" if test["reason"] else f", {said(test['effective_cells'])} effective"),
            _runs(test["run_uids"]),
        )
        for test in tests
    ]
    head = ("map", "shear at fixed sigma_ZZ", "relative change of the response", "p against the null", "size", "runs")
    return "<h2>Does shear suppress the response?</h2>" + _rows(head, rows)


def _transport(loads: list[dict[str, Any]]) -> str:
    if not loads:
        return ""
    rows = [
        (
            html.escape(f"{one['sample']}, load {one['load_index']}"),
            *("none" if one[name] is None else said(one[name]) for name in ONSETS),
            "not known" if one["drop"] is None else f"{one['drop']:.1%}",
            html.escape(one["reason"])
            or ("R does not fall that far" if None in [one[name] for name in ONSETS] else ""),
            _runs(one["run_uids"]),
        )
        for one in loads
    ]
    head = ("map", *(f"{label} (K)" for label in ONSETS.values()), "largest drop", "why none", "runs")
    return "<h2>R(T)</h2><p>Every definition of where R drops, each by its name.</p>" + _rows(head, rows)


def _trapped(loads: list[dict[str, Any]]) -> str:
    if not loads:
        return ""
    rows = [
        (
            html.escape(f"{one['sample']}, load {one['load_index']}"),
            f"{one['resolved_pixels']} of {one['resolved_pixels'] + one['limited_pixels']}",
            said(one["median_gauss"]),
            said(one["high_gauss"]),
            said(one["median_limit_gauss"]),
            _said_zero_field(one),
            _runs(one["run_uids"]),
        )
        for one in loads
    ]
    head = ("map", "resolved pixels", "median b (G)", "95th percentile (G)", "median 95 % limit of the others (G)")
    return (
        "<h2>Trapped flux</h2><p>Size of the field along [111] left after a field cool. Where the splitting is within "
        "3 standard deviations of that without field, only an upper limit is given.</p>"
        + _rows((*head, "map without field", "runs"), rows)
    )


def _said_zero_field(one: dict[str, Any]) -> str:
    state = "same state" if one["zero_field_same_state"] else "another temperature or history: 10 % added to its error"
    instead = one["transverse_from_shear"]
    return f"{state}; E_perp of {instead} pixels from their shear: other lines were taken there" if instead else state


def _loads(loads: list[dict[str, Any]]) -> str:
    rows = [
        (
            html.escape(load["sample"]),
            str(load["load_index"]),
            said(load["mean_sigma_zz_gpa"]),
            f"{min(load['temperatures_k']):.1f} to {max(load['temperatures_k']):.1f} ({len(load['temperatures_k'])})",
            said(load["median_tc_k"]),
            str(load["pixels"]),
            said(load["correlation_um"], 2),
            " ".join(
                f'<code id="run-{html.escape(uid)}">{html.escape(uid)}</code> ({html.escape(_about_run(load, uid))})'
                for uid in load["run_uids"]
            ),
        )
        for load in loads
    ]
    head = ("sample", "load", "mean sigma_ZZ (GPa)", "T (K)", "median Tc (K)", "pixels", "correlation (um)")
    head = (*head, "runs (version of the maps)")
    return "<h2>Loads</h2>" + _rows(head, rows)


def _table(name: str, planes: dict[str, Any]) -> str:
    """Return the numbers of a diagram, folded away."""
    if kind_of(name):
        head, lines = numbers_of(name, planes)
        return (
            f"<details><summary>numbers: {html.escape(title_of(name))}</summary>{_rows(head, lines)}</details>"
            if head
            else ""
        )
    if name == "boundary":
        columns = [name for name in planes if planes[name].ndim == 1]
        rows = [[f"{value:.4g}" for value in row] for row in np.stack([planes[c] for c in columns], axis=1)]
        return f"<details><summary>numbers</summary>{_rows(columns, rows)}</details>"
    axes = axes_of(name, planes)
    filled = np.argwhere(planes["count"] > 0)
    rows = []
    for place in filled:
        index = tuple(int(i) for i in place)
        spans = [
            f"{planes[f'{axis}_edges'][i]:.4g} to {planes[f'{axis}_edges'][i + 1]:.4g}"
            for axis, i in zip(axes, index, strict=True)
        ]
        values = [planes["mean"][index], planes["error"][index]]
        rows.append([*spans, *(f"{v:.5g}" for v in values), *(str(planes[n][index]) for n in ("count", "blocks"))])
    head = [*(AXES[axis] for axis in axes), "mean", "error", "pixels", "blocks"]
    return f"<details><summary>numbers: {html.escape(TITLES.get(name, name))}</summary>{_rows(head, rows)}</details>"


def _provenance(facts: dict[str, Any]) -> str:
    versions = {name: importlib.metadata.version(name) for name in ("nvdac", "numpy", "scipy", "numba")}
    content = {
        "key": facts.get("key", ""),
        "campaign version": facts["campaign_version"],
        **{f"setting {name}": value for name, value in facts["settings"].items()},
        **{f"library {name}": value for name, value in versions.items()},
    }
    rows = [(html.escape(name), f"<code>{html.escape(str(value))}</code>") for name, value in content.items()]
    return "<h2>Made with</h2>" + _rows(("what", "value"), rows) + _constants(facts["constants"])


def _constants(sets: list[dict[str, Any]]) -> str:
    """Return the constant sets of the maps, each with its runs; several are not to be compared."""
    rows = [
        (" ".join(f"{html.escape(n)} <code>{html.escape(str(v))}</code>" for n, v in one["set"].items()),
         _runs(one["run_uids"]))
        for one in sets
    ]  # fmt: skip
    warning = "<p><b>The maps were made with different constants: make them anew with one set.</b></p>"
    return "<h2>Constants</h2>" + (warning if len(sets) > 1 else "") + _rows(("constant set", "runs"), rows)


def _about_run(load: dict[str, Any], uid: str) -> str:
    """Return the version of a run's maps, and how far its view is from the warming's where that matters."""
    made = load["made_with"].get(uid, {})
    view = made.get("view") or {}
    said = [str(made.get("version", "")) or "version not known"]
    if view.get("kind") == "unknown":
        said.append("its light does not tell where it lies: taken as it is")
    elif view.get("undone"):
        said.append(f"moved back by up to {view['largest_px']:.1f} px, error {view['sigma_px']:.2f} px")
    return "; ".join(said)
