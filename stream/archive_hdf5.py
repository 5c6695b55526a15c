"""The frames of a run on disk: one append-only SWMR HDF5 file, readable while it grows and after its writer was killed.

Layout (the authority for everyone who reads these files):

====================================  =======  =====================================================================
`/entry/data/frames` (N, y, x)        u2/u4/f4 frames in the order they were sent, one chunk each
`/entry/data/sweep, pass, index` (N,) i4       key of each frame
`/entry/data/frequency_mhz` (N,)      f8       microwave frequency of each frame, MHz
`/entry/data/crc32c` (N,)             u4       crc32c of each frame's bytes
`/entry/data/time_s` (N,)             f8       when it was exposed, seconds since the epoch
`/sweeps/records` (B,)                u1       CBOR records of the sweeps' openings, one behind the other
`/sweeps/offsets` (S,)                i8       end of each record in bytes
`/sweeps/holes` (H, 3)                i4       sweep, pass and index of each frame that the camera lost
root attributes                                `nvdac_format`, `run_uid`, `run_start` (JSON)
====================================  =======  =====================================================================

The key columns are written after the frames they describe, and `time_s` after all others. A reader beside the writer
may see a column grow before its values: a frame counts once its `time_s` is a number (it is NaN until written).
A run whose `archive` is `sums` has the sums of its passes in the frames' place: `stream.archive_sums`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from stream.crc import crc32c
from stream.hdf5_chunks import ChunkWriter
from stream.messages import Archive, RunStart, SweepStart
from stream.records import run_start_from_json, run_start_to_json, sweep_from_record, sweep_to_record
from stream.sums import SPARE, SUMS, SumPlane, sums_dtype
from stream.writing_mark import WritingMark

FORMAT = "nvdac-frames-1"
"""Value of the root attribute `nvdac_format`."""
FRAMES = "/entry/data/frames"
"""Path of the frames within the file."""
COLUMNS: Final[dict[str, str]] = {
    "sweep": "<i4",
    "pass": "<i4",
    "index": "<i4",
    "frequency_mhz": "<f8",
    "crc32c": "<u4",
    "time_s": "<f8",
}
"""Key columns beside the frames and their dtypes."""
_LAST = "time_s"
"""The column that is written last: its values say which rows are there."""
_ROWS_PER_CHUNK = 1024
_AUTO_FLUSH = 64
_HOLES = "/sweeps/holes"
_LOOKS = 20


class FramesError(OSError):
    """A frames file cannot be read or written; the message is one line for people."""


class CorruptFrameError(FramesError):
    """The bytes of a frame are not those that were written."""


@dataclass
class _Rows:
    """Key columns of frames not yet flushed."""

    values: dict[str, list[float | int]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def add(self, **row: float) -> None:
        for name, value in row.items():
            self.values["pass" if name == "pass_index" else name].append(value)

    def __len__(self) -> int:
        return len(self.values["sweep"])


class FrameWriter:
    """Writes one run's frames as they come; everything flushed stays readable whatever happens to the process.

    Parameters
    ----------
    path
        New file; its folder is made. An existing file is refused.
    start
        The run; `height`, `width` and `dtype` give the frames' form.

    Raises
    ------
    FramesError
        Where the file exists or cannot be made.
    """

    archive = Archive.FRAMES
    """What it keeps."""

    def __init__(self, path: str | Path, start: RunStart) -> None:
        self.path = Path(path)
        self._dtype = np.dtype(start.dtype).newbyteorder("<")
        self._shape = (start.height, start.width)
        self._rows = _Rows()
        self._count = self._flushed = 0
        self._records_end = self._sweeps = self._holes_made = 0
        self._chunks = ChunkWriter()
        text = run_start_to_json(replace(start, archive=self.archive))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = h5py.File(self.path, "x", libver="latest")
        except OSError as error:
            raise FramesError(f"cannot make the frames file {self.path}: {error}") from error
        try:
            self._mark = WritingMark(self.path)
        except OSError as error:
            self._file.close()
            raise FramesError(f"cannot mark the frames file {self.path} as being written: {error}") from error
        self._columns, self._records, self._offsets, self._holes = self._create(start.run_uid, text)
        self._file.swmr_mode = True

    def _create(self, run_uid: str, text: str) -> tuple[dict[str, Any], Any, Any, Any]:
        """Make all datasets and attributes: SWMR allows none afterwards."""
        self._file.attrs["nvdac_format"] = FORMAT
        self._file.attrs["run_uid"] = run_uid
        self._file.attrs["run_start"] = text
        self._create_pixels(self._file)
        columns = {
            name: self._file.create_dataset(
                f"/entry/data/{name}",
                (0,),
                dtype,
                maxshape=(None,),
                chunks=_ROWS_PER_CHUNK,
                fillvalue=np.nan if name == _LAST else 0,
            )
            for name, dtype in COLUMNS.items()
        }
        records = self._file.create_dataset("/sweeps/records", (0,), "u1", maxshape=(None,), chunks=4096)
        offsets = self._file.create_dataset("/sweeps/offsets", (0,), "<i8", maxshape=(None,), chunks=_ROWS_PER_CHUNK)
        holes = self._file.create_dataset(_HOLES, (0, 3), "<i4", maxshape=(None, 3), chunks=(256, 3), fillvalue=-1)
        return columns, records, offsets, holes

    def _create_pixels(self, file: h5py.File) -> None:
        self._frames: Any = file.create_dataset(
            FRAMES, (0, *self._shape), self._dtype, maxshape=(None, *self._shape), chunks=(1, *self._shape)
        )

    @property
    def count(self) -> int:
        """Frames appended so far."""
        return self._count

    def add_sweep(self, sweep: SweepStart) -> None:
        """Append a sweep's opening and flush it: a reader never meets a frame of a sweep it does not know."""
        record = np.frombuffer(sweep_to_record(sweep), dtype="u1")
        end = self._records_end + record.size
        self._chunks.put(self._records, self._records_end, record)
        self._chunks.put(self._offsets, self._sweeps, np.array([end], dtype="<i8"))
        self._records_end, self._sweeps = end, self._sweeps + 1

    def append(
        self,
        sweep: int,
        pass_index: int,
        index: int,
        frequency_mhz: float,
        frame: NDArray[Any],
        crc: int,
        time_s: float,
    ) -> None:
        """Append one frame; it is durable against a kill once flushed. What failed may be tried again.

        Parameters
        ----------
        frame
            (y, x) in the declared dtype.
        crc
            crc32c of its bytes, see `stream.crc`.

        Raises
        ------
        ValueError
            Where the frame has another shape or dtype than declared.
        """
        if frame.shape != self._shape or frame.dtype != self._dtype:
            raise ValueError(f"frame is {frame.shape} {frame.dtype}, declared {self._shape} {self._dtype}")
        if len(self._rows) >= _AUTO_FLUSH:
            # before and not after: a caller whose flush fails tries the whole call again
            self.flush()
        crc = self._store(sweep, index, frame, crc)
        self._note(
            sweep=sweep, pass_index=pass_index, index=index, frequency_mhz=frequency_mhz, crc32c=crc, time_s=time_s
        )

    def add_hole(self, sweep: int, pass_index: int, index: int) -> None:
        """Say that the camera lost this frame: no more is to be waited for. What failed may be tried again."""
        self.flush()  # whoever reads of a hole has every frame before it
        self._chunks.put(self._holes, self._holes_made, np.array([[sweep, pass_index, index]], dtype="<i4"))
        self._holes_made += 1

    def _store(self, sweep: int, index: int, frame: NDArray[Any], crc: int) -> int:
        """Write the pixels of the next row; returns the crc32c that the row has."""
        self._frames.resize((max(self._count + 1, self._frames.shape[0]), *self._shape))
        self._chunks.write(self._frames, self._count, frame)
        return crc

    def _note(self, **row: float) -> None:
        """Keep a row of the key columns for the next flush."""
        self._count += 1
        self._rows.add(**row)

    def flush(self) -> None:
        """Make all frames appended so far visible to readers and safe against a kill of this process.

        Rows have places of their own: a flush that failed half-way and is tried again repeats none.
        """
        if not len(self._rows):
            return
        self._flush_pixels()
        for name, dataset in self._columns.items():
            self._chunks.put(dataset, self._flushed, np.array(self._rows.values[name], dtype=COLUMNS[name]))
        self._flushed += len(self._rows)
        self._rows = _Rows()

    def _flush_pixels(self) -> None:
        self._frames.flush()

    def close(self) -> None:
        """Flush and close; safe to call twice."""
        if self._file.id.valid:
            self.flush()
            self._file.close()
        self._mark.release()

    def __enter__(self) -> FrameWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class FrameFile:
    """Reads a run's frames, also while they are written or after their writer was killed; every frame's crc is checked.

    Of a run that keeps sums there are `planes` in the place of `frames`; all else is the same.

    Raises
    ------
    FramesError
        Where the file is absent or is not a frames file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._file = h5py.File(self.path, "r", libver="latest", swmr=True)
        except OSError as error:
            raise FramesError(f"cannot read the frames file {self.path}: {error}") from error
        attributes = dict(self._file.attrs)
        if attributes.get("nvdac_format") != FORMAT:
            self._file.close()
            raise FramesError(f"{self.path} is not a frames file of this program (no nvdac_format {FORMAT})")
        self.start: RunStart = run_start_from_json(str(attributes["run_start"]))
        self._sets: dict[str, Any] = {}
        self._sweeps: list[SweepStart] = []
        self._rows: dict[tuple[int, int, int], int] = {}
        self._frames_of: dict[int, int] = {}
        self._newest: dict[tuple[int, int], tuple[int, int]] = {}
        self._holes: set[tuple[int, int, int]] = set()
        self._keys: NDArray[np.int64] = np.empty((0, 3), dtype=np.int64)
        self._crc: NDArray[np.uint32] = np.empty(0, dtype=np.uint32)

    @property
    def sweeps(self) -> list[SweepStart]:
        """Openings of the sweeps on disk now, in order."""
        ends = self._read("/sweeps/offsets")
        offsets = cast("list[int]", ends[: _leading(ends > 0)].tolist())
        if len(offsets) > len(self._sweeps):
            records = self._read("/sweeps/records")
            bounds = [0, *offsets]
            for i in range(len(self._sweeps), len(offsets)):
                self._sweeps.append(sweep_from_record(records[bounds[i] : bounds[i + 1]].tobytes()))
        return list(self._sweeps)

    @property
    def count(self) -> int:
        """Frames on disk now."""
        self._refresh()
        return len(self._keys)

    @property
    def rows(self) -> int:
        """Rows that an asset may name: frames on disk now, or the frequencies of all sweeps where sums are kept."""
        if self.start.archive is Archive.SUMS:
            return sum(len(sweep.frequency_mhz) for sweep in self.sweeps)
        return self.count

    def complete_sweeps(self) -> list[SweepStart]:
        """Return the openings of the sweeps that have every frame on disk: those that have a final map."""
        self._refresh()
        return [sweep for sweep in self.sweeps if self._complete(sweep)]

    def frames_of(self, sweep: int) -> int:
        """Return how many different frames of a sweep are on disk now, by themselves or in its sums."""
        self._refresh()
        return self._frames_of.get(sweep, 0)

    def holes(self, sweep: int) -> set[tuple[int, int]]:
        """Return (pass, index) of the frames of a sweep that the camera lost."""
        self._refresh()
        return {(pass_index, index) for number, pass_index, index in self._holes if number == sweep}

    def _complete(self, sweep: SweepStart) -> bool:
        """Tell whether every frame is there or known to be lost, and no frequency has none at all."""
        holes = self.holes(sweep.sweep)
        whole = self.frames_of(sweep.sweep) + len(holes) == sweep.passes * len(sweep.frequency_mhz)
        lost = [index for _, index in holes]
        return whole and all(lost.count(index) < sweep.passes for index in set(lost))

    def frames(self, sweep: int) -> Iterator[tuple[int, int, NDArray[Any]]]:
        """Yield (pass, index, frame (y, x)) of one sweep in the order they were sent, each once.

        Raises
        ------
        FramesError
            Where the run keeps sums.
        """
        self._require_frames()
        self._refresh()
        for row in np.flatnonzero(self._keys[:, 0] == sweep):
            key = (sweep, int(self._keys[row, 1]), int(self._keys[row, 2]))
            if self._rows[key] == row:
                yield key[1], key[2], self._frame(int(row), key)

    def frame(self, sweep: int, pass_index: int, index: int) -> NDArray[Any]:
        """Return one frame (y, x).

        Raises
        ------
        KeyError
            Where it is not (yet) on disk.
        CorruptFrameError
            Where its bytes are not those written.
        FramesError
            Where the run keeps sums.
        """
        self._require_frames()
        key = (sweep, pass_index, index)
        if key not in self._rows:
            self._refresh()
        return self._frame(self._rows[key], key)

    def planes(self, sweep: int) -> Iterator[SumPlane]:
        """Yield the sums of one sweep of a run that keeps them, those of frequencies with frames.

        Raises
        ------
        CorruptFrameError
            Where their bytes are not those written.
        """
        self._refresh()
        for index in sorted(index for number, index in self._newest if number == sweep):
            yield self.plane(sweep, index)

    def plane(self, sweep: int, index: int, passes: int = 0) -> SumPlane:
        """Return the newest sum at one frequency of a sweep, which stands for so many passes at least.

        Raises
        ------
        KeyError
            Where it is not (yet) on disk.
        CorruptFrameError
            Where its bytes are not those written.
        """
        for look in range(_LOOKS):
            if look or (sweep, index) not in self._newest:
                self._refresh()
            row, frames = self._newest.get((sweep, index), (-1, 0))
            last = int(self._keys[row, 1]) if frames else -1
            # the holes of this look: a newer one may lie behind frames that are newer too
            done = max([last, *(p for number, p, i in self._holes if (number, i) == (sweep, index))]) + 1
            if done < max(passes, 1):
                if not look:
                    continue
                raise KeyError(f"the sum at frequency {index} of sweep {sweep} has {done} passes")
            if not frames:
                nothing = np.zeros((self.start.height, self.start.width), sums_dtype(self.start.dtype))
                return SumPlane(index, done, 0, nothing)
            # a living writer may be two frames further by now: then the next look finds them
            pixels = self._sum(sweep, index, int(self._crc[row]))
            if pixels is not None:
                return SumPlane(index, done, frames, pixels)
        raise CorruptFrameError(f"the sum at frequency {index} of sweep {sweep} of {self.path} is damaged on disk")

    def _sum(self, sweep: int, index: int, crc: int) -> NDArray[Any] | None:
        """Return the copy of a sum that has this crc32c, or None."""
        openings = self.sweeps
        first = sum(len(before.frequency_mhz) for before in openings[: [s.sweep for s in openings].index(sweep)])
        for name, row in ((SUMS, first + index), (SPARE, index)):
            dataset = self._dataset(name, refresh=True)
            if row >= len(dataset) or not dataset.id.get_chunk_info_by_coord((row, 0, 0)).size:
                continue  # this copy was never written
            # not through HDF5's cache of chunks: they change in their places
            _, chunk = dataset.id.read_direct_chunk((row, 0, 0))
            pixels = np.frombuffer(chunk, sums_dtype(self.start.dtype))
            if pixels.size == self.start.height * self.start.width and crc32c(pixels) == crc:
                return pixels.reshape(self.start.height, self.start.width)
        return None

    def _require_frames(self) -> None:
        if self.start.archive is Archive.SUMS:
            raise FramesError(f"{self.path} keeps the sums of the passes, not frames: use archive = frames for those")

    def time_s(self, sweep: int) -> NDArray[np.float64]:
        """Return (n,) exposure times of a sweep's frames, seconds since the epoch, in the order sent."""
        self._refresh()
        times = self._read("/entry/data/time_s")[: len(self._keys)]
        return times[self._keys[:, 0] == sweep].astype(np.float64)

    def _frame(self, row: int, key: tuple[int, int, int]) -> NDArray[Any]:
        frame = cast("NDArray[Any]", self._dataset(FRAMES)[row])
        if crc32c(frame) != int(self._crc[row]):
            raise CorruptFrameError(f"frame {key} of {self.path} is damaged on disk: its crc32c does not match")
        return frame

    def _refresh(self) -> None:
        """Take in the rows that came since the last look; holes first: all frames before them were written before."""
        if _HOLES in self._file:
            holes = self._read(_HOLES)
            for hole in holes[len(self._holes) : _leading(holes[:, -1] >= 0)].tolist():
                self._holes.add((hole[0], hole[1], hole[2]))
        known = len(self._keys)
        fresh = _leading(~np.isnan(self._read(f"/entry/data/{_LAST}", known)))  # first: all else was written before it
        columns = [self._read(f"/entry/data/{name}", known) for name in ("sweep", "pass", "index", "crc32c")]
        count = known + min(fresh, *(len(column) for column in columns))
        if self.start.archive is Archive.FRAMES:
            count = min(count, int(self._dataset(FRAMES, refresh=True).shape[0]))
        if count <= known:
            return
        keys = np.stack([column[: count - known].astype(np.int64) for column in columns[:3]], axis=1)
        self._keys = np.concatenate([self._keys, keys])
        self._crc = np.concatenate([self._crc, columns[3][: count - known].astype(np.uint32)])
        for row in range(known, count):
            key = cast("tuple[int, int, int]", tuple(self._keys[row].tolist()))
            if key in self._rows:
                continue  # the first of a repeated frame counts
            self._rows[key] = row
            self._frames_of[key[0]] = self._frames_of.get(key[0], 0) + 1
            frames = self._newest.get((key[0], key[2]), (0, 0))[1]
            self._newest[key[0], key[2]] = (row, frames + 1)

    def _read(self, name: str, first: int = 0) -> NDArray[Any]:
        return cast("NDArray[Any]", self._dataset(name, refresh=True)[first:])

    def _dataset(self, name: str, refresh: bool = False) -> Any:
        if name not in self._sets:
            self._sets[name] = self._file[name]
        dataset = self._sets[name]
        if refresh:
            dataset.refresh()  # and not that of its id: h5py keeps the shape of a file that is open for reading
        return dataset

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._sets = {}
        if self._file.id.valid:
            self._file.close()

    def __enter__(self) -> FrameFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _leading(there: NDArray[np.bool_]) -> int:
    """Return how many values are true before the first that is not."""
    return int(there.size if there.all() else np.argmin(there))
