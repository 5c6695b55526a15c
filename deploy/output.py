"""What a command says to machines: JSON, to a file that appears whole, or to standard output with nothing beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import typer


def emit_json(result: Any, json_file: Path | None) -> None:
    """Write `result` as JSON where asked; `-` is standard output.

    Raises
    ------
    OSError
        Where the file cannot be written; what it held before is still there then.
    """
    if json_file is None:
        return
    text = json.dumps(result, indent=2, default=str) + "\n"
    if str(json_file) == "-":
        typer.echo(text, nl=False)
    else:
        write_whole(json_file, text)


def write_whole(path: Path, text: str) -> None:
    """Write a text file under another name and rename it; a link stays, and what it points to is written."""
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
