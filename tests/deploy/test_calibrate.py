"""`nvdac calibrate`: stored calibration runs become lines in the book, or one line of refusal."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from deploy.calibrate import lamp_line_nm, of_111, transfer
from stream.document_log import write_log
from tests.deploy.command import User, one_line

UID = "abcdef01-0000-4000-8000-000000000000"


def store(data: Path, plan: str, rows: list[dict[str, object]], **arguments: object) -> None:
    """Write the documents of a run without a camera."""
    documents: list[tuple[str, dict[str, object]]] = [
        ("start", {"uid": UID, "time": 1e9, "plan_name": plan, "plan_args": arguments}),
        ("descriptor", {"uid": "d", "run_start": UID, "name": "primary", "time": 0.0}),
    ]
    for number, values in enumerate(rows, start=1):
        event = {"uid": f"e{number}", "descriptor": "d", "seq_num": number, "time": 0.0, "data": values}
        documents.append(("event", event))
    documents.append(("stop", {"uid": "s", "run_start": UID, "time": 1.0, "exit_status": "success"}))
    write_log(data, UID, documents)


def test_a_run_becomes_a_line_in_the_book_with_uncertainty_date_and_age(user: User, tmp_path: Path) -> None:
    data = tmp_path / "data"
    temperatures = (150.0, 100.0, 60.0, 20.0)
    rows = [{"cryostat_stage_k": t, "cryostat_sample_k": t + 0.5 - 0.001 * t} for t in temperatures]
    store(data, "calibrate_thermometer", rows, temperatures_k=list(temperatures))
    out = user.run("calibrate", "abcdef", "--data", str(data), "--json", "-")
    assert out.returncode == 0, out.stderr
    found = json.loads(out.stdout)
    assert found["values"]["offset_k"] == pytest.approx(0.5 - 0.001 * np.mean(temperatures))
    assert 0.0 < found["sigmas"]["offset_k"] < 0.05
    assert (found["time_s"], found["run_uid"]) == (1e9, UID)
    shown = user.run("calibrate", "--data", str(data)).stdout
    assert "thermometer" in shown
    assert "of at most 90 days old, TOO OLD" in shown, "it was measured in 2001"


def test_a_run_that_is_no_calibration_or_says_too_little_is_one_line(user: User, tmp_path: Path) -> None:
    store(tmp_path / "a", "odmr", [])
    one_line(user.run("calibrate", "abcdef", "--data", str(tmp_path / "a")), "taken by 'odmr'", "calibrate_coil")
    store(
        tmp_path / "b",
        "calibrate_ruby",
        [{"ruby_r1_nm": 694.3, "cryostat_sample_k": 296.0}],
        lamp_nm=0.0,
        pressure_gpa=0.0,
    )
    one_line(user.run("calibrate", "abcdef", "--data", str(tmp_path / "b")), "two or more spectra")
    assert not (tmp_path / "b" / "calibrations.jsonl").exists()


def test_a_lamp_line_is_found_in_a_spectrum() -> None:
    rng = np.random.default_rng(1)
    x = np.linspace(688.0, 712.0, 601)
    y = rng.poisson(20.0 + 3000.0 * np.exp(-0.5 * ((x - 692.97) / 0.05) ** 2)).astype(float)
    assert lamp_line_nm(x, y, 692.947) == pytest.approx(692.97, abs=0.01)
    with pytest.raises(ValueError, match="no lamp line"):
        lamp_line_nm(x, np.full(601, 20.0), 692.947)
    with pytest.raises(ValueError, match="do not reach"):
        lamp_line_nm(x, y, 500.0)


def test_wander_and_drift_of_the_light_do_not_count_as_noise() -> None:
    rng = np.random.default_rng(2)
    light = 20_000.0 * (1.0 + 0.01 * rng.normal(size=400)) * np.linspace(1.0, 1.05, 400)
    frames = rng.poisson(light[:, None, None], (400, 12, 12)) / 8.0
    mean, variance = transfer(frames, dark=False)
    assert variance.mean() == pytest.approx(mean.mean() / 8.0, rel=0.03)


def test_pairs_that_cannot_be_111_at_a_field_do_not_count() -> None:
    found = of_111(np.array([73.0, 134.4, 138.0, 180.0]), -48.0)
    assert np.isfinite(found).tolist() == [False, True, True, False]
