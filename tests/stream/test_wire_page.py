"""The protocol page names every message and its fields, in order, and no other."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np

from stream import link_messages, messages
from stream.codec import encode

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "wire-protocol.md"


def test_the_page_and_the_messages_agree():
    kinds = PAGE.read_text().split("## Kinds")[1]
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|(.*)\|$", kinds, re.M))
    on_page = {name: re.findall(r"`(\w+)`", body) for name, body in rows.items()}
    in_code = {
        name: [item.name for item in fields(value)]
        for module in (messages, link_messages)
        for name, value in vars(module).items()
        if isinstance(value, type) and is_dataclass(value) and value.__module__ == module.__name__
    }
    assert on_page == in_code


def test_the_tests_that_the_page_names_exist():
    for name in re.findall(r"`(test_\w+\.py)`", PAGE.read_text()):
        assert (Path(__file__).parent / name).exists(), name


def test_the_worked_exchange_is_what_the_codec_makes():
    message = link_messages.BandPixels("run-1", 0, 6, 3, 8, (np.zeros((6, 16), "<u2"),) * 2)
    parts = [bytes(part) for part in encode(message)]
    assert [len(part) for part in parts] == [93, 192, 192]
    dump = PAGE.read_text().split("in bytes")[1].split("```")[1]
    tokens = re.findall(r'"([^"]*)"|([0-9a-f]{2})', dump)
    assert b"".join(text.encode() or bytes.fromhex(byte) for text, byte in tokens) == parts[0]
