"""Pixels by message: of a band for a worker without the ring, and sums where frames are kept by their sums alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stream.frame_fetcher import FrameFetcher, SumKey
from stream.link_messages import ABANDONED, LOST, NOT_IN_RING, BandPixels, BandSums, FramesReady
from stream.messages import SweepStart
from stream.ring import Ring

SUMS_BYTES = 2 * 1024 * 1024
"""Sums of one message at most, bytes; one plane at least."""
SUMS_PLANES = 64
"""Sums of one message at most."""


class PixelMessages:
    """Turns descriptors into pixels.

    Parameters
    ----------
    ring
        Where frames are.
    fetcher
        Reads those that left the ring.
    copy
        Copy out of the ring and check afterwards, for policies that may overwrite frames that were not added. Under
        `pause` a frame of a band's cursor is pinned: nothing is written into its slot before the worker acknowledged.
    """

    def __init__(self, ring: Ring, fetcher: FrameFetcher, copy: bool) -> None:
        self._ring = ring
        self._fetcher = fetcher
        self._copy = copy

    def of(self, ready: FramesReady, sweep: SweepStart, place: tuple[int, str]) -> tuple[int, FramesReady | BandPixels]:
        """Return a message with the first frames of `ready`, and how many; the others are for the next message.

        Parameters
        ----------
        place
            One past the band's last row; path of the run's frames file.

        Returns
        -------
        tuple
            (0, ...) where the first frame is not here yet: it is asked of the disk, and `wake` says when it is here.
        """
        slots = ready.slots
        gone = (slots == np.uint32(ABANDONED)) | (slots == np.uint32(LOST))
        holes = int(np.argmin(gone)) if not gone.all() else len(slots)
        if holes:
            # holes have no pixels: they are told as they are on this host
            told = FramesReady(
                ready.run_uid, ready.sweep, ready.y0, ready.lease, ready.first, slots[:holes], ready.sequences[:holes]
            )
            return holes, told
        pixels: list[NDArray[np.generic]] = []
        sequences = ready.sequences.tolist()
        for i, slot in enumerate(slots.tolist()):
            band = None
            if slot == NOT_IN_RING:
                number = divmod(ready.first + i, len(sweep.frequency_mhz))
                frame = self._fetcher.get(place[1], (sweep.sweep, *number))
                band = None if frame is None else frame[ready.y0 : place[0]]
            elif slot not in (ABANDONED, LOST):
                band = self._from_ring(slot, sequences[i], slice(ready.y0, place[0]))
            if band is None:
                break
            pixels.append(band)
        key = (ready.run_uid, ready.sweep, ready.y0, ready.lease, ready.first)
        return len(pixels), BandPixels(*key, tuple(pixels))

    def sums(self, place: BandSums, sweep: SweepStart, done: int, rows: tuple[int, str]) -> BandSums | None:
        """Return a message with the sums of a band from `place.first_index` on, those of its first `done` frames.

        Parameters
        ----------
        rows
            One past the band's last row; path of the run's file.

        Returns
        -------
        BandSums or None
            None where the first is not here yet: it is asked of the disk, and `wake` says when it is here.
        """
        frequencies = len(sweep.frequency_mhz)
        passes, more = divmod(done, frequencies)
        pixels: list[NDArray[np.generic]] = []
        counts: list[tuple[int, int]] = []
        index = place.first_index
        while index < frequencies and len(pixels) < SUMS_PLANES:
            wanted = passes + (index < more)
            if not wanted:
                break  # nothing was added there yet, nor at any later one
            plane = self._fetcher.sum(rows[1], SumKey(sweep.sweep, index, wanted))
            if plane is None:
                break
            pixels.append(plane.pixels[place.y0 : rows[0]])
            counts.append((plane.passes_done, plane.frames))
            index += 1
            if sum(part.nbytes for part in pixels) >= SUMS_BYTES:
                break
        if not pixels:
            return None
        numbers = np.array(counts, np.uint32)
        return replace(place, passes_done=numbers[:, 0].copy(), frames=numbers[:, 1].copy(), sums=tuple(pixels))

    def _from_ring(self, slot: int, sequence: int, rows: slice) -> NDArray[np.generic] | None:
        """Return the rows, or None where the slot was taken meanwhile: the next look-up finds the frame elsewhere."""
        view = self._ring.pixels[slot, rows]
        if not self._copy:
            return view
        pixels = view.copy()
        return pixels if self._ring.sequence(slot) == sequence else None
