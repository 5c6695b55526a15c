"""What goes over the websocket: binary messages, each of one packet per channel update, one after the other.

A packet is two u4 (little endian), the bytes of its JSON and of the whole packet; the UTF-8 JSON; and the arrays, raw,
little endian, each starting at a multiple of 8 bytes, as the next packet does. The JSON names channel, source, epoch,
sequence, time_s, the update's own `header` and `arrays`: a list of {name, dtype, shape, offset}. Two-dimensional values
are sent as pixels: u2 codes 0 nothing here, 1 unresolved, 2 excluded, 3... the value, linear between `low` and `high`
of the array's entry.
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

HEAD_BYTES = 8
"""Two lengths before the JSON of a packet."""
LEAST_SPAN = 1e-12
"""Least range of the codes, as a share of the values: below it they are all the same number."""
BLOCK_PX = 32768
"""Pixels that are turned into codes at a time."""
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
    found = _extremes(numbers)
    if not all(map(math.isfinite, found)):
        numbers = np.where(np.isfinite(numbers), numbers, np.float32(np.nan))
        found = _extremes(numbers)
    low, high = _range(*found, limits)
    low_high = np.float32(low), np.float32((LAST_VALUE - FIRST_VALUE) / (high - low))
    clip = low > found[0] or high < found[1]
    flat = numbers.reshape(-1)
    codes, levels, empty = np.empty(flat.size, "<u2"), np.empty(BLOCK_PX, np.float32), np.empty(BLOCK_PX, np.bool_)
    says = status.reshape(-1) if status is not None and status.shape == numbers.shape else None
    table = _class_of_nan(status_names)
    with np.errstate(invalid="ignore", over="ignore"):  # a NaN has no code yet: it gets the one of what it means
        for start in range(0, flat.size, BLOCK_PX):
            block = slice(start, min(start + BLOCK_PX, flat.size))
            _levels(flat[block], *low_high, clip, levels[: block.stop - start], codes[block])
            missing = np.flatnonzero(np.isnan(flat[block], out=empty[: block.stop - start]))
            if missing.size:
                codes[block][missing] = NOTHING if says is None else table[says[block][missing].astype(np.uint8)]
    return Pixels(codes.reshape(numbers.shape), low, high)


def _levels(
    numbers: NDArray[np.float32],
    low: np.float32,
    scale: np.float32,
    clip: bool,
    scratch: NDArray[np.float32],
    codes: NDArray[np.uint16],
) -> None:
    """Write the codes of one block, that fits into the processor's cache: the server does this for every map."""
    np.subtract(numbers, low, out=scratch)
    scratch *= scale
    if clip:
        np.clip(scratch, 0.0, LAST_VALUE - FIRST_VALUE, out=scratch)
    scratch += np.float32(FIRST_VALUE + 0.5)  # rounds, since the conversion cuts
    np.copyto(codes, scratch, casting="unsafe")


def _extremes(numbers: NDArray[np.float32]) -> tuple[float, float]:
    """Return the least and the largest number; NaN where there is none."""
    if not numbers.size:
        return math.nan, math.nan
    return float(np.fmin.reduce(numbers, axis=None)), float(np.fmax.reduce(numbers, axis=None))


def _range(low: float, high: float, limits: tuple[float, float] | None) -> tuple[float, float]:
    if math.isnan(low):
        return limits or (0.0, 1.0)
    if limits is not None:
        span = limits[1] - limits[0]
        low = max(min(low, limits[0]), limits[0] - 5.0 * span)
        high = min(max(high, limits[1]), limits[1] + 5.0 * span)
    return (low, high) if high - low > LEAST_SPAN * max(abs(low), abs(high), 1e-6) else (low, low + max(1.0, abs(low)))


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
    """Return one packet.

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
    parts: list[bytes | memoryview] = []
    offset = 0
    for name, array in arrays.items():
        sent = _SENT_AS.get(array.dtype.str[1:], "<f8")
        raw = np.ascontiguousarray(array, dtype=sent)
        padding = -raw.nbytes % _ALIGN
        entry: Json = {"name": name, "dtype": sent[1:], "shape": list(array.shape), "offset": offset}
        entries.append(entry | (extra or {}).get(name, {}))
        parts += (raw.reshape(-1).view(np.uint8).data, bytes(padding))
        offset += raw.nbytes + padding
    text = _json(envelope | {"arrays": entries}).encode()
    text += b" " * (-len(text) % _ALIGN)
    head = np.array([len(text), HEAD_BYTES + len(text) + offset], "<u4").tobytes()
    return b"".join((head, text, *parts))


def _json(value: Json) -> str:
    """Return JSON text; what JSON does not know is looked for only where the quick way stumbles over it."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError):
        return json.dumps(clean(value), allow_nan=False, separators=(",", ":"))


def encode_update(
    update: StateUpdate, limits: tuple[float, float] | None = None, missing: str = "status", arrows: str = ""
) -> bytes:
    """Return the packet of a channel update; a two-dimensional `value` becomes pixels.

    Parameters
    ----------
    update
        What was published.
    limits
        Colour limits of the channel's view, the least range of the pixel codes.
    missing
        What a NaN means: what the `status` says, or `nothing`.
    arrows
        Array that goes with the pixels; others of a map do not.
    """
    arrays = dict(update.arrays)
    extra: dict[str, Json] = {}
    if "value" in arrays and arrays["value"].ndim == 2:
        names = update.header.get("status_names")
        words = [str(name) for name in cast(list[object], names)] if isinstance(names, list | tuple) else []
        status = arrays.pop("status", None) if missing == "status" else None
        # What the pixel codes say is not sent twice, nor what no view shows.
        arrays = {name: arrays[name] for name in ("value", arrows) if name in arrays}
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


def unpack_all(data: bytes) -> list[tuple[Json, dict[str, NDArray[np.generic]]]]:
    """Return envelope and arrays of each packet of a binary message: the inverse of `pack` (pixels stay codes)."""
    found: list[tuple[Json, dict[str, NDArray[np.generic]]]] = []
    start = 0
    while start < len(data):
        length, whole = (int(number) for number in np.frombuffer(data, "<u4", 2, start))
        first = start + HEAD_BYTES + length
        envelope = cast(Json, json.loads(data[start + HEAD_BYTES : first]))
        arrays: dict[str, NDArray[np.generic]] = {}
        for entry in cast(list[dict[str, object]], envelope["arrays"]):
            shape = cast(list[int], entry["shape"])
            offset = first + cast(int, entry["offset"])
            flat = np.frombuffer(data, np.dtype(str(entry["dtype"])), math.prod(shape), offset)
            arrays[str(entry["name"])] = flat.reshape(shape)
        found.append((envelope, arrays))
        start += whole
    return found


def unpack(data: bytes) -> tuple[Json, dict[str, NDArray[np.generic]]]:
    """Return envelope and arrays of a binary message of one packet."""
    (found,) = unpack_all(data)
    return found
