"""Building blocks: settle, ramp, measure, sweep, wait for the analysis. All pausable."""

from __future__ import annotations

from typing import Any, cast

from bluesky import plan_stubs as bps
from bluesky.utils import FailedStatus, MsgGenerator, short_uid

from devices.analysis import Expectation
from devices.camera_requests import SweepPlan
from devices.light import LeaseBack, LightLostError
from devices.rig import Rig
from devices.waiting import FreshReading
from plans.settings import PreconditionError, SweepSettings
from stream.messages import Severity

SUSPENDER_S = 1.0
"""How long a suspender may take to see that the light is off, s."""
SWEEPS_TRIED = 3
"""How often a sweep is begun whose light went off."""
FRAMES = "frames"
"""Name of the stream of external frames."""


def read_now(signal: Any) -> MsgGenerator[float]:
    """Read a signal from the instrument itself, past its monitor, which a busy machine delivers late."""
    reading = FreshReading(signal)
    yield from bps.trigger(cast("Any", reading), wait=True)
    return float(reading.value)


def settle_temperature(rig: Rig, temperature_k: float, *, from_below: bool = False) -> MsgGenerator[None]:
    """Go to a set point and wait until stage and sample have come to rest.

    Parameters
    ----------
    from_below
        Refuse to go down: trapped flux remembers the highest temperature.

    Raises
    ------
    PreconditionError
        Where `from_below` and the stage is above the set point.
    """
    cryostat: Any = rig.cryostat
    if from_below:
        stage = yield from read_now(cryostat.stage_k)
        tolerance = cryostat.settings.tolerance_k
        if stage > temperature_k + tolerance:
            raise PreconditionError(f"{temperature_k:g} K would be approached from above (stage at {stage:.4g} K)")
    yield from bps.mv(cryostat, temperature_k)
    yield from bps.checkpoint()


def ramp_field(rig: Rig, field_gauss: float) -> MsgGenerator[None]:
    """Ramp the field along the culet normal and wait until it stands, G."""
    yield from bps.mv(rig.magnet, field_gauss)
    yield from bps.checkpoint()


def require_field_below(rig: Rig, limit_gauss: float, why: str) -> MsgGenerator[None]:
    """Refuse to go on where the field is not off.

    Raises
    ------
    PreconditionError
        Naming the field, the limit and what needs it.
    """
    magnet: Any = rig.magnet
    field = yield from read_now(magnet.field_z_gauss_rbv)
    if abs(field) >= limit_gauss:
        raise PreconditionError(f"{why} needs |H| below {limit_gauss:g} G; it is {field:.3g} G")


def require_sample_above(rig: Rig, limit_k: float, why: str) -> MsgGenerator[None]:
    """Refuse to go on where the sample is too cold.

    Raises
    ------
    PreconditionError
        Naming the temperature, the limit and what needs it.
    """
    cryostat: Any = rig.cryostat
    sample = yield from read_now(cryostat.sample_k)
    if sample < limit_k:
        raise PreconditionError(f"{why} must start above {limit_k:g} K; the sample is at {sample:.4g} K")


def light_on(rig: Rig, settings: SweepSettings) -> MsgGenerator[None]:
    """Set the powers and open the shutter; the microwave stays off."""
    laser: Any = rig.laser
    if rig.microwave is not None and settings.microwave_power_dbm is not None:
        yield from bps.mv(rig.microwave, settings.microwave_power_dbm)
    if laser is not None:
        if settings.laser_power_mw is not None:
            yield from bps.mv(laser, settings.laser_power_mw)
        yield from bps.mv(laser.shutter, 1)
    yield from bps.checkpoint()


def shutter_closed(rig: Rig) -> MsgGenerator[None]:
    """Close the shutter."""
    laser: Any = rig.laser
    if laser is not None:
        yield from bps.mv(laser.shutter, 0)
        yield from bps.checkpoint()


def measure_transport(rig: Rig) -> MsgGenerator[float | None]:
    """Measure the resistance once, ohm; None where the rig has no transport meter."""
    meter: Any = rig.transport
    if meter is None:
        return None
    yield from bps.trigger(meter, wait=True)
    resistance = float((yield from bps.rd(meter.resistance_ohm)))
    yield from bps.checkpoint()
    return resistance


def odmr_sweep(rig: Rig, plan: SweepPlan, settings: SweepSettings) -> MsgGenerator[int]:
    """Take one sweep with the microwave on, and return its number.

    A pause lets the running sweep end; its frames are collected after the resume. A rewind before the start arms anew.
    A sweep whose light goes off is recorded in the stream `light_loss` and gets no map. It is taken anew where the
    session's lease was lost by mistake and is held again, or where a suspender held the plan until the light was back;
    else it fails with the reason.
    """
    for left in reversed(range(SWEEPS_TRIED)):
        try:
            return (yield from _lit_sweep(rig, plan, settings))
        except FailedStatus as error:
            loss = error.__cause__
            if not isinstance(loss, LightLostError):
                raise
            rig.announcer.event(Severity.MAJOR, str(loss))
            rig.light_loss.note(loss)
            yield from record("light_loss", rig.light_loss)
            yield from bps.checkpoint()
            if not left:
                raise loss from error
            if loss.lease_lost:
                yield from bps.trigger(cast("Any", LeaseBack(rig.guard)), wait=True)
                continue
            # A suspender that watches the light holds the plan here until somebody has put it on again.
            yield from bps.sleep(SUSPENDER_S)
            if not (yield from _light_is_back(rig)):
                raise loss from error
    raise AssertionError("the last try returns or raises")


def _light_is_back(rig: Rig) -> MsgGenerator[bool]:
    """Tell whether shutter and microwave are on, as the instruments say; nobody puts on again what somebody put off."""
    laser, source = cast("Any", rig.laser), cast("Any", rig.microwave)
    for lamp in ([] if laser is None else [laser.shutter]) + ([] if source is None else [source.enable]):
        if (yield from read_now(lamp)) != 1:
            return False
    return True


def _lit_sweep(rig: Rig, plan: SweepPlan, settings: SweepSettings) -> MsgGenerator[int]:
    camera: Any = rig.camera
    # Where every frame is one without microwave (0 MHz) the source is left alone, and off.
    source: Any = rig.microwave if any(plan.frequency_mhz) else None
    group = short_uid("source")
    yield from bps.checkpoint()
    if rig.laser is not None and any(plan.frequency_mhz):  # frames without microwave alone may be dark ones
        # A guard that ended this session's lease has closed it; where it may not be opened the sweep fails, with why.
        yield from bps.mv(cast("Any", rig.laser).shutter, 1)
    if source is not None:
        yield from bps.prepare(source, plan.frequency_mhz, group=group)
        yield from bps.abs_set(source.enable, 1, group=group)
        yield from bps.wait(group=group)
    # Only now: arming freezes what the frames will show, and a source that is not on yet shows no resonance.
    yield from bps.prepare(camera, plan, wait=True)
    yield from bps.checkpoint()
    yield from bps.kickoff(camera, wait=True)
    yield from bps.checkpoint()
    if camera.start.frames_path:
        yield from bps.collect_while_completing(
            [camera], [camera], flush_period=settings.collect_every_s, stream_name=FRAMES
        )
    else:
        yield from bps.complete(camera, wait=True)
    yield from bps.checkpoint()
    camera.release_light()
    if source is not None:
        yield from bps.mv(source.enable, 0)
    yield from bps.checkpoint()
    return int((yield from bps.rd(camera.sweep)))


def wait_analysis(rig: Rig, run_uid: str, sweep: int, timeout_s: float) -> MsgGenerator[None]:
    """Wait for the final report of a sweep (or for the time to be up) and record it in the stream `analysis`."""
    analysis: Any = rig.analysis
    yield from bps.prepare(analysis, Expectation(run_uid, sweep, timeout_s), wait=True)
    yield from bps.trigger(analysis, wait=True)
    yield from record("analysis", analysis)


def record(stream: str, *devices: Any) -> MsgGenerator[None]:
    """Read devices into one event of a stream."""
    yield from bps.create(stream)
    for device in devices:
        yield from bps.read(device)
    yield from bps.save()
    yield from bps.checkpoint()


def record_state(rig: Rig) -> MsgGenerator[None]:
    """Record where everything is, in the stream `primary`: one event per sweep."""
    camera: Any = rig.camera
    instruments = [getattr(rig, key) for key in ("cryostat", "magnet", "transport", "microwave", "laser", "pressure")]
    present = [device for device in instruments if device is not None]
    yield from record("primary", *present, camera.sweep, camera.frames_sent)


def ruby_pressure(rig: Rig) -> MsgGenerator[float | None]:
    """Take a ruby spectrum into the stream `ruby` and return its pressure, GPa; None without a spectrometer."""
    spectrometer: Any = rig.ruby
    if spectrometer is None:
        return None
    yield from bps.trigger(spectrometer, wait=True)
    yield from record("ruby", spectrometer)
    return float((yield from bps.rd(spectrometer.pressure_gpa)))


def transverse_field(rig: Rig, field_gauss: float) -> MsgGenerator[None]:
    """Ramp the field across the culet normal and wait until it stands, G."""
    magnet: Any = rig.magnet
    yield from bps.mv(magnet.transverse, field_gauss)
    yield from bps.checkpoint()
