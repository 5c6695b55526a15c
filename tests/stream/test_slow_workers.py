"""Which bands of living workers move: pure, with a clock of its own."""

from __future__ import annotations

import numpy as np
import pytest

from stream.leases import LeaseBook
from stream.link_messages import Hello
from stream.messages import NoiseModel, RunMode, RunStart, SweepRequest, SweepRole, SweepStart
from stream.roster import Peer, Roster
from stream.run_book import Cursor, RunBook, RunRecord, SweepRecord
from stream.slow_workers import SlowWatch
from tests.stream.wire import sweep_request

KEY = ("run", 0)
ROWS = 8


class Site:
    """One sweep, four bands of two rows, two workers; time passes in steps."""

    def __init__(self, workers=("a", "b"), total: int = 100) -> None:
        self.now = 0.0
        self.book, self.leases, self.roster = RunBook(), LeaseBook(ROWS, 4), Roster()
        for name in workers:
            self.leases.join(name)
            self.roster.workers[name] = Peer(None, name.encode(), Hello("worker", name, "e", "s", 1), 0.0, 0.0)
        request: SweepRequest = sweep_request("run", 0, count=total, passes=1)
        start = SweepStart("run", 0, SweepRole.SINGLE, None, request.frequency_mhz, 1)
        self.sweep = SweepRecord(start, request)
        run = RunRecord(RunStart("run", RunMode.SIMULATED, ROWS, 4, "<u2", NoiseModel("gain", 1.0), {}))
        run.sweeps[0] = self.sweep
        self.book.runs["run"] = run
        for grant in self.leases.open_sweep(KEY):
            self.sweep.cursors[grant.y0] = Cursor(grant.lease)
        self.watch = SlowWatch(self.book, self.leases, self.roster, 1.0, clock=lambda: self.now)

    def step(self, speeds: dict[str, float], seconds: float = 0.1) -> list[tuple[str, str]]:
        """Let everyone add frames at `speeds` (frames/s and band); returns (from, to) of the bands that moved."""
        self.now += seconds
        for band in self.leases.holdings(KEY):
            cursor, peer = self.sweep.cursors[band.y0], self.roster.workers[band.owner]
            added = min(self.sweep.made - cursor.acked, speeds[band.owner] * seconds)
            peer.rows_added += added * (band.y1 - band.y0)
            cursor.acked += added
            cursor.next = min(self.sweep.made, cursor.acked + 2)
        for name, peer in self.roster.workers.items():
            bands = [self.sweep.cursors[band.y0] for _, band in self.leases.owned(name)]
            peer.in_flight_bytes = sum(cursor.next - cursor.acked for cursor in bands)
        moved = []
        for grants, _ in self.watch.check():
            for grant in grants:
                self.sweep.cursors[grant.y0] = Cursor(grant.lease)
                moved.append((grant.previous, grant.worker))
        return moved

    def run(self, speeds: dict[str, float], seconds: float) -> list[tuple[str, str]]:
        return [move for _ in range(round(seconds * 10)) for move in self.step(speeds)]


def test_a_slow_worker_gives_one_band_and_then_another_as_long_as_it_pays():
    site = Site(total=1000)
    site.sweep.made = 500
    assert site.run({"a": 5.0, "b": 5000.0}, 0.9) == []
    assert site.run({"a": 5.0, "b": 5000.0}, 0.5) == [("a", "b")]
    assert site.run({"a": 5.0, "b": 5000.0}, 3.0) == [("a", "b")]
    assert site.watch.moves == 2


def test_equally_slow_workers_keep_their_bands():
    site = Site(total=1000)
    site.sweep.made = 1000
    assert site.run({"a": 5.0, "b": 6.0}, 20.0) == []


def test_a_worker_that_adds_nothing_loses_every_band_at_once():
    site = Site()
    site.sweep.made = 100
    assert site.run({"a": 0.0, "b": 4.0}, 1.5) == [("a", "b")] * 2


def test_where_everyone_is_busy_nothing_moves():
    site = Site()
    site.sweep.made = 100
    assert site.run({"a": 0.0, "b": 0.0}, 60.0) == []


def test_bands_do_not_go_to_and_fro_where_fits_take_long():
    site = Site()
    site.sweep.made = 100
    site.step({"a": 0.0, "b": 1e6})
    times = [site.now for _ in range(6000) for _ in site.step({"a": 0.0, "b": 0.0})]
    assert len(times) <= 6 * 4
    assert times == sorted(times)
    assert site.step({"a": 1e6, "b": 1e6}) == []


def test_alone_it_keeps_them():
    site = Site(workers=("a",))
    site.sweep.made = 100
    assert site.run({"a": 0.0}, 30.0) == []


def test_who_keeps_up_with_the_camera_is_not_slow():
    site = Site(total=1000)
    for made in range(0, 1000, 10):
        site.sweep.made = made
        assert site.step({"a": 100.0, "b": 1e6}) == []


def test_a_final_that_does_not_come_moves_ever_later():
    site = Site(workers=("a", "b"))
    site.sweep.made = 100
    site.roster.builder = site.roster.workers["b"]
    site.run({"a": 1e4, "b": 1e4}, 0.5)
    for band in site.leases.holdings(KEY)[1:]:
        site.leases.finish(KEY, band.y0)
    times = []
    for _ in range(600):
        if site.step({"a": 1e4, "b": 1e4}):
            times.append(site.now)
    assert len(times) == 3
    assert np.diff(times) == pytest.approx([12.0, 24.0], abs=0.5)


def test_without_a_builder_no_final_is_late():
    site = Site()
    site.sweep.made = 100
    assert site.run({"a": 1e4, "b": 1e4}, 60.0) == []


def test_who_was_slow_gets_less_of_the_next_sweeps_for_a_while():
    book = LeaseBook(8, 4, ["a", "b"])
    book.open_sweep(("run", 0))
    holding = next(band for band in book.holdings(("run", 0)) if band.owner == "a")
    (grant,) = book.move(("run", 0), holding.y0, "b")
    assert grant.lease == 5
    assert book.move(("run", 0), holding.y0, "b") == []
    shares = []
    for sweep in range(1, 12):
        book.open_sweep(("run", sweep))
        shares.append([band.owner for band in book.holdings(("run", sweep))].count("a"))
    assert shares[0] == 1
    assert shares[-1] == 2
    assert shares == sorted(shares)
