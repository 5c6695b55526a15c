"""`nvdac resume`: go on with the field warming of a session that was killed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from deploy.environment import enter_environment
from deploy.errors import DeployError
from deploy.foreground import driving
from deploy.rig_file import RigFile, load_rig
from deploy.site import Site, find_site
from stream.document_log import DIED

NOTHING_LEFT = "the newest run was not left open by a session that died; start one with `nvdac session`"


def resume(site_name: str | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Find the run that a dead session left open and go on with it; returns the uids of both runs.

    Raises
    ------
    DeployError
        Where no run was left, it is none that can be continued, or the guard's ledger says that its history is over.
    """
    site = find_site(site_name, needs="guard")
    rig_file = load_rig(Path(site.rig_file))
    enter_environment(site)  # before EPICS is imported, which reads it once
    with driving(site, "nvdac resume"):
        return _go_on(site, rig_file, say)


def _go_on(site: Site, rig_file: RigFile, say: Callable[[str], None]) -> dict[str, Any]:
    from deploy.engine import FOR_PEOPLE, for_people
    from deploy.plan_arguments import run_info
    from deploy.session import open_session
    from plans.resuming import resume_warming
    from plans.settings import ZfcSettings

    log, documents = left_run(Path(site.data_dir))
    start = documents[0][1]
    try:
        settings = TypeAdapter(ZfcSettings).validate_python(start["plan_args"])
    except ValidationError as error:
        raise DeployError(f"run {log.stem}: its arguments cannot be read: {error.errors()[0]['msg']}") from error
    interrupted = interruption(site, documents)
    say(f"run {log.stem}: {len(interrupted.points)} points are there, {interrupted.run.sweeps} sweeps at the camera")
    with open_session(site, rig_file, interactive=False) as session:
        plan = resume_warming(session.rig, settings, interrupted, run_info(rig_file))
        try:
            uids = cast("tuple[str, ...]", session.engine(plan))
        except FOR_PEOPLE as error:
            raise DeployError(for_people(error)) from error
        _close_log(log)
    return {"run_uid": str(uids[0]), "resumes": log.stem}


def left_run(data_dir: Path) -> tuple[Path, list[tuple[str, dict[str, Any]]]]:
    """Return the log and the documents of the newest warming that was left open.

    Raises
    ------
    DeployError
        Where there is none.
    """
    from stream.document_log import locked, read_documents
    from stream.paths import documents_path

    logs = sorted(documents_path(data_dir, "x").parent.glob("*.jsonl"), key=_begun)
    if not logs:
        raise DeployError(NOTHING_LEFT)
    log = logs[-1]
    with locked(log) as mine:
        documents = cast("list[tuple[str, dict[str, Any]]]", list(read_documents(log))) if mine else []
    stops = [doc for name, doc in documents if name == "stop"]
    # another session that was opened since has closed the documents for the dead one
    if not documents or any(stop["reason"] != DIED for stop in stops):
        raise DeployError(NOTHING_LEFT)
    name = str(documents[0][1].get("plan_name", ""))
    if name != "zfc_field_warming":
        raise DeployError(f"run {log.stem} is a {name}; only a zfc_field_warming goes on, start the others again")
    return log, documents


def _begun(log: Path) -> float:
    """Return when a run began, for sorting; the end of its log says when somebody last wrote it."""
    with log.open(encoding="utf-8") as file:
        try:
            return float(json.loads(file.readline())["doc"]["time"])
        except (ValueError, KeyError, TypeError):
            return 0.0


def interruption(site: Site, documents: list[tuple[str, dict[str, Any]]]) -> Any:
    """Return where a run was: its points as the last decision saw them, and the sweeps at the camera."""
    from plans.records import inputs_from_json
    from plans.resuming import Interrupted
    from plans.run import Resumed
    from stream.archive_hdf5 import FrameFile
    from stream.paths import frames_path

    uid = str(documents[0][1]["uid"])
    with FrameFile(frames_path(site.data_dir, uid)) as file:
        sweeps = len(file.sweeps)
    inputs = [doc["data"]["decision_inputs_json"] for name, doc in documents if name == "event" and _decided(doc)]
    points = inputs_from_json(inputs[-1])[0] if inputs else ()
    return Interrupted(Resumed(uid, sweeps), points)


def _decided(document: dict[str, Any]) -> bool:
    return "decision_inputs_json" in document["data"]


def _close_log(log: Path) -> None:
    """Close the documents of the dead session as aborted."""
    from stream.document_log import locked, read_documents

    with locked(log) as mine:
        if mine:
            for _ in read_documents(log, close=True):
                pass
