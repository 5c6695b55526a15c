"""The lease book: every unfinished band has at most one owner, a living one, and leases only rise."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stream.leases import LeaseBook, split_rows


@given(st.integers(1, 2000), st.integers(1, 64))
def test_bands_part_the_rows(height, bands):
    rows = split_rows(height, bands)
    assert [row for y0, y1 in rows for row in range(y0, y1)] == list(range(height))
    sizes = [y1 - y0 for y0, y1 in rows]
    assert max(sizes) - min(sizes) <= 1
    assert len(rows) == min(bands, height)


class Leases(RuleBasedStateMachine):
    """Workers come and go while sweeps open and finish."""

    def __init__(self) -> None:
        super().__init__()
        self.book = LeaseBook(10, 4)
        self.highest: dict[tuple[object, int], int] = {}
        self.sweeps = 0

    def take(self, grants) -> None:
        for grant in grants:
            assert grant.lease > self.highest.get((grant.key, grant.y0), 0)
            assert grant.worker in self.book.workers or grant.worker == ""
            assert grant.worker or not self.book.workers
            self.highest[grant.key, grant.y0] = grant.lease

    @rule(name=st.sampled_from("abcd"))
    def join(self, name):
        self.take(self.book.join(name))

    @rule(name=st.sampled_from("abcd"))
    def leave(self, name):
        self.take(self.book.leave(name))

    @rule()
    def open(self):
        self.take(self.book.open_sweep(("run", self.sweeps)))
        loads = [sum(b.owner == w for b in self.book.holdings(("run", self.sweeps))) for w in self.book.workers]
        assert not loads or max(loads) - min(loads) <= 1
        self.sweeps += 1

    @precondition(lambda self: self.sweeps)
    @rule(data=st.data())
    def finish(self, data):
        key = ("run", data.draw(st.integers(0, self.sweeps - 1)))
        whole = self.book.finish(key, data.draw(st.sampled_from([y0 for y0, _ in split_rows(10, 4)])))
        assert whole == (self.book.complete(key) and bool(self.book.holdings(key)))

    @precondition(lambda self: self.sweeps)
    @rule(data=st.data())
    def give_up(self, data):
        key = ("run", data.draw(st.integers(0, self.sweeps - 1)))
        for band in self.book.holdings(key):
            wrong = self.book.give_up(key, band.y0, band.lease + 1, band.owner)
            assert wrong == []
            if band.owner and not band.done:
                self.take(self.book.give_up(key, band.y0, band.lease, band.owner))

    @rule()
    def reopen(self):
        self.take(self.book.reopen())

    @precondition(lambda self: self.sweeps > 1)
    @rule()
    def close(self):
        self.book.close_sweep(("run", 0))

    @invariant()
    def unfinished_bands_belong_to_the_living(self):
        for number in range(self.sweeps):
            for band in self.book.holdings(("run", number)):
                if not band.done:
                    assert band.owner in self.book.workers or (band.owner == "" and not self.book.workers)


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(height=st.integers(1, 700), bands=st.integers(1, 40), step=st.integers(1, 16))
def test_no_band_cuts_a_block_of_summed_rows(height, bands, step):
    rows = split_rows(height, bands, step)
    assert rows[0][0] == 0
    assert rows[-1][1] == height
    assert all(y0 % step == 0 and y0 < y1 for y0, y1 in rows)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(rows))
    assert len(rows) == max(1, min(bands, height // step))
    sizes = [(y1 - y0) // step for y0, y1 in rows]
    assert max(sizes) - min(sizes) <= 1


def test_an_owner_keeps_its_bands_from_sweep_to_sweep():
    book = LeaseBook(8, 4)
    book.join("a")
    book.join("b")
    first = {grant.y0: grant.worker for grant in book.open_sweep(("r", 0))}
    assert {grant.y0: grant.worker for grant in book.open_sweep(("r", 1))} == first
    book.leave("a")
    book.join("a")
    third = book.open_sweep(("r", 2))
    assert sorted(grant.worker for grant in third) == ["a", "a", "b", "b"]
