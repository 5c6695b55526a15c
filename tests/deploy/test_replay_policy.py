"""`nvdac replay --policy` from outside: stored decisions beside today's, and one line where there are none."""

from __future__ import annotations

import json
from pathlib import Path

from plans.adaptive import decide
from plans.ladder import PointSummary, TemperatureLimits
from plans.records import inputs_to_json
from stream.document_log import write_log
from tests.deploy.command import User, one_line

UID = "abcdef01-0000-4000-8000-000000000000"


def store(data: Path, *, moved_k: float = 0.0, decided: bool = True) -> None:
    """Write the documents of a run with two decisions; the second one's outcome is shifted."""
    limits = TemperatureLimits(fixed_step_k=5.0)
    rows = [PointSummary(20.0 + 5.0 * i, 20.5 + 5.0 * i, valid=False, reason="silent") for i in range(2)]
    documents: list[tuple[str, dict[str, object]]] = [
        ("start", {"uid": UID, "time": 0.0}),
        ("descriptor", {"uid": "d", "run_start": UID, "name": "decision" if decided else "primary", "time": 0.0}),
    ]
    for i in range(2):
        values = {
            "decision_inputs_json": inputs_to_json(rows[: i + 1], limits),
            "decision_next_temperature_k": (decide(rows[: i + 1], limits).next_temperature_k or 0.0) + i * moved_k,
            "decision_finished": 0,
        }
        documents.append(("event", {"uid": f"e{i}", "descriptor": "d", "seq_num": i + 1, "time": 0.0, "data": values}))
    documents.append(("stop", {"uid": "s", "run_start": UID, "time": 1.0, "exit_status": "success"}))
    (data / "frames").mkdir(parents=True)
    (data / "frames" / f"{UID}.h5").touch()
    write_log(data, UID, documents)


def test_decisions_are_shown_beside_what_the_policy_says_today(user: User, tmp_path: Path) -> None:
    data = tmp_path / "stored"
    store(data)
    out = user.run("replay", "abcdef", "--policy", "--data", str(data))
    assert out.returncode == 0, out.stderr
    assert "2 of 2 decisions the same" in out.stdout
    assert "fixed ladder: silent" in out.stdout


def test_a_decision_that_today_differs_is_marked(user: User, tmp_path: Path) -> None:
    data = tmp_path / "stored"
    store(data, moved_k=1.5)
    out = user.run("replay", "abcdef", "--policy", "--data", str(data), "--json", "-")
    result = json.loads(out.stdout)
    assert (result["same"], result["total"]) == (1, 2)
    assert [row["stored_k"] for row in result["decisions"]] == [25.0, 31.5]
    assert [row["replayed_k"] for row in result["decisions"]] == [25.0, 30.0]


def test_a_run_without_decisions_or_documents_is_one_line(user: User, tmp_path: Path) -> None:
    store(tmp_path / "other", decided=False)
    one_line(user.run("replay", "abcdef", "--policy", "--data", str(tmp_path / "other")), "took no decisions")
    (tmp_path / "bare" / "frames").mkdir(parents=True)
    (tmp_path / "bare" / "frames" / f"{UID}.h5").touch()
    one_line(user.run("replay", "abcdef", "--policy", "--data", str(tmp_path / "bare")), "has no document log")
