"""Writing the chunks of a growing HDF5 dataset so that what a full disk refused is there once it was taken."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ChunkWriter:
    """Writes whole chunks past HDF5's cache; what failed may be tried again.

    HDF5 remembers the place of the chunk it looked up last, also where writing it failed before it came into the index:
    a second try would go to that place, end well and be lost. Looking up another one makes it forget. Where there is no
    other, the dataset grows by rows of its fill value, of which no reader of ours takes notice.
    """

    def __init__(self) -> None:
        self._doubtful: set[str] = set()

    def write(self, dataset: Any, row: int, values: NDArray[Any]) -> None:
        """Write the chunk that begins at a row.

        Raises
        ------
        OSError
            Where the disk does not take it, or HDF5 says that it did and it is not there.
        """
        doubtful, step = dataset.name in self._doubtful, dataset.chunks[0]
        if doubtful:
            other = row - step if row else step
            if dataset.shape[0] <= other:
                dataset.resize((other + 1, *dataset.shape[1:]))
            with contextlib.suppress(OSError, RuntimeError, ValueError):  # it need not be there
                dataset.id.read_direct_chunk(_place(dataset, other))
        self._doubtful.add(dataset.name)
        dataset.id.write_direct_chunk(_place(dataset, row), np.ascontiguousarray(values))
        if doubtful and dataset.id.get_chunk_info_by_coord(_place(dataset, row)).byte_offset is None:
            raise OSError(f"row {row} of {dataset.name} is not in the file although it was written")
        self._doubtful.discard(dataset.name)

    def put(self, dataset: Any, start: int, values: NDArray[Any]) -> None:
        """Write values behind the first `start` ones, and flush; raises as `write`."""
        step = dataset.chunks[0]
        first = start // step * step
        dataset.resize((max(start + len(values), dataset.shape[0]), *values.shape[1:]))
        rows = np.concatenate([dataset[first:start], values])
        for at in range(0, len(rows), step):
            chunk = np.full(dataset.chunks, dataset.fillvalue, dataset.dtype)
            chunk[: len(rows) - at] = rows[at : at + step]
            self.write(dataset, first + at, chunk)
        dataset.flush()


def _place(dataset: Any, row: int) -> tuple[int, ...]:
    return (row, *(0 for _ in dataset.shape[1:]))
