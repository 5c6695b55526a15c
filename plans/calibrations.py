"""Calibrations: the coil and what stays without current, heating by microwave and laser."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from bluesky.utils import MsgGenerator

from devices.rig import Rig
from plans.journal import Journal
from plans.needs import Needs, require
from plans.points import Points
from plans.run import run, start_metadata
from plans.settings import CoolingSettings, RunInfo, SweepSettings
from plans.stubs import light_on, ramp_field, read_now, require_sample_above
from stream.messages import FieldHistory, Severity, SweepRole


@dataclass(frozen=True)
class CoilSettings:
    """Sweeps at small fields of both signs in the normal state."""

    sweep: SweepSettings
    """How each sweep is taken."""
    fields_gauss: tuple[float, ...] = (-48.0, -24.0, 0.0, 24.0, 48.0)
    """Set fields, ascending, G: within about 2 A."""
    cooling: CoolingSettings = field(default_factory=CoolingSettings)
    """What counts as the normal state."""

    def __post_init__(self) -> None:
        """Refuse fields that cannot tell k, b and the transverse splitting apart."""
        if len(set(self.fields_gauss)) < 4 or list(self.fields_gauss) != sorted(self.fields_gauss):
            raise ValueError("fields_gauss needs at least four different fields, ascending")
        if not self.fields_gauss[0] < 0 < self.fields_gauss[-1]:
            raise ValueError("fields_gauss needs both signs: one alone does not see the remanence")


def calibrate_coil(
    rig: Rig, settings: CoilSettings, info: RunInfo | None = None, *, md: dict[str, Any] | None = None
) -> MsgGenerator[str]:
    """Sweep at each field in the normal state, end with the field off, and return the run's uid; see `plans.coil`.

    Raises
    ------
    DeviceError, LimitError
        Before anything moves, where the rig cannot do it.
    PreconditionError
        Where the sample is not normal: field changes below Tc end a history.
    """
    about = info or RunInfo()
    require(rig, Needs(("cryostat", "magnet"), fields_gauss=(*settings.fields_gauss, 0.0), sweeps=(settings.sweep,)))
    protocol = {"field_history": str(FieldHistory.NORMAL_STATE), **(md or {})}
    metadata = start_metadata(rig, "calibrate_coil", settings, about, protocol)

    def body(run_uid: str) -> MsgGenerator[None]:
        points = Points(rig, about, run_uid, Journal(rig, run_uid, (("coil", "Coil"),), len(settings.fields_gauss)))
        yield from require_sample_above(rig, settings.cooling.normal_above_k, "a calibration of the coil")
        yield from points.journal.phase("coil", FieldHistory.NORMAL_STATE)
        yield from light_on(rig, settings.sweep)
        for value in settings.fields_gauss:
            yield from ramp_field(rig, value)
            yield from points.measure(settings.sweep, SweepRole.SINGLE, FieldHistory.NORMAL_STATE)
        yield from ramp_field(rig, 0.0)

    return (yield from run(rig, body, about, metadata))


@dataclass(frozen=True)
class PowerSettings:
    """Sweeps at rising power at one state point."""

    sweep: SweepSettings
    """How each sweep is taken, its powers apart."""
    microwave_dbm: tuple[float, ...] = ()
    """Powers of the source, rising, dBm."""
    laser_mw: tuple[float, ...] = ()
    """Powers of the laser, rising, mW; taken after the microwave's, at its lowest."""
    heating_max_k: float = 0.5
    """Rise of the sample at which the series ends, K."""

    def __post_init__(self) -> None:
        """Refuse an empty series and powers that fall."""
        if not self.microwave_dbm and not self.laser_mw:
            raise ValueError("a power series needs powers")
        for powers in (self.microwave_dbm, self.laser_mw):
            if list(powers) != sorted(set(powers)):
                raise ValueError("powers must rise")

    def sweeps(self) -> tuple[SweepSettings, ...]:
        """Return the sweeps in order."""
        rows = [replace(self.sweep, microwave_power_dbm=value) for value in self.microwave_dbm]
        lowest = rows[0] if rows else self.sweep
        return (*rows, *(replace(lowest, laser_power_mw=value) for value in self.laser_mw))


def power_series(
    rig: Rig,
    settings: PowerSettings,
    info: RunInfo | None = None,
    *,
    history: FieldHistory = FieldHistory.UNKNOWN,
    md: dict[str, Any] | None = None,
) -> MsgGenerator[str]:
    """Sweep at rising power, end early where the sample warms too much, leave the lowest power; returns the run's uid.

    Raises
    ------
    DeviceError, LimitError
        Before anything moves, where the rig cannot do it.
    """
    about, sweeps = info or RunInfo(), settings.sweeps()
    devices = ["cryostat"]
    devices += ["microwave"] if settings.microwave_dbm else []
    devices += ["laser"] if settings.laser_mw else []
    require(rig, Needs(tuple(devices), sweeps=sweeps))
    metadata = start_metadata(rig, "power_series", settings, about, {"field_history": str(history), **(md or {})})

    def body(run_uid: str) -> MsgGenerator[None]:
        points = Points(rig, about, run_uid, Journal(rig, run_uid, (("powers", "Power series"),), len(sweeps)))
        yield from points.journal.phase("powers", history)
        first: float | None = None
        for sweep in sweeps:
            yield from light_on(rig, sweep)
            yield from points.measure(sweep, SweepRole.SINGLE, history)
            sample = yield from read_now(_sample(rig))
            first = sample if first is None else first
            if sample - first > settings.heating_max_k:
                text = f"the sample is {sample - first:.2g} K warmer than at the lowest power: the series ends"
                rig.announcer.event(Severity.MINOR, text)
                break
        yield from light_on(rig, sweeps[0])

    return (yield from run(rig, body, about, metadata))


def _sample(rig: Rig) -> Any:
    cryostat: Any = rig.cryostat
    return cryostat.sample_k
