"""Field types on the wire: each converter packs one declared type and accepts nothing else."""

from __future__ import annotations

import enum
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Protocol, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from stream.messages import AnalysisReport

Part = bytes | memoryview
Parts = list[bytes | memoryview]

DTYPES = frozenset({"|b1", "|u1", "|i1", "<u2", "<u4", "<u8", "<i2", "<i4", "<i8", "<f4", "<f8"})
"""Dtypes that travel."""
MAX_DIMENSIONS = 6
MAX_TEXT = 1 << 20
_U4 = (0, 2**32 - 1)
_COUNT = (0, 2**40)
_ROWS = (0, 65_536)
RANGES: dict[str, tuple[int, int]] = {
    "sweep": (-1, 2**31 - 1),
    "lease": _U4,
    "revision": _U4,
    "y0": _ROWS,
    "y1": _ROWS,
    "x0": _ROWS,
    "x1": _ROWS,
    "height": _ROWS,
    "width": _ROWS,
    "passes": (1, 1_000_000),
    "accumulations": (1, 2**31 - 1),
    "first": (0, 2**31 - 1),
    "first_index": (0, 2**31 - 1),
    "added": (0, 2**31 - 1),
    "above": (-1, 2**31 - 1),
    "frames_added": _COUNT,
    "frames_sent": _COUNT,
    "frames_total": _COUNT,
    "frames_lost": _COUNT,
    "rows": _COUNT,
    "sweeps": _COUNT,
    "sequence": (0, 2**63 - 1),
    "token": (0, 2**63 - 1),
}
"""Ranges of integers by the name of the field; others are 64-bit."""
_INT64 = (-(2**63), 2**63 - 1)


FINITE = frozenset(item.name for item in fields(AnalysisReport)) - {"temperature_k", "field_gauss"}
"""Floats that must be finite: plans decide on them."""


class CodecError(ValueError):
    """Bytes that are not a valid message, or a message that cannot become bytes.

    Attributes
    ----------
    code : str
        `protocol` where the peer speaks another version, else `malformed`.
    reason : str
        One line for people.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Writer:
    """Collects the array parts of one message."""

    def __init__(self) -> None:
        self.parts: Parts = []

    def add(self, array: NDArray[Any]) -> list[object]:
        """Append an array's bytes and return its place-holder."""
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        if little.dtype.str not in DTYPES or array.ndim > MAX_DIMENSIONS:
            raise CodecError("malformed", f"arrays of {array.dtype} with {array.ndim} axes do not travel")
        self.parts.append(little.reshape(-1).view(np.uint8).data if little.size else b"")
        return [little.dtype.str, list(array.shape)]


class Reader:
    """Hands out the array parts of one message in order."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._next = 1

    def take(self, place: object) -> NDArray[Any]:
        """Return the array that a place-holder declares: a read-only view of the next part."""
        if not isinstance(place, list) or len(place) != 2 or self._next >= len(self._parts):
            raise CodecError("malformed", "an array is missing or badly declared")
        name, shape = place
        if not isinstance(name, str) or name not in DTYPES or not _is_shape(shape):
            raise CodecError("malformed", "an array has a wrong dtype or shape")
        part = self._parts[self._next]
        self._next += 1
        dtype = np.dtype(name)
        if math.prod(shape) * dtype.itemsize != memoryview(part).nbytes:
            raise CodecError("malformed", f"an array of {name} {shape} does not have {len(part)} bytes")
        array = np.frombuffer(part, dtype=dtype).reshape(shape)
        if dtype.kind == "b" and array.size and int(array.view(np.uint8).max()) > 1:
            raise CodecError("malformed", "a truth value is neither 0 nor 1")
        array.flags.writeable = False
        return array

    def finish(self) -> None:
        """Refuse parts that nobody declared."""
        if self._next != len(self._parts):
            raise CodecError("malformed", f"{len(self._parts) - self._next} parts too many")


def _is_shape(shape: object) -> bool:
    return (
        isinstance(shape, list)
        and len(shape) <= MAX_DIMENSIONS
        and all(type(n) is int and 0 <= n < 2**31 for n in shape)
    )


class Converter(Protocol):
    """Packs and unpacks the values of one declared type."""

    text: str
    """The type in words: part of the schema hash."""

    def pack(self, value: Any, writer: Writer) -> object:
        """Return what stands in the header."""
        ...

    def unpack(self, value: Any, reader: Reader) -> Any:
        """Return the value, or raise CodecError."""
        ...


class _Int:
    def __init__(self, name: str) -> None:
        self.name = name
        self.low, self.high = RANGES.get(name, _INT64)
        self.text = "int"

    def pack(self, value: Any, writer: Writer) -> object:
        return self._check(value.item() if isinstance(value, np.integer) else value)

    def unpack(self, value: Any, reader: Reader) -> int:
        return self._check(value)

    def _check(self, value: Any) -> int:
        if type(value) is not int or not self.low <= value <= self.high:
            raise CodecError("malformed", f"{self.name} is not an integer in {self.low} ... {self.high}")
        return value


class _Float:
    """Infinities never travel; NaN (not known) does, except where a plan decides on the number."""

    def __init__(self, name: str, finite: bool = False) -> None:
        self.name, self.finite, self.text = name, finite, "float"

    def pack(self, value: Any, writer: Writer) -> object:
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
            raise CodecError("malformed", f"{self.name} is not a number")
        return self._check(float(value))

    def unpack(self, value: Any, reader: Reader) -> float:
        if type(value) is not float:
            raise CodecError("malformed", f"{self.name} is not a float")
        return self._check(value)

    def _check(self, value: float) -> float:
        if math.isinf(value) or (self.finite and math.isnan(value)):
            raise CodecError("malformed", f"{self.name} is not finite")
        return value


class _Exact:
    def __init__(self, name: str, kind: type[Any]) -> None:
        self.name, self.kind, self.text = name, kind, kind.__name__

    def pack(self, value: Any, writer: Writer) -> object:
        return self._check(bool(value) if isinstance(value, np.bool_) else value)

    def unpack(self, value: Any, reader: Reader) -> Any:
        return self._check(value)

    def _check(self, value: Any) -> Any:
        if type(value) is not self.kind and not (self.kind is str and type(value) is np.str_):
            raise CodecError("malformed", f"{self.name} is not a {self.text}")
        if self.kind is not bool and len(value) > MAX_TEXT:
            raise CodecError("malformed", f"{self.name} is too long")
        return value if type(value) is self.kind else str(value)


class _Enum:
    def __init__(self, name: str, kind: type[enum.Enum]) -> None:
        self.name, self.kind = name, kind
        self.text = f"{kind.__name__}[{'|'.join(str(item.value) for item in kind)}]"

    def pack(self, value: Any, writer: Writer) -> object:
        return self._convert(value).value

    def unpack(self, value: Any, reader: Reader) -> enum.Enum:
        return self._convert(value)

    def _convert(self, value: Any) -> enum.Enum:
        try:
            return self.kind(value)
        except (ValueError, TypeError) as error:
            raise CodecError("malformed", f"{self.name} is not one of {self.text}") from error


class _Array:
    def __init__(self, name: str, scalar: type[np.generic]) -> None:
        self.name = name
        self.dtype = None if scalar is np.generic else np.dtype(scalar).newbyteorder("<")
        self.text = "array" if self.dtype is None else f"array {self.dtype.str}"

    def pack(self, value: Any, writer: Writer) -> object:
        array = np.asarray(value)
        return writer.add(array if self.dtype is None else array.astype(self.dtype, casting="same_kind", copy=False))

    def unpack(self, value: Any, reader: Reader) -> NDArray[Any]:
        array = reader.take(value)
        if self.dtype is not None and array.dtype != self.dtype:
            raise CodecError("malformed", f"{self.name} is {array.dtype.str}, not {self.dtype.str}")
        return array


class _Map:
    """Mapping with text keys."""

    def __init__(self, name: str, item: Converter) -> None:
        self.name, self.item, self.text = name, item, f"map of {item.text}"

    def pack(self, value: Any, writer: Writer) -> object:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise CodecError("malformed", f"{self.name} is not a mapping with text keys")
        return {str(key): self.item.pack(entry, writer) for key, entry in value.items()}

    def unpack(self, value: Any, reader: Reader) -> dict[str, Any]:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise CodecError("malformed", f"{self.name} is not a map with text keys")
        return {key: self.item.unpack(entry, reader) for key, entry in value.items()}


class _List:
    def __init__(self, name: str, item: Converter, container: type[Any]) -> None:
        self.name, self.item, self.container, self.text = name, item, container, f"list of {item.text}"

    def pack(self, value: Any, writer: Writer) -> object:
        return [self.item.pack(entry, writer) for entry in value]

    def unpack(self, value: Any, reader: Reader) -> Any:
        if not isinstance(value, list):
            raise CodecError("malformed", f"{self.name} is not a list")
        return self.container(self.item.unpack(entry, reader) for entry in value)


class _Optional:
    def __init__(self, item: Converter) -> None:
        self.item, self.text = item, f"{item.text} or null"

    def pack(self, value: Any, writer: Writer) -> object:
        return None if value is None else self.item.pack(value, writer)

    def unpack(self, value: Any, reader: Reader) -> Any:
        return None if value is None else self.item.unpack(value, reader)


class _Plain:
    """Anything JSON can say."""

    text = "json"

    def __init__(self, name: str) -> None:
        self.name = name

    def pack(self, value: Any, writer: Writer) -> object:
        return _jsonable(value, self.name, 24)

    def unpack(self, value: Any, reader: Reader) -> Any:
        return _json(value, self.name, 24)


class _Record:
    """A dataclass within a message."""

    def __init__(self, kind: type[Any]) -> None:
        hints = get_type_hints(kind)
        self.kind = kind
        self.fields = [(item.name, converter(hints[item.name], item.name)) for item in fields(kind)]
        self.names = {name for name, _ in self.fields}
        self.text = f"{kind.__name__}(" + ",".join(f"{name}:{item.text}" for name, item in self.fields) + ")"

    def pack(self, value: Any, writer: Writer) -> object:
        if type(value) is not self.kind:
            raise CodecError("malformed", f"a {type(value).__name__} where a {self.kind.__name__} belongs")
        return {name: item.pack(getattr(value, name), writer) for name, item in self.fields}

    def unpack(self, value: Any, reader: Reader) -> Any:
        if not isinstance(value, dict) or value.keys() != self.names:
            raise CodecError("malformed", f"fields are not those of {self.kind.__name__}")
        return self.kind(**{name: item.unpack(value[name], reader) for name, item in self.fields})


def _json(value: Any, name: str, depth: int) -> Any:
    """Return the value where it is plain JSON, else raise; depth bounds cycles that CBOR can express."""
    kind = type(value)
    if value is None or kind in (bool, float) or (kind is int and _INT64[0] <= value <= _INT64[1]):
        return value
    if kind is str and len(value) <= MAX_TEXT:
        return value
    if depth and kind is list:
        return [_json(entry, name, depth - 1) for entry in value]
    if depth and kind is dict and all(type(key) is str for key in value):
        return {key: _json(entry, name, depth - 1) for key, entry in value.items()}
    raise CodecError("malformed", f"{name} holds something that is not plain JSON: {kind.__name__}")


def _jsonable(value: Any, name: str, depth: int) -> Any:
    """Return the value as plain JSON: numpy scalars, tuples, enums and small arrays become what they mean."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, Mapping) and depth:
        return {str(key): _jsonable(entry, name, depth - 1) for key, entry in value.items()}
    if isinstance(value, (list, tuple)) and depth:
        return [_jsonable(entry, name, depth - 1) for entry in value]
    return _json(value, name, 0)


def converter(hint: Any, name: str) -> Converter:  # noqa: PLR0911 - one return per kind of type
    """Return the converter of a type hint.

    Raises
    ------
    TypeError
        Where the type has no wire form: a mistake in a message class, found at import.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is int:
        return _Int(name)
    if hint is float:
        return _Float(name, name in FINITE)
    if hint in (str, bool, bytes):
        return _Exact(name, hint)
    if hint is object or hint is Any:
        return _Plain(name)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _Enum(name, hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return _Record(hint)
    return _container(origin, arguments, name)


def _container(origin: Any, arguments: tuple[Any, ...], name: str) -> Converter:
    if origin is np.ndarray:
        return _Array(name, get_args(arguments[1])[0])
    if origin in (dict, Mapping):
        item = converter(arguments[1], name)
        return _Map(name, item)
    if origin is list or (origin is tuple and arguments[-1] is ...):
        return _List(name, converter(arguments[0], name), origin)
    if origin in (Union, types.UnionType) and len(arguments) == 2 and type(None) in arguments:
        return _Optional(converter(next(item for item in arguments if item is not type(None)), name))
    raise TypeError(f"field {name} has no wire form")
