"""What the ledger derives, from readings alone; and the file that holds them."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.ioc.history import HistoryRules, HistoryState, Record, fold, verdict
from devices.ioc.ledger import MEMORY, Ledger, LedgerError, read_records
from stream.messages import FieldHistory

RULES = HistoryRules(normal_above_k=115.0)
BEGIN_S = 1_000.0


def readings(*steps, begin_s=BEGIN_S, every_s=1.0):
    """Records of (sample_k, field_z_gauss) steps, both read each second."""
    rows, now = [], begin_s
    for sample, field in steps:
        rows.append(Record(now, "reading", "field_z_gauss", field))
        rows.append(Record(now, "reading", "sample_k", sample))
        now += every_s
    return rows


def history_of(*records):
    return verdict(fold(records, RULES), RULES)


ZFC = ((150.0, 0.0), (100.0, 0.1), (20.0, 0.0))
FIELD_ON = ((20.0, 30.0), (20.0, 97.0))


@pytest.mark.parametrize(
    ("steps", "history", "says"),
    [
        (((150.0, 97.0),), "NORMAL_STATE", "normal at 150 K"),
        (ZFC, "ZFC_FW", "cooled in"),
        (ZFC + FIELD_ON, "ZFC_FW", "at most 97 G"),
        (ZFC + FIELD_ON + ((60.0, 97.0), (90.0, 97.0)), "ZFC_FW", "97 G"),
        (ZFC + FIELD_ON + ((130.0, 97.0),), "NORMAL_STATE", "normal"),
        (ZFC + FIELD_ON + ((20.0, 50.0),), "UNKNOWN", "HISTORY_ENDED: the field went back from 97 to 50 G at 20 K"),
        (ZFC + FIELD_ON + ((20.0, 0.0), (20.0, 97.0)), "UNKNOWN", "HISTORY_ENDED"),
        (((150.0, 150.0), (20.0, 150.0)), "FC", "cooled in 150 G, which stands"),
        (((150.0, 150.0), (20.0, 150.0), (20.0, 70.0)), "UNKNOWN", "the field is 70 G now"),
        (((150.0, 150.0), (20.0, 150.0), (20.0, 70.0), (20.0, 0.1)), "FC_REMNANT", "switched off"),
        (((150.0, 150.0), (20.0, 150.0), (20.0, 0.0), (20.0, 5.0)), "UNKNOWN", "HISTORY_ENDED"),
        (((150.0, 150.0), (20.0, 150.0), (20.0, 0.0), (20.0, -20.0)), "UNKNOWN", "-20 G now"),
        (((20.0, 0.0),), "UNKNOWN", "has not been seen in the normal state"),
        ((), "UNKNOWN", "ledger begins here"),
    ],
)
def test_the_order_of_field_and_temperature_names_the_history(steps, history, says):
    found = history_of(*readings(*steps))
    assert found.history == history
    assert says in found.reason


def test_the_largest_field_below_tc_and_the_highest_temperature_since_field_on_are_kept():
    found = history_of(*readings(*ZFC, *FIELD_ON, (64.0, 97.0), (45.0, 97.2)))
    assert found.field_max_below_tc_gauss == pytest.approx(97.2)
    assert found.temperature_max_since_field_k == 64.0
    again = history_of(*readings(*ZFC, *FIELD_ON, (64.0, 97.0), (45.0, 97.2), (45.0, 98.0)))
    assert again.temperature_max_since_field_k == 45.0, "counted anew where the field moved"


def test_a_transverse_field_in_the_cold_ends_the_history():
    records = readings(*ZFC, *FIELD_ON)
    found = history_of(*records, Record(records[-1].time_s, "reading", "field_x_gauss", 12.0))
    assert found.history == FieldHistory.UNKNOWN
    assert "transverse" in found.reason


@pytest.mark.parametrize(
    ("gap", "says"),
    [
        (lambda t: readings((20.0, 97.0), begin_s=t + 60.0), "a gap of 60 s"),
        (lambda t: readings((20.0, 97.0), begin_s=t - 3600.0), "a gap of 3600 s"),
        (lambda t: [Record(t, "lost", "field_z_gauss", text="MAG:Z stopped answering")], "MAG:Z stopped answering"),
        (lambda t: [Record(t, "break", "mains", text="mains were lost")], "mains were lost"),
    ],
)
def test_what_was_not_seen_makes_the_history_unknown_until_the_sample_was_normal_again(gap, says):
    records = readings(*ZFC, *FIELD_ON)
    records += gap(records[-1].time_s)
    assert history_of(*records).history == FieldHistory.UNKNOWN
    assert says in history_of(*records).reason
    records += readings((20.0, 97.0), (100.0, 97.0), begin_s=records[-1].time_s + 1)
    assert says in history_of(*records).reason, "the first reason stays"
    records += readings((120.0, 0.0), (20.0, 0.0), begin_s=records[-1].time_s + 1)
    assert history_of(*records).history == FieldHistory.ZFC_FW


def test_beats_bridge_what_did_not_change():
    records = readings(*ZFC, *FIELD_ON)
    records += [Record(records[-1].time_s + i, "beat") for i in range(1, 100)]
    assert history_of(*records).history == FieldHistory.ZFC_FW


steps_of = st.lists(st.tuples(st.floats(4.0, 300.0), st.floats(-200.0, 200.0)), max_size=30)


@given(steps=steps_of, gap_at=st.integers(0, 29))
def test_no_order_of_readings_makes_a_gap_valid(steps, gap_at):
    """Until the sample is normal, nothing that comes after a gap gives the history a name."""
    before = readings(*steps[:gap_at])
    state = fold(before, RULES, HistoryState())
    state = fold([Record(state.time_s, "break", text="gap")], RULES, state)
    cold = [(min(sample, 114.0), field) for sample, field in steps]
    for record in readings(*cold, begin_s=state.time_s + 1.0):
        state = fold([record], RULES, state)
        assert verdict(state, RULES).history == FieldHistory.UNKNOWN


@given(steps=steps_of)
def test_zero_field_cooled_means_that_no_field_was_there_when_it_became_cold(steps):
    last_normal = None
    for index, (sample, _) in enumerate(steps):
        last_normal = index if sample >= RULES.normal_above_k else last_normal
    if history_of(*readings(*steps)).history == FieldHistory.ZFC_FW:
        assert last_normal is not None
        first_cold = steps[last_normal + 1]
        # the field is read just before the temperature that says cold
        assert abs(first_cold[1]) < RULES.field_free_gauss
        fields = [abs(field) for _, field in steps[last_normal + 1 :]]
        assert fields[-1] >= max(fields) - RULES.tolerance_gauss - 1e-9


@given(steps=steps_of, cut=st.integers(0, 60))
def test_folding_in_two_parts_is_folding_at_once(steps, cut):
    records = readings(*steps)
    assert fold(records[cut:], RULES, fold(records[:cut], RULES)) == fold(records, RULES)


# ---- the file


def test_a_ledger_that_is_opened_again_says_the_same(tmp_path):
    ledger = Ledger(tmp_path, RULES)
    ledger.append(readings(*ZFC, *FIELD_ON))
    ledger.append([Record(BEGIN_S + 5, "event", MEMORY, text="what I know")])
    state = ledger.state
    ledger.close()
    again = Ledger(tmp_path, RULES)
    assert (again.state, again.memory) == (state, "what I know")
    again.close()
    assert len(list(read_records(tmp_path))) == 11


def test_files_follow_each_other_and_the_newest_alone_is_read(tmp_path):
    ledger = Ledger(tmp_path, RULES, largest_bytes=200)
    for record in readings(*ZFC, *FIELD_ON):
        ledger.append([record])
    ledger.append([Record(BEGIN_S + 5, "event", MEMORY, text="kept")])
    ledger.append([Record(BEGIN_S + 6, "beat")] * 9)
    ledger.append([Record(BEGIN_S + 7, "beat")])
    state = ledger.state
    ledger.close()
    files = sorted(tmp_path.glob("ledger-*.jsonl"))
    assert len(files) > 2
    files[0].write_text("no longer readable")
    again = Ledger(tmp_path, RULES)
    assert (again.state, again.memory) == (state, "kept")
    again.close()


def test_a_line_torn_by_a_crash_is_passed_over_and_one_in_the_middle_is_not(tmp_path):
    ledger = Ledger(tmp_path, RULES)
    ledger.append(readings(*ZFC, *FIELD_ON))
    ledger.close()
    (path,) = tmp_path.glob("ledger-*.jsonl")
    whole = path.read_text()
    path.write_text(whole + '{"t":1004.1,"k":"read')
    for _ in range(2):  # and is passed over for ever
        again = Ledger(tmp_path, RULES)
        assert verdict(again.state, RULES).history == FieldHistory.ZFC_FW
        again.append([Record(BEGIN_S + 5, "beat")])
        again.close()
    lines = whole.splitlines()
    path.write_text("\n".join([*lines[:3], "rubbish", *lines[3:]]) + "\n")
    again = Ledger(tmp_path, RULES)
    again.append(readings((20.0, 97.0), begin_s=BEGIN_S + 5))
    assert verdict(again.state, RULES).history == FieldHistory.UNKNOWN
    assert "line 4" in verdict(again.state, RULES).reason
    again.close()


def test_two_guards_do_not_write_one_ledger(tmp_path):
    ledger = Ledger(tmp_path, RULES)
    code = (
        "import sys; from pathlib import Path; from devices.ioc.ledger import *; from devices.ioc.history import *\n"
        "try: Ledger(Path(sys.argv[1]), HistoryRules(115.0))\n"
        "except LedgerError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "another guard writes the ledger" in done.stdout
    ledger.close()


def test_a_record_that_is_not_on_the_disk_is_not_taken_into_account(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path, RULES)
    ledger.append(readings(*ZFC))

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fdatasync", full)
    with pytest.raises(LedgerError, match="No space left"):
        ledger.append(readings(*FIELD_ON, begin_s=BEGIN_S + 4))
    assert ledger.state.field_max_below_tc_gauss == pytest.approx(0.1)
    ledger.close()


def test_each_line_is_synced_before_the_state_moves(tmp_path, monkeypatch):
    order = []
    ledger = Ledger(tmp_path, RULES)
    monkeypatch.setattr("os.fdatasync", lambda handle: order.append(("synced", ledger.state.time_s)))
    ledger.append([Record(BEGIN_S, "beat")])
    assert order == [("synced", 0.0)]
    assert ledger.state.time_s == BEGIN_S
    ledger.close()
    rows = [json.loads(line) for path in tmp_path.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert rows[-1] == {"t": BEGIN_S, "k": "beat"}


def test_the_rules_may_change_and_the_readings_are_judged_anew():
    records = readings((112.0, 0.0), (20.0, 0.0), (20.0, 97.0))
    assert history_of(*records).history == FieldHistory.UNKNOWN
    lower = replace(RULES, normal_above_k=110.0)
    assert verdict(fold(itertools.chain(records), lower), lower).history == FieldHistory.ZFC_FW
