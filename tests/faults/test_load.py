"""The whole stream under load, frames from memory: nothing is lost. Rates are figures of `benchmarks`, not of tests.

With NVDAC_SOAK set the long ones run: 60 s of 512 x 512 with the archive, 10 minutes without it, 1,000 frames/s of
180 x 180.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks.stream_load import Load, run_load

SOAK = bool(os.environ.get("NVDAC_SOAK"))
LOADS = {
    "archive": Load(60.0, 512, 200.0),
    "long": Load(600.0, 512, 200.0, archive=False),
    "fast": Load(60.0, 180, 1000.0),
}


def assert_nothing_lost(found: dict[str, float]) -> None:
    text = json.dumps(found)
    assert found["frames_sent"] > 0
    assert found["frames_lost"] == 0, text
    assert found["frames_on_disk"] == found["frames_sent"], text


@pytest.mark.timeout(900)
@pytest.mark.skipif(SOAK, reason="the long ones run instead")
def test_thirty_seconds_of_frames_lose_none():
    assert_nothing_lost(run_load(Load(30.0, 180, 200.0)))


@pytest.mark.timeout(2400)
@pytest.mark.skipif(not SOAK, reason="minutes long: `make soak`")
@pytest.mark.parametrize("name", LOADS)
def test_soak(name: str):
    found = run_load(LOADS[name])
    Path(f"soak-{name}.json").write_text(json.dumps(found, indent=2) + "\n")
    assert_nothing_lost(found)
    assert found["memory_growth"] < 1.1, "memory grew by more than a tenth between the first and the last third"
