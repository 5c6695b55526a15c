"""Faults on demand: what can go wrong in the twin, and what it does to frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NONE = -1
"""Index of no frame."""
ANVIL_LOAD = 0.35
"""Part of the load that a broken anvil still carries."""
ANVIL_BRIGHTNESS = 0.2
"""Part of the NV light that a broken anvil still gives."""
COIL_HOT_K = 380.0
"""Temperature of a coil whose cooling failed."""
THERMOMETER_WRONG_K = 60.0
"""How much too high a wrong thermometer at the sample reads, K."""
HOT_COUNTS = (4_000, 60_000)
"""Range of the counts that a hot pixel adds, another number in each frame."""


@dataclass
class Faults:
    """What is wrong now; every field can be put through a PV `TWIN:FAULT:...`."""

    dropped_frame: int = NONE
    """Index in the first pass of the frame that the camera never delivers; -1: none."""
    frequency_slip: int = NONE
    """Index from which every frame of a pass shows the frequency before its own; -1: none."""
    hot_pixels: int = 0
    """Number of pixels that count at random."""
    cryostat_stuck: int = 0
    """1: the controller takes set points and does not ramp."""
    mains_lost: int = 0
    """1: no mains: supplies, laser, microwaves and compressor are off, puts are refused."""
    anvil_failed: int = 0
    """1: an anvil broke: load and light collapse, for good."""
    compressor_failed: int = 0
    """1: the compressor stops: the stage warms up, and nothing starts it again by itself."""
    vacuum_lost: int = 0
    """1: the insulating vacuum is gone, as its gauge says."""
    cryogen_lost: int = 0
    """1: the cryogen has run out, as its gauge says."""
    door_open: int = 0
    """1: the door of the laser enclosure is open."""
    coil_lead_open: int = 0
    """1: a lead of the coil is open: its current falls."""
    coil_hot: int = 0
    """1: the coil's cooling fails: its temperature rises beyond what it may be."""
    thermometer_wrong: int = 0
    """1: the thermometer at the sample reads far too high."""


class FrameDroppedError(RuntimeError):
    """The camera did not deliver a frame."""


def shown_index(index: int, frequency_slip: int) -> int:
    """Return the index of the frequency that a frame really shows."""
    return index - 1 if frequency_slip != NONE and index >= max(1, frequency_slip) else index


def hot_places(seed: int, count: int, pixels: int) -> NDArray[np.int64]:
    """Return the flat indices of the hot pixels of a camera; more of them include the fewer ones."""
    return np.random.default_rng([seed, 29]).permutation(pixels)[: max(0, count)]


def heat(frame: NDArray[np.uint16], places: NDArray[np.int64], key: int) -> None:
    """Add the counts of hot pixels to a flat frame; the same for the same key."""
    extra = np.random.default_rng(key).integers(*HOT_COUNTS, places.size)
    frame[places] = np.minimum(65535, frame[places].astype(np.int64) + extra)
