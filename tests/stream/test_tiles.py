"""The tile ledger: whatever is lost, repeated or overtaken, each band has one final and it is the right one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.leases import split_rows
from stream.messages import Tile
from stream.tiles import TileLedger, Verdict

KEY = ("run", 0)
TOTAL = 6
ROWS = split_rows(12, 3)


def tile(y0: int, lease: int, revision: int, added: int, final: bool | None = None) -> Tile:
    y1 = dict(ROWS).get(y0, y0 + 1)
    # the sums depend on the frames alone, not on who added them
    planes = {"sum": np.full((y1 - y0, 2), y0 * 1000 + added)}
    is_final = added == TOTAL if final is None else final
    return Tile("run", 0, y0, y1, lease, revision, is_final, added, f"worker-{lease}", planes, {})


def ledger() -> TileLedger:
    book = TileLedger()
    book.open_sweep(KEY, TOTAL, ROWS)
    return book


@st.composite
def histories(draw):
    """Leases of each band in time, with everything each holder sent: grants and tiles in one list."""
    traffic = []
    for y0, _ in ROWS:
        leases = sorted(draw(st.sets(st.integers(1, 9), min_size=1, max_size=3)))
        for lease in leases:
            traffic.append(("grant", y0, lease))
            last = lease == leases[-1]
            counts = draw(st.lists(st.integers(1, TOTAL - 1), max_size=3)) + (
                [TOTAL] if last or draw(st.booleans()) else []
            )
            traffic += [("tile", y0, lease, revision, added) for revision, added in enumerate(sorted(counts))]
    return traffic


@settings(max_examples=300, deadline=None)
@given(histories(), st.data())
def test_any_interleaving_duplication_and_loss_gives_the_same_finals(traffic, data):
    finals_of_last = [item for item in traffic if item[0] == "tile" and item[4] == TOTAL]
    sent = data.draw(st.permutations(traffic + data.draw(st.lists(st.sampled_from(traffic), max_size=10))))
    lost = data.draw(st.sets(st.integers(0, len(sent) - 1), max_size=len(sent) // 2))
    # what is lost is sent again at the end, as the links do with finals and grants
    book = ledger()
    finals: dict[int, list[Tile]] = {}
    for item in [item for i, item in enumerate(sent) if i not in lost] + traffic + finals_of_last:
        if item[0] == "grant":
            book.grant(KEY, item[1], item[2], f"worker-{item[2]}")
            continue
        offered = tile(*item[1:])
        if book.offer(offered) is Verdict.ACCEPTED and offered.final:
            finals.setdefault(offered.y0, []).append(offered)
    assert {y0: len(found) for y0, found in finals.items()} == {y0: 1 for y0, _ in ROWS}
    assert all((found[0].planes["sum"] == y0 * 1000 + TOTAL).all() for y0, found in finals.items())
    assert book.complete(KEY)


@settings(max_examples=200, deadline=None)
@given(histories(), st.data())
def test_provisional_tiles_never_go_back(traffic, data):
    book = ledger()
    seen: dict[int, tuple[int, int]] = {}
    for item in data.draw(st.permutations(traffic)):
        if item[0] == "grant":
            book.grant(KEY, item[1], item[2], "w")
        elif book.offer(tile(*item[1:])) is Verdict.ACCEPTED:
            assert seen.get(item[1], (0, -1)) < (item[2], item[3])
            seen[item[1]] = (item[2], item[3])


def test_verdicts():
    book = ledger()
    book.grant(KEY, 4, 5, "worker-5")
    assert book.offer(tile(4, 4, 0, 2)) is Verdict.STALE_LEASE
    assert book.offer(tile(4, 5, 3, 2)) is Verdict.ACCEPTED
    assert book.offer(tile(4, 5, 3, 3)) is Verdict.OLD_REVISION
    assert book.offer(tile(4, 5, 4, 3, final=True)) is Verdict.INCOMPLETE
    assert book.offer(tile(4, 5, 4, 99)) is Verdict.INCOMPLETE
    assert book.offer(tile(5, 5, 4, 3)) is Verdict.ALIEN
    assert book.offer(tile(4, 6, 0, TOTAL)) is Verdict.ACCEPTED
    assert book.owner(KEY, 7) == "worker-6"
    assert book.owner(KEY, 8) == ""
    assert book.offer(tile(4, 6, 0, TOTAL)) is Verdict.DUPLICATE
    assert book.offer(tile(4, 7, 0, TOTAL)) is Verdict.DUPLICATE
    assert book.finals() == [(KEY, 4, 6)]
    book.close_sweep(KEY)
    assert book.offer(tile(4, 7, 0, TOTAL)) is Verdict.UNKNOWN


def test_a_band_takes_nothing_of_a_worker_that_does_not_own_it():
    book = ledger()
    book.grant(KEY, 0, 1, "worker-1")
    assert book.offer(replace(tile(0, 1, 0, TOTAL), worker="evil")) is Verdict.ALIEN
    assert book.offer(tile(0, 1, 0, TOTAL)) is Verdict.ACCEPTED
