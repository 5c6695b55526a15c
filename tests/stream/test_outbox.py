"""What a worker keeps for the builder: nothing is lost that nobody took, and memory is bounded."""

from __future__ import annotations

import numpy as np

from stream.codec import decode
from stream.link_messages import FinalAccepted
from stream.messages import Tile
from stream.outbox import TileOutbox


def tile(sweep: int, revision: int, final: bool = False, run: str = "run", y0: int = 0) -> Tile:
    planes = {"s": np.zeros((4, 64), "f4")}
    return Tile(run, sweep, y0, y0 + 4, 5, revision, final, 10, "worker-0", planes, {})


def send_all(outbox: TileOutbox) -> list[tuple[int, int, bool]]:
    sent = []
    for key, parts, final in outbox.due():
        message = decode(parts)
        sent.append((message.sweep, message.revision, message.final))
        outbox.sent(key, parts, final)
    return sent


def test_a_newer_provisional_tile_replaces_the_older_and_a_final_ends_them():
    outbox = TileOutbox()
    for revision in range(3):
        outbox.put(tile(0, revision))
    assert send_all(outbox) == [(0, 2, False)]
    assert send_all(outbox) == []
    outbox.put(tile(0, 3))
    outbox.put(tile(0, 4, final=True))
    outbox.put(tile(0, 5))
    assert send_all(outbox) == [(0, 4, True)]
    assert outbox.unaccepted() == 1


def test_finals_go_again_to_a_builder_that_begins_again():
    outbox = TileOutbox()
    outbox.put(tile(0, 0, final=True))
    outbox.put(tile(1, 0, final=True))
    send_all(outbox)
    outbox.accepted(FinalAccepted("run", 0, 0, 5))
    assert (outbox.unaccepted(), outbox.waiting_runs()) == (1, {"run"})
    assert outbox.again() == []
    assert send_all(outbox) == [(0, 0, True), (1, 0, True)]


def test_a_tile_is_a_copy():
    outbox = TileOutbox()
    planes = {"s": np.ones((4, 4), "f4")}
    outbox.put(Tile("run", 0, 0, 4, 1, 0, True, 10, "w", planes, {}))
    planes["s"][:] = 7
    ((_, parts, _),) = outbox.due()
    assert (decode(parts).planes["s"] == 1).all()


def test_accepted_finals_beyond_the_memory_are_named_when_the_builder_begins_again():
    outbox = TileOutbox(kept_bytes=3000)
    for sweep in range(5):
        outbox.put(tile(sweep, 0, final=True))
        outbox.accepted(FinalAccepted("run", sweep, 0, 5))
    assert outbox.again() == [((("run", sweep), 0), 5) for sweep in range(3)]
    assert [sweep for sweep, _, _ in send_all(outbox)] == [3, 4]
    assert outbox.again() == []


def test_what_nobody_took_outlives_its_run_but_not_its_lease():
    outbox = TileOutbox()
    outbox.put(tile(0, 0, final=True, run="old"))
    outbox.put(tile(0, 0, run="old", y0=4))
    outbox.drop_runs({"new"})
    assert send_all(outbox) == [(0, 0, True)]
    outbox.drop_band(("old", 0), 0)
    assert outbox.unaccepted() == 0
    outbox.put(tile(3, 0, final=True, run="new"))
    outbox.drop_sweep(("new", 3))
    assert outbox.due() == []
