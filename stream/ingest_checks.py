"""What must hold before a measurement is taken in: a frequency axis in MHz, known axes, finite counts.

Each function returns what it made and notes on what it assumed; each refusal is one line that says what to do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.ingest_readers import IngestError

MHZ_PER_UNIT = {"Hz": 1e-6, "kHz": 1e-3, "MHz": 1.0, "GHz": 1e3}
"""Factor from each unit of frequency to MHz."""
LOWEST_MHZ, HIGHEST_MHZ = 100.0, 100_000.0
"""Where a microwave frequency can lie, MHz: three decades, so that exactly one unit of the four fits."""
MIN_FREQUENCIES = 5
_U2_MAX, _U4_MAX = 65_535, 4_294_967_295
_F4_EXACT = 2**24


def frequency_axis(values: NDArray[Any], unit: str, name: str) -> tuple[NDArray[np.float64], bool, list[str]]:
    """Return (ascending frequencies in MHz (f,), whether they came descending, notes).

    Parameters
    ----------
    values
        The variable; singleton axes are dropped.
    unit
        One of `MHZ_PER_UNIT`; empty: the one unit in which the values lie between 100 MHz and 100 GHz.
    name
        Its name, for messages.

    Raises
    ------
    IngestError
        Where it is not one-dimensional, too short, not finite, not strictly monotonic or in another unit.
    """
    axis = np.squeeze(np.asarray(values, dtype=np.float64))
    if axis.ndim != 1 or axis.size < MIN_FREQUENCIES:
        shape = "x".join(map(str, np.shape(values))) or "scalar"
        raise IngestError(f"frequency {name!r} is {shape}; give a vector of at least {MIN_FREQUENCIES} values")
    if not np.isfinite(axis).all():
        raise IngestError(f"frequency {name!r} holds NaN or infinity at index {_first(~np.isfinite(axis))}; mend it")
    steps = np.diff(axis)
    descending = bool(steps[0] < 0)
    wrong = steps >= 0 if descending else steps <= 0
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        raise IngestError(
            f"frequency {name!r} is not monotonic: {axis[i]:g} is followed by {axis[i + 1]:g} at index {i + 1}; "
            "sort it together with the signal, or name another variable"
        )
    axis_mhz, notes = _in_mhz(np.sort(axis), unit, name)
    if descending:
        notes.append(f"frequency {name!r} descends: both it and the signal were reversed")
    return axis_mhz, descending, notes


def _in_mhz(axis: NDArray[np.float64], unit: str, name: str) -> tuple[NDArray[np.float64], list[str]]:
    fitting = [known for known, factor in MHZ_PER_UNIT.items() if _plausible(axis * factor)]
    span = f"{axis[0]:g} to {axis[-1]:g}"
    if not unit:
        if not fitting:
            raise IngestError(
                f"frequency {name!r} runs from {span}: no unit puts it at microwaves; name another variable"
            )
        return axis * MHZ_PER_UNIT[fitting[0]], [f"frequency unit not given: {span} taken as {fitting[0]}"]
    if unit not in MHZ_PER_UNIT:
        raise IngestError(f"frequency unit {unit!r} is unknown; use one of {', '.join(MHZ_PER_UNIT)}")
    if unit not in fitting:
        advice = f"did you mean {fitting[0]}?" if fitting else "is it the frequency axis?"
        raise IngestError(
            f"frequency {name!r} runs from {span} called {unit}, which is no microwave frequency; {advice}"
        )
    return axis * MHZ_PER_UNIT[unit], []


def _plausible(axis_mhz: NDArray[np.float64]) -> bool:
    return bool(axis_mhz[0] >= LOWEST_MHZ and axis_mhz[-1] < HIGHEST_MHZ)


def arrange(signal: NDArray[Any], count: int, axes: str, name: str) -> tuple[NDArray[Any], list[str]]:
    """Return the signal as (f, y, x) and notes.

    Parameters
    ----------
    signal
        One to three axes; further singleton axes are dropped.
    count
        Frequencies.
    axes
        Order of the axes as letters of `fyx`, such as `yxf`; empty: guessed from the one axis that has `count` points.

    Raises
    ------
    IngestError
        Where no axis has `count` points, or several have and `axes` is empty, or `axes` does not fit.
    """
    shape = "x".join(map(str, signal.shape)) or "scalar"
    if not signal.size:
        raise IngestError(f"signal {name!r} is {shape}: it holds no values; name another variable")
    array = signal
    if array.ndim > (len(axes) or 3):
        array = np.squeeze(array)
    if not 1 <= array.ndim <= 3:
        raise IngestError(f"signal {name!r} is {shape}: one to three axes are needed (f, y, x); name another variable")
    order, notes = (axes, []) if axes else _guess(array.shape, count, name)
    if len(order) != array.ndim or order.count("f") != 1 or len(set(order)) != len(order) or set(order) - set("fyx"):
        example = {1: "f", 2: "xf", 3: "yxf"}[array.ndim]
        raise IngestError(f"axis order {order!r} does not fit signal {name!r} ({shape}); give one such as {example!r}")
    if array.shape[order.index("f")] != count:
        raise IngestError(
            f"signal {name!r} is {shape}: axis {order.index('f')} has {array.shape[order.index('f')]} points, the "
            f"frequency axis {count}; check the names and the axis order"
        )
    source = {letter: i for i, letter in enumerate(order)}
    present = [source[letter] for letter in "fyx" if letter in source]
    moved = np.transpose(array, present)
    return moved.reshape([array.shape[source[letter]] if letter in source else 1 for letter in "fyx"]), notes


def _guess(shape: tuple[int, ...], count: int, name: str) -> tuple[str, list[str]]:
    matching = [i for i, size in enumerate(shape) if size == count]
    text = "x".join(map(str, shape))
    if not matching:
        raise IngestError(
            f"no axis of signal {name!r} ({text}) has the {count} points of the frequency axis; "
            "name another frequency or signal variable"
        )
    if len(matching) > 1:
        options = " or ".join(_named(len(shape), i) for i in matching)
        raise IngestError(f"signal {name!r} ({text}) has several axes of {count} points; say the axis order: {options}")
    order = _named(len(shape), matching[0])
    note = f"axis order not given: {text} taken as {', '.join(order)}"
    return order, [note + (" (y before x is a guess)" if len(shape) == 3 else "")]


def _named(ndim: int, frequency: int) -> str:
    letters = iter("yx"[3 - ndim :] if ndim < 3 else "yx")
    return "".join("f" if i == frequency else next(letters) for i in range(ndim))


def counts(frames: NDArray[Any], name: str) -> tuple[NDArray[Any], list[str]]:
    """Return the frames (f, y, x) as `<u2`, `<u4` or `<f4`, whichever holds them, and notes.

    Raises
    ------
    IngestError
        Where values are not finite or negative, or all are zero.
    """
    bad = ~np.isfinite(frames) if frames.dtype.kind == "f" else np.zeros(frames.shape, bool)
    if bad.any():
        raise IngestError(
            f"signal {name!r} holds {int(bad.sum())} NaN or infinite values, first at {_where(bad)}; mend it"
        )
    if (frames < 0).any():
        raise IngestError(
            f"signal {name!r} holds {int((frames < 0).sum())} negative counts, first at {_where(frames < 0)}; "
            "counts cannot be negative: add back the background that was taken off"
        )
    highest = float(frames.max())
    if highest == 0:
        raise IngestError(f"signal {name!r} holds zeros only; name another variable")
    whole = frames.dtype.kind in "uib" or bool((frames == np.floor(frames)).all())
    if whole and highest <= _U4_MAX:
        dtype = "<u2" if highest <= _U2_MAX else "<u4"
        notes = [f"floats are whole numbers: stored as {dtype}"] if frames.dtype.kind == "f" else []
        return np.ascontiguousarray(frames, dtype=dtype), notes
    note = "values are not whole counts: stored as <f4, one pass"
    if highest > _F4_EXACT:
        note += "; values above 16777216 lose digits"
    return np.ascontiguousarray(frames, dtype="<f4"), [note]


def _where(mask: NDArray[np.bool_]) -> str:
    f, y, x = np.unravel_index(int(np.flatnonzero(mask)[0]), mask.shape)
    return f"frequency {f}, y {y}, x {x}"


def _first(mask: NDArray[np.bool_]) -> int:
    return int(np.flatnonzero(mask)[0])
