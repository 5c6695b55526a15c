"""Spectra along a line through the sample at the lowest temperature: what every number of a map comes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.archive_hdf5 import FrameFile

Array = NDArray[np.float64]

ROWS = 3
"""Camera rows that are summed."""
LEVEL_PERCENTILE = 90.0
"""Percentile of a spectrum that counts as its light off the lines."""


@dataclass(frozen=True)
class LineCut:
    """Spectra along a row of the camera."""

    frequency_mhz: Array
    """(f,) MHz, ascending."""
    x_um: Array
    """(n,) place along the row, um from the image centre."""
    signal: Array
    """(n, f) light over that off the lines."""


NO_CUT = LineCut(np.zeros(0), np.zeros(0), np.zeros((0, 0)))


def line_cut(frames: str, sweep: int, sample: NDArray[np.bool_], pixel_um: float) -> LineCut:
    """Return the spectra of one sweep along the row through the middle of the sample; none where pixels are binned.

    Parameters
    ----------
    frames
        Frames file of the run.
    sample
        (y, x) pixels of the sample.
    pixel_um
        Edge of a pixel, um.

    Raises
    ------
    OSError
        Where the file cannot be read.
    """
    with FrameFile(frames) as file:
        chosen = next((one for one in file.sweeps if one.sweep == sweep), None)
        if chosen is None or (file.start.height, file.start.width) != sample.shape or not sample.any():
            return NO_CUT
        middle = round(float(np.nonzero(sample)[0].mean()))
        rows = slice(max(0, middle - ROWS // 2), middle + ROWS // 2 + 1)
        columns = np.flatnonzero(sample[middle])
        box = slice(int(columns[0]), int(columns[-1]) + 1)
        sums = np.zeros((chosen.frequency_mhz.size, box.stop - box.start))
        counts = np.zeros(chosen.frequency_mhz.size)
        for _, index, frame in file.frames(sweep):
            sums[index] += frame[rows, box].sum(axis=0, dtype=np.float64) / (rows.stop - rows.start)
            counts[index] += 1
        offset = file.start.noise.offset_counts
    seen = (counts > 0) & (chosen.frequency_mhz > 0)
    order = np.flatnonzero(seen)[np.argsort(chosen.frequency_mhz[seen], kind="stable")]
    light = (sums[order] / counts[order, None] - offset).T
    if not order.size:
        return NO_CUT
    level = np.percentile(light, LEVEL_PERCENTILE, axis=1, keepdims=True)
    x_um = (np.arange(box.start, box.stop) + 0.5 - sample.shape[1] / 2) * pixel_um
    return LineCut(chosen.frequency_mhz[order].astype(np.float64), x_um, light / level)
