"""The slot ledger: a pinned frame is never overwritten, and every slot comes back."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stream.link_messages import ABANDONED, NOT_IN_RING
from stream.slots import SlotLedger

SLOTS, TOTAL = 5, 12


class Slots(RuleBasedStateMachine):
    """One sweep after the other is made, archived, added, reassigned and closed."""

    policy = "pause"

    def __init__(self) -> None:
        super().__init__()
        self.ledger = SlotLedger(SLOTS, self.policy)
        self.memory: dict[int, tuple[tuple[str, int], int]] = {}
        self.sweeps: list[dict] = []
        self.sequence = 0

    @precondition(lambda self: len(self.sweeps) < 4)
    @rule(archived=st.booleans())
    def open(self, archived):
        key = ("run", len(self.sweeps))
        self.ledger.open_sweep(key, TOTAL, archived)
        self.sweeps.append(
            {"key": key, "made": 0, "file": 0, "added": 0, "archived": archived, "closed": False, "holes": set()}
        )

    @precondition(lambda self: self.sweeps and self.sweeps[-1]["made"] < TOTAL and not self.sweeps[-1]["closed"])
    @rule()
    def make(self):
        sweep = self.sweeps[-1]
        slot = self.ledger.acquire(0.0)
        if slot is None:
            frames_on_disk_to_be = [self.sweeps[key[1]]["archived"] for key, _ in self.memory.values()]
            assert self.policy != "abandon" or all(frames_on_disk_to_be)
            return
        assert 0 <= slot < SLOTS
        self.overwrite(slot)
        self.sequence += 2
        self.memory[slot] = (sweep["key"], sweep["made"])
        self.ledger.filled(sweep["key"], sweep["made"], slot, self.sequence)
        sweep["made"] += 1

    def overwrite(self, slot: int) -> None:
        """Check that the frame which goes was free to go."""
        if slot not in self.memory:
            return
        key, number = self.memory[slot]
        sweep = self.sweeps[key[1]]
        durable = number < sweep["file"] or not sweep["archived"]
        added = number < sweep["added"] or sweep["closed"]
        if self.policy == "pause":
            assert durable
            assert added
        elif self.policy == "spill":
            assert durable
            assert added or sweep["archived"]
        elif not added and not sweep["archived"]:
            sweep["holes"].add(number)

    @precondition(lambda self: self.sweeps)
    @rule(data=st.data())
    def archive(self, data):
        sweep = data.draw(st.sampled_from(self.sweeps))
        if sweep["archived"]:
            sweep["file"] = data.draw(st.integers(sweep["file"], sweep["made"]))
            self.ledger.archived(sweep["key"], sweep["file"])

    @precondition(lambda self: self.sweeps)
    @rule(data=st.data())
    def add_or_reassign(self, data):
        sweep = data.draw(st.sampled_from(self.sweeps))
        sweep["added"] = data.draw(st.integers(0, sweep["made"]))
        self.ledger.consumed(sweep["key"], sweep["added"])

    @precondition(lambda self: self.sweeps)
    @rule(data=st.data())
    def close(self, data):
        sweep = data.draw(st.sampled_from(self.sweeps))
        sweep["closed"] = True
        self.ledger.close_sweep(sweep["key"])

    @invariant()
    def lookups_tell_the_truth(self):
        for sweep in self.sweeps:
            slots, _ = self.ledger.lookup(sweep["key"], 0, sweep["made"])
            for number, slot in enumerate(slots.tolist()):
                if slot == ABANDONED:
                    assert number in sweep["holes"]
                elif slot != NOT_IN_RING:
                    assert self.memory[slot] == (sweep["key"], number)

    @invariant()
    def pinned_is_bounded(self):
        assert 0 <= self.ledger.pinned() <= SLOTS

    def teardown(self):
        for sweep in self.sweeps:
            self.ledger.archived(sweep["key"], sweep["made"])
            self.ledger.close_sweep(sweep["key"])
        taken = [self.ledger.acquire(0.0) for _ in range(SLOTS)]
        assert sorted(slot for slot in taken if slot is not None) == list(range(SLOTS))


class SpillingSlots(Slots):
    policy = "spill"


class AbandoningSlots(Slots):
    policy = "abandon"


for machine in (Slots, SpillingSlots, AbandoningSlots):
    machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPause, TestSpill, TestAbandon = Slots.TestCase, SpillingSlots.TestCase, AbandoningSlots.TestCase


def test_a_waiting_camera_goes_on_when_a_slot_comes_free():
    ledger = SlotLedger(4)
    ledger.open_sweep(("r", 0), 8, False)
    for number in range(4):
        ledger.filled(("r", 0), number, ledger.acquire(0.0), 2)
    assert ledger.acquire(0.01) is None
    got = []
    thread = threading.Thread(target=lambda: got.append(ledger.acquire(30.0)))
    thread.start()
    ledger.consumed(("r", 0), 1)
    thread.join(30)
    assert len(got) == 1
    assert got[0] is not None
    slots, _ = ledger.lookup(("r", 0), 0, 4)
    assert slots[0] == NOT_IN_RING
    assert np.all(slots[1:] != NOT_IN_RING)


def test_an_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="choose pause, abandon or spill"):
        SlotLedger(4, "hope")
