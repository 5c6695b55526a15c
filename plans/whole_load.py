"""One pressure point from stress map to remnant, unattended, as a sequence of runs that name each other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from bluesky.utils import MsgGenerator, new_uid

from devices.rig import Rig
from plans.cooling import require_coil
from plans.histories import zfc_field_warming, zfc_needs
from plans.mapping import StressSettings, stress_map, stress_needs
from plans.needs import require
from plans.remnant import RemnantSettings, field_cool_remnant, remnant_needs
from plans.settings import RunInfo, ZfcSettings
from stream.messages import Json


@dataclass(frozen=True)
class WholeLoadSettings:
    """Everything that is measured at one load."""

    stress: StressSettings
    """Stress map in the normal state."""
    warming: ZfcSettings
    """Zero-field cool and field warming."""
    remnant: RemnantSettings
    """Field cool and remnant; its zero-field map is left out where the warming's run has one."""
    zero_field_analysis: Json = field(default_factory=dict[str, object])
    """Analysis settings of the remnant's run, whose sweeps are about zero field; empty: those of the other runs."""

    def __post_init__(self) -> None:
        """Refuse a remnant that would have no zero-field map at its base temperature."""
        warming, remnant = self.warming, self.remnant
        elsewhere = warming.base_temperature_k != remnant.cooling.base_temperature_k
        if not remnant.zero_field_map and (warming.zero_field_sweep is None or elsewhere):
            raise ValueError(
                "the remnant needs a zero-field map at its base temperature: its own (zero_field_map), "
                "or the warming's (zero_field_sweep at the same base_temperature_k)"
            )


@dataclass(frozen=True)
class LoadRuns:
    """The runs of one load."""

    stress: str
    """Uid of the stress map."""
    warming: str
    """Uid of the warming."""
    remnant: str
    """Uid of the remnant."""


def whole_load(
    rig: Rig, settings: WholeLoadSettings, info: RunInfo | None = None, *, md: dict[str, Any] | None = None
) -> MsgGenerator[LoadRuns]:
    """Run one pressure point: stress map and ruby, zero-field cool and field warming, field cool and remnant.

    Every need of every part is checked before the first thing moves. The runs share the key `load_uid`; the remnant
    names the run with its zero-field map.

    Raises
    ------
    DeviceError, LimitError, PreconditionError
        Before anything moves, where the rig cannot do a part of it.
    """
    for needs in (stress_needs(settings.stress), zfc_needs(settings.warming), remnant_needs(settings.remnant)):
        require(rig, needs)
    require_coil(settings.warming.coil, settings.warming.remanence_gauss)
    require_coil(settings.remnant.coil, settings.remnant.cooling.remanence_gauss)
    shared = {"load_uid": new_uid(), **(md or {})}
    stress = yield from stress_map(rig, settings.stress, info, md=shared)
    named = {**shared, "stress_run": stress}
    warming = yield from zfc_field_warming(rig, settings.warming, info, md=named)
    named["warming_run"] = warming
    if not settings.remnant.zero_field_map:
        named["zero_field_run"] = warming
    about = info or RunInfo()
    if settings.zero_field_analysis:
        about = replace(about, analysis=settings.zero_field_analysis)
    remnant = yield from field_cool_remnant(rig, settings.remnant, about, md=named)
    return LoadRuns(stress, warming, remnant)
