"""Any interleaving, repetition, loss and change of owner: each band gets one final, and its sums are exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.bands import Band, FrameSource
from stream.leases import LeaseBook
from stream.link_messages import FramesReady
from stream.messages import NoiseModel, RunMode, RunStart, StatePoint, SweepRole, SweepStart, Tile
from stream.ring import SlotKey, create_ring, run_hash
from stream.tiles import TileLedger, Verdict
from tests.stream.wire import HEIGHT, WIDTH, known_cube, known_frame

COUNT, PASSES = 4, 2
TOTAL = COUNT * PASSES
KEY = ("run", 0)
SWEEP = SweepStart(*KEY, SweepRole.SINGLE, StatePoint(4, 4, 4, 0), np.linspace(2800.0, 2900, COUNT), PASSES)
RUN = RunStart("run", RunMode.SIMULATED, HEIGHT, WIDTH, "<u2", NoiseModel("gain", 8.0), {})
ACTIONS = (
    "send",
    "send",
    "deliver",
    "deliver",
    "deliver",
    "repeat",
    "lose",
    "move",
    "tile",
    "tile again",
    "new builder",
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A ring with every frame of the sweep, slot = number."""
    path = tmp_path_factory.mktemp("ring") / "ring"
    ring = create_ring(path, 1, (HEIGHT, WIDTH), "<u2")
    marks = [(n, SlotKey(run_hash("run"), 0, n), known_frame(0, *divmod(n, COUNT))) for n in range(TOTAL)]
    sequences = [ring.write(n, mark, frame, 0.0) for n, mark, frame in marks]
    source = FrameSource(copy=False)
    source.open(str(path), ring.epoch)
    return source, np.array(sequences, np.uint64)


class World:
    """Frame server, workers, builder, and a network that does what it likes."""

    def __init__(self, source: FrameSource, sequences) -> None:
        self.source, self.sequences = source, sequences
        self.leases = LeaseBook(HEIGHT, 2, ["a", "b", "c"])
        self.wire: list[FramesReady] = []
        self.tiles: list[Tile] = []
        self.kept: dict[int, Tile] = {}
        self.workers: dict[int, tuple[str, Band, np.ndarray]] = {}
        self.next: dict[int, int] = {}
        self.accepted: dict[int, list[Tile]] = {}
        self.builder = TileLedger()
        for grant in self.leases.open_sweep(KEY):
            self.grant(grant)
        self.begin_builder()

    def grant(self, grant) -> None:
        band = Band(RUN, SWEEP, grant.y0, grant.y1, grant.lease)
        cube = np.zeros((COUNT, grant.y1 - grant.y0, WIDTH), np.uint32)
        self.workers[grant.lease] = grant.worker, band, cube
        self.next[grant.y0] = 0

    def begin_builder(self) -> None:
        """A builder that knows nothing: it is told of the sweep, and of the leases or not yet."""
        self.builder, self.accepted = TileLedger(), {}
        self.builder.open_sweep(KEY, TOTAL, [(band.y0, band.y1) for band in self.leases.holdings(KEY)])

    def send(self, y0: int, count: int) -> None:
        first, lease = self.next[y0], self.leases.find(KEY, y0).lease
        stop = min(TOTAL, first + count)
        if stop > first:
            slots = np.arange(first, stop, dtype=np.uint32)
            self.wire.append(FramesReady(*KEY, y0, lease, first, slots, self.sequences[first:stop]))
            self.next[y0] = stop

    def deliver(self, ready: FramesReady) -> None:
        _, band, cube = self.workers[ready.lease]
        before = band.added
        taken = band.take(ready, self.source, 100)
        for frame in taken.frames:
            cube[frame.index] += frame.pixels
            assert band.add(frame.pass_index * COUNT + frame.index, self.source)
        if taken.missing is not None and self.leases.find(KEY, ready.y0).lease == ready.lease:
            self.next[ready.y0] = taken.missing
        if taken.frames:
            self.report(ready.lease)
        assert band.added - before == len(taken.frames)

    def report(self, lease: int) -> None:
        name, band, cube = self.workers[lease]
        final = band.added == TOTAL
        planes = {"cube": cube.copy()}
        tile = Tile(*KEY, band.y0, band.y1, lease, band.added, final, band.added, name, planes, {})
        self.tiles.append(tile)
        if final:
            self.kept[lease] = tile

    def offer(self, tile: Tile) -> None:
        if self.builder.offer(tile) is Verdict.ACCEPTED and tile.final:
            self.accepted.setdefault(tile.y0, []).append(tile)

    def settle(self) -> None:
        """The network behaves from now on: what is missing is asked for, finals are sent again."""
        for ready in self.wire:
            self.deliver(ready)
        self.wire = []
        for holding in self.leases.holdings(KEY):
            band = self.workers[holding.lease][1]
            while band.added < TOTAL:
                self.next[holding.y0] = band.added
                self.send(holding.y0, TOTAL)
                self.deliver(self.wire.pop())
            self.offer(self.kept[holding.lease])


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 10**6), st.integers(1, TOTAL)), max_size=60))
def test_whatever_happens_each_band_has_one_final_with_exact_sums(filled, steps):
    world = World(*filled)
    bands = [band.y0 for band in world.leases.holdings(KEY)]
    for action, number, size in steps:
        y0 = bands[number % len(bands)]
        match action:
            case "send":
                world.send(y0, size)
            case "deliver" if world.wire:
                world.deliver(world.wire.pop(number % len(world.wire)))
            case "repeat" if world.wire:
                world.deliver(world.wire[number % len(world.wire)])
            case "lose" if world.wire:
                world.wire.pop(number % len(world.wire))
            case "move":
                holding = world.leases.find(KEY, y0)
                for grant in world.leases.give_up(KEY, y0, holding.lease, holding.owner):
                    world.grant(grant)
                    if size % 2:
                        world.builder.grant(KEY, grant.y0, grant.lease, grant.worker)
            case "tile" if world.tiles:
                world.offer(world.tiles.pop(number % len(world.tiles)))
            case "tile again" if world.tiles:
                world.offer(world.tiles[number % len(world.tiles)])
            case "new builder":
                world.begin_builder()
    world.settle()
    assert {y0: len(tiles) for y0, tiles in world.accepted.items()} == dict.fromkeys(bands, 1)
    cube = np.concatenate([world.accepted[y0][0].planes["cube"] for y0 in bands], axis=1)
    assert np.array_equal(cube, known_cube(0, COUNT, PASSES))
