"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RigOption = Annotated[str, typer.Option("--rig", help="Rig file: a path, or the name of one that comes with nvdac.")]
SiteOption = Annotated[
    str | None, typer.Option("--site", help="Name of the running site; the newest one if not given.")
]
NewSiteOption = Annotated[
    str | None, typer.Option("--site", help="Name of the new site; that of the rig if not given.")
]
EverySiteOption = Annotated[str | None, typer.Option("--site", help="Name of the site; every one if not given.")]
StoredSiteOption = Annotated[
    str | None,
    typer.Option("--site", help="Site in whose data folder the run is; every folder known here if not given."),
]
TemperatureOption = Annotated[
    float | None, typer.Option("--temperature-k", help="Of the sample, K; 300, and said so, if not given.", min=0.001)
]
FieldOption = Annotated[
    float | None, typer.Option("--field-gauss", help="Along the culet normal, G; 0, and said so, if not given.")
]
PixelSizeOption = Annotated[
    float | None,
    typer.Option("--pixel-size-um", help="Edge of a pixel, um; 1, and said so, if not given.", min=0.001),
]
IngestDataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Data folder; that of the newest running site, else $NVDAC_DATA or data/nvdac, if not given."
    ),
]
DataOption = Annotated[Path | None, typer.Option("--data", help="Data folder; one below ./data if not given.")]
ControlOption = Annotated[
    bool,
    typer.Option(
        "--allow-control",
        help="Let who has the printed address pause, end and steer plans from the live page; else it only shows.",
    ),
]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the result as JSON to this file; - for standard output.")
]
