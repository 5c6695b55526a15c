"""A line across the map: the spectrum at every so many pixels of it, asked of the builder one after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np

from stream.messages import Json, SpectrumReply, SpectrumRequest

PLACES = 20
"""Spectra of a line, at most."""
EDGE_PX = 3
"""Edge of the square that is averaged at each place, pixels."""
FIELDS = ("sweep", "x0", "y0", "x1", "y1")
ARRAYS = ("frequency_mhz", "signal", "sigma", "model")

Ask = Callable[[SpectrumRequest], Awaitable[SpectrumReply | str]]


def is_line(cut: Json) -> bool:
    """Return whether a browser's line is one: whole numbers of pixels."""
    return all(type(value) is int and -1 <= value < 65536 for value in (cut.get(name) for name in FIELDS))


def places(cut: Json) -> list[tuple[int, int]]:
    """Return the (x, y) pixels of a line at which spectra are asked for, no two the same."""
    x0, y0, x1, y1 = (int(str(cut[name])) for name in FIELDS[1:])
    count = min(PLACES, max(abs(x1 - x0), abs(y1 - y0)) // EDGE_PX + 1)
    shares = np.linspace(0.0, 1.0, max(count, 2))
    found = [(round(x0 + share * (x1 - x0)), round(y0 + share * (y1 - y0))) for share in shares]
    return list(dict.fromkeys(found))


async def spectra_along(cut: Json, run_uid: str, ask: Ask) -> tuple[Json, dict[str, np.ndarray]] | str:
    """Return what the builder says along a line, or in one sentence why there is nothing.

    The header has `places`: of each x_px, y_px, count of frequencies, status and values; the arrays of all places stand
    one after the other. All are of the sweep of the first answer: a new sweep does not mix with the one before.
    """
    rows: list[Json] = []
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ARRAYS}
    sweep, why = int(str(cut["sweep"])), ""
    for x, y in places(cut):
        half = EDGE_PX // 2
        y0, x0 = max(0, y - half), max(0, x - half)
        answer = await ask(SpectrumRequest(run_uid, sweep, y0, y + half + 1, x0, x + half + 1))
        if isinstance(answer, str):
            return answer
        sweep, count = (answer.sweep, answer.frequency_mhz.size) if answer.frequency_mhz.size else (sweep, 0)
        why = why or ("" if count else answer.status)
        rows.append({"x_px": x, "y_px": y, "count": count, "status": answer.status, "values": answer.values})
        for name in ARRAYS:
            parts[name].append(getattr(answer, name)[:count])
    if not any(row["count"] for row in rows):
        return why or "there is no spectrum along this line"
    return {"run_uid": run_uid, "sweep": sweep, "places": rows}, {name: np.concatenate(parts[name]) for name in ARRAYS}
