"""Waiting for results: what the builder wrote and what the camera counted come from two processes, in any order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaiting
from pathlib import Path

import pytest

from deploy.results import wait_finished
from stream.settings import StreamSettings
from stream.state import StatePublisher


def test_the_camera_s_counts_are_waited_for_after_the_builder_s_last_word(tmp_path: Path) -> None:
    settings = StreamSettings(runtime_dir=str(tmp_path), data_dir=str(tmp_path))
    with ThreadPoolExecutor(1) as pool, StatePublisher(settings, "builder") as builder:
        builder.publish("run", {"run_uid": "run-1", "finished": True, "frames_lost": 0}, {})
        found = pool.submit(wait_finished, settings, "run-1")
        with pytest.raises(StillWaiting):
            found.result(1.0)
        with StatePublisher(settings, "camera") as camera:
            camera.publish("camera", {"run_uid": "run-1", "reassignments": 2}, {})
            assert found.result(30)["camera"]["reassignments"] == 2
