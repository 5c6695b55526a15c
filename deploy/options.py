"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RigOption = Annotated[str, typer.Option("--rig", help="Rig file: a path, or the name of one that comes with nvdac.")]
SiteOption = Annotated[
    str | None, typer.Option("--site", help="Name of the running site; the newest one if not given.")
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
