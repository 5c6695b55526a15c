"""From the normal state to the base: without a field or in one, and what must be given before."""

from __future__ import annotations

import time
from math import inf
from typing import Any

from bluesky import plan_stubs as bps
from bluesky.utils import MsgGenerator, short_uid

from devices.rig import Rig
from plans.history import require_history, zero_field_cool
from plans.settings import CoilCalibration, CoolingSettings, PreconditionError, SweepSettings
from plans.stubs import (
    light_on,
    ramp_field,
    read_now,
    record,
    require_field_below,
    require_sample_above,
    settle_temperature,
    shutter_closed,
)
from stream.messages import FieldHistory

ZERO_FIELD_COOL = "a zero-field cool"
Resistance = tuple[tuple[float, float], ...]
"""(sample temperature in K, resistance in ohm), in the order measured."""
TRANSPORT_EVERY_K = 2.0
"""Distance of the readings of R on a cool-down, K."""
LOOK_S = 0.2
"""How often the temperature is looked at on the way, s."""


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


def cool_in_zero_field(rig: Rig, cooling: CoolingSettings, light: SweepSettings) -> MsgGenerator[Resistance]:
    """Cool with the shutter closed; ends at the base with the light on and everything at rest; returns R(T)."""
    yield from zero_field_cool(rig, True)
    resistance = yield from _cool(rig, cooling, light)
    yield from require_field_below(rig, cooling.remanence_gauss, f"{ZERO_FIELD_COOL} that has ended")
    yield from zero_field_cool(rig, False)
    yield from require_history(rig, FieldHistory.ZFC_FW, "field-on")
    return resistance


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


def cool_measuring(rig: Rig, temperature_k: float, every_k: float = TRANSPORT_EVERY_K) -> MsgGenerator[Resistance]:
    """Go to a set point and measure R on the way into the stream `cooldown`; returns (sample K, ohm) in order.

    A rig without a transport meter only goes there.
    """
    rows: list[tuple[float, float]] = []
    if rig.transport is not None:
        cryostat: Any = rig.cryostat
        meter: Any = rig.transport
        group = short_uid("cooldown")
        yield from bps.abs_set(cryostat, temperature_k, group=group)
        done, last = False, inf
        while not done:
            done = bool((yield from bps.wait(group=group, timeout=LOOK_S, error_on_timeout=False)))
            now = yield from read_now(cryostat.sample_k)
            if abs(last - now) >= every_k:
                last = now
                yield from bps.trigger(meter, wait=True)
                yield from record("cooldown", cryostat, meter)
                rows.append((now, float((yield from bps.rd(meter.resistance_ohm)))))
    # After a pause the ramp was held: only this says that everything is there and at rest.
    yield from settle_temperature(rig, temperature_k)
    return tuple(rows)


def _cool(rig: Rig, cooling: CoolingSettings, light: SweepSettings) -> MsgGenerator[Resistance]:
    yield from shutter_closed(rig)
    resistance = yield from cool_measuring(rig, cooling.base_temperature_k)
    # The laser warms the sample a little: that comes to rest before anything else happens.
    yield from light_on(rig, light)
    yield from settle_temperature(rig, cooling.base_temperature_k)
    return resistance
