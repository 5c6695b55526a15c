"""From the normal state to the base: without a field or in one, and what must be given before."""

from __future__ import annotations

import time

from bluesky.utils import MsgGenerator

from devices.rig import Rig
from plans.settings import CoilCalibration, CoolingSettings, PreconditionError, SweepSettings
from plans.stubs import (
    light_on,
    ramp_field,
    require_field_below,
    require_sample_above,
    settle_temperature,
    shutter_closed,
)

ZERO_FIELD_COOL = "a zero-field cool"


def require_coil(coil: CoilCalibration | None, limit_gauss: float) -> None:
    """Refuse a zero-field cool where the newest calibration of the coil says that a field is left.

    The readback of a supply does not know what the coil's surroundings keep; |E_111| at zero current is blind to it.

    Raises
    ------
    PreconditionError
        Naming the remanence, or the age of the calibration.
    """
    if coil is None:
        return
    if abs(coil.remanence_gauss) >= limit_gauss:
        raise PreconditionError(
            f"{ZERO_FIELD_COOL} needs a remanence below {limit_gauss:g} G; calibrate_coil found "
            f"{coil.remanence_gauss:.2g} G: null it and calibrate again"
        )
    age = time.time() - coil.time_s
    if coil.time_s and age > coil.age_max_s:
        raise PreconditionError(
            f"{ZERO_FIELD_COOL} needs a calibration of the coil younger than {coil.age_max_s / 86400:.3g} days; "
            f"the newest is {age / 86400:.3g} days old: run calibrate_coil"
        )


def field_off(rig: Rig, cooling: CoolingSettings) -> MsgGenerator[None]:
    """Ramp the field to zero in the normal state and make sure of both.

    Raises
    ------
    PreconditionError
        Where the field does not go off or the sample is not normal.
    """
    yield from ramp_field(rig, 0.0)
    yield from require_field_below(rig, cooling.remanence_gauss, ZERO_FIELD_COOL)
    yield from require_sample_above(rig, cooling.normal_above_k, ZERO_FIELD_COOL)


def cool_in_zero_field(rig: Rig, cooling: CoolingSettings, light: SweepSettings) -> MsgGenerator[None]:
    """Cool with the shutter closed; ends at the base with the light on and everything at rest."""
    yield from _cool(rig, cooling, light)
    yield from require_field_below(rig, cooling.remanence_gauss, f"{ZERO_FIELD_COOL} that has ended")


def cool_in_field(rig: Rig, cooling: CoolingSettings, field_gauss: float, light: SweepSettings) -> MsgGenerator[None]:
    """Set a field in the normal state and cool in it; ends at the base with the light on and everything at rest.

    Raises
    ------
    PreconditionError
        Where the sample is not normal.
    """
    yield from require_sample_above(rig, cooling.normal_above_k, "a field cool")
    yield from ramp_field(rig, field_gauss)
    yield from _cool(rig, cooling, light)


def _cool(rig: Rig, cooling: CoolingSettings, light: SweepSettings) -> MsgGenerator[None]:
    yield from shutter_closed(rig)
    yield from settle_temperature(rig, cooling.base_temperature_k)
    # The laser warms the sample a little: that comes to rest before anything else happens.
    yield from light_on(rig, light)
    yield from settle_temperature(rig, cooling.base_temperature_k)
