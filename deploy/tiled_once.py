"""Tiled for a moment: a running site's server, or one started on the data folder and ended afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path

from deploy import processes
from deploy.launch import Parts, launch, make_site, wait_until_ready
from deploy.rig_file import RigFile, RigSection
from deploy.site import Site
from devices.settings import CameraSettings, DevicesSettings

TILED_ONLY = Parts(web=False, tiled=True, instruments=False, camera=False, analyzers=False)


@contextlib.contextmanager
def tiled_at(data_dir: Path, site: Site | None) -> Generator[tuple[str, str]]:
    """Give (address, key) of a Tiled server over `data_dir`."""
    if site is not None:
        yield site.tiled_uri, site.tiled_api_key
        return
    rig = RigFile(rig=RigSection(name="tiled"), camera=CameraSettings(), devices=DevicesSettings())
    own = make_site(f"tiled-{abs(hash(str(data_dir))) % 10**8}", data_dir, rig, data_dir, TILED_ONLY)
    try:
        own = launch(own, rig, TILED_ONLY)
        wait_until_ready(own)
        yield own.tiled_uri, own.tiled_api_key
    finally:
        processes.stop(own)
