"""Numbers for Prometheus, made from the state plane: whoever subscribes can serve them, and nothing counts twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, cast

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stream.messages import Json, StateUpdate

Latest = Mapping[tuple[str, str], StateUpdate]
"""(source, channel) -> newest update, as `StateSubscriber.latest`."""


@dataclass(frozen=True)
class _Gauge:
    name: str
    key: str
    text: str


CAMERA: Final = (
    _Gauge("nvdac_camera_frames_sent", "frames_sent", "Frames of the present sweep that were published"),
    _Gauge("nvdac_camera_frames_total", "frames_total", "Frames the present sweep will have"),
    _Gauge("nvdac_camera_rate_hz", "rate_hz", "Frames per second"),
    _Gauge("nvdac_camera_ring_fill_ratio", "ring_fill", "Share of the ring's slots that may not be overwritten yet"),
    _Gauge("nvdac_camera_reassignments", "reassignments", "Changes of a band's owner since the camera started"),
    _Gauge("nvdac_camera_frames_abandoned", "frames_abandoned", "Frames dropped under the policy abandon: holes"),
    _Gauge("nvdac_camera_malformed", "malformed", "Messages that were refused"),
)
"""Gauges made from the channel `camera` of the camera."""
WORKER: Final = (
    _Gauge("nvdac_worker_alive", "alive", "1 where the worker is alive"),
    _Gauge("nvdac_worker_bands", "bands", "Unfinished bands that the worker owns"),
    _Gauge("nvdac_worker_leases_lost", "leases_lost", "Bands taken from the worker"),
    _Gauge("nvdac_worker_fits_per_s", "fits_per_s", "Pixels fitted per second of fitting"),
    _Gauge("nvdac_worker_busy_ratio", "busy_fraction", "Share of the time spent working"),
    _Gauge("nvdac_worker_last_seen_seconds", "last_seen_s", "When the worker last spoke, seconds since the epoch"),
)
"""Gauges made from each entry of the channel `workers` of the builder."""


class StateCollector(Collector):
    """Prometheus collector over the newest state."""

    def __init__(self, latest: Latest) -> None:
        self._latest = latest

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges whose numbers are known."""
        camera = self._header("camera", "camera")
        for gauge in CAMERA:
            yield _family(gauge, [([], camera.get(gauge.key))], [])
        workers = self._header("builder", "workers")
        rows = [cast("Json", row) for row in cast("list[object]", workers.get("workers", [])) if isinstance(row, dict)]
        for gauge in WORKER:
            yield _family(gauge, [([str(row.get("name", ""))], row.get(gauge.key)) for row in rows], ["worker"])
        lost = _Gauge("nvdac_frames_lost", "frames_lost", "Frames sent but not added exactly once by every band")
        yield _family(lost, [([], workers.get(lost.key))], [])
        age = GaugeMetricFamily("nvdac_state_time_seconds", "When a source last published", labels=["source"])
        for source in sorted({key[0] for key in self._latest}):
            newest = max(update.time_s for key, update in self._latest.items() if key[0] == source)
            age.add_metric([source], newest)
        yield age

    def _header(self, source: str, channel: str) -> Json:
        update = self._latest.get((source, channel))
        return {} if update is None else update.header


def render_metrics(latest: Latest) -> bytes:
    """Return the newest state in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(StateCollector(latest))
    return generate_latest(registry)


def _family(gauge: _Gauge, samples: list[tuple[list[str], object]], labels: list[str]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(gauge.name, gauge.text, labels=labels)
    for values, number in samples:
        if isinstance(number, int | float):
            family.add_metric(values, float(number))
    return family
