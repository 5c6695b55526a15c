"""Maps of the normal state and of lines: stress map with its field set, reference map, linecut."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from bluesky.utils import MsgGenerator

from devices.rig import Rig
from plans.journal import Journal
from plans.needs import Needs, require
from plans.points import Points
from plans.run import run, start_metadata
from plans.settings import CoolingSettings, RunInfo, SweepSettings
from plans.stubs import (
    light_on,
    ramp_field,
    require_sample_above,
    ruby_pressure,
    settle_temperature,
    transverse_field,
)
from stream.messages import FieldHistory, SweepRole

STRESS_PHASES = (("settle", "To the normal state"), ("fields", "Stress maps"))
"""Phases of `stress_map`: key, label."""


@dataclass(frozen=True)
class FieldSet:
    """One field of a stress map."""

    sweep: SweepSettings
    """How its sweep is taken: every field has its own lines."""
    field_gauss: float = 0.0
    """Along the culet normal, G."""
    transverse_gauss: float = 0.0
    """Across it, G."""


@dataclass(frozen=True)
class StressSettings:
    """A stress map in the normal state."""

    sets: tuple[FieldSet, ...]
    """Fields, in order; the first with a field along the culet normal alone is the reference of s too."""
    temperature_k: float = 150.0
    """Where it is taken, K."""
    cooling: CoolingSettings = field(default_factory=CoolingSettings)
    """What counts as the normal state."""

    def __post_init__(self) -> None:
        """Refuse an empty set and a temperature that is not in the normal state."""
        if not self.sets:
            raise ValueError("a stress map needs at least one field")
        if self.temperature_k < self.cooling.normal_above_k:
            raise ValueError(f"a stress map is taken in the normal state, above {self.cooling.normal_above_k:g} K")


def stress_sets(
    zero: SweepSettings,
    along: SweepSettings,
    across: SweepSettings,
    field_gauss: float = 97.0,
    transverse_gauss: float = 40.0,
) -> tuple[FieldSet, ...]:
    """Return the field set that labels every line: about zero, along the culet normal, and with a transverse part.

    Without field the shear is seen (a transverse quantity); the field along the normal labels the [111] pair; the
    transverse part, 30 to 60 G, tells the tilted groups apart.
    """
    return (FieldSet(zero), FieldSet(along, field_gauss), FieldSet(across, field_gauss, transverse_gauss))


def stress_needs(settings: StressSettings) -> Needs:
    """Return what `stress_map` needs of the rig."""
    return Needs(
        devices=("cryostat", "magnet"),
        temperatures_k=(settings.temperature_k,),
        fields_gauss=(0.0, *(row.field_gauss for row in settings.sets)),
        transverse_gauss=tuple(row.transverse_gauss for row in settings.sets if row.transverse_gauss),
        sweeps=tuple(row.sweep for row in settings.sets),
    )


def stress_map(
    rig: Rig, settings: StressSettings, info: RunInfo | None = None, *, md: dict[str, Any] | None = None
) -> MsgGenerator[str]:
    """Map the stress in the normal state at a set of fields, the ruby before, and return the run's uid.

    Ends with both fields off: what follows is a cool from the normal state.

    Raises
    ------
    DeviceError, LimitError
        Before anything moves, where the rig cannot do it.
    PreconditionError
        Where the sample is not normal.
    """
    about = info or RunInfo()
    require(rig, stress_needs(settings))
    protocol = {"field_history": str(FieldHistory.NORMAL_STATE), **(md or {})}
    metadata = start_metadata(rig, "stress_map", settings, about, protocol)

    def body(run_uid: str) -> MsgGenerator[None]:
        points = Points(rig, about, run_uid, Journal(rig, run_uid, STRESS_PHASES, len(settings.sets)))
        yield from points.journal.phase("settle", FieldHistory.NORMAL_STATE)
        yield from light_on(rig, settings.sets[0].sweep)
        yield from settle_temperature(rig, settings.temperature_k)
        yield from require_sample_above(rig, settings.cooling.normal_above_k, "a stress map")
        yield from ruby_pressure(rig)
        yield from points.journal.phase("fields", FieldHistory.NORMAL_STATE)
        referenced = False
        for row in settings.sets:
            alone = row.field_gauss != 0.0 and row.transverse_gauss == 0.0 and not referenced
            referenced = referenced or alone
            role = SweepRole.OPENING_REFERENCE if alone else SweepRole.SINGLE
            yield from _at_field(points, row, role)
        yield from _fields_off(rig, settings)
        yield from points.journal.phase("", FieldHistory.NORMAL_STATE)

    return (yield from run(rig, body, about, metadata))


def _at_field(points: Points, row: FieldSet, role: SweepRole) -> MsgGenerator[None]:
    yield from ramp_field(points.rig, row.field_gauss)
    if row.transverse_gauss:
        yield from transverse_field(points.rig, row.transverse_gauss)
    yield from light_on(points.rig, row.sweep)
    yield from points.measure(row.sweep, role, FieldHistory.NORMAL_STATE)
    if row.transverse_gauss:
        yield from transverse_field(points.rig, 0.0)


def _fields_off(rig: Rig, settings: StressSettings) -> MsgGenerator[None]:
    """Switch the field off; only in the normal state, where no history ends by it."""
    yield from require_sample_above(rig, settings.cooling.normal_above_k, "field off after a stress map")
    yield from ramp_field(rig, 0.0)


def reference_map(
    rig: Rig,
    sweep: SweepSettings,
    info: RunInfo | None = None,
    *,
    cooling: CoolingSettings | None = None,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[str]:
    """Map the normal state here and now, at the present field, as a reference of s; returns the run's uid.

    Raises
    ------
    PreconditionError
        Where the sample is not normal.
    """
    about, limits = info or RunInfo(), cooling or CoolingSettings()
    require(rig, Needs(devices=("cryostat",), sweeps=(sweep,)))
    protocol = {"field_history": str(FieldHistory.NORMAL_STATE), **(md or {})}
    metadata = start_metadata(rig, "reference_map", sweep, about, protocol)

    def body(run_uid: str) -> MsgGenerator[None]:
        yield from require_sample_above(rig, limits.normal_above_k, "a reference map")
        yield from light_on(rig, sweep)
        points = Points(rig, about, run_uid, Journal(rig, run_uid, (("reference", "Reference map"),), 1))
        yield from points.journal.phase("reference", FieldHistory.NORMAL_STATE)
        yield from points.measure(sweep, SweepRole.OPENING_REFERENCE, FieldHistory.NORMAL_STATE)

    return (yield from run(rig, body, about, metadata))


def line_points(start_um: tuple[float, float], stop_um: tuple[float, float], count: int) -> dict[str, list[float]]:
    """Return named places at equal distances along a line, um from the image centre.

    Raises
    ------
    ValueError
        Where there are fewer than two, or the line has no length.
    """
    if count < 2 or start_um == stop_um:
        raise ValueError("a line needs a length and at least two points")
    places = np.linspace(start_um, stop_um, count)
    return {f"line-{number:02d}": [float(x), float(y)] for number, (x, y) in enumerate(places)}


def linecut(
    rig: Rig,
    sweep: SweepSettings,
    start_um: tuple[float, float],
    stop_um: tuple[float, float],
    info: RunInfo | None = None,
    *,
    count: int = 11,
    history: FieldHistory = FieldHistory.UNKNOWN,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[str]:
    """Take one long sweep here and now with named points along a line, and return the run's uid.

    The camera sees the whole field anyway: a cut is a sweep whose regions name the points, so that the page and the
    catalog show their spectra and values.

    Raises
    ------
    ValueError
        Where the line makes no sense.
    """
    about = info or RunInfo()
    places: dict[str, Any] = dict(about.regions)
    present: Any = places.get("points") or {}
    places["points"] = {**present, **line_points(start_um, stop_um, count)}
    about = replace(about, regions=places)
    require(rig, Needs(devices=("cryostat",), sweeps=(sweep,)))
    protocol = {"field_history": str(history), "line_um": [list(start_um), list(stop_um)], **(md or {})}
    metadata = start_metadata(rig, "linecut", sweep, about, protocol)

    def body(run_uid: str) -> MsgGenerator[None]:
        yield from light_on(rig, sweep)
        points = Points(rig, about, run_uid, Journal(rig, run_uid, (("line", "Linecut"),), 1))
        yield from points.journal.phase("line", history)
        yield from points.measure(sweep, SweepRole.SINGLE, history)

    return (yield from run(rig, body, about, metadata))
