"""What goes over the websocket: one binary message per channel update.

A message is a u4 (little endian) length, that many bytes of UTF-8 JSON, and the arrays, raw and little endian, each
starting at a multiple of 8 bytes. The JSON names channel, source, epoch, sequence, time_s, the update's own `header`
and `arrays`: a list of {name, dtype, shape, offset}. Two-dimensional values are sent as pixels: u2 codes 0 nothing
here, 1 unresolved, 2 excluded, 3... the value, linear between `low` and `high` of the array's entry.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from stream.messages import Json, StateUpdate

NOTHING, UNRESOLVED, EXCLUDED, FIRST_VALUE = 0, 1, 2, 3
"""Pixel codes; `FIRST_VALUE` and above carry a value."""
LAST_VALUE = 65535
"""Highest pixel code."""
NOT_MEASURED_NAMES = frozenset({"NOT_YET_MEASURED"})
"""Status names of a pixel that has nothing to show (drawn empty)."""
EXCLUDED_NAMES = frozenset({"OCCLUDED", "MASKED"})
"""Status names of a pixel that is left out on purpose (drawn grey)."""

_ALIGN = 8
_SENT_AS = {"f8": "<f8", "f4": "<f4", "u1": "|u1", "u2": "<u2", "u4": "<u4", "i4": "<i4", "i2": "<i2", "b1": "|u1"}


@dataclass(frozen=True)
class Pixels:
    """A map as the browser paints it."""

    codes: NDArray[np.uint16]
    """(y, x) pixel codes."""
    low: float
    """Value of code 3."""
    high: float
    """Value of code 65535."""


def clean(value: object) -> object:
    """Return a JSON value: numpy scalars unwrapped, numbers that are not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): clean(item) for key, item in cast(Mapping[object, object], value).items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [clean(item) for item in cast(Sequence[object], value)]
    if isinstance(value, np.generic):
        return clean(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def map_pixels(
    value: NDArray[np.generic],
    status: NDArray[np.generic] | None = None,
    status_names: Sequence[str] = (),
    limits: tuple[float, float] | None = None,
) -> Pixels:
    """Turn a map into pixel codes.

    Parameters
    ----------
    value
        (y, x) numbers; NaN where there is none.
    status
        (y, x) status codes; says what a NaN means. Without it a NaN is nothing.
    status_names
        Names of the status codes, by code; where empty, code 0 of a NaN is nothing and any other is unresolved.
    limits
        The least range the codes span. Values beyond five times this range are clipped, so that one stray pixel does
        not cost the others their resolution.
    """
    numbers = np.asarray(value, dtype=np.float32)
    missing = ~np.isfinite(numbers)
    low, high = _range(numbers[~missing] if missing.any() else numbers, limits)
    levels = numbers - np.float32(low)
    levels *= np.float32((LAST_VALUE - FIRST_VALUE) / (high - low))
    np.clip(levels, 0.0, LAST_VALUE - FIRST_VALUE, out=levels)
    levels += np.float32(FIRST_VALUE + 0.5)  # rounds, since the conversion cuts
    levels[missing] = NOTHING
    codes = levels.astype("<u2")
    if status is not None and status.shape == numbers.shape:
        codes[missing] = _class_of_nan(status_names)[status[missing].astype(np.uint8)]
    return Pixels(codes, low, high)


def _range(finite: NDArray[np.float32], limits: tuple[float, float] | None) -> tuple[float, float]:
    if finite.size == 0:
        return limits or (0.0, 1.0)
    low, high = float(finite.min()), float(finite.max())
    if limits is not None:
        span = limits[1] - limits[0]
        low = max(min(low, limits[0]), limits[0] - 5.0 * span)
        high = min(max(high, limits[1]), limits[1] + 5.0 * span)
    return (low, high) if high > low else (low, low + 1.0)


def _class_of_nan(names: Sequence[str]) -> NDArray[np.uint8]:
    """Return the pixel code of a NaN by its status code."""
    table = np.full(256, UNRESOLVED, np.uint8)
    if not names:
        table[0] = NOTHING
    for code, name in enumerate(names[:256]):
        word = name.upper().replace(" ", "_")
        if word in NOT_MEASURED_NAMES:
            table[code] = NOTHING
        elif word in EXCLUDED_NAMES:
            table[code] = EXCLUDED
    return table


def pack(envelope: Json, arrays: Mapping[str, NDArray[np.generic]], extra: Mapping[str, Json] | None = None) -> bytes:
    """Return one binary message.

    Parameters
    ----------
    envelope
        JSON values; `arrays` is added to it.
    arrays
        Arrays by name; 8-byte integers are sent as f8, which JavaScript can index.
    extra
        More JSON values for an array's entry, by array name.
    """
    entries: list[Json] = []
    parts: list[bytes] = []
    offset = 0
    for name, array in arrays.items():
        sent = _SENT_AS.get(array.dtype.str[1:], "<f8")
        raw = np.ascontiguousarray(array, dtype=sent).tobytes()
        raw += bytes(-len(raw) % _ALIGN)
        entry: Json = {"name": name, "dtype": sent[1:], "shape": list(array.shape), "offset": offset}
        entries.append(entry | (extra or {}).get(name, {}))
        parts.append(raw)
        offset += len(raw)
    text = json.dumps(clean(envelope | {"arrays": entries}), allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 4) % _ALIGN)
    return b"".join((len(text).to_bytes(4, "little"), text, *parts))


def encode_update(update: StateUpdate, limits: tuple[float, float] | None = None, missing: str = "status") -> bytes:
    """Return the binary message of a channel update; a two-dimensional `value` becomes pixels.

    Parameters
    ----------
    update
        What was published.
    limits
        Colour limits of the channel's view, the least range of the pixel codes.
    missing
        What a NaN means: what the `status` says, or `nothing`.
    """
    arrays = dict(update.arrays)
    extra: dict[str, Json] = {}
    if "value" in arrays and arrays["value"].ndim == 2:
        names = update.header.get("status_names")
        words = [str(name) for name in cast(list[object], names)] if isinstance(names, list | tuple) else []
        status = arrays.pop("status", None) if missing == "status" else None
        # What the pixel codes say is not sent twice, nor what no view shows.
        arrays = {"value": arrays["value"]}
        pixels = map_pixels(arrays["value"], status, words, limits)
        arrays["value"] = pixels.codes
        extra["value"] = {"pixels": True, "low": pixels.low, "high": pixels.high}
    envelope: Json = {
        "channel": update.channel,
        "source": update.source,
        "epoch": update.epoch,
        "sequence": update.sequence,
        "time_s": update.time_s,
        "header": update.header,
    }
    return pack(envelope, arrays, extra)


def unpack(data: bytes) -> tuple[Json, dict[str, NDArray[np.generic]]]:
    """Return envelope and arrays of a binary message: the inverse of `pack` (pixels stay codes)."""
    length = int.from_bytes(data[:4], "little")
    envelope = cast(Json, json.loads(data[4 : 4 + length]))
    arrays: dict[str, NDArray[np.generic]] = {}
    for entry in cast(list[dict[str, object]], envelope["arrays"]):
        shape = cast(list[int], entry["shape"])
        start = 4 + length + cast(int, entry["offset"])
        flat = np.frombuffer(data, np.dtype(str(entry["dtype"])), math.prod(shape), start)
        arrays[str(entry["name"])] = flat.reshape(shape)
    return envelope, arrays
