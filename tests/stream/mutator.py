"""Messages that nobody should send: valid ones of every kind, then changed at random; the same seed gives the same."""

from __future__ import annotations

import enum
import random
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

import cbor2
import numpy as np

from stream import link_messages, messages
from stream.codec import encode
from stream.schema import DTYPES, RANGES

KINDS = [
    value
    for module in (messages, link_messages)
    for value in vars(module).values()
    if isinstance(value, type) and is_dataclass(value) and value.__module__ == module.__name__
]
INSANE: tuple[Any, ...] = (
    -1, 0, 1, 2**31, 2**32, 2**63 - 1, 2**64 - 1, -(2**63), 2**64, 10**30,
    float("nan"), float("inf"), -0.0, 1e308, 7.26e9,  # the year 2200, in seconds
    "", "x" * 5000, "\0", "../../etc/passwd", b"bytes", None, True, [], {}, [[]], {"": 0}, {1: 2},
    ["<u2", [2**31 - 1] * 4], ["<u4", [-1]], ["|O", [1]], ["<f8", [0, 0]], ["<u2", "x"],
    cbor2.CBORTag(0, "2200-01-01T00:00:00Z"), cbor2.undefined,
)  # fmt: skip
HEADERS = (
    b"", b"\xff", b"\x81" * 3000 + b"\x00", b"\x9f" * 50, b"\x5b\x7f" + b"\xff" * 7, b"\x9b\x00\xff" + b"\xff" * 6,
    b"\xbb\x7f" + b"\xff" * 7, b"\xd8\x1c\x81\xd8\x1d\x00", b"\xa2\x65proto\x01\x65proto\x01",
    b"\xc2\x58\xff" + b"9" * 255,
)  # fmt: skip


class Mutator:
    """An endless source of messages; about one in ten is left as it was."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.arrays = np.random.default_rng(seed)
        hints = {kind: get_type_hints(kind) for kind in KINDS}
        self.valid = [
            [bytes(part) for part in encode(self._build(kind, hints[kind]))] for _ in range(12) for kind in KINDS
        ]

    def messages(self, count: int) -> Iterator[list[bytes]]:
        """Yield `count` messages."""
        for _ in range(count):
            parts = list(self.dice.choice(self.valid))
            for _ in range(self.dice.choice((0, 1, 1, 1, 1, 2, 2, 3, 5))):
                parts = self.dice.choice((self._flip, self._cut, self._insert, self._field, self._field, self._parts))(
                    parts
                )
            yield parts

    def _build(self, kind: Any, hints: dict[str, Any]) -> Any:
        return kind(**{item.name: self._value(hints[item.name], item.name) for item in fields(kind)})

    def _value(self, hint: Any, name: str) -> Any:
        dice, origin = self.dice, get_origin(hint)
        if origin is np.ndarray:
            scalar = get_args(get_args(hint)[1])[0]
            dtype = dice.choice(sorted(DTYPES)) if scalar is np.generic else np.dtype(scalar).str
            return self.arrays.integers(0, 2, dice.choice(((0,), (3,), (2, 3)))).astype(dtype)
        if origin is tuple:
            return tuple(self._value(get_args(hint)[0], name) for _ in range(dice.randrange(3)))
        if hint == messages.Json:
            return {"a": dice.choice((1, 0.5, "b", None, [1, {"c": True}]))}
        if origin in (Union, types.UnionType):
            return None
        if origin is not None:
            return {text: self._value(get_args(hint)[1], text) for text in ("s", "status")[: dice.randrange(3)]}
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            return dice.choice(list(hint))
        if is_dataclass(hint):
            return self._build(hint, get_type_hints(hint))
        if hint is int:
            low, high = RANGES.get(name, (0, 2**40))
            return dice.choice((low, high, min(high, max(low, dice.randrange(100)))))
        return {bool: True, str: dice.choice(("run", "worker-0", "")), float: dice.random()}[hint]

    def _flip(self, parts: list[bytes]) -> list[bytes]:
        if not parts:
            return [self.dice.choice(HEADERS)]
        part = bytearray(parts[n := self.dice.randrange(len(parts))])
        for _ in range(self.dice.randrange(1, 4)):
            if part:
                part[self.dice.randrange(len(part))] = self.dice.randrange(256)
        return [*parts[:n], bytes(part), *parts[n + 1 :]]

    def _cut(self, parts: list[bytes]) -> list[bytes]:
        if not parts:
            return parts
        part = parts[n := self.dice.randrange(len(parts))]
        return [*parts[:n], part[: self.dice.randrange(len(part) + 1)], *parts[n + 1 :]]

    def _insert(self, parts: list[bytes]) -> list[bytes]:
        if not parts:
            return parts
        part = parts[n := self.dice.randrange(len(parts))]
        at, other = self.dice.randrange(len(part) + 1), self.dice.choice(self.dice.choice(self.valid))
        more = other[: self.dice.randrange(60)] if self.dice.random() < 0.5 else self.dice.randbytes(4)
        return [*parts[:n], part[:at] + more + part[at:], *parts[n + 1 :]]

    def _parts(self, parts: list[bytes]) -> list[bytes]:
        if self.dice.random() < 0.2:
            return [self.dice.choice(HEADERS), *parts[1:]]
        many = [*parts, *self.dice.choice(self.valid)[: self.dice.randrange(3)]]
        self.dice.shuffle(many)
        return many[: self.dice.randrange(len(many) + 1)]

    def _field(self, parts: list[bytes]) -> list[bytes]:
        """Put something insane in the place of a field, or of the whole body: well-formed CBOR still."""
        try:
            header = cbor2.loads(parts[0])
            body = header["body"]
            name = self.dice.choice([*body, "kind", "proto", "more"])
            target = header if name in ("kind", "proto") else body
            target[name] = self.dice.choice(INSANE)
            return [cbor2.dumps(header), *parts[1:]]
        except Exception:  # noqa: BLE001 - it was broken before: then it stays as it is
            return parts
