"""Commands on many runs: `nvdac campaign`, `nvdac report`, `nvdac diff`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from deploy.errors import DeployError
from deploy.options import JsonOption
from deploy.output import emit_json
from deploy.places import require_file

DataOption = Annotated[
    Path, typer.Option("--data", help="Data folder with the runs, such as data/nvdac or data/demo-DATE-N.")
]


def campaign(
    runs: Annotated[list[str] | None, typer.Argument(help="Run uids, or their first letters; all if none.")] = None,
    data: DataOption = Path("data"),
    out: Annotated[Path, typer.Option(help="Folder of the result.")] = Path("campaign"),
    sample: Annotated[str, typer.Option(help="Only runs of this sample.")] = "",
    plan: Annotated[str, typer.Option(help="Only runs of this plan.")] = "",
    load: Annotated[int | None, typer.Option(help="Only runs of this pressure point.", min=0)] = None,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day, included.")] = None,
    tiled: Annotated[str, typer.Option(help="Tiled server that is asked for the runs, not the data folder.")] = "",
    constants: Annotated[str, typer.Option(help="Stress constants; those of the runs if not given.")] = "",
    shape: Annotated[str, typer.Option(help="Line shape; that of the runs if not given.")] = "",
    reference: Annotated[str, typer.Option(help="Run whose opening reference is taken for its sample and load.")] = "",
    edx: Annotated[
        list[str] | None,
        typer.Option(help="SAMPLE=FILE: its La:Ni as `nvdac register` wrote it."),
    ] = None,
    processes: Annotated[int, typer.Option(help="Processes; 0: one per core.", min=0, max=256)] = 0,
    dask: Annotated[str | None, typer.Option(help="Dask scheduler instead, such as tcp://host:8786.")] = None,
    draws: Annotated[int, typer.Option(help="Draws of each bootstrap.", min=20)] = 400,
    json_file: JsonOption = None,
) -> None:
    """Analyse many stored runs and put them together: phase diagrams, boundary, critical shear, chemistry."""
    from analyzers.campaign.products import CampaignSettings
    from deploy.campaign import CampaignRequest, run_campaign
    from stream.run_list import RunQuery

    require_file(json_file, "--json")
    changes = {name: value for name, value in (("stress_constants", constants), ("shape", shape)) if value}
    query = RunQuery(
        tuple(runs or ()), sample, plan, load, since.date() if since else None, until.date() if until else None
    )
    request = CampaignRequest(
        data_dir=data,
        out=out,
        query=query,
        tiled_uri=tiled,
        changes=tuple(changes.items()),
        reference=reference,
        chemistry=tuple(_pair(text) for text in edx or ()),
        settings=CampaignSettings(bootstrap_draws=draws),
        processes=processes,
        dask=dask,
    )
    result = run_campaign(request)
    for uid, reason in sorted(result["failed"].items()):  # pyright: ignore[reportAttributeAccessIssue]
        typer.echo(f"note: run {uid}: {reason}", err=True)
    told = cast("dict[str, Any]", result["tiled"])
    for line in told.get("refused", []):
        typer.echo(f"note: Tiled: {line}", err=True)
    if told.get("waiting"):
        typer.echo(f"note: {told['waiting']} maps wait on disk for Tiled; run this again when it answers", err=True)
    emit_json(result, json_file)
    if json_file is None:
        from deploy.report_words import counted

        typer.echo(
            f"{result['out']}: {counted(result['loads'], 'load')} of {counted(result['runs'], 'run')}; "
            f"{result['steps_done']} steps done, {result['steps_known']} known before"
        )


def _pair(text: str) -> tuple[str, str]:
    """Read SAMPLE=FILE."""
    sample, sign, file = text.partition("=")
    if not sign or not sample or not Path(file).is_file():
        raise DeployError(f"--edx {text}: give SAMPLE=FILE with a file that exists")
    return sample, str(Path(file).resolve())


def report(
    folder: Annotated[Path, typer.Argument(help="Folder that `nvdac campaign` wrote.")] = Path("campaign"),
    out: Annotated[Path | None, typer.Option(help="Folder of the report; the campaign's own if not given.")] = None,
    formats: Annotated[str, typer.Option(help="Of the figures: pdf, svg, png.")] = "pdf,svg,png",
    export: Annotated[str, typer.Option(help="Numbers for other tools: csv, nexus, or both.")] = "",
    json_file: JsonOption = None,
) -> None:
    """Write the figures of a campaign, and one HTML page that needs nothing beside it; numbers for other tools."""
    from deploy.report import write_report

    require_file(json_file, "--json")
    result = write_report(folder, out, _words(formats), _words(export))
    emit_json(result, json_file)
    if json_file is None:
        typer.echo("\n".join([str(result["page"]), *result["exports"]]))


def _words(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(",") if one.strip())


def diff(
    run: Annotated[str, typer.Argument(help="Run uid, or its first letters.")],
    old: Annotated[str, typer.Argument(help="Version, or its first letters.")],
    new: Annotated[str, typer.Argument(help="The other version.")],
    data: DataOption = Path("data"),
    json_file: JsonOption = None,
) -> None:
    """Say what another analysis of the same run changed, and where."""
    from deploy.version_diff import diff_lines, diff_versions

    require_file(json_file, "--json")
    found = diff_versions(data, run, old, new)
    emit_json(found, json_file)
    if json_file is None:
        typer.echo("\n".join(diff_lines(found)))


def register(
    files: Annotated[list[Path], typer.Argument(help="One file with La:Ni, or two with La and Ni.")],
    points: Annotated[Path, typer.Option(help="CSV: row and column in the run, row and column in the map.")],
    run: Annotated[str, typer.Option(help="A run of the sample, or the first letters of its uid.")],
    sample: Annotated[str, typer.Option(help="Sample that the map is of.")],
    unit: Annotated[str, typer.Option(help="ratio, at% or wt%.")],
    out: Annotated[Path, typer.Option(help="Maps file to write.")],
    kind: Annotated[str, typer.Option(help="similarity or affine.")] = "similarity",
    mirrored: Annotated[bool, typer.Option("--mirrored", help="The map is mirrored.")] = False,
    dataset: Annotated[list[str] | None, typer.Option(help="Dataset in each HDF5 file.")] = None,
    data: DataOption = Path("data"),
    json_file: JsonOption = None,
) -> None:
    """Bring the chemistry of a sample onto the pixels of its runs, from control points."""
    from deploy.register import register_chemistry

    require_file(json_file, "--json")
    result = register_chemistry(files, unit, points, run, data, out, sample, kind, mirrored, tuple(dataset or ()))
    emit_json(result, json_file)
    if json_file is None:
        typer.echo(
            f"{out}: {result['points']} points, error {result['sigma_px']:.2f} px, {result['covered']:.0%} covered"
        )


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(epilog="Example: nvdac campaign --data DATA --sample S1 --out campaign")(campaign)
    app.command(epilog="Example: nvdac report campaign --formats pdf,png --export csv,nexus")(report)
    app.command(
        epilog="Example: nvdac register la.tif ni.tif --unit at% --sample S3 --run 3f2a --points points.csv --out s3.h5"
    )(register)
    app.command(epilog="Example: nvdac diff 3f2a 1c9e 77ab --data DATA")(diff)
