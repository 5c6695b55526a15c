"""Calibrations of thermometer, ruby, camera and field direction as plans; what they say: `plans.calibration_fits`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bluesky import plan_stubs as bps
from bluesky.utils import MsgGenerator

from devices.rig import Rig
from plans.journal import Journal
from plans.needs import Needs, require
from plans.points import Points
from plans.run import plain_run, run, start_metadata
from plans.settings import CoolingSettings, RunInfo, SweepSettings
from plans.stubs import (
    light_on,
    ramp_field,
    record,
    require_sample_above,
    ruby_pressure,
    settle_temperature,
    shutter_closed,
)
from stream.messages import FieldHistory, SweepRole


@dataclass(frozen=True)
class ThermometerSettings:
    """Stage and sample at rest without light and microwave."""

    temperatures_k: tuple[float, ...] = (150.0, 100.0, 60.0, 30.0, 20.0)
    """Set points, K."""

    def __post_init__(self) -> None:
        """Refuse what gives no line."""
        if len(set(self.temperatures_k)) < 2:
            raise ValueError("temperatures_k needs two different set points")


def calibrate_thermometer(
    rig: Rig, settings: ThermometerSettings, *, md: dict[str, Any] | None = None
) -> MsgGenerator[str]:
    """Read stage and sample at rest, dark, at each set point, and return the run's uid.

    Warms and cools the sample: whatever history it had ends with the first set point above Tc.

    Raises
    ------
    DeviceError, LimitError
        Before anything moves, where the rig cannot do it.
    """
    require(rig, Needs(("cryostat",), temperatures_k=settings.temperatures_k))
    metadata = {"plan_name": "calibrate_thermometer", "plan_args": asdict(settings), **(md or {})}
    source: Any = rig.microwave

    def body(_run_uid: str) -> MsgGenerator[None]:
        yield from shutter_closed(rig)
        if source is not None:
            yield from bps.mv(source.enable, 0)
        for value in settings.temperatures_k:
            yield from settle_temperature(rig, value)
            yield from record("primary", rig.cryostat)

    return (yield from plain_run(rig, body, metadata))


@dataclass(frozen=True)
class RubySettings:
    """Ruby spectra at a known pressure."""

    spectra: int = 10
    """How many."""
    pressure_gpa: float = 0.0
    """Pressure of the ruby, GPa: 0 where it lies in air beside the cell."""
    laser_power_mw: float | None = None
    """Power of the laser, mW; None leaves it."""
    lamp_nm: float = 0.0
    """True wavelength of a lamp's line in the spectra, nm; 0 without a lamp."""

    def __post_init__(self) -> None:
        """Refuse too few spectra."""
        if self.spectra < 2:
            raise ValueError("spectra must be at least 2: their scatter is the uncertainty")


def calibrate_ruby(rig: Rig, settings: RubySettings, *, md: dict[str, Any] | None = None) -> MsgGenerator[str]:
    """Take ruby spectra at the present temperature, and return the run's uid.

    Raises
    ------
    DeviceError, LimitError
        Before anything moves, where the rig cannot do it.
    """
    require(rig, Needs(("ruby", "cryostat")))
    metadata = {"plan_name": "calibrate_ruby", "plan_args": asdict(settings), **(md or {})}
    light = SweepSettings((2870.0,), laser_power_mw=settings.laser_power_mw)
    spectrometer: Any = rig.ruby

    def body(_run_uid: str) -> MsgGenerator[None]:
        yield from light_on(rig, light)
        for _ in range(settings.spectra):
            yield from bps.trigger(spectrometer, wait=True)
            extra = [spectrometer.wavelength_nm, spectrometer.spectrum] if settings.lamp_nm else []
            yield from record("primary", spectrometer, rig.cryostat, *extra)

    return (yield from plain_run(rig, body, metadata))


@dataclass(frozen=True)
class CameraCalibrationSettings:
    """Dark and lit frames without microwave."""

    laser_mw: tuple[float, ...] = (20.0, 50.0, 100.0)
    """Powers of the laser, rising, mW."""
    frames: int = 60
    """Frames at each, and dark ones."""

    def __post_init__(self) -> None:
        """Refuse what gives no photon transfer curve."""
        if not self.laser_mw or list(self.laser_mw) != sorted(set(self.laser_mw)) or self.laser_mw[0] <= 0:
            raise ValueError("laser_mw must be positive powers that rise")
        if self.frames < 8:
            raise ValueError("frames must be at least 8")


def calibrate_camera(
    rig: Rig, settings: CameraCalibrationSettings, info: RunInfo | None = None, *, md: dict[str, Any] | None = None
) -> MsgGenerator[str]:
    """Take dark frames, then frames at rising laser power, all without microwave, and return the run's uid.

    Raises
    ------
    DeviceError, LimitError
        Before anything moves, where the rig cannot do it.
    """
    about = info or RunInfo()
    # Frequency 0 is a frame without microwave.
    dark = SweepSettings((0.0,), settings.frames, analysis_timeout_s=0.0)
    lit = tuple(replace(dark, laser_power_mw=power) for power in settings.laser_mw)
    require(rig, Needs(("laser",), sweeps=(dark, *lit)))
    metadata = start_metadata(rig, "calibrate_camera", settings, about, md)

    def body(run_uid: str) -> MsgGenerator[None]:
        points = Points(rig, about, run_uid, Journal(rig, run_uid, (("camera", "Camera"),), 1 + len(lit)))
        yield from points.journal.phase("camera", FieldHistory.UNKNOWN)
        yield from shutter_closed(rig)
        yield from points.expose(dark, SweepRole.SINGLE, FieldHistory.UNKNOWN)
        for sweep in lit:
            yield from light_on(rig, sweep)
            yield from points.expose(sweep, SweepRole.SINGLE, FieldHistory.UNKNOWN)

    return (yield from run(rig, body, about, metadata))


@dataclass(frozen=True)
class DirectionSettings:
    """Lines of the four groups in a field, without load."""

    sweep: SweepSettings
    """How the sweep is taken: its analysis must have eight lines."""
    field_gauss: float = 97.0
    """Field along the culet normal, G."""
    expected_azimuth_deg: float = 0.0
    """Azimuth of the field as the anvil is mounted, from the projection of a tilted axis, degrees."""
    cooling: CoolingSettings = field(default_factory=CoolingSettings)
    """What counts as the normal state."""

    def __post_init__(self) -> None:
        """Refuse a field that splits nothing."""
        if abs(self.field_gauss) < 10.0:
            raise ValueError("field_gauss must be at least 10 G: smaller ones do not part the groups")


def calibrate_direction(
    rig: Rig, settings: DirectionSettings, info: RunInfo | None = None, *, md: dict[str, Any] | None = None
) -> MsgGenerator[str]:
    """Sweep the lines of all groups at one field in the normal state, end with the field off; returns the run's uid.

    Raises
    ------
    DeviceError, LimitError
        Before anything moves, where the rig cannot do it.
    PreconditionError
        Where the sample is not normal.
    """
    about = info or RunInfo()
    require(rig, Needs(("cryostat", "magnet"), fields_gauss=(settings.field_gauss, 0.0), sweeps=(settings.sweep,)))
    protocol = {"field_history": str(FieldHistory.NORMAL_STATE), **(md or {})}
    metadata = start_metadata(rig, "calibrate_direction", settings, about, protocol)

    def body(run_uid: str) -> MsgGenerator[None]:
        points = Points(rig, about, run_uid, Journal(rig, run_uid, (("field", "Field direction"),), 1))
        yield from require_sample_above(rig, settings.cooling.normal_above_k, "a calibration of the field's direction")
        yield from points.journal.phase("field", FieldHistory.NORMAL_STATE)
        yield from light_on(rig, settings.sweep)
        yield from ramp_field(rig, settings.field_gauss)
        yield from points.measure(settings.sweep, SweepRole.SINGLE, FieldHistory.NORMAL_STATE)
        yield from ruby_pressure(rig)
        yield from ramp_field(rig, 0.0)

    return (yield from run(rig, body, about, metadata))
