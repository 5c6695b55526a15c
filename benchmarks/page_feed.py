"""A builder for the page's benchmark: publishes made-up 512² maps, spectrum and curves over the real state plane.

`python -m benchmarks.page_feed RUNTIME_DIR RATE_HZ` runs until it is killed and answers questions for spectra.
"""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
from numpy.typing import NDArray

from stream.messages import Json, SpectrumReply, SpectrumRequest
from stream.settings import StreamSettings
from stream.state import StatePublisher

EDGE_PX = 512
RUN_UID = "benchmark"
FREQUENCIES = 120
STATUS_NAMES = ["OK", "NOT_YET_MEASURED", "LOW_SNR", "OCCLUDED"]
POINTS = ({"name": "suppressed", "x_px": 346, "y_px": 298}, {"name": "enhanced", "x_px": 140, "y_px": 266})
ANSWER_S = 0.002
"""How often questions are looked for, s."""


class Feed:
    """Makes everything once and publishes it again and again, each map with other noise."""

    def __init__(self, publisher: StatePublisher) -> None:
        self._publisher = publisher
        rng = np.random.default_rng(3)
        line = np.linspace(-1.0, 1.0, EDGE_PX)
        radius = np.hypot(*np.meshgrid(line, line))
        depth = -0.06 * np.exp(-(((radius - 0.4) / 0.12) ** 2))
        self._maps = [(1 + depth + 0.003 * rng.standard_normal(radius.shape)).astype("f4") for _ in range(8)]
        self._status = np.where(rng.random(radius.shape) < 0.004, 2, 0).astype("u1")
        for plane in self._maps:
            plane[self._status > 0] = np.nan
        self._stress = (21 - 2 * radius**2).astype("f4")
        self._rng = rng

    def publish(self, number: int) -> None:
        """Publish all that changes from one revision of a map to the next."""
        about: Json = {"run_uid": RUN_UID, "sweep": 1, "revision": number, "final": False, "temperature_k": 42.0}
        named = about | {"unit": "1", "reference": "", "status_names": STATUS_NAMES}
        self._publisher.publish("sweep", about | {"frames_total": 480, "frames_sent": 300, "field_gauss": 97.0})
        planes = {"value": self._maps[number % len(self._maps)], "status": self._status}
        self._publisher.publish("map/s", named, planes)
        self._publisher.publish("spectrum/mean", about | {"s": 0.98, "sigma_s": 0.001}, self.spectrum(0.0003))
        temperatures = np.arange(20.0, 60.0, 2.0)
        s = 0.98 + 0.002 * self._rng.standard_normal((len(POINTS), temperatures.size))
        arrays = {"temperature_k": temperatures, "s": s, "sigma_s": np.full(s.shape, 0.002)}
        self._publisher.publish("curve/s", {"run_uid": RUN_UID, "points": list(POINTS)}, arrays)

    def begin(self) -> None:
        """Publish what stays: the run, the stress map."""
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        outline = np.stack([30 * np.cos(angle), 27 * np.sin(angle)], axis=1).tolist()
        run: Json = {
            "run_uid": RUN_UID, "mode": "SIMULATED", "sample": "benchmark", "rig": "benchmark", "finished": False,
            "pixel_size_um": 96.0 / EDGE_PX, "height": EDGE_PX, "width": EDGE_PX, "started_s": time.time(),
            "regions": {"sample": outline},
        }  # fmt: skip
        self._publisher.publish("run", run)
        about: Json = {"run_uid": RUN_UID, "sweep": 1, "revision": 1, "final": True, "temperature_k": 42.0}
        header = about | {"unit": "GPa", "reference": "", "status_names": STATUS_NAMES}
        self._publisher.publish("map/sigma_zz", header, {"value": self._stress, "status": self._status})

    def spectrum(self, noise: float) -> dict[str, NDArray[np.generic]]:
        """Return frequency, signal, sigma and model, (f,) each."""
        frequency = np.linspace(2800.0, 3450.0, FREQUENCIES)
        model = sum(-0.015 / (1 + ((frequency - at) / 8) ** 2) for at in (2860.0, 3400.0))
        signal = model + noise * self._rng.standard_normal(FREQUENCIES)
        sigma = np.full(FREQUENCIES, noise, "f4")
        return {
            "frequency_mhz": frequency, "signal": np.asarray(signal, "f4"), "sigma": sigma,
            "model": np.asarray(model, "f4"),
        }  # fmt: skip

    def answer(self) -> None:
        """Answer every question there is."""
        for token, asked in self._publisher.requests():
            if isinstance(asked, SpectrumRequest):
                region = {name: getattr(asked, name) for name in ("run_uid", "y0", "y1", "x0", "x1")}
                spectrum = self.spectrum(0.001)
                values: Json = {"s": 0.97, "sigma_s": 0.002, "temperature_k": 42.0}
                self._publisher.reply(
                    token,
                    SpectrumReply(sweep=1, **region, **spectrum, values=values, status="OK"),  # pyright: ignore[reportArgumentType]
                )


def main(runtime_dir: str, rate_hz: str) -> None:
    """Publish at a steady rate."""
    pause, period_s = threading.Event(), 1.0 / float(rate_hz)
    with StatePublisher(StreamSettings(runtime_dir=runtime_dir, data_dir=runtime_dir), "builder") as publisher:
        feed, due, number = Feed(publisher), time.monotonic(), 0
        feed.begin()
        while True:
            if time.monotonic() >= due:
                due, number = max(due + period_s, time.monotonic() - period_s), number + 1
                feed.publish(number)
            feed.answer()
            pause.wait(ANSWER_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
