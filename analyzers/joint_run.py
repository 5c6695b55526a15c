"""The joint fit of a stored run: which of its sweeps belong together, and what the map says about itself.

A pure function of the frames and the settings: nothing of it depends on when, where or in how many threads it is made.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from analyzers.joint import JointSweep, joint_map, warm_up
from analyzers.joint_problem import JointSettings
from analyzers.offline import sweep_cube
from analyzers.pipeline import RunMaps
from analyzers.settings import AnalysisSettings
from stream.archive_hdf5 import FrameFile
from stream.messages import Json, SweepRole, SweepStart

JOINT_VERSION = 2
"""Raised whenever the joint fit may give other bits for the same frames."""
SAME_K = 5.0
"""Largest difference in temperature between sweeps of one set, K."""
SAME_GAUSS = 2.0
"""Fields closer than this count as the same one, G."""


@dataclass(frozen=True)
class JointPart:
    """Planes of the joint fit and what they say about themselves."""

    planes: dict[str, NDArray[np.generic]]
    """Arrays by name; units and meanings in `analyzers.joint_map`."""
    attributes: Json
    """Facts about the map."""


def joint_settings(settings: AnalysisSettings) -> JointSettings:
    """Return the joint fit's part of the analysis settings."""
    return JointSettings(
        constants=settings.stress_constants,
        zero_field_splitting=settings.zero_field_splitting,
        miscut_deg=settings.miscut_deg,
        miscut_azimuth_deg=settings.miscut_azimuth_deg,
        significance=settings.significance,
    )


def applied_field(sweep: SweepStart) -> tuple[float, float, float]:
    """Return the applied field in the culet frame, G: across the normal only where the source says so."""
    given = sweep.source_state.get("field_xyz_gauss")
    if isinstance(given, list) and len(cast("list[Any]", given)) == 3:
        x, y, z = (float(value) for value in cast("list[Any]", given))
        return x, y, z
    return 0.0, 0.0, sweep.state.field_gauss


def joint_set(sweeps: Sequence[SweepStart]) -> list[SweepStart]:
    """Return the sweeps that are fitted together: those of the opening reference's load and temperature.

    Without an opening reference the first sweep counts as one. Of sweeps at one field the first is taken.
    """
    references = [sweep for sweep in sweeps if sweep.role == SweepRole.OPENING_REFERENCE]
    if not sweeps:
        return []
    anchor = (references or list(sweeps))[0]
    chosen = [anchor]
    for sweep in sweeps:
        near = abs(sweep.state.temperature_k - anchor.state.temperature_k) <= SAME_K
        alike = near and sweep.state.load_index == anchor.state.load_index
        if alike and all(_differ(sweep, other) for other in chosen):
            chosen.append(sweep)
    return sorted(chosen, key=lambda sweep: sweep.sweep)


def _differ(one: SweepStart, other: SweepStart) -> bool:
    return bool(np.linalg.norm(np.subtract(applied_field(one), applied_field(other))) > SAME_GAUSS)


def joint_of_run(file: FrameFile, run: RunMaps, threads: int = 0) -> JointPart:
    """Fit the complete sweeps of a run that belong together.

    Raises
    ------
    ValueError
        Where no sweep is complete, or their fields cannot tell the NV groups apart.
    stream.archive_hdf5.CorruptFrameError
        Where a frame's bytes are not those written.
    """
    chosen = joint_set([maps.start for _, maps in sorted(run.finals.items())])
    if not chosen:
        raise ValueError("no sweep of the run is complete")
    warm_up()  # numba must not compile in several threads at once
    sweeps = [_measured(file, sweep) for sweep in chosen]
    settings = joint_settings(run.settings)
    found = joint_map(sweeps, run.start.noise, settings, run.regions.ruby, threads)
    attributes: Json = {
        **run.run_attributes(),
        "joint_version": joint_version(run.version, settings),
        "joint_settings": json.loads(json.dumps(dataclasses.asdict(settings))),
        "joint_sweeps": [sweep.sweep for sweep in chosen],
        "joint_fields_gauss": [list(field) for field in found.fields_gauss],
        "joint_systematics_gpa": found.systematics_gpa,
        "joint_constants": found.constants,
        "no_joint_tau_because": found.no_tau_because,
    }
    return JointPart(found.planes, attributes)


def joint_version(version: str, settings: JointSettings) -> str:
    """Return the first 12 hex digits of the SHA-256 of all that the joint map depends on besides the frames."""
    content = {"maps": version, "joint": JOINT_VERSION, "settings": dataclasses.asdict(settings)}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _measured(file: FrameFile, sweep: SweepStart) -> JointSweep:
    cube = sweep_cube(file, sweep)
    return JointSweep(
        cube.sums, cube.passes_added, sweep.frequency_mhz, applied_field(sweep), sweep.state.temperature_k
    )
