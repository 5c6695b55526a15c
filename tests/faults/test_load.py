"""The whole stream under load, frames from memory: nothing is lost, and workers that stand still only make it wait.

With NVDAC_SOAK set the long ones run: 60 s of 512 x 512 with every frame archived, 10 minutes with sums of 12 passes,
1,000 frames/s of 180 x 180; they hold rate, maps and memory too, so they want the machine for themselves.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks.stream_load import Load, run_load
from stream.messages import Archive

SOAK = bool(os.environ.get("NVDAC_SOAK"))
LOADS = {
    "archive": Load(60.0, 512, 200.0),
    "long": Load(600.0, 512, 200.0, archive=Archive.SUMS, passes=12),
    "fast": Load(60.0, 180, 1000.0),
}
MAPS_HZ = 2.0


def assert_nothing_lost(found: dict[str, float]) -> None:
    text = json.dumps(found)
    assert found["frames_sent"] > 0
    assert found["frames_lost"] == 0, text
    assert found["frames_on_disk"] == found["frames_sent"], text


def assert_a_stall_is_waited_out(found: dict[str, float]) -> None:
    assert_nothing_lost(found)
    assert found["stalls"] == 1, "the ring did not fill: the camera never waited for the workers"
    assert found["sweeps"] > 2, "nothing was measured after the workers came back"


@pytest.mark.timeout(900)
@pytest.mark.skipif(SOAK, reason="the long ones run instead")
def test_thirty_seconds_of_frames_lose_none_though_the_workers_stood_still():
    assert_a_stall_is_waited_out(run_load(Load(30.0, 180, 200.0, ring_mib=16, stop_at=1)))


@pytest.mark.timeout(2400)
@pytest.mark.skipif(not SOAK, reason="minutes long: `make soak`")
@pytest.mark.parametrize("name", LOADS)
def test_soak(name: str):
    found = run_load(LOADS[name])
    Path(f"soak-{name}.json").write_text(json.dumps(found, indent=2) + "\n")
    assert_nothing_lost(found)
    text = json.dumps(found)
    assert found["held"], text
    assert found["camera_waited_share"] == 0, text
    assert found["maps_hz"] >= MAPS_HZ, text
    assert found["memory_mib"] <= 1.1 * (found["warm_mib"] + found["ring_mib"] + found["cube_mib"]), text
    assert found["memory_growth"] < 1.1, "memory grew by more than a tenth between the first and the last third"


@pytest.mark.timeout(900)
@pytest.mark.skipif(not SOAK, reason="a minute long: `make soak`")
def test_soak_with_workers_that_stand_still_until_the_ring_is_full():
    assert_a_stall_is_waited_out(run_load(Load(60.0, 512, 200.0, ring_mib=64, stop_at=2)))
