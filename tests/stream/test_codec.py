"""Encode and decode are inverses; nothing else is accepted, and nothing but CodecError is raised."""

from __future__ import annotations

import enum
from dataclasses import fields, is_dataclass, replace
from typing import get_args, get_origin, get_type_hints

import cbor2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from stream import link_messages, messages
from stream.codec import SCHEMA_HASH, CodecError, decode, encode, kinds
from stream.schema import DTYPES, FINITE, RANGES

KINDS = [
    value
    for module in (messages, link_messages)
    for value in vars(module).values()
    if isinstance(value, type) and is_dataclass(value) and value.__module__ == module.__name__
]
TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def any_array(dtype: str):
    return arrays(np.dtype(dtype), array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))


ANY_ARRAY = st.sampled_from(sorted(DTYPES)).flatmap(any_array)


def values(hint, name: str):
    """Strategy of the legal values of a field."""
    if get_origin(hint) is np.ndarray:
        scalar = get_args(get_args(hint)[1])[0]
        return ANY_ARRAY if scalar is np.generic else any_array(np.dtype(scalar).str)
    if hint == messages.Json:
        return st.dictionaries(TEXT, JSON, max_size=3)
    if get_origin(hint) is tuple:
        return st.lists(ANY_ARRAY, max_size=3).map(tuple)
    if get_origin(hint) is not None:
        return st.dictionaries(TEXT, ANY_ARRAY, max_size=3)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    if is_dataclass(hint):
        return built(hint)
    if hint is int:
        return st.integers(*RANGES.get(name, (-(2**63), 2**63 - 1)))
    return {
        bool: st.booleans(),
        str: TEXT,
        float: st.floats(allow_infinity=False, allow_nan=name not in FINITE),
    }[hint]


def built(kind):
    hints = get_type_hints(kind)
    return st.builds(kind, **{item.name: values(hints[item.name], item.name) for item in fields(kind)})


def same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_message_comes_back_as_it_went(kind, data):
    message = data.draw(built(kind))
    parts = [bytes(part) for part in encode(message)]
    assert same(decode(parts), message)
    assert [bytes(part) for part in encode(decode(parts))] == parts


READY = link_messages.FramesReady("u", 3, 24, 7, 100, np.arange(4, dtype=np.uint32), np.arange(4, dtype=np.uint64))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=4))
def test_noise_is_refused(parts):
    with pytest.raises(CodecError):
        decode(parts)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_flipped_bytes_are_refused_or_are_a_valid_message(data):
    parts = [bytearray(part) for part in encode(READY)]
    for _ in range(data.draw(st.integers(1, 3))):
        part = data.draw(st.sampled_from(parts))
        part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode([bytes(part) for part in parts])
    except CodecError:
        return
    assert [bytes(part) for part in encode(decoded)][1:] == [bytes(part) for part in parts][1:]


def header(**changes) -> bytes:
    body = {"run_uid": "u", "sweep": 1, "y0": 0, "lease": 1, "added": 3}
    return cbor2.dumps({"proto": 1, "kind": "Ack", "body": body | changes})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sweep": 2**70}, "integer"),
        ({"sweep": -2}, "integer"),
        ({"sweep": True}, "integer"),
        ({"sweep": 1.0}, "integer"),
        ({"added": "3"}, "integer"),
        ({"run_uid": b"u"}, "not a str"),
        ({"run_uid": None}, "not a str"),
        ({"run_uid": "x" * 2_000_000}, "too long"),
        ({"more": 1}, "schema"),
    ],
)
def test_well_formed_but_insane_fields_are_refused(changes, reason):
    with pytest.raises(CodecError, match=reason):
        decode([header(**changes)])


@pytest.mark.parametrize(
    ("dtype", "shape", "part"),
    [
        ("<u4", [2**40], b"\0" * 8),
        ("<u4", [2**20, 2**20], b"\0" * 8),
        ("<u4", [-2], b"\0" * 8),
        ("<u4", [2.0], b"\0" * 8),
        ("<u4", [True, 2], b"\0" * 8),
        ("<u4", [3], b"\0" * 8),
        ("<u4", [1] * 7, b"\0" * 4),
        ("|O", [1], b"\0" * 8),
        ("V8", [1], b"\0" * 8),
        ("<u8", [1], b"\0" * 8),
        (">u4", [2], b"\0" * 8),
        (17, [2], b"\0" * 8),
    ],
)
def test_insane_arrays_are_refused(dtype, shape, part):
    body = {"run_uid": "u", "sweep": 1, "y0": 0, "lease": 1, "first": 0, "slots": [dtype, shape]}
    body["sequences"] = ["<u8", [0]]
    with pytest.raises(CodecError):
        decode([cbor2.dumps({"proto": 1, "kind": "FramesReady", "body": body}), part, b""])


def test_missing_and_surplus_parts_are_refused():
    parts = encode(READY)
    for wrong in (parts[:2], [*parts, b""], [], [parts[0], parts[2], parts[1]], parts * 300):
        with pytest.raises(CodecError):
            decode(wrong)


@pytest.mark.parametrize(
    "evil",
    [
        b"\x81" * 100_000 + b"\x00",
        b"\x9b\x0f" + b"\xff" * 7,
        b"\x5b\x0f" + b"\xff" * 7,
        b"\xbb\x0f" + b"\xff" * 7,
        b"\xd8\x1c\x81\xd8\x1d\x00",
        b"\x9f" + b"\x00" * 100,
        cbor2.dumps({"proto": 1, "kind": "Heartbeat", "body": cbor2.CBORTag(0, "2026-01-01T00:00:00Z")}),
        cbor2.dumps({"proto": 1, "kind": ["Ack"], "body": {}}),
        cbor2.dumps({"proto": [], "kind": "Ack", "body": {}}),
    ],
)
def test_hostile_headers_are_refused(evil):
    with pytest.raises(CodecError):
        decode([evil])


def test_cycles_that_cbor_can_express_are_refused():
    # an array that holds itself: tag 28 marks it, tag 29 refers to it
    start = cbor2.dumps({"proto": 1, "kind": "Heartbeat", "body": {"name": "a", "epoch": "e", "stats": {"x": 0}}})
    with pytest.raises(CodecError, match=r"plain JSON|CBOR"):
        decode([start[:-1] + b"\xd8\x1c\x81\xd8\x1d\x00"])


def test_another_protocol_is_refused_in_words():
    with pytest.raises(CodecError, match="speaks protocol 2, this program speaks 1") as caught:
        decode([cbor2.dumps({"proto": 2, "kind": "Hello", "body": {}})])
    assert caught.value.code == "protocol"


def test_senders_are_told_of_their_own_mistakes():
    report = messages.SpectrumReply(
        "u", 0, 0, 1, 0, 1, np.zeros(1), np.zeros(1, "f4"), np.zeros(1, "f4"), np.zeros(1, "f4"), {}, "OK"
    )
    for wrong in (
        replace(report, y0=-1),
        replace(report, values={"x": object()}),
        replace(report, values={"x": 2**64}),
        replace(report, frequency_mhz=np.array(["a"])),
        "not a message",
    ):
        with pytest.raises((CodecError, TypeError)):
            encode(wrong)


def test_numpy_scalars_in_headers_become_what_they_mean():
    beat = link_messages.Heartbeat("w", "e", {"a": np.float32(0.5), "b": np.int64(3), "c": (np.bool_(True), None)})
    assert decode(encode(beat)).stats == {"a": 0.5, "b": 3, "c": [True, None]}


def test_the_schema_hash_covers_every_message():
    assert len(SCHEMA_HASH) == 16
    assert set(kinds()) == {kind.__name__ for kind in KINDS}
    assert kinds()["Ack"] == "Ack(run_uid:str,sweep:int,y0:int,lease:int,added:int)"
