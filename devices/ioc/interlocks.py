"""The interlocks: pure functions from what is known to what is permitted and what must be done.

A fault has an effect on instruments: `off` (safe, at its rated limit), `freeze` (stops where it is) or `hold` (what was
last asked for stands, a ramp under way ends there). `off` outranks `freeze`, and that `hold`. Field and temperature are
never switched off by a fault that is not the coil's own: a field that goes off below Tc ends a zero-field-cooled
history for ever.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from devices.guard_settings import GuardSettings, HoldThenOff, LeaseAction
from devices.ioc.permit import GUARDED, Permit
from devices.settings import DevicesSettings

OFF, FREEZE, HOLD = "off", "freeze", "hold"
LIGHT_OFF = {"laser": OFF, "microwave": OFF}
NOTHING_MOVES = {**LIGHT_OFF, "magnet": FREEZE, "pressure": FREEZE}
ALL_STILL = {**NOTHING_MOVES, "cryostat": FREEZE, "transport": FREEZE}
NAMES = {"compressor_ok": "compressor", "vacuum_ok": "vacuum", "cryogen_ok": "cryogen supply"}
SILENT = {"field_z_gauss": "magnet", "sample_k": "cryostat", "stage_k": "cryostat", "membrane_bar": "pressure"}
"""Readings without which their instrument may not be moved."""
UNSEEN: dict[str, Mapping[str, str]] = {
    **dict.fromkeys(NAMES, NOTHING_MOVES),
    "mains_ok": ALL_STILL,
    "door_ok": LIGHT_OFF,
    "coil_lead_ok": {"magnet": FREEZE},
    "coil_k": {"magnet": FREEZE},
}
"""Inputs that the rig file names -> what stops while they do not answer: an interlock that is blind permits nothing."""


@dataclass(frozen=True)
class Fault:
    """Something that is wrong now."""

    text: str
    """One line for people."""
    effects: Mapping[str, str]
    """Instrument -> `off`, `freeze` or `hold`."""
    latched: bool = False
    """Stays until a person acknowledges it."""
    critical: bool = False
    """A person is called."""
    over: str = ""
    """What is said once it has passed; empty where `text` says it."""


@dataclass(frozen=True)
class Situation:
    """What the guard knows at one moment."""

    values: Mapping[str, float] = field(default_factory=dict[str, float])
    """Newest readings by name; what is not known is not in it."""
    lost: frozenset[str] = frozenset()
    """Readings whose PV does not answer."""
    lease_ended_s: float | None = 0.0
    """Since when no session holds the lease, s; None while one does."""
    zero_field_cool: bool = False
    """Whether a zero-field cool is under way."""
    latched: Mapping[str, Fault] = field(default_factory=dict[str, Fault])
    """Faults that wait for a person."""
    silent: frozenset[str] = frozenset()
    """Readings whose PV has not answered for a while."""

    def bad(self, name: str) -> bool:
        """Tell whether an input is there and says 0."""
        return self.values.get(name) == 0.0


def faults_now(now: Situation, rules: GuardSettings) -> dict[str, Fault]:
    """Return what is wrong in the readings of this moment, by name; without lease and latched faults."""
    found: dict[str, Fault] = {}
    for name, what in NAMES.items():
        if now.bad(name):
            found[what] = Fault(f"the {what} failed", NOTHING_MOVES, critical=True)
    if now.bad("mains_ok"):
        found["mains"] = Fault("mains were lost", ALL_STILL, latched=True, critical=True)
    if now.bad("door_ok"):
        found["door"] = Fault("a door is open", LIGHT_OFF)
    if now.bad("coil_lead_ok"):
        found["coil lead"] = Fault("a lead of the coil is open", {"magnet": OFF}, latched=True, critical=True)
    coil_k = now.values.get("coil_k", -math.inf)
    if coil_k > rules.coil_highest_k:
        text = f"the coil is at {coil_k:.4g} K, above {rules.coil_highest_k:g} K"
        found["coil"] = Fault(text, {"magnet": OFF}, latched=True, critical=True)
    apart = abs(now.values.get("sample_k", math.nan) - now.values.get("stage_k", math.nan))
    if apart > rules.thermometers_apart_k:
        text = f"sample and stage thermometer are {apart:.3g} K apart"
        found["thermometers"] = Fault(text, {**NOTHING_MOVES, "cryostat": FREEZE}, critical=True)
    for name, instrument in SILENT.items():
        if name in now.lost:
            found[name] = Fault(f"{name} does not answer", {instrument: FREEZE}, over=f"{name} answers again")
    for name, effects in UNSEEN.items():
        if name in now.silent:
            text = f"{name} does not answer, which [guard.inputs] names"
            found[name] = Fault(text, effects, over=f"{name} answers again")
    return found


def anvil_fault(what: str) -> Fault:
    """Return the fault of a suspected anvil failure: shutter closed, load frozen, a person called."""
    return Fault(
        f"suspected anvil failure: {what}", {"laser": OFF, "microwave": OFF, "pressure": FREEZE}, True, critical=True
    )


def latched_faults(before: Mapping[str, Fault], faults: Mapping[str, Fault]) -> dict[str, Fault]:
    """Return the faults that wait for a person: those from before, and the new ones that latch."""
    return {**before, **{name: fault for name, fault in faults.items() if fault.latched}}


def acknowledgement_refusal(
    asked: Mapping[str, object], latched: Mapping[str, Fault], faults: Mapping[str, Fault]
) -> str:
    """Return why a person cannot let go of a latched fault; empty where they can.

    Parameters
    ----------
    asked
        `fault` (its name), `by` (who looked) and `reason` (what they found).
    latched, faults
        What waits for a person, and what is wrong now.
    """
    name, who, reason = (str(asked.get(key, "")).strip() for key in ("fault", "by", "reason"))
    if name not in latched:
        waiting = ", ".join(sorted(latched)) or "nothing"
        return f"no fault {name!r} waits for a person; {waiting} does"
    if not who or not reason:
        return "say who looked and what they found: the ledger records both"
    if name in faults:
        return f"{faults[name].text}: that still stands; mend it first"
    return ""


def lease_fault(now: Situation, rules: GuardSettings) -> Fault | None:
    """Return what a missing lease does; None while a session holds it."""
    ended_s = now.lease_ended_s
    if ended_s is None:
        return None
    actions: dict[str, LeaseAction] = {name: getattr(rules.lease_loss, name) for name in GUARDED}
    effects = {name: _lease_effect(action, ended_s) for name, action in actions.items()}
    return Fault("no session holds the lease (open one with `nvdac session` or `nvdac resume`)", effects)


def _lease_effect(action: LeaseAction, ended_s: float) -> str:
    if isinstance(action, HoldThenOff):
        return OFF if ended_s >= action.hold_then_off_s else HOLD
    return OFF if action == "off" else HOLD


def effects_of(faults: Mapping[str, Fault]) -> dict[str, tuple[str, str]]:
    """Return instrument -> (effect, reasons) of all faults together; `off` outranks `freeze`."""
    found: dict[str, tuple[str, str]] = {}
    for instrument in GUARDED:
        mine = [fault for fault in faults.values() if instrument in fault.effects]
        if mine:
            worst = min((fault.effects[instrument] for fault in mine), key=(OFF, FREEZE, HOLD).index)
            found[instrument] = (worst, "; ".join(f.text for f in mine if f.effects[instrument] == worst))
    return found


def permits(
    now: Situation, faults: Mapping[str, Fault], rules: GuardSettings, devices: DevicesSettings
) -> dict[str, Permit]:
    """Return what is permitted for each instrument under `faults` (lease and latched ones included)."""
    given = {name: _limits(name, now, rules, devices) for name in GUARDED}
    for instrument, (effect, reason) in effects_of(faults).items():
        if effect == OFF and instrument == "magnet":
            given[instrument] = Permit(low=0.0, high=0.0, reason=reason, rate_high=given[instrument].rate_high)
        else:
            given[instrument] = Permit(permit=False, reason=reason)
    return given


def _limits(instrument: str, now: Situation, rules: GuardSettings, devices: DevicesSettings) -> Permit:
    """Return what may be put where nothing is wrong."""
    if instrument == "magnet" and devices.magnet is not None:
        low, high = devices.magnet.limits_gauss
        if now.zero_field_cool:
            return Permit(low=0.0, high=0.0, reason="a zero-field cool is under way")
        return Permit(low=low, high=high, rate_high=rules.field_rate_gauss_per_s)
    if instrument == "cryostat" and devices.cryostat is not None:
        low, high = devices.cryostat.limits_k
        return Permit(low=low, high=high, rate_high=rules.cryostat_rate_k_per_min)
    if instrument == "pressure" and devices.pressure is not None:
        return _pressure_limits(now, rules, devices.pressure.limits_bar[1], devices.pressure.tolerance_bar)
    return Permit()


def _pressure_limits(now: Situation, rules: GuardSettings, highest_bar: float, tolerance_bar: float) -> Permit:
    """Pressure never decreases and never jumps; a relief limit outranks that: a closed volume gains on warming."""
    present = now.values.get("membrane_bar")
    if present is None:
        return Permit(permit=False, reason="the membrane pressure is not known")
    relief = rules.membrane_relief_bar
    if relief and present > relief:
        return Permit(low=0.0, high=relief, reason=f"the membrane is above its relief limit of {relief:g} bar")
    asked = now.values.get("membrane_set_bar", present)
    low = max(present - tolerance_bar, min(asked, present))
    high = min(highest_bar, present + rules.membrane_step_bar, relief or math.inf)
    return Permit(
        low=low, high=max(low, high), reason=f"pressure only increases, {rules.membrane_step_bar:g} bar a step"
    )


def corrections(
    now: Situation, faults: Mapping[str, Fault], given: Mapping[str, Permit], held: Mapping[str, float]
) -> dict[str, float]:
    """Return the puts that bring instruments to what is permitted: reading of the set point -> value.

    An IOC that obeys PERMIT needs them where something is on or under way; a foreign one is brought back to what was
    last permitted.

    Parameters
    ----------
    held
        Set points when they were last permitted, or first seen.
    """
    puts: dict[str, float] = {}
    for instrument, (effect, _) in effects_of(faults).items():
        if effect == OFF:
            names = OFF_PUTS.get(instrument, ())
            puts |= {name: 0.0 for name in names if now.values.get(name, 0.0) != 0.0}
        elif effect == FREEZE:
            puts |= _halted(instrument, now)
    for name, instrument in SET_POINTS.items():
        value, before = now.values.get(name), held.get(name)
        if value is None or before is None or name in puts or not given[instrument].refusal(value):
            continue
        back = _permitted(before, given[instrument])
        if back is not None and back != value:
            puts[name] = back
    return puts


def held_after(now: Situation, given: Mapping[str, Permit], held: Mapping[str, float]) -> dict[str, float]:
    """Return the set points to go back to: the present one where it is permitted, or not known yet."""
    kept = dict(held)
    for name, instrument in SET_POINTS.items():
        value = now.values.get(name)
        shortened = name in kept and value is not None and _on_the_way(name, value, kept[name], now)
        if value is not None and (name not in kept or shortened or not given[instrument].refusal(value)):
            kept[name] = value
    return kept


def _on_the_way(name: str, value: float, held: float, now: Situation) -> bool:
    """Tell whether a set point only shortens the way to the one that is held: a ramp was stopped."""
    present = now.values.get(RAMPS[SET_POINTS[name]][name][0])
    return present is not None and min(present, held) - SMALLEST_MOVE <= value <= max(present, held) + SMALLEST_MOVE


def _permitted(before: float, permit: Permit) -> float | None:
    """Return where a set point goes back to; None where that is not known."""
    if not permit.permit or not permit.refusal(before):
        return before
    return permit.high if before > permit.high else None


def _halted(instrument: str, now: Situation) -> dict[str, float]:
    """Stop a ramp under way a little ahead of where it is: it must not turn round."""
    puts: dict[str, float] = {}
    for set_name, (present_name, rate_name) in RAMPS.get(instrument, {}).items():
        target, present = now.values.get(set_name), now.values.get(present_name)
        if target is None or present is None:
            continue
        ahead = abs(now.values.get(rate_name, 0.0)) * AHEAD_S + SMALLEST_MOVE
        if abs(target - present) > ahead:
            puts[set_name] = present + math.copysign(ahead, target - present)
    return puts


AHEAD_S = 0.5
"""How far ahead of the present value a ramp is stopped, s of its rate."""
SMALLEST_MOVE = 0.2
"""Distance from the set point that is no ramp, G, K or bar."""
OFF_PUTS = {
    "laser": ("shutter",),
    "microwave": ("microwave_on",),
    "transport": ("transport_ua",),
    "magnet": ("field_z_set_gauss", "field_x_set_gauss"),
}
"""Instrument -> what is put to 0 to switch it off."""
SET_POINTS = {
    "field_z_set_gauss": "magnet",
    "field_x_set_gauss": "magnet",
    "temperature_set_k": "cryostat",
    "membrane_set_bar": "pressure",
}
"""Reading of a set point -> its instrument."""
RAMPS = {
    "magnet": {
        "field_z_set_gauss": ("field_z_gauss", "field_rate_gauss_per_s"),
        "field_x_set_gauss": ("field_x_gauss", "field_rate_gauss_per_s"),
    },
    "cryostat": {"temperature_set_k": ("temperature_ramp_k", "")},
    "pressure": {"membrane_set_bar": ("membrane_bar", "")},
}
"""Instrument -> set point -> (present value, its rate)."""
