"""What a process serves for Prometheus, what its alarms say, and how its log lines read."""

from __future__ import annotations

import json
import logging
import re
import socket
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream.alarms import AlarmBook
from stream.builder_inbox import BuilderInbox
from stream.camera_control import CameraControl
from stream.logs import RunLog
from stream.messages import Severity
from stream.metrics import KINDS, ProcessMetrics
from tests.faults.flow import alive, measure
from tests.stream.wire import ROOT, Gathered, Rig, known_cube, run_start, wait_for


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def scrape(port: int) -> dict[tuple[str, ...], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in found}


def test_numbers_are_served_with_their_labels(free_port):
    with ProcessMetrics("camera", free_port) as metrics:
        metrics.replace({"frames_in": 40, "ring_fill_ratio": 0.25, "lag_frames": {"worker-0": 3.0, "worker-1": 0}})
        found = scrape(free_port)
        assert found["nvdac_frames_in_total", "camera"] == 40
        assert found["nvdac_ring_fill_ratio", "camera"] == 0.25
        assert found["nvdac_lag_frames", "camera", "worker-0"] == 3
        assert found["process_resident_memory_bytes",] > 0
        metrics.replace({"frames_in": 41})
        assert scrape(free_port)["nvdac_frames_in_total", "camera"] == 41
        assert ("nvdac_ring_fill_ratio", "camera") not in scrape(free_port)
    with pytest.raises(OSError, match="refused"):
        scrape(free_port)


def test_a_number_without_an_entry_is_a_mistake():
    with pytest.raises(KeyError):
        ProcessMetrics("camera").replace({"frames_imagined": 1})


@pytest.mark.timeout(120)
def test_a_camera_process_serves_what_happened(tmp_path, free_port):
    rig = Rig(tmp_path, metrics_port=free_port)
    try:
        rig.camera(rate_hz=200)
        with BuilderInbox(rig.settings) as inbox, CameraControl(rig.settings) as control:
            gathered = Gathered(inbox)
            rig.worker("worker-0")
            control.open_run(run_start("run-m"))
            gathered.until(lambda: alive(gathered) == {"worker-0"}, 60, "the worker")
            measure(control, "run-m", 0)
            assert (gathered.until_cube("run-m", 0) == known_cube(0, 10, 4)).all()
            key = ("nvdac_frames_acked_total", "camera")
            found = wait_for(lambda: (now := scrape(free_port)).get(key) == 160 and now, 30, "four bands of 40 frames")
            assert found["nvdac_frames_in_total", "camera"] == 40
            assert found["nvdac_frames_abandoned_total", "camera"] == 0
            assert found["nvdac_workers_alive", "camera"] == 1
            assert inbox.numbers()["tiles"]["accepted"] >= 4
    finally:
        rig.close()


def names_in(text: str) -> set[str]:
    return {name.removesuffix("_total") for name in re.findall(r"nvdac_([a-z_]+)", text)}


def test_page_and_dashboard_name_what_there_is():
    assert names_in((ROOT / "docs/reference/metrics.md").read_text()) == set(KINDS)
    board = json.loads((ROOT / "deploy/grafana/nvdac.json").read_text())
    assert names_in(json.dumps([panel["targets"] for panel in board["panels"]])) == set(KINDS)
    for kind in re.findall(r"nvdac_([a-z_]+)", Path(ROOT / "deploy/grafana/nvdac.json").read_text()):
        assert kind.endswith("_total") == KINDS[kind.removesuffix("_total")].counter


def test_alarms_stay_after_they_ended_until_the_next_run():
    told: list[list[dict]] = []
    book = AlarmBook(lambda channel, header: told.append(header["alarms"]))
    book.watch("disk", False, Severity.MAJOR, "full")
    assert told == []
    book.watch("disk", True, Severity.MAJOR, "full")
    book.watch("disk", True, Severity.MAJOR, "full")
    assert [alarm["active"] for alarm in told[-1]] == [True]
    assert book.active()["MAJOR"] == 1
    book.release()
    assert len(told) == 1, "it holds: a new run does not end it"
    book.watch("disk", False, Severity.MAJOR, "")
    assert [(alarm["active"], alarm["text"]) for alarm in told[-1]] == [(False, "full")]
    book.watch("disk", True, Severity.MAJOR, "full again")
    assert (told[-1][0]["count"], told[-1][0]["text"]) == (2, "full again")
    book.watch("disk", False, Severity.MAJOR, "")
    book.happened("worker", Severity.MINOR, "worker-0 is gone")
    book.release()
    assert told[-1] == []


def test_a_log_line_names_process_and_run():
    log = RunLog("worker-0")
    record = logging.LogRecord("worker", logging.WARNING, "", 0, 'rows "%s"\n', ("0:4",), None)
    assert " run=" not in log.format(record)
    log.run_uid = "run-1"
    line = log.format(record)
    assert line.endswith('level=WARNING process=worker-0 run=run-1 logger=worker text="rows \\"0:4\\"\\n"')
    assert "\n" not in line
