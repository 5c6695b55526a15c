"""Field cool and remnant: cool in a field, switch it off at the base, map the flux that is trapped.

The splitting of the remnant map holds sqrt((gamma b)^2 + E_perp^2); E_perp comes from a map without field at the same
base temperature and load, in the zero-field-cooled state: taken first here, or before field-on by `zfc_field_warming`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bluesky.utils import MsgGenerator

from devices.rig import Rig
from plans.cooling import cool_in_field, cool_in_zero_field, field_off, require_coil
from plans.journal import Journal
from plans.needs import Needs, require
from plans.points import Points
from plans.run import run, start_metadata
from plans.settings import CoilCalibration, CoolingSettings, RunInfo, SweepSettings
from plans.stubs import light_on, ramp_field, require_field_below, ruby_pressure, settle_temperature
from stream.messages import FieldHistory, SweepRole

PHASES = (
    ("zero-field", "Zero-field map"),
    ("field-cool", "Field cool"),
    ("field-cooled", "Field-cooled map"),
    ("remnant", "Remnant map"),
)
"""Phases of `field_cool_remnant`: key, label."""


@dataclass(frozen=True)
class RemnantSettings:
    """Field cool and remnant."""

    zero_field_sweep: SweepSettings
    """Sweep of the maps without applied field."""
    field_sweep: SweepSettings | None = None
    """Sweep of a map in the field after the cool; None takes none."""
    field_gauss: float = 150.0
    """Field of the cool along the culet normal, G."""
    zero_field_map: bool = True
    """Take the zero-field-cooled map first; false where the zero-field run named in the metadata has it."""
    coil: CoilCalibration | None = None
    """Newest calibration of the coil."""
    cooling: CoolingSettings = field(default_factory=CoolingSettings)
    """Both cools."""

    def __post_init__(self) -> None:
        """Refuse a field cool without a field."""
        if abs(self.field_gauss) <= self.cooling.remanence_gauss:
            raise ValueError(f"field_gauss {self.field_gauss:g} G is no field")


def remnant_needs(settings: RemnantSettings) -> Needs:
    """Return what `field_cool_remnant` needs of the rig."""
    sweeps = [settings.zero_field_sweep]
    if settings.field_sweep is not None:
        sweeps.append(settings.field_sweep)
    cooling = settings.cooling
    return Needs(
        devices=("cryostat", "magnet"),
        temperatures_k=(cooling.base_temperature_k, cooling.normal_temperature_k),
        fields_gauss=(0.0, settings.field_gauss),
        sweeps=tuple(sweeps),
    )


def field_cool_remnant(
    rig: Rig, settings: RemnantSettings, info: RunInfo | None = None, *, md: dict[str, Any] | None = None
) -> MsgGenerator[str]:
    """Map the flux that a field cool leaves behind, and return the run's uid.

    Zero-field cool and map (unless another run has it), back to the normal state, field on, cool, a map in the field
    where asked for, field off at the base, map of what is left. Nothing warms the sample between field-off and map.

    Parameters
    ----------
    rig
        The connected rig.
    settings
        Fields, temperatures and sweeps.
    info
        What the run is about.
    md
        Further metadata; `zero_field_run` names the run with the zero-field map.

    Raises
    ------
    DeviceError, LimitError, PreconditionError
        Before anything moves, where the rig cannot do it; on the way, where a field or temperature is not as needed.
    """
    about = info or RunInfo()
    require(rig, remnant_needs(settings))
    require_coil(settings.coil, settings.cooling.remanence_gauss)
    protocol = {"field_history": str(FieldHistory.FC_REMNANT), **(md or {})}
    metadata = start_metadata(rig, "field_cool_remnant", settings, about, protocol)

    def body(run_uid: str) -> MsgGenerator[None]:
        journal = Journal(rig, run_uid, PHASES, 3)
        yield from _steps(rig, settings, Points(rig, about, run_uid, journal))

    return (yield from run(rig, body, about, metadata))


def _steps(rig: Rig, settings: RemnantSettings, points: Points) -> MsgGenerator[None]:
    cooling, light = settings.cooling, settings.zero_field_sweep
    if settings.zero_field_map:
        yield from points.journal.phase("zero-field", FieldHistory.ZFC_FW)
        yield from _to_normal(rig, cooling)
        yield from field_off(rig, cooling)
        yield from cool_in_zero_field(rig, cooling, light)
        yield from points.measure(light, SweepRole.SINGLE, FieldHistory.ZFC_FW)
    yield from points.journal.phase("field-cool", FieldHistory.FC)
    yield from _to_normal(rig, cooling)
    yield from cool_in_field(rig, cooling, settings.field_gauss, light)
    if settings.field_sweep is not None:
        yield from points.journal.phase("field-cooled", FieldHistory.FC)
        yield from light_on(rig, settings.field_sweep)
        yield from points.measure(settings.field_sweep, SweepRole.SINGLE, FieldHistory.FC)
    yield from points.journal.phase("remnant", FieldHistory.FC_REMNANT)
    yield from ramp_field(rig, 0.0)
    yield from require_field_below(rig, cooling.remanence_gauss, "a remnant map")
    yield from light_on(rig, light)
    yield from points.measure(light, SweepRole.SINGLE, FieldHistory.FC_REMNANT)
    yield from ruby_pressure(rig)
    yield from points.journal.phase("", FieldHistory.FC_REMNANT)


def _to_normal(rig: Rig, cooling: CoolingSettings) -> MsgGenerator[None]:
    yield from settle_temperature(rig, cooling.normal_temperature_k)
