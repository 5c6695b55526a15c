"""The builder's rules, with its sockets replaced: what it says, what it stores, what it counts."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from analyzers.builder import Builder
from analyzers.cube import Cube
from analyzers.offline import fit_cube
from analyzers.pipeline import RunMaps
from analyzers.rescue import keep_unresolved
from analyzers.storage import MapStore
from stream.alarms import AlarmBook
from stream.maps_file import read_maps
from stream.messages import (
    FieldHistory,
    RunMode,
    RunStop,
    SweepAbort,
    SweepProgress,
    SweepStart,
    Tile,
    WorkerHealth,
)
from stream.paths import maps_path
from tests.analyzers import synthetic


class _Inbox:
    """Hands out the events it is given."""

    def __init__(self) -> None:
        self.events: deque[object] = deque()

    def poll(self, _timeout_s: float) -> list[object]:
        found, self.events = list(self.events), deque()
        return found

    def ask(self, *_: object) -> bool:
        return False

    def owner(self, *_: object) -> str:
        return ""


class _Publisher:
    """Remembers what is published."""

    def __init__(self) -> None:
        self.channels: dict[str, dict[str, object]] = {}
        self.texts: list[tuple[str, str]] = []
        self.alarms = AlarmBook(self.publish)

    def publish(self, channel: str, header: dict[str, object], _arrays: Mapping[str, object] | None = None) -> None:
        self.channels[channel] = header

    def event(self, severity: object, text: str, about: str = "") -> None:
        self.texts.append((str(severity), text))

    def forget(self, prefix: str) -> None:
        self.channels = {name: header for name, header in self.channels.items() if not name.startswith(prefix)}

    def requests(self) -> list[object]:
        return []

    def reply(self, *_: object) -> None:
        pass


class _Bench:
    """A builder with fakes around it."""

    def __init__(self, folder: object, patience_s: float = 0.0) -> None:
        self.inbox, self.publisher = _Inbox(), _Publisher()
        self.data_dir = str(folder)
        self.builder = Builder(self.inbox, self.publisher, MapStore(self.data_dir), patience_s)  # pyright: ignore[reportArgumentType]

    def feed(self, *events: object) -> None:
        self.inbox.events.extend(events)
        self.builder.step()

    def alarms(self) -> list[tuple[str, str]]:
        return [(severity, text) for severity, text in self.publisher.texts if severity != "NO_ALARM"]

    def says(self, text: str) -> bool:
        return any(text in line for _, line in self.publisher.texts)


@pytest.fixture
def bench(tmp_path) -> Iterator[_Bench]:
    found = _Bench(tmp_path)
    yield found
    found.builder.close()


@pytest.fixture(scope="module")
def swept() -> list[tuple[SweepStart, list[Tile]]]:
    """Two sweeps and their final tiles, fitted once."""
    run, maker = RunMaps.of(synthetic.run_start()), synthetic.SyntheticMaker()
    sweeps: list[tuple[SweepStart, list[Tile]]] = []
    for number, temperature in enumerate((150.0, 20.0)):
        sweep = synthetic.sweep_start(synthetic.sweep_request(number, temperature, passes=1), maker)
        cube = Cube(sweep.frequency_mhz.size, synthetic.HEIGHT, synthetic.WIDTH, "<u2")
        for index in range(sweep.frequency_mhz.size):
            cube.add(index, maker.frame(0, index))
        fit = fit_cube(run, sweep, cube, threads=1)
        counts = {"passes": np.ones(sweep.frequency_mhz.size, "<u4")}

        def rest(y0, fit=fit, cube=cube, counts=counts):
            part = keep_unresolved(cube.sums[:, y0 : y0 + 16], fit.rows(y0, y0 + 16), y0, synthetic.HEIGHT)
            return counts | part.to_arrays()

        total = sweep.frequency_mhz.size
        tiles = [
            Tile("run-1", number, y0, y0 + 16, 1, 1, True, total, "w", fit.rows(y0, y0 + 16).to_planes(), rest(y0))
            for y0 in (0, 16)
        ]
        sweeps.append((sweep, tiles))
    return sweeps


def _play(bench: _Bench, swept: list[tuple[SweepStart, list[Tile]]], mode: RunMode = RunMode.SIMULATED) -> None:
    bench.feed(synthetic.run_start(mode=mode))
    for sweep, tiles in swept:
        bench.feed(sweep, *tiles)
    bench.feed(RunStop("run-1", "success", 2, 2 * swept[0][0].frequency_mhz.size))


def test_a_run_is_stored_reported_and_finished(bench, swept):
    _play(bench, swept)
    header = bench.publisher.channels["run"]
    assert header["finished"]
    assert (header["frames_lost"], header["frames_added"]) == (0, 174)
    assert bench.publisher.channels["analysis"]["valid"]
    assert maps_path(bench.data_dir, "run-1", str(header["version"]), "products").exists()
    assert not bench.alarms()


def test_a_map_of_a_field_cooled_sample_is_said_flagged_and_not_valid(bench, swept):
    (first, tiles), (second, more) = swept
    cooled = dataclasses.replace(second, state=dataclasses.replace(second.state, history=FieldHistory.FC))
    _play(bench, [(first, tiles), (cooled, more)])
    ((severity, text),) = bench.alarms()
    assert severity == "MAJOR"
    assert text.startswith("sweep 1: the sample's history is FC")
    assert not bench.publisher.channels["analysis"]["valid"]
    version = str(bench.publisher.channels["run"]["version"])
    _, attributes = read_maps(maps_path(bench.data_dir, "run-1", version, "products"))
    assert list(attributes["history_flags"]) == ["1"]


def test_a_replay_that_gives_the_same_bits_says_nothing(tmp_path, swept):
    for _ in range(2):
        bench = _Bench(tmp_path)
        _play(bench, swept, RunMode.REPLAY)
        assert bench.publisher.channels["run"]["finished"]
        assert not bench.alarms()
        bench.builder.close()


def test_a_replay_that_gives_other_bits_names_the_first_differing_map(tmp_path, swept):
    first = _Bench(tmp_path)
    _play(first, swept)
    first.builder.close()
    (sweep, (upper, lower)) = swept[1]
    contrast = upper.planes["contrast"].copy()
    contrast[0, 3, 3] += 1e-6
    changed = dataclasses.replace(upper, planes={**upper.planes, "contrast": contrast})
    second = _Bench(tmp_path)
    _play(second, [swept[0], (sweep, [changed, lower])], RunMode.REPLAY)
    ((severity, text),) = second.alarms()
    assert severity == "MAJOR"
    assert "differing map is contrast" in text
    second.builder.close()
    version = str(second.publisher.channels["run"]["version"])
    stored, _ = read_maps(maps_path(tmp_path, "run-1", version, "sweep_0001"))
    assert stored["contrast"][0, 3, 3] == upper.planes["contrast"][0, 3, 3]


def test_an_aborted_sweep_is_said_and_its_frames_count_as_lost(bench, swept):
    (first, tiles), (second, _) = swept
    bench.feed(synthetic.run_start(), first, *tiles, second)
    bench.feed(SweepProgress("run-1", 1, 30, 87), SweepAbort("run-1", 1, 30))
    bench.feed(RunStop("run-1", "abort", 2, 117))
    assert bench.says("sweep 1 ended early")
    assert bench.publisher.channels["run"]["frames_lost"] == 30
    assert bench.publisher.channels["run"]["finished"]


def test_without_a_frames_file_an_unfinished_sweep_is_given_up_and_counted(bench, swept):
    (first, tiles), _ = swept
    bench.feed(
        synthetic.run_start(), first, tiles[0], SweepProgress("run-1", 0, 87, 87), RunStop("run-1", "success", 1, 87)
    )
    for _ in range(1000):
        if bench.publisher.channels["run"]["finished"]:
            break
        bench.builder.step()
    assert bench.publisher.channels["run"]["frames_lost"] == 87
    assert bench.says("87 frames of the run were lost")


def test_settings_that_cannot_be_read_are_one_clear_event(bench):
    bench.feed(synthetic.run_start(analysis={"linez": 4}))
    assert bench.says("run-1 cannot be analysed")
    assert "run" not in bench.publisher.channels


def test_loss_and_return_of_a_worker_are_events(bench):
    health = WorkerHealth("worker-0", True, 2, 0, 1.0, 10, {"fits_per_s": 1e5})
    bench.feed(health)
    bench.feed(dataclasses.replace(health, alive=False, leases_lost=2, bands=0))
    bench.feed(dataclasses.replace(health, leases_lost=2))
    assert bench.says("worker-0 is lost")
    assert bench.says("2 bands of worker-0")
    assert bench.says("worker-0 is back")
    assert bench.publisher.channels["workers"]["workers"][0]["name"] == "worker-0"  # pyright: ignore[reportIndexIssue]
