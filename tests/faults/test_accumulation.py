"""Any interleaving, repetition, loss and change of owner: each band gets one final, and its sums are exact.

The worker's side (`stream.bands`), the lease book and the builder's ledger are the real ones; the network is not. Some
frames are lost by the camera, and sums come in the place of frames at any moment, stale or newer than asked for.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.bands import Band, BandFrame, BandLost, BandSum, FrameSource
from stream.leases import LeaseBook
from stream.link_messages import LOST, BandSums, FramesReady
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
    "sums",
    "sums",
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

    def __init__(self, source: FrameSource, sequences, holes: set[int]) -> None:
        self.source, self.sequences, self.holes = source, sequences, holes
        self.leases = LeaseBook(HEIGHT, 2, ["a", "b", "c"])
        self.wire: list[FramesReady | BandSums] = []
        self.tiles: list[Tile] = []
        self.revision = 0
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
            slots = np.array([LOST if n in self.holes else n for n in range(first, stop)], np.uint32)
            self.wire.append(FramesReady(*KEY, y0, lease, first, slots, self.sequences[first:stop]))
            self.next[y0] = stop

    def send_sums(self, y0: int, first_index: int, done: int) -> None:
        """Sums of the first `done` frames, from a frequency on: what a server does for frames that are kept so."""
        lease, band = self.leases.find(KEY, y0).lease, self.workers[self.leases.find(KEY, y0).lease][1]
        numbers = {i: [n for n in range(done) if n % COUNT == i] for i in range(first_index, COUNT)}
        kept = {i: [n for n in numbers[i] if n not in self.holes] for i in numbers}
        rows = slice(band.y0, band.y1)
        sums = tuple(
            sum(
                (known_frame(0, *divmod(n, COUNT))[rows].astype(np.uint32) for n in kept[i]),
                np.zeros((1, 1), np.uint32),
            )
            * np.ones((band.y1 - band.y0, WIDTH), np.uint32)
            for i in numbers
        )
        passes = np.array([len(numbers[i]) for i in numbers], np.uint32)
        frames = np.array([len(kept[i]) for i in numbers], np.uint32)
        self.wire.append(BandSums(*KEY, y0, lease, first_index, passes, frames, sums))

    def deliver(self, ready: FramesReady | BandSums) -> None:
        _, band, cube = self.workers[ready.lease]
        before = band.added
        taken = band.take_sums(ready) if isinstance(ready, BandSums) else band.take(ready, self.source, 100)
        for part in taken.frames:
            match part:
                case BandFrame():
                    cube[part.index] += part.pixels
                    assert band.add(part.pass_index * COUNT + part.index, self.source)
                case BandSum():
                    cube[part.index] = part.sums
                    band.account(part)
                case BandLost():
                    band.account(part)
        if taken.missing is not None and self.leases.find(KEY, ready.y0).lease == ready.lease:
            self.next[ready.y0] = taken.missing
        if taken.frames:
            self.report(ready.lease)
        assert band.added >= before

    def report(self, lease: int) -> None:
        name, band, cube = self.workers[lease]
        final = band.added == TOTAL
        planes = {"cube": cube.copy()}
        lost = sum(n in self.holes for n in range(band.added))
        self.revision += 1
        tile = Tile(*KEY, band.y0, band.y1, lease, self.revision, final, band.added - lost, name, planes, {}, lost)
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
                self.next[holding.y0] = before = band.added
                self.send(holding.y0, TOTAL)
                self.deliver(self.wire.pop())
                assert band.added > before, "what is missing was sent, and is not in the cube"
            self.offer(self.kept[holding.lease])


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 10**6), st.integers(1, TOTAL)), max_size=60),
    st.sets(st.integers(0, TOTAL - 1), max_size=3),
)
def test_whatever_happens_each_band_has_one_final_with_exact_sums(filled, steps, holes):
    world = World(*filled, holes)
    bands = [band.y0 for band in world.leases.holdings(KEY)]
    for action, number, size in steps:
        y0 = bands[number % len(bands)]
        match action:
            case "send":
                world.send(y0, size)
            case "sums":
                world.send_sums(y0, number % COUNT, size)
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
    expected = known_cube(0, COUNT, PASSES)
    for number in holes:
        expected[number % COUNT] -= known_frame(0, *divmod(number, COUNT))
    assert np.array_equal(cube, expected)
