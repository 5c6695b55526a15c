"""A rig to run plans on: the bench IOC, a real frame server, and a builder that answers every sweep."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import pytest

from devices.rig import connect_rig
from devices.settings import DevicesSettings, all_devices
from stream.camera_control import CameraControl, CameraRefused
from stream.frame_server import FrameServer
from stream.messages import AnalysisReport, StatePoint, SweepRequest
from stream.settings import StreamSettings
from stream.state import StatePublisher, StateSubscriber


class TestCardMaker:
    """Frames that say which they are: value = sweep * 1000 + pass * 100 + index."""

    __test__ = False

    def __init__(self, rate_hz: float) -> None:
        self.height, self.width, self.dtype, self.frame_rate_hz = 8, 6, "<u2", rate_hz
        self.armed: list[SweepRequest] = []

    def arm(self, request):
        self.armed.append(request)
        return StatePoint(150.0, 150.0, 150.0, 97.0, request.history, request.load_index), {}

    def frame(self, pass_index, index):
        value = self.armed[-1].sweep * 1000 + pass_index * 100 + index
        return np.full((self.height, self.width), value, dtype=self.dtype)


class AnsweringBuilder:
    """Publishes a final report for every sweep that the camera has sent, made by `answer(run_uid, sweep)`."""

    def __init__(self, settings: StreamSettings) -> None:
        self.answer: Callable[[str, int], AnalysisReport | None] = report
        self._publisher = StatePublisher(settings, "builder")
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        done: set[tuple[str, int]] = set()
        with StateSubscriber(self._settings, sources=("camera",)) as subscriber:
            while not self._stop.is_set():
                for update in subscriber.poll(0.05):
                    header = update.header
                    if update.channel != "camera" or not header["frames_total"]:
                        continue
                    key = (str(header["run_uid"]), int(header["sweep"]))
                    if header["frames_sent"] == header["frames_total"] and key not in done:
                        done.add(key)
                        self.publish(self.answer(*key))

    def publish(self, answer: AnalysisReport | None) -> None:
        if answer is None:
            return
        values = vars(answer)
        arrays = {key: value for key, value in values.items() if isinstance(value, np.ndarray)}
        self._publisher.publish("analysis", {key: values[key] for key in values if key not in arrays}, arrays)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)
        self._publisher.close()


def report(run_uid: str, sweep: int, **changes: object) -> AnalysisReport:
    """A final, valid report; Tc between 40 and 80 K."""
    grid = np.arange(20.0, 151.0, 2.0)
    density = np.exp(-0.5 * ((grid - 70.0) / 6.0) ** 2)
    values = {
        "run_uid": run_uid,
        "sweep": sweep,
        "revision": 1,
        "final": True,
        "valid": True,
        "reason": "",
        "temperature_k": 20.0,
        "field_gauss": 97.0,
        "fraction_changed": 0.3,
        "s_median": 0.98,
        "s_low": 0.95,
        "s_high": 1.05,
        "sigma_s_median": 1e-3,
        "sigma_zz_mean_gpa": 21.0,
        "coverage": 0.97,
        "frames_lost": 0,
        "time_s": 0.0,
        "tc_sigma_median_k": 3.0,
        "open_fraction": 1.0 if sweep < 9 else 0.0,
        "candidate_temperature_k": grid,
        "tc_density_per_k": density / (density.sum() * 2.0),
    }
    return AnalysisReport(**{**values, **changes})


class Bench:
    """Everything a plan needs, and what the tests look at."""

    def __init__(self, folder, devices: DevicesSettings, rate_hz: float = 0.0, **settings) -> None:
        chosen = {"ring_mib": 4, "bands": 2, "heartbeat_s": 0.05, **settings}
        self.settings = StreamSettings(runtime_dir=str(folder / "bench"), data_dir=str(folder / "frames"), **chosen)
        self.maker = TestCardMaker(rate_hz)
        self._ends = ExitStack()
        try:
            self._start(devices)
        except BaseException:
            self._ends.close()
            raise

    def _start(self, devices: DevicesSettings) -> None:
        noise = {"source": "gain", "electrons_per_count": 8.0}
        info = {"mode": "SIMULATED", "pixel_size_um": 1.0, "noise": noise}
        self.publisher = self._ends.enter_context(StatePublisher(self.settings, "session"))
        self.server = self._ends.enter_context(FrameServer(self.settings, self.maker, info))
        thread = threading.Thread(target=self.server.run, daemon=True)
        thread.start()
        self._ends.callback(thread.join, 10)
        self._ends.callback(self.server.stop)
        self.builder = AnsweringBuilder(self.settings)
        self._ends.callback(self.builder.close)
        self.rig = connect_rig("bench", devices, self.settings, publisher=self.publisher)
        self._ends.callback(self.rig.close)

    def run_is_closed(self, run_uid: str) -> bool:
        """Whether the camera refuses a sweep of the run because it is closed."""
        request = SweepRequest(run_uid, 999, role="SINGLE", frequency_mhz=np.array([2870.0]), passes=1)
        with CameraControl(self.settings, 5.0) as control:
            try:
                control.arm(request)
            except CameraRefused:
                return True
            return False

    def close(self) -> None:
        self._ends.close()


@pytest.fixture
def make_bench_at(tmp_path):
    """Makes a bench on the PVs of a prefix, or on chosen devices."""
    made = []

    def make(devices: str | DevicesSettings, rate_hz: float = 0.0, **settings) -> Bench:
        chosen = all_devices(devices) if isinstance(devices, str) else devices
        made.append(Bench(tmp_path, chosen, rate_hz, **settings))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def make_bench(bench_ioc, make_bench_at):
    """Makes a bench on the bench IOC."""
    return lambda rate_hz=0.0, **settings: make_bench_at(bench_ioc, rate_hz, **settings)


@pytest.fixture
def bench(make_bench):
    return make_bench()


@pytest.fixture
def documents():
    """A list, and a callback that fills it."""
    rows: list[tuple[str, dict]] = []

    def take(name, document):
        rows.append((name, document))

    return rows, take
