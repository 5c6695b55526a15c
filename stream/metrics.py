"""Numbers for Prometheus: each process serves its own over HTTP on loopback, as `docs/reference/metrics.md` names them.

The process replaces its numbers as a whole now and then; whoever scrapes never waits for it and never disturbs it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

HOST = "127.0.0.1"
"""Metrics are for this host; who wants them elsewhere puts a proxy in front."""
Numbers = Mapping[str, float | Mapping[str, float]]
"""Name without `nvdac_` -> value, or values by label."""


@dataclass(frozen=True)
class Kind:
    """One number that processes serve."""

    text: str
    """What it is."""
    label: str = ""
    """Name of its label; empty without."""
    counter: bool = False
    """True where it only rises while its process lives."""


KINDS: Final[Mapping[str, Kind]] = {
    "frames_in": Kind("Frames published (camera) or added to a band (worker)", counter=True),
    "frames_acked": Kind("Frames acknowledged by band owners, counted per band", counter=True),
    "frames_replayed": Kind("Frames sent once more, counted per band", counter=True),
    "frames_duplicate": Kind("Frames offered again and dropped", counter=True),
    "frames_abandoned": Kind("Frames dropped under the policy abandon: holes", counter=True),
    "frames_never_came": Kind("Frames that the camera itself lost: holes", counter=True),
    "frames_lost": Kind("Frames of the newest run sent but not added exactly once by every band"),
    "messages_refused": Kind("Messages that were refused", counter=True),
    "tiles_sent": Kind("Tiles handed to the link", counter=True),
    "tiles": Kind("Tiles judged by the builder", "verdict", counter=True),
    "tiles_refused": Kind("Tiles of leases that had ended, dropped before they were sent", counter=True),
    "queue_messages": Kind("Messages that wait inside the process"),
    "lag_frames": Kind("Frames published and not yet added, mean over the rows of the worker's bands", "worker"),
    "ring_fill_ratio": Kind("Share of the ring's slots that may not be overwritten yet"),
    "camera_paused": Kind("1 while the camera waits for a slot of the ring"),
    "disk_failing": Kind("1 while frames cannot be written"),
    "leases_lost": Kind("Bands taken from the worker", "worker", counter=True),
    "reassignments": Kind("Changes of a band's owner", counter=True),
    "slow_moves": Kind("Bands moved away from living workers that did not keep up", counter=True),
    "workers_alive": Kind("Workers that the camera takes for alive"),
    "fits_per_s": Kind("Pixels fitted per second of fitting, over the last seconds"),
    "seconds": Kind("Time spent", "state", counter=True),
    "alarms_active": Kind("Alarms that hold now", "severity"),
}
"""Every number there is; a process serves those it has."""


class ProcessMetrics(Collector):
    """The numbers of one process, and the server that shows them.

    Parameters
    ----------
    process
        Name of the process: the label `process` of every number.
    port
        Port on loopback; 0 serves nothing and keeps the numbers all the same.

    Raises
    ------
    OSError
        Where the port is taken.
    """

    def __init__(self, process: str, port: int = 0) -> None:
        self._process = process
        self._numbers: Numbers = {}
        self._server: tuple[WSGIServer, threading.Thread] | None = None
        if port:
            registry = CollectorRegistry()
            registry.register(self)
            ProcessCollector(registry=registry)
            self._server = start_http_server(port, HOST, registry)

    def replace(self, numbers: Numbers) -> None:
        """Make these the process's numbers.

        Raises
        ------
        KeyError
            Where one has no entry in `KINDS`.
        """
        for name in numbers:
            _ = KINDS[name]
        self._numbers = dict(numbers)

    def collect(self) -> Iterator[Metric]:
        """Yield the numbers as Prometheus has them."""
        for name, value in self._numbers.items():
            kind = KINDS[name]
            labels = ["process", *([kind.label] if kind.label else [])]
            make = CounterMetricFamily if kind.counter else GaugeMetricFamily
            family = make(f"nvdac_{name}", kind.text, labels=labels)
            for label, number in value.items() if isinstance(value, Mapping) else [("", value)]:
                family.add_metric([self._process, *([label] if kind.label else [])], float(number))
            yield family

    def close(self) -> None:
        """End the server; safe to call twice."""
        if self._server is not None:
            server, thread = self._server
            self._server = None
            server.shutdown()
            server.server_close()
            thread.join()

    def __enter__(self) -> ProcessMetrics:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
