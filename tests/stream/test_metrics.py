"""Prometheus' text is made from the state plane alone."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from stream.messages import StateUpdate
from stream.metrics import render_metrics


def update(source: str, channel: str, header: dict, time_s: float = 5.0) -> tuple[tuple[str, str], StateUpdate]:
    return (source, channel), StateUpdate(source, "e", 1, channel, time_s, header, {})


def samples(latest) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(render_metrics(latest).decode())
    return {(s.name, "".join(s.labels.values())): s.value for family in families for s in family.samples}


def test_numbers_of_camera_and_workers_appear_with_their_labels():
    workers = [{"name": "worker-0", "alive": True, "bands": 2, "leases_lost": 1, "fits_per_s": 900.0}]
    found = samples(
        dict(
            [
                update("camera", "camera", {"frames_sent": 40, "ring_fill": 0.25, "state": "sending"}),
                update("builder", "workers", {"workers": workers, "frames_lost": 0}, 7.0),
            ]
        )
    )
    assert found["nvdac_camera_frames_sent", ""] == 40
    assert found["nvdac_camera_ring_fill_ratio", ""] == 0.25
    assert found["nvdac_worker_alive", "worker-0"] == 1
    assert found["nvdac_worker_fits_per_s", "worker-0"] == 900
    assert found["nvdac_frames_lost", ""] == 0
    assert found["nvdac_state_time_seconds", "builder"] == 7
    assert ("nvdac_worker_busy_ratio", "worker-0") not in found


def test_nothing_known_is_no_error():
    assert samples({}) == {}
