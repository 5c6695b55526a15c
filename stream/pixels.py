"""What a worker without the ring gets instead of descriptors: the pixels of its band, once each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.frame_fetcher import FrameFetcher
from stream.link_messages import ABANDONED, NOT_IN_RING, BandPixels, FramesReady
from stream.messages import SweepStart
from stream.ring import Ring


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
        gone = slots == np.uint32(ABANDONED)
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
            elif slot != ABANDONED:
                band = self._from_ring(slot, sequences[i], slice(ready.y0, place[0]))
            if band is None:
                break
            pixels.append(band)
        key = (ready.run_uid, ready.sweep, ready.y0, ready.lease, ready.first)
        return len(pixels), BandPixels(*key, tuple(pixels))

    def _from_ring(self, slot: int, sequence: int, rows: slice) -> NDArray[np.generic] | None:
        """Return the rows, or None where the slot was taken meanwhile: the next look-up finds the frame elsewhere."""
        view = self._ring.pixels[slot, rows]
        if not self._copy:
            return view
        pixels = view.copy()
        return pixels if self._ring.sequence(slot) == sequence else None
