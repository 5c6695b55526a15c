"""`nvdac up`: start the processes of a rig and leave them running."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import typer

from deploy import processes
from deploy.launch import Parts, launch, make_site, wait_until_ready
from deploy.rig_file import find_rig, load_rig
from deploy.setup_files import load_setup
from deploy.site import Site


def default_data_dir() -> Path:
    """Return the data folder used where none is named: $NVDAC_DATA, or data/nvdac below the current folder."""
    return Path(os.environ.get("NVDAC_DATA", "data/nvdac"))


def bring_up(rig_name: str, data: Path | None, site_name: str | None, *, allow_control: bool = False) -> Site:
    """Start every process of the rig and wait until all serve.

    Raises
    ------
    DeployError
        Where the rig file or one that it names in `[setup]` is wrong, a port is in use, or a process does not start;
        then nothing is left running.
    """
    path = find_rig(rig_name)
    rig = load_rig(path)
    load_setup(path, rig)
    parts = Parts()
    site = make_site(site_name or rig.rig.name, path, rig, data or default_data_dir(), parts)
    try:
        site = launch(site, rig, parts, allow_control=allow_control)
        wait_until_ready(site, report=say_waiting(lambda text: typer.echo(text, err=True)))
    except BaseException:
        processes.stop(site)
        raise
    return site


def say_waiting(say: Callable[[str], None]) -> Callable[[list[str]], None]:
    """Return a reporter that says in one line what is waited for."""

    def report(missing: list[str]) -> None:
        if missing:
            compiling = any(name.startswith("worker") or name == "builder" for name in missing)
            say(
                f"starting: waiting for {', '.join(missing)}"
                + (" (first start compiles the kernels)" if compiling else "")
            )

    return report
