"""Work of a campaign that runs in any process, here or on another host: plain arguments in, small results out."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from analyzers.campaign.collect import LoadFiles, collect_load
from analyzers.campaign.load_maps import DESCRIPTIONS, UNITS, LoadMaps, load_maps_of
from analyzers.campaign.products import CAMPAIGN_VERSION
from analyzers.joint_map import DESCRIPTIONS as JOINT_DESCRIPTIONS
from analyzers.joint_map import UNITS as JOINT_UNITS
from analyzers.joint_run import JOINT_VERSION, joint_of_run, joint_set
from analyzers.offline import OfflineRun, fit_run, save
from analyzers.settings import AnalysisSettings
from analyzers.version import result_version
from stream.archive_hdf5 import FrameFile
from stream.digests import file_digest, frames_digest, json_digest
from stream.maps_file import MapsFileError, read_maps, write_maps
from stream.messages import Json
from stream.paths import maps_path

JOINT_FIELDS = 2
"""Fields that a joint fit needs."""


@dataclass(frozen=True)
class RunTask:
    """A stored run to be analysed."""

    data_dir: str
    """Data folder: frames are read from it, maps written to it."""
    frames: str
    """Frames file."""
    changes: tuple[tuple[str, object], ...] = ()
    """Analysis settings that are not those stored with the run: name, value."""
    reference: str = ""
    """Frames file of another run, whose opening reference is taken instead of the run's own; empty: its own."""
    joint: bool = True
    """Whether the stress of all fields is fitted jointly where the run has several."""


def run_settings(task: RunTask) -> AnalysisSettings:
    """Return the settings that a run is analysed with.

    Raises
    ------
    ValueError
        Where a changed setting is unknown or out of range.
    """
    with FrameFile(task.frames) as file:
        stored = dict(file.start.analysis)
    return AnalysisSettings.from_json({**stored, **dict(task.changes)})


def run_key(task: RunTask) -> str:
    """Return the hash of all that the maps of a run depend on: frames, settings, constants, code versions."""
    return json_digest(
        {
            "step": "run",
            "frames": frames_digest(task.frames),
            "version": result_version(run_settings(task)),
            "reference": frames_digest(task.reference) if task.reference else "",
            "joint": JOINT_VERSION if task.joint else 0,
        }
    )


def analyse_run(task: RunTask) -> Json:
    """Make and store the maps of a run; existing ones of the same version are compared bit by bit.

    Returns
    -------
    Json
        Run uid, version, folder, maps written, sweeps that lack frames, and why there is no joint fit.
    """
    settings = run_settings(task)
    with FrameFile(task.frames) as file, _reference(task) as reference:
        made = fit_run(file, settings, threads=1, reference=reference)
        paths = save(made, task.data_dir)
        reason = "not asked for"
        if task.joint:
            reason = _save_joint(task, file, made.maps.start.run_uid, made)
    uid, version = made.maps.start.run_uid, made.maps.version
    return {
        "run_uid": uid,
        "version": version,
        "folder": str(maps_path(task.data_dir, uid, version, "any").parent),
        "maps": len(paths),
        "incomplete": {str(sweep): missing for sweep, missing in made.incomplete.items()},
        "no_joint_because": reason,
    }


def _reference(task: RunTask) -> AbstractContextManager[FrameFile | None]:
    return FrameFile(task.reference) if task.reference else nullcontext()


def _save_joint(task: RunTask, file: FrameFile, run_uid: str, made: OfflineRun) -> str:
    """Write `joint.h5` where the run has fields enough; returns why not, or an empty text."""
    starts = [maps.start for _, maps in sorted(made.maps.finals.items())]
    if len(joint_set(starts)) < JOINT_FIELDS:
        return "one field only"
    if made.maps.settings.bin_px != 1:
        return "binned pixels"
    try:
        part = joint_of_run(file, made.maps, threads=1)
    except ValueError as error:
        return str(error)
    load = starts[0].state.load_index
    path = maps_path(task.data_dir, run_uid, made.maps.version, "joint")
    write_maps(path, part.planes, JOINT_UNITS, JOINT_DESCRIPTIONS, {**part.attributes, "load_index": load})
    return ""


@dataclass(frozen=True)
class LoadTask:
    """Maps of one load to be collected."""

    files: LoadFiles
    """Where they are."""
    out_dir: str
    """Folder of the result; its name is its key."""


def load_key(task: LoadTask) -> str:
    """Return the hash of all that the maps of a load depend on: contents of the files, and the code's version."""
    digests = [file_digest(path) for path in task.files.inputs()]
    digests.append(frames_digest(task.files.frames) if task.files.frames else "")
    return json_digest({"step": "load", "inputs": digests, "roles": task.files.roles(), "version": CAMPAIGN_VERSION})


def load_path(task: LoadTask) -> Path:
    """Return where the maps of a load are kept."""
    return Path(task.out_dir) / f"{load_key(task)[:24]}.h5"


def collect(task: LoadTask) -> str:
    """Collect the maps of one load and store them; returns the file. What is there already is taken."""
    path = load_path(task)
    if not path.exists():
        load = collect_load(task.files)
        write_maps(path, load.planes(), UNITS, DESCRIPTIONS, load.attributes())
    return str(path)


def stored_load(path: str | Path) -> LoadMaps:
    """Return the maps of a load that `collect` stored.

    Raises
    ------
    MapsFileError
        Where the file cannot be read.
    """
    planes, attributes = read_maps(path)
    try:
        return load_maps_of(planes, attributes)
    except ValueError as error:
        raise MapsFileError(f"{path}: {error}") from error
