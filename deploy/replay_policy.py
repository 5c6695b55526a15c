"""`nvdac replay --policy`: what the policy of temperatures would decide today on the inputs that a run stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploy.errors import DeployError
from deploy.stored import find_frames
from plans.records import ReplayedDecision, replay_decisions
from stream.document_log import read_documents
from stream.paths import documents_path


def replay_policy(uid: str, data: Path | None, site_name: str | None) -> dict[str, Any]:
    """Decide again on every stored decision of a run; nothing is started and nothing moves.

    Parameters
    ----------
    uid
        Run uid or its first letters.
    data, site_name
        Data folder or running site to look in.

    Raises
    ------
    DeployError
        Where there is no such run, it has no documents, or it decided nothing.
    """
    frames = find_frames(uid, data, site_name)
    path = documents_path(frames.parent.parent, frames.stem)
    if not path.is_file():
        raise DeployError(f"run {frames.stem} has no document log {path}; was it ingested from a file?")
    try:
        rows = replay_decisions(read_documents(path))
    except (KeyError, ValueError) as error:
        raise DeployError(f"{path}: the decisions cannot be read: {error}") from error
    if not rows:
        raise DeployError(f"run {frames.stem} took no decisions; only adaptive plans do")
    return {
        "run_uid": frames.stem,
        "decisions": [_row(row) for row in rows],
        "same": sum(row.same for row in rows),
        "total": len(rows),
    }


def lines(result: dict[str, Any]) -> list[str]:
    """Return the decisions side by side, for people."""
    rows = [f"run {result['run_uid']}: {result['same']} of {result['total']} decisions the same"]
    for row in result["decisions"]:
        mark = " " if row["same"] else "*"
        went, today = _k(row["stored_k"]), _k(row["replayed_k"])
        rows.append(f"{mark}{row['sequence']:>3}  went to {went}  today {today}  {row['reason']}")
    return rows


def _k(value: float | None) -> str:
    return "   the end" if value is None else f"{value:8.4g} K"


def _row(row: ReplayedDecision) -> dict[str, Any]:
    return {
        "sequence": row.sequence,
        "stored_k": row.stored_k,
        "replayed_k": row.replayed.next_temperature_k,
        "passes": row.replayed.passes,
        "reason": row.replayed.reason,
        "same": row.same,
    }
