"""Messages to parts and back: a CBOR header, then raw little-endian arrays. `encode` and `decode` are pure inverses.

The header is `{"proto": int, "kind": str, "body": {field: value}}`. An array stands in the body as `[dtype, shape]`;
its bytes are the next part, in the order of the fields. Nothing is accepted that the dataclass does not declare; see
`docs/reference/wire-protocol.md`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any, get_type_hints

import cbor2
import numpy as np

from stream import link_messages, messages
from stream.messages import PROTOCOL
from stream.schema import CodecError, Part, Parts, Reader, Writer, converter

MAX_HEADER_BYTES = 4 * 1024 * 1024
"""Longest header that is read, bytes."""
MAX_PARTS = 512
"""Most parts of one message."""
MAX_DEPTH = 32
"""Deepest nesting of a header."""

__all__ = ["SCHEMA_HASH", "CodecError", "decode", "encode", "kinds"]


class _Kind:
    """One message class and the converters of its fields."""

    def __init__(self, cls: type[Any]) -> None:
        hints = get_type_hints(cls)
        self.cls = cls
        self.fields = [(item.name, converter(hints[item.name], item.name)) for item in fields(cls)]
        self.names = frozenset(name for name, _ in self.fields)

    def describe(self) -> str:
        """Return the one-line schema that the hash is made of."""
        return f"{self.cls.__name__}(" + ",".join(f"{name}:{field.text}" for name, field in self.fields) + ")"


def _kinds_of(module: ModuleType) -> dict[str, _Kind]:
    found = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and is_dataclass(value) and value.__module__ == module.__name__
    }
    return {name: _Kind(value) for name, value in found.items()}


_KINDS: dict[str, _Kind] = _kinds_of(messages) | _kinds_of(link_messages)

SCHEMA_HASH = hashlib.sha256(
    "\n".join([str(PROTOCOL), *sorted(kind.describe() for kind in _KINDS.values())]).encode()
).hexdigest()[:16]
"""Hash over every message's name, fields and types: peers with another one are refused at hello."""


def kinds() -> dict[str, str]:
    """Return the schema of every message by its name."""
    return {name: kind.describe() for name, kind in sorted(_KINDS.items())}


def _plain(_: Any, value: object) -> object:
    """Let numpy scalars and tuples stand in free-form headers."""
    if isinstance(value, np.generic):
        return value.item()
    raise CodecError("malformed", f"a {type(value).__name__} cannot travel in a header")


def encode(message: object) -> Parts:
    """Return the parts of a message: header, then arrays.

    Raises
    ------
    CodecError
        Where a field does not hold what its type and range allow.
    """
    kind = _KINDS.get(type(message).__name__)
    if kind is None or kind.cls is not type(message):
        raise CodecError("malformed", f"{type(message).__name__} is not a message")
    writer = Writer()
    body = {name: field.pack(getattr(message, name), writer) for name, field in kind.fields}
    header = {"proto": PROTOCOL, "kind": kind.cls.__name__, "body": body}
    try:
        return [cbor2.dumps(header, default=_plain), *writer.parts]
    except (cbor2.CBORError, RecursionError, TypeError, ValueError) as error:
        raise CodecError("malformed", f"{kind.cls.__name__} cannot be encoded: {error}") from error


def decode(parts: Sequence[Part]) -> Any:
    """Return the message of the parts; its arrays are read-only views of them.

    Raises
    ------
    CodecError
        Where the bytes are anything but a valid message; never another exception.
    """
    header = _header(parts)
    proto, name, body = header.get("proto"), header.get("kind"), header.get("body")
    if type(proto) is not int or proto != PROTOCOL:
        raise CodecError("protocol", f"peer speaks protocol {str(proto)[:20]}, this program speaks {PROTOCOL}")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise CodecError("malformed", f"unknown kind {str(name)[:40]!r}")
    if not isinstance(body, dict) or body.keys() != kind.names or len(header) != 3:
        raise CodecError("malformed", f"{name}: fields are not those of the schema")
    reader = Reader(parts)
    values = {field: convert.unpack(body[field], reader) for field, convert in kind.fields}
    reader.finish()
    return kind.cls(**values)


def _header(parts: Sequence[Part]) -> dict[Any, Any]:
    if not 0 < len(parts) <= MAX_PARTS:
        raise CodecError("malformed", f"{len(parts)} parts")
    if len(parts[0]) > MAX_HEADER_BYTES:
        raise CodecError("malformed", f"a header of {len(parts[0])} bytes")
    try:
        header = cbor2.loads(
            bytes(parts[0]),
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        )
    except Exception as error:
        raise CodecError("malformed", f"header is not CBOR: {type(error).__name__}") from error
    if not isinstance(header, dict):
        raise CodecError("malformed", "header is not a map")
    return header
