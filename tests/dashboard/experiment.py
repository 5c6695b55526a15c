"""A made-up experiment for the page: what the builder, camera, monitor and session would publish at one moment.

Plausible, not simulated: an annulus of field expulsion under a marked outline, one lobe of enhancement, an onset near
80 K, unresolved specks, stress around 21 GPa.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

GAMMA_MHZ_PER_GAUSS = 2.8025
OK, NOT_MEASURED, LOW_SNR, EXCLUDED = 0, 1, 2, 3
STATUS_NAMES = ["OK", "NOT_YET_MEASURED", "LOW_SNR", "OCCLUDED"]
LADDER_K = (20.0, 28.0, 36.0, 44.0, 52.0, 60.0, 66.0, 70.0, 74.0, 78.0, 82.0, 90.0, 110.0, 150.0)
REASON = (
    "Small step of 4 K: 38 % of the superconducting pixels are expected to lose diamagnetism between 66 and 70 K, "
    "and their Tc is still uncertain by 3.1 K."
)
Publication = tuple[str, str, dict, dict]
"""(source, channel, header, arrays)."""


def outline_um(scale: float = 1.0) -> np.ndarray:
    """Return the sample's outline, um from the image centre."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radius = 27 * (1 + 0.10 * np.cos(3 * angle + 0.6) + 0.06 * np.sin(5 * angle)) * scale
    return np.stack([radius * np.cos(angle) * 1.08 + 1.0, radius * np.sin(angle) * 0.95 + 1.0], axis=1)


@dataclass
class Experiment:
    """The state of a made-up run."""

    size: int = 96
    points_done: int = 7
    frames_sent: int = 312
    frames_total: int = 480
    seed: int = 5
    mode: str = "SIMULATED"
    run_uid: str = "7f3c9a12-5b1e-4e0a-9d55-2f60c1b7a001"
    final: bool = False
    started_s: float = field(default_factory=lambda: time.time() - 148.0)

    @property
    def temperature_k(self) -> float:
        return LADDER_K[self.points_done]

    def axes_um(self) -> tuple[np.ndarray, np.ndarray]:
        half = (self.size - 1) / 2
        line = (np.arange(self.size) - half) * 96.0 / self.size
        return np.meshgrid(line, line)

    def tc_k(self) -> np.ndarray:
        x, y = self.axes_um()
        radius, angle = np.hypot(x - 1, y - 1), np.arctan2(y - 1, x - 1)
        return 83 - 0.012 * (radius - 16) ** 2 + 3.0 * np.cos(2 * angle)

    def depth(self) -> np.ndarray:
        x, y = self.axes_um()
        radius, angle = np.hypot(x - 1, (y - 1) * 1.1), np.arctan2(y - 1, x - 1)
        ring = np.exp(-(((radius - 18) / 5.5) ** 2)) * (0.55 + 0.25 * np.cos(angle - 0.5) + 0.25 * np.cos(3 * angle))
        lobe = np.exp(-(((x + 22) / 4.5) ** 2) - ((y - 3) / 12) ** 2)
        core = np.exp(-((radius / 7) ** 2))
        return -0.075 * np.clip(ring, 0, None) + 0.055 * lobe + 0.010 * core

    def s(self, temperature_k: float, noise: float = 0.0025) -> np.ndarray:
        order = 1 / (1 + np.exp((temperature_k - self.tc_k() + 4) / 2.2))
        rng = np.random.default_rng(self.seed + int(temperature_k * 10))
        return 1 + self.depth() * order + noise * rng.standard_normal((self.size, self.size))

    def status(self) -> np.ndarray:
        x, y = self.axes_um()
        rng = np.random.default_rng(11)
        codes = np.where(rng.random(x.shape) < 0.004, LOW_SNR, OK)
        codes[np.hypot(x - 32, y + 20) < 5 + 2 * rng.standard_normal(x.shape)] = LOW_SNR
        codes[np.hypot(x + 31, y - 25) < 4 + 2 * rng.standard_normal(x.shape)] = LOW_SNR
        codes[np.hypot(x - 24, y - 27) < 5.5] = EXCLUDED
        codes[np.hypot(x, y) > 46.5] = NOT_MEASURED
        return codes.astype(np.uint8)

    def spectrum(self, s: float, noise: float, count: int = 120) -> dict[str, np.ndarray]:
        frequency = np.unique(np.concatenate([
            np.linspace(2800, 2915, 28), np.linspace(2915, 3080, 8), np.linspace(3080, 3300, 50),
            np.linspace(3300, 3345, 5), np.linspace(3345, 3455, 28),
        ]))[:count]  # fmt: skip
        centre, half = 3129.0, GAMMA_MHZ_PER_GAUSS * 97.0 * s
        model = np.zeros_like(frequency)
        for at, width, contrast in (
            (centre - half, 15, 0.016), (centre + half, 15, 0.016),
            (3190 - half / 3, 19, 0.006), (3190 + half / 3, 19, 0.006),
        ):  # fmt: skip
            model -= contrast / (1 + ((frequency - at) / (width / 2)) ** 2)
        rng = np.random.default_rng(self.seed + self.frames_sent)
        return {
            "frequency_mhz": frequency,
            "signal": (model + noise * rng.standard_normal(frequency.size)).astype("f4"),
            "sigma": np.full(frequency.size, noise, "f4"),
            "model": model.astype("f4"),
        }

    def publications(self) -> Iterator[Publication]:
        """Yield everything of this moment."""
        yield from self.builder()
        yield from self.camera()
        yield from self.monitor()
        yield from self.session()

    def map_header(self, unit: str) -> dict:
        return {
            "run_uid": self.run_uid, "sweep": self.points_done, "revision": 9, "final": self.final,
            "temperature_k": self.temperature_k, "unit": unit, "reference": "opening", "status_names": STATUS_NAMES,
        }  # fmt: skip

    def points(self) -> list[dict]:
        scale = self.size / 96
        return [
            {"name": "suppressed", "x_px": round(65 * scale), "y_px": round(56 * scale)},
            {"name": "enhanced", "x_px": round(26 * scale), "y_px": round(50 * scale)},
        ]

    def run_header(self) -> dict:
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        ruby = np.stack([24 + 5.5 * np.cos(angle), 27 + 5.5 * np.sin(angle)], axis=1)
        return {
            "run_uid": self.run_uid, "mode": self.mode, "sample": "S1 La₃Ni₂O₇", "rig": "twin",
            "pixel_size_um": 96.0 / self.size, "height": self.size, "width": self.size, "started_s": self.started_s,
            "finished": False, "regions": {"sample": outline_um().tolist(), "ruby": ruby.tolist()},
        }  # fmt: skip

    def builder(self) -> Iterator[Publication]:
        temperature, status = self.temperature_k, self.status()
        empty = status != OK
        noise = 0.0025 * (self.frames_total / max(self.frames_sent, 1)) ** 0.5
        s = np.where(empty, np.nan, self.s(temperature, noise)).astype("f4")
        x, y = self.axes_um()
        sigma_zz = 21.6 - 0.0016 * (x**2 + y**2) + 0.35 * np.sin(x / 9) * np.cos(y / 11)
        sigma_zz = np.where(empty, np.nan, sigma_zz + 0.12 * np.random.default_rng(3).standard_normal(s.shape))
        tc_status = np.where((self.tc_k() > temperature) & (status == OK), LOW_SNR, status)
        tc_status = np.where(np.abs(self.depth()) < 0.012, NOT_MEASURED, tc_status).astype("u1")
        tc = np.where((tc_status == OK) & (np.abs(self.depth()) > 0.012), self.tc_k(), np.nan).astype("f4")
        yield "builder", "run", self.run_header(), {}
        yield "builder", "sweep", {
            "run_uid": self.run_uid, "sweep": self.points_done, "role": "WARMING", "temperature_k": temperature,
            "field_gauss": 97.0, "passes": 4, "frames_total": self.frames_total, "frames_sent": self.frames_sent,
            "frames_added": self.frames_sent - 3, "revision": 9, "final": self.final, "history": "ZFC_FW",
        }, {}  # fmt: skip
        yield "builder", "map/s", self.map_header(""), {"value": s, "status": status}
        yield "builder", "map/sigma_zz", self.map_header("GPa"), {"value": sigma_zz.astype("f4"), "status": status}
        yield "builder", "map/tc", self.map_header("K"), {"value": tc, "status": tc_status}
        header = {"sweep": self.points_done, "temperature_k": temperature, "s": 0.9840, "sigma_s": 0.0006,
                  "guides_mhz": [2857.2, 3099.4, 3280.6, 3400.8], "final": self.final}  # fmt: skip
        yield "builder", "spectrum/mean", header, self.spectrum(0.984, 0.00025)
        yield self.curves()
        yield self.expected()
        for index in range(self.points_done):
            step = self.size // 48
            value = np.where(empty, np.nan, self.s(LADDER_K[index]))[::step, ::step].astype("f4")
            header = {"run_uid": self.run_uid, "sweep": index + 1, "temperature_k": LADDER_K[index],
                      "field_gauss": 97.0, "role": "WARMING", "status_names": STATUS_NAMES}  # fmt: skip
            yield "builder", f"film/{index + 1:04d}", header, {"value": value, "status": status[::step, ::step]}
        yield "builder", "analysis", {"sigma_zz_mean_gpa": 21.02, "coverage": 0.974, "frames_lost": 0,
                                      "temperature_k": temperature}, {}  # fmt: skip
        workers = [
            {"name": f"worker-{i}", "alive": True, "bands": 2, "leases_lost": 0, "fits_per_s": 41200.0 + 900 * i,
             "busy_fraction": 0.62 + 0.1 * i, "last_seen_s": 0.05} for i in range(2)
        ]  # fmt: skip
        yield "builder", "workers", {"workers": workers, "frames_lost": 0}, {}
        yield self.events("builder", (96, "NO_ALARM", "28 K map final, 97.4 % resolved"),
                          (9, "NO_ALARM", "66 K map final, 97.1 % resolved"))  # fmt: skip

    def events(self, source: str, *lines: tuple[float, str, str]) -> Publication:
        now = time.time()
        events = [
            {"time_s": now - age, "severity": level, "source": source, "text": text} for age, level, text in lines
        ]
        return source, "events", {"events": events}, {}

    def curves(self) -> Publication:
        temperatures = np.array(LADDER_K[: self.points_done + (1 if self.final else 0)])
        points = self.points()
        s = np.array([[self.s(t)[p["y_px"], p["x_px"]] for t in temperatures] for p in points], "f4")
        return "builder", "curve/s", {"points": points}, {
            "temperature_k": temperatures, "s": s, "sigma_s": np.full(s.shape, 0.0022, "f4"),
        }  # fmt: skip

    def expected(self) -> Publication:
        ahead = np.arange(LADDER_K[self.points_done - 1], 130.0, 2.0)
        s = np.array([[self.s(t, 0.0)[p["y_px"], p["x_px"]] for t in ahead] for p in self.points()])
        sigma = np.broadcast_to(0.001 + 0.012 * np.exp(-(((ahead - 80) / 12) ** 2)), s.shape)
        header = {"run_uid": self.run_uid, "points": ["suppressed", "enhanced"], "band_sigmas": 2.0}
        return "builder", "curve/expected", header, {"temperature_k": ahead, "s": s, "sigma_s": sigma}

    def camera(self) -> Iterator[Publication]:
        x, y = self.axes_um()
        rng = np.random.default_rng(self.frames_sent)
        light = 40000 * np.exp(-((np.hypot(x - 6, y + 4) / 60) ** 2)) * (1 + 0.05 * np.sin((x + 0.4 * y) / 3.2))
        light *= np.where(np.hypot(x, y) > 46.5, 0.12, 1.0) * np.where(np.hypot(x - 24, y - 27) < 5.5, 0.45, 1.0)
        frame = rng.poisson(light * 0.9).astype("u2")
        now = time.time()
        header = {"sweep": self.points_done, "pass_index": 2, "index": self.frames_sent % 120, "time_s": now}
        yield "camera", "frame", header, {"value": frame}
        yield "camera", "camera", {
            "state": "sending", "run_uid": self.run_uid, "sweep": self.points_done, "frames_sent": self.frames_sent,
            "frames_total": self.frames_total, "ring_fill": 0.18, "rate_hz": 298.4, "reassignments": 0, "leases": [],
        }, {}  # fmt: skip

    def monitor(self) -> Iterator[Publication]:
        now, temperature = time.time(), self.temperature_k
        rows = (
            ("cryostat", "Stage T", temperature - 0.4, temperature, "K", "NO_ALARM", False),
            ("sample_temperature", "Sample T", temperature + 0.02, None, "K", "NO_ALARM", False),
            ("magnet", "Field H", 97.0, 97.0, "G", "NO_ALARM", False),
            ("microwave", "Microwave", -12.0, -12.0, "dBm", "NO_ALARM", False),
            ("laser", "Laser", 180.0, 180.0, "mW", "NO_ALARM", False),
            ("transport", "Resistance", 24.813, None, "Ω", "NO_ALARM", True),
            ("pressure", "Membrane", 8.31, 8.31, "bar", "NO_ALARM", False),
            ("ruby", "Ruby", 21.3, None, "GPa", "MINOR", True),
        )
        for key, label, value, setpoint, unit, severity, on_demand in rows:
            yield "monitor", f"device/{key}", {
                "label": label, "value": value, "setpoint": setpoint, "unit": unit, "severity": severity,
                "time_s": now - (840 if key == "ruby" else 0.3), "connected": True, "on_demand": on_demand,
            }, {}  # fmt: skip
        yield self.events("monitor", (20, "MINOR", "Ruby reading is 14 min old"))

    def guard(self) -> Iterator[Publication]:
        yield self.events("guard", (150, "NO_ALARM", "the lease is held by the session"))

    def session(self) -> Iterator[Publication]:
        # As in a real run: the decision stands while its temperature is measured, the sample a little above the stage.
        decided = LADDER_K[self.points_done]
        states = (("reference", "Reference 150 K", "done"), ("zfc", "Zero-field cool", "done"),
                  ("field", "H = 97 G on", "done"), ("warming", "Field warming", "now"),
                  ("done", "Done", "next"))  # fmt: skip
        yield "session", "plan", {
            "phase": "warming", "phases": [{"key": k, "label": n, "state": s} for k, n, s in states],
            "history": "ZFC_FW", "points_done": self.points_done, "points_planned": len(LADDER_K),
            "seconds_left": 96.0, "planned_temperatures_k": list(LADDER_K[self.points_done :]), "run_uid": self.run_uid,
        }, {}  # fmt: skip
        candidates = np.arange(decided - 3.0, min(decided + 60.0, 150.0), 1.0)
        gain = 0.9 * np.exp(-(((candidates - decided) / 6) ** 2)) + 0.12 * np.exp(-(((candidates - 95) / 40) ** 2))
        yield "session", "decision", {
            "next_temperature_k": decided, "reason": REASON, "n": self.points_done,
            "step_k": decided - LADDER_K[self.points_done - 1],
            "fallback": False, "gain": 0.9,
        }, {"candidate_temperature_k": candidates, "gain": gain}  # fmt: skip
        measured = np.arange(20.0, self.temperature_k + 0.1, 2.0)
        resistance = 6 + 19 / (1 + np.exp(-(measured - 79) / 2.5)) + 0.09 * measured
        yield "session", "transport", {}, {"temperature_k": measured, "resistance_ohm": resistance}
        yield self.events("session", (140, "NO_ALARM", "Zero-field cooled to 20 K"),
                          (131, "NO_ALARM", "H = 97.0 G on at 20.0 K"),
                          (8, "NO_ALARM", f"Next: {decided:g} K, small step"))  # fmt: skip
