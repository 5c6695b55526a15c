"""What `nvdac fit` says beside the maps: the wait for the kernels, the lines that it found, a file that it replaces."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SILENT_S = 3.0
"""A wait for kernels from the cache that nobody needs to be told of, s."""
WEAK = 8.0
"""A line with a contrast so many times below the strongest's may be none: noise, or a shoulder of another."""

Row = dict[str, float | None]
"""What is said of one resonance; None where no pixel resolves it."""


class KernelClock:
    """Time that goes into the kernels, which is not the fit's."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.seconds = 0.0
        self._say = say

    def wait(self, prepare: Callable[[], object]) -> None:
        """Load or compile what `prepare` does, and say so where that takes its time."""
        begin = time.perf_counter()
        text = "compiling the kernels (first fit on this machine: about a minute)"
        told = threading.Timer(SILENT_S, self._say, (text,))
        told.daemon = True
        told.start()
        try:
            prepare()
        finally:
            told.cancel()
        self.seconds += time.perf_counter() - begin


def line_rows(planes: Mapping[str, NDArray[Any]]) -> list[Row]:
    """Return for each resonance the medians over the pixels that resolve it, and their share.

    Parameters
    ----------
    planes
        A maps file's planes: `centre_mhz`, `contrast`, `fwhm_mhz` and `line_status` (line, y, x).
    """
    resolved = np.asarray(planes["line_status"]) == 0
    return [
        {
            "centre_mhz": _median(planes["centre_mhz"][line], resolved[line]),
            "contrast": _median(planes["contrast"][line], resolved[line]),
            "fwhm_mhz": _median(planes["fwhm_mhz"][line], resolved[line]),
            "resolved": float(resolved[line].mean()),
        }
        for line in range(len(resolved))
    ]


def median_chi2(planes: Mapping[str, NDArray[Any]]) -> float | None:
    """Return the median reduced chi2 of the pixels that have one; None where none has."""
    return _median(planes["chi2"], np.ones(planes["chi2"].shape, bool))


def line_text(rows: list[Row], chi2: float | None) -> list[str]:
    """Return the lines as a table for people."""
    table = [
        f"  line {number}: {_number(row['centre_mhz'], 9)} MHz, contrast {_number(row['contrast'], 7, 100)} %, "
        f"FWHM {_number(row['fwhm_mhz'], 7)} MHz, {_number(row['resolved'], 7, 100)} % of the pixels resolved"
        for number, row in enumerate(rows)
    ]
    return [*table, f"  median reduced chi2 {_number(chi2, 0)}"]


def line_notes(rows: list[Row]) -> list[str]:
    """Return a note for each line that may be none, with the number of lines that is left without them."""
    depth = [abs(row["contrast"] or 0.0) for row in rows]
    strongest = max(depth)
    weak = [number for number, value in enumerate(depth) if value * WEAK < strongest]
    notes: list[str] = []
    for number in weak:
        times = strongest / depth[number] if depth[number] else 0.0
        why = f"its contrast is {times:.0f} times smaller than the strongest's" if times else "no pixel resolves it"
        notes.append(f"line {number}: {why}; it may not be a line (try --lines {len(rows) - len(weak)})")
    return notes


def fit_text(result: Mapping[str, Any]) -> list[str]:
    """Return what people read of a fit: of a run with several sweeps the lines of its first one."""
    kernels = f" (and {result['kernels_seconds']:.1f} s for the kernels)" if result["kernels_seconds"] >= 1 else ""
    share = f"{result['resolved']} of {result['pixels']} pixels resolved, {result['seconds']:.2f} s{kernels}"
    rows, chi2 = result["lines"], result["chi2"]
    more = [f"  (the first of {len(rows)} sweeps; --json has them all)"] if len(rows) > 1 else []
    return [f"{result['out']}: {share}", *line_text(rows[0], chi2[0]), *more]


def replaced(out: Path) -> list[str]:
    """Return a note where maps are there already and will be replaced."""
    return [f"{out} was there and is replaced; --out names another file"] if out.exists() else []


def _median(plane: NDArray[Any], wanted: NDArray[np.bool_]) -> float | None:
    known = plane[wanted & np.isfinite(plane)]
    return float(np.median(known)) if known.size else None


def _number(value: float | None, width: int, times: float = 1.0) -> str:
    return "-".rjust(width) if value is None else f"{times * value:{width or ''}.3f}"
