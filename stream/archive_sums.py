"""A run on disk as sums: one SWMR HDF5 file that holds, after every frame, the exact sum of each frequency so far.

The layout is that of `stream.archive_hdf5`, with two things in the place of `/entry/data/frames`:

====================================  =======  =====================================================================
`/entry/data/sums` (R, y, x)          u4/f4    a row per frequency of each sweep, one chunk each
`/entry/data/sums_spare` (F, y, x)    u4/f4    the other copy of each row of the newest sweep
====================================  =======  =====================================================================

The key columns have a row per frame that was added, as if it were stored; `crc32c` is that of the sum with it. The two
copies of a row are written in turns, and the older one only once the newer is durable: a kill at any moment leaves each
sum as the key columns say. Which copy holds, its crc32c tells; once a sweep is whole its sums are all in `sums`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from stream.archive_hdf5 import FrameWriter
from stream.crc import crc32c
from stream.messages import Archive, RunStart, SweepStart
from stream.sums import SPARE, SUMS, SumPlane, SumsError, add_exactly, sums_dtype


class _Sums:
    """The sums of the sweep under way, and which of them are durable."""

    def __init__(self, sweep: SweepStart, first_row: int, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        count = len(sweep.frequency_mhz)
        self.sweep, self.first_row, self.total = sweep.sweep, first_row, count * sweep.passes
        self.planes = [np.zeros(shape, dtype) for _ in range(count)]
        self.frames = [0] * count
        self.durable = [0] * count
        self.in_spare = [True] * count
        self.accounted = 0


class SumsWriter(FrameWriter):
    """Writes one run's sums: `append` and `flush` as of a `FrameWriter`, for the frames of one sweep at a time.

    Raises
    ------
    stream.archive_hdf5.FramesError
        Where the file exists or cannot be made.
    """

    archive = Archive.SUMS

    def _create_pixels(self, file: h5py.File) -> None:
        self._sum_dtype = sums_dtype(self._dtype.str)
        form: dict[str, Any] = {"maxshape": (None, *self._shape), "chunks": (1, *self._shape)}
        self._copies: list[Any] = [
            file.create_dataset(name, (0, *self._shape), self._sum_dtype, **form) for name in (SUMS, SPARE)
        ]
        self._rows_made = 0
        self._sums: _Sums | None = None
        self._scratch = np.zeros(self._shape, self._sum_dtype)

    def add_sweep(self, sweep: SweepStart) -> None:
        """Append a sweep's opening; the sums of the one before are all in `sums`, and leave the memory."""
        self.flush()
        self._settle()
        count, first_row = len(sweep.frequency_mhz), self._rows_made
        self._copies[0].resize((first_row + count, *self._shape))
        if count > len(self._copies[1]):
            self._copies[1].resize((count, *self._shape))
        super().add_sweep(sweep)
        self._rows_made = first_row + count
        self._sums = None  # before the new ones: one cube at a time
        self._sums = _Sums(sweep, first_row, self._shape, self._sum_dtype)

    def _store(self, sweep: int, index: int, frame: NDArray[Any], crc: int) -> int:
        """Write the sum with the frame beside the one without it; returns the sum's crc32c."""
        sums = self._of(sweep)
        frames = sums.frames[index]
        add_exactly(sums.planes[index], frames, frame, self._scratch)
        if sums.durable[index] < frames:
            # the copy that is written now is the last durable one
            self.flush()
        spare = not sums.in_spare[index]
        self._write(index, self._scratch, spare)
        sums.planes[index], self._scratch = self._scratch, sums.planes[index]
        sums.frames[index], sums.in_spare[index] = frames + 1, spare
        sums.accounted += 1
        return crc32c(sums.planes[index])

    def add_hole(self, sweep: int, pass_index: int, index: int) -> None:
        """Say that the camera lost this frame."""
        super().add_hole(sweep, pass_index, index)
        self._of(sweep).accounted += 1

    def restore(self, sweep: int, planes: list[SumPlane], rows: list[dict[str, float]]) -> None:
        """Take over sums, with the key columns' rows of the frames in them."""
        sums = self._of(sweep)
        for plane in planes:
            self._write(plane.index, plane.pixels, spare=False)
            sums.planes[plane.index] = np.array(plane.pixels, dtype=self._sum_dtype)
            sums.frames[plane.index], sums.in_spare[plane.index] = plane.frames, False
        sums.accounted += len(rows)
        for row in rows:
            self._note(**row)

    def flush(self) -> None:
        """Make all sums so far visible to readers and safe against a kill of this process."""
        super().flush()
        if self._sums is not None:
            self._sums.durable = list(self._sums.frames)
            if self._sums.accounted == self._sums.total:
                self._settle()

    def close(self) -> None:
        """Flush, bring all sums into `sums`, and close; safe to call twice."""
        if self._file.id.valid:
            self.flush()
            self._settle()
        super().close()

    def _settle(self) -> None:
        """Write into `sums` what is only in the spare copies: these may be taken for the next sweep."""
        sums = self._sums
        for index, in_spare in enumerate(sums.in_spare if sums is not None else ()):
            if sums is not None and in_spare and sums.frames[index]:
                self._write(index, sums.planes[index], spare=False)
                sums.in_spare[index] = False

    def _flush_pixels(self) -> None:
        for copy in self._copies:
            copy.flush()

    def _write(self, index: int, plane: NDArray[Any], spare: bool) -> None:
        first = 0 if self._sums is None or spare else self._sums.first_row
        row = first + index
        self._chunks.write(self._copies[spare], row, plane)

    def _of(self, sweep: int) -> _Sums:
        if self._sums is None or self._sums.sweep != sweep:
            raise SumsError(f"sweep {sweep} is not the one whose sums are kept")
        return self._sums


def make_writer(path: str | Path, start: RunStart) -> FrameWriter:
    """Return the writer of what the run's `archive` names.

    Raises
    ------
    stream.archive_hdf5.FramesError
        Where the file exists or cannot be made.
    """
    return SumsWriter(path, start) if start.archive is Archive.SUMS else FrameWriter(path, start)
