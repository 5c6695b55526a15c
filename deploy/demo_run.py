"""The measurement of the demonstration: one field history under the RunEngine, until its last map is on disk."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bluesky.callbacks.core import LiveTable
from bluesky.utils import RunEngineInterrupted

from deploy.engine import FOR_PEOPLE, for_people
from deploy.errors import DeployError
from deploy.plan_arguments import history_settings, run_info
from deploy.results import maps_folder, wait_finished
from deploy.rig_file import RigFile
from deploy.session import Session, open_session
from deploy.site import Site
from plans.histories import zfc_field_warming
from plans.records import replay_decisions
from stream.maps_file import read_maps
from stream.messages import SweepRole

TABLE_FIELDS = ("cryostat_sample_k", "magnet_field_z_gauss", "transport_resistance_ohm")


@dataclass(frozen=True)
class Outcome:
    """What the run left."""

    run_uid: str
    version: str
    sweep_files: tuple[str, ...]
    """Maps of the warming, ascending in temperature."""
    products: str
    """What the whole run says: Tc, s against temperature, stress."""
    transport: tuple[tuple[float, float], ...]
    """(temperature in K, resistance in ohm) of each point."""
    frames_sent: int
    frames_lost: int
    reassignments: int
    decisions_replayed_equal: bool


def run_history(site: Site, rig_file: RigFile, say: Callable[[str], None]) -> Outcome:
    """Run the field history of the rig file and wait until its results are written.

    Raises
    ------
    DeployError
        Where the plan failed or was aborted, or the results do not come.
    """
    documents: list[tuple[str, dict[str, Any]]] = []
    with open_session(site, rig_file, interactive=sys.stdin.isatty()) as session:
        session.engine.subscribe(lambda name, document: documents.append((name, document)))
        run_uid = _run_to_end(session, rig_file, say)
        headers = wait_finished(rig_file.stream_settings(site.runtime_dir, site.data_dir), run_uid)
        say("results written; handing documents to Tiled")
    finished = headers["run"]
    folder = maps_folder(site, run_uid, str(finished["version"]))
    warming = sorted(_of_roles(folder, (SweepRole.WARMING, SweepRole.CLOSING_REFERENCE)))
    replayed = replay_decisions(documents)
    return Outcome(
        run_uid=run_uid,
        version=folder.name,
        sweep_files=tuple(path for _, path in warming),
        products=str(folder / "products.h5"),
        transport=tuple(_transport(documents)),
        frames_sent=int(finished["frames_sent"]),
        frames_lost=int(finished["frames_lost"]),
        reassignments=int(headers["camera"].get("reassignments", 0)),
        decisions_replayed_equal=bool(replayed) and all(row.same for row in replayed),
    )


def _run_to_end(session: Session, rig_file: RigFile, say: Callable[[str], None]) -> str:
    """Run the plan; Ctrl-C pauses it and asks. Returns the run uid."""
    engine = session.engine
    say("plan: opening reference and stress at the top temperature, zero-field cool, field warming")
    table = LiveTable(list(TABLE_FIELDS), out=say)
    table.water_mark = "plan done: run {st[uid]}"
    plan = zfc_field_warming(session.rig, history_settings(rig_file), run_info(rig_file))
    try:
        uids = cast("tuple[str, ...]", engine(plan, cast("Any", table)))
    except RunEngineInterrupted:
        _unless_ended(session)
        uids = _paused(session, say)
    except FOR_PEOPLE as error:
        raise DeployError(for_people(error)) from error
    if not uids:
        raise DeployError("the plan opened no run")
    return str(uids[0])


def _paused(session: Session, say: Callable[[str], None]) -> tuple[str, ...]:
    """Ask what to do with a paused plan; unattended it is aborted, and the field holds."""
    while True:
        answer = _ask("paused at a checkpoint: [r]esume or [a]bort? ") if sys.stdin.isatty() else "a"
        _unless_ended(session)
        if answer == "a":
            if session.engine.state == "paused":
                session.engine.abort("by the user")
            raise DeployError("aborted; microwave and laser are off, frames and documents are kept", exit_code=130)
        if answer == "r":
            try:
                return cast("tuple[str, ...]", session.engine.resume())
            except RunEngineInterrupted:
                _unless_ended(session)
                say("paused again")


def _unless_ended(session: Session) -> None:
    """Leave where somebody at the live page has ended the plan."""
    if session.engine.state == "idle" and session.engine.ended_by:
        said = f"{session.engine.ended_by}; microwave and laser are off, frames and documents are kept"
        raise DeployError(said, exit_code=130)


def _ask(question: str) -> str:
    """Return the first letter of the answer; who interrupts instead of answering wants to abort."""
    try:
        return input(question).strip().lower()[:1]
    except (EOFError, KeyboardInterrupt):
        return "a"


def _transport(documents: list[tuple[str, dict[str, Any]]]) -> Iterator[tuple[float, float]]:
    """Yield temperature and resistance of every event that has both."""
    for name, document in documents:
        data = document.get("data", {}) if name == "event" else {}
        if "transport_resistance_ohm" in data and "cryostat_sample_k" in data:
            yield float(data["cryostat_sample_k"]), float(data["transport_resistance_ohm"])


def _of_roles(folder: Path, roles: tuple[SweepRole, ...]) -> Iterator[tuple[float, str]]:
    """Yield (temperature in K, path) of the sweeps with one of `roles`."""
    for path in sorted(folder.glob("sweep_*.h5")):
        attributes = cast("dict[str, Any]", read_maps(path)[1])
        if attributes["sweep_start"]["role"] in roles:
            yield float(attributes["temperature_k"]), str(path)
