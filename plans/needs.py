"""What a plan needs of the rig, declared as data and checked before anything moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from devices.rig import Rig
from plans.run import check_sweep
from plans.settings import SweepSettings


@dataclass(frozen=True)
class Needs:
    """Instruments and the values they will be asked for."""

    devices: tuple[str, ...] = ()
    """Names of the devices, as in `Rig`."""
    temperatures_k: tuple[float, ...] = ()
    """Set points of the cryostat, K."""
    fields_gauss: tuple[float, ...] = ()
    """Fields along the culet normal, G."""
    transverse_gauss: tuple[float, ...] = ()
    """Fields across it, G."""
    sweeps: tuple[SweepSettings, ...] = field(default_factory=tuple)
    """Sweeps that will be taken; each needs camera and analysis."""


def require(rig: Rig, needs: Needs) -> None:
    """Refuse a plan that the rig cannot run, before anything moves.

    Raises
    ------
    DeviceError
        Naming every instrument that is missing.
    LimitError
        Naming the first value outside the rig's limits.
    """
    sensors = ("camera", "analysis") if needs.sweeps else ()
    rig.require(*dict.fromkeys((*needs.devices, *sensors)))
    for sweep in needs.sweeps:
        check_sweep(rig, sweep)
    devices: Any = rig
    for value in needs.temperatures_k:
        devices.cryostat.check_value(value)
    for value in needs.fields_gauss:
        devices.magnet.check_value(value)
    for value in needs.transverse_gauss:
        devices.magnet.transverse.check_value(value)
