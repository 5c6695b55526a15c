"""Tiled for a moment: a running site's server, or one started on the data folder and ended afterwards."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Generator
from pathlib import Path

import typer

from deploy import processes
from deploy.launch import Parts, launch, make_site, wait_until_ready
from deploy.rig_file import RigFile, RigSection
from deploy.site import Site
from deploy.up import say_waiting
from devices.settings import CameraSettings, DevicesSettings

TILED_ONLY = Parts(web=False, tiled=True, instruments=False, camera=False, analyzers=False)


@contextlib.contextmanager
def tiled_at(data_dir: Path, site: Site | None) -> Generator[tuple[str, str]]:
    """Give (address, key) of a Tiled server over `data_dir`."""
    if site is not None:
        yield site.tiled_uri, site.tiled_api_key
        return
    rig = RigFile(rig=RigSection(name="tiled"), camera=CameraSettings(), devices=DevicesSettings())
    # one name per data folder: of two commands at once on one folder the second is told of the first
    name = f"tiled-{zlib.crc32(str(data_dir).encode()):08x}"
    own = make_site(name, data_dir, rig, data_dir, TILED_ONLY)
    try:
        own = launch(own, rig, TILED_ONLY)
        wait_until_ready(own, report=say_waiting(lambda text: typer.echo(text, err=True)))
        yield own.tiled_uri, own.tiled_api_key
    finally:
        processes.stop(own)
