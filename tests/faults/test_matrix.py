"""Every fault that the design names has its row on the page, and every test that a row names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = re.findall(r"^\| (.+?) \|.*\| (`tests/.*) \|$", (ROOT / "docs/reference/faults.md").read_text(), re.M)
DESIGNED = (
    "worker killed",
    "worker frozen",
    "slow worker",
    "builder restarted",
    "camera process killed",
    "lost, repeated, overtaken",
    "two runs interleaved",
    "hostile",
    "disk full",
    "Tiled down",
    "page or browser frozen",
    "RunEngine process killed",
)


@pytest.mark.parametrize("fault", DESIGNED)
def test_a_fault_has_its_row(fault):
    assert [row for row, _ in ROWS if fault in row]


@pytest.mark.parametrize("row", ROWS, ids=[name for name, _ in ROWS])
def test_the_tests_of_a_row_are_there(row):
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row[1])
    assert named
    for path, name in named:
        assert not name or f"\ndef {name}(" in (ROOT / path).read_text(), f"{path}::{name}"
        assert (ROOT / path).is_file()
