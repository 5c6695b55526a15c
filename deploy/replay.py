"""`nvdac replay`: a stored run's frames through the same stream, workers and builder as live ones."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer
from tqdm import tqdm

from deploy import processes
from deploy.errors import DeployError
from deploy.launch import Parts, launch, make_site, wait_until_ready
from deploy.results import maps_folder, wait_finished
from deploy.rig_file import RigFile, RigSection
from deploy.site import Site, running_sites
from deploy.stored import find_frames
from deploy.up import say_waiting
from devices.settings import CameraSettings, DevicesSettings


def replay_run(
    uid: str, lines: int | None, speed: str, workers: int, data: Path | None, site_name: str | None
) -> dict[str, Any]:
    """Replay a stored run and store its maps.

    Parameters
    ----------
    uid
        Run uid or its first letters.
    lines
        Resonances per spectrum instead of the run's own.
    speed
        `max`, or a factor on the recorded rate.
    workers
        Fitting workers.

    Raises
    ------
    DeployError
        Where there is no such run, the speed cannot be read, or existing maps of the same version differ.
    """
    rate = _speed(speed)
    path = find_frames(uid, data, site_name)
    data_dir = path.parent.parent
    rate_hz = _frame_rate_hz(path, rate)
    rig = RigFile(
        rig=RigSection(name="replay", workers=workers),
        camera=CameraSettings(kind="file", source=str(path), frame_rate_hz=rate_hz),
        devices=DevicesSettings(),
    )
    serving = _tiled_of(data_dir)
    parts = Parts(web=False, tiled=serving is None, instruments=False)
    site = make_site(f"replay-{path.stem[:8]}", path, rig, data_dir, parts)
    if serving is not None:
        site = replace(site, tiled_port=serving.tiled_port, tiled_api_key=serving.tiled_api_key)
    try:
        site = launch(site, rig, parts, archive=False)
        wait_until_ready(site, report=say_waiting(lambda text: typer.echo(text, err=True)))
        return _drive(site, rig, path, lines, rate)
    finally:
        processes.stop(site)


def _drive(site: Site, rig: RigFile, path: Path, lines: int | None, rate: float) -> dict[str, Any]:
    """Play every sweep and wait for the maps."""
    from deploy.files import stored_settings
    from stream.archive_hdf5 import FrameFile
    from stream.camera_control import CameraControl, CameraRefused
    from stream.replay import drive

    settings = rig.stream_settings(site.runtime_dir, site.data_dir)
    with FrameFile(path) as file, CameraControl(settings) as camera:
        analysis = stored_settings(file.start, lines)
        total = sum(sweep.frequency_mhz.size * sweep.passes for sweep in file.sweeps)
        with tqdm(total=total, unit="frame", desc="replay", disable=None) as bar:
            try:
                stop = drive(camera, file, analysis.to_json(), speed=rate, progress=bar.update)
            except (CameraRefused, TimeoutError) as error:
                raise DeployError(f"the replay of {file.start.run_uid} failed: {error}") from error
        headers = wait_finished(settings, file.start.run_uid)
        version = str(headers["run"]["version"])
        folder = maps_folder(site, file.start.run_uid, version)
        return {
            "run_uid": file.start.run_uid,
            "version": version,
            "maps": str(folder),
            "frames_sent": stop.frames_sent,
            "frames_lost": headers["workers"].get("frames_lost", 0),
        }


def _frame_rate_hz(path: Path, speed: float) -> float:
    """Return the rate at which the camera process plays the frames; 0 for as fast as possible.

    Raises
    ------
    DeployError
        Where there is nothing to play.
    """
    from stream.archive_hdf5 import FrameFile
    from stream.replay import replay_rate_hz

    with FrameFile(path) as file:
        if not list(file.complete_sweeps()):
            raise DeployError(f"{path}: no sweep of the run is complete; there is nothing to replay")
        return replay_rate_hz(file, speed)


def _speed(text: str) -> float:
    """Return the factor on the recorded rate; 0 for as fast as possible."""
    if text == "max":
        return 0.0
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < math.inf:
        raise DeployError(f"speed {text!r}: use max, or a positive factor such as 10")
    return value


def _tiled_of(data_dir: Path) -> Site | None:
    """Return the running site that serves this data folder, if any."""
    for site in running_sites():
        if "tiled" in site.programs and Path(site.data_dir) == data_dir.resolve() and processes.states(site):
            return site
    return None
