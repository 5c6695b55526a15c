"""Frames of the twin at several fields, and the bounds of what a joint fit can find in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from analyzers.joint import JointSweep
from analyzers.joint_bound import Bound, Lines, cramer_rao
from analyzers.joint_problem import FieldList, JointSettings
from devices.settings import TwinSettings
from devices.twin.noise import expose, frame_key
from devices.twin.optics import brightness
from devices.twin.spectra import expected_frames, resonances
from devices.twin.state import TwinState
from devices.twin.truth import truth_of
from physics.zero_field import zero_field_splitting_mhz
from stream.messages import FieldHistory, NoiseModel

Field = tuple[float, float, float]
"""Applied field in the culet frame, G."""

NOISE = NoiseModel("gain", electrons_per_count=8.0, offset_counts=100.0, read_noise_electrons=20.0)
PASSES = 6
TEMPERATURE_K = 150.0
KNOWN = JointSettings(miscut_deg=3.0, miscut_azimuth_deg=20.0)
"""What is known of the twin's anvil."""

ALONG: Field = (0.0, 0.0, 97.0)
NONE: Field = (0.0, 0.0, 0.0)
ACROSS: Field = (35.0, 35.0, 0.0)
SET = (NONE, ALONG, ACROSS)
"""Fields recommended for stress: near zero, along the culet normal, across it."""

_WINDOWS = ((2800, 2915, 30), (2945, 3055, 5), (3070, 3320, 56), (3345, 3460, 29))
LISTS: dict[Field, NDArray[np.float64]] = {
    ALONG: np.concatenate([np.linspace(*window) for window in _WINDOWS]),
    NONE: np.linspace(3030.0, 3250.0, 120),
    ACROSS: np.linspace(2930.0, 3380.0, 120),
}
"""Frequency list of each field, MHz."""


def state(field: Field, temperature_k: float = TEMPERATURE_K) -> TwinState:
    """Return the twin in the normal state at a field, with light and microwaves on."""
    cold = temperature_k, temperature_k, temperature_k
    return TwinState("S1", 1, 0, 21.0, *cold, field, FieldHistory.NORMAL_STATE, (), -20.0, 1, 100.0, 1)


def frames_of(
    twin: TwinSettings, field: Field, passes: int = PASSES, temperature_k: float = TEMPERATURE_K
) -> Iterator[tuple[int, int, NDArray[np.uint16]]]:
    """Yield pass, index and frame (y, x) of a sweep."""
    expected = expected_frames(truth_of(twin), state(field, temperature_k), LISTS[field])
    for index, light in enumerate(expected.reshape(len(expected), -1)):
        for pass_index in range(passes):
            frame = np.empty(light.size, np.uint16)
            key = np.uint64(frame_key(twin.seed, f"joint {field}", 0, pass_index, index))
            expose(light, key, twin.laser_noise, 20.0, 1.0 / 8.0, 100.0, frame)
            yield pass_index, index, frame.reshape(twin.height, twin.width)


def sweeps(twin: TwinSettings, fields: Sequence[Field]) -> list[JointSweep]:
    """Measure the twin at several fields."""
    made: list[JointSweep] = []
    for field in fields:
        cube = np.zeros((len(LISTS[field]), twin.height, twin.width), np.uint32)
        for _, index, frame in frames_of(twin, field):
            cube[index] += frame
        made.append(JointSweep(cube, np.full(len(cube), PASSES), LISTS[field], field, TEMPERATURE_K))
    return made


def bounds(twin: TwinSettings, fields: Sequence[Field], pixels: NDArray[np.integer]) -> list[Bound]:
    """Return the Cramer-Rao bounds of some pixels (n, 2), from the twin's true lines."""
    truth = truth_of(twin)
    light = brightness(truth, state(NONE))
    lines = [resonances(truth, state(field)) for field in fields]
    d = float(zero_field_splitting_mhz(TEMPERATURE_K))
    lists = [FieldList(LISTS[f], np.full(len(LISTS[f]), float(PASSES)), f, d) for f in fields]
    found: list[Bound] = []
    for y, x in pixels:
        mine = [Lines(r.fwhm_mhz[:, y, x].astype(float), r.contrast[:, y, x].astype(float)) for r in lines]
        electrons = float(light.centres[y, x] + light.background[y, x])
        found.append(cramer_rao(lists, mine, truth.stress_gpa[y, x], electrons, KNOWN))
    return found


def twin_of(side: int = 30, pixel_size_um: float = 1.5, contrast_crossing_gpa: float = 8.0) -> TwinSettings:
    """Return a twin of `side` x `side` pixels."""
    return TwinSettings(
        height=side, width=side, pixel_size_um=pixel_size_um, contrast_crossing_gpa=contrast_crossing_gpa
    )
