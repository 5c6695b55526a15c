"""What the queue server's worker has: the session of a running site, and plans whose arguments are plain numbers.

The startup directory `deploy/queueserver/startup` loads this in the worker that `nvdac queue` starts.
"""

# No postponed annotations here: the queue server reads those of the plans.
import multiprocessing.util
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bluesky import plan_stubs as bps

from deploy.calibrate import newest_coil
from deploy.engine import SessionEngine
from deploy.environment import enter_environment
from deploy.plan_arguments import coil_settings, history_settings, load_settings, run_info, sweep_settings
from deploy.rig_file import load_rig
from deploy.session import Session, open_session
from deploy.shell import positions
from deploy.site import find_site
from plans.calibrations import PowerSettings, calibrate_coil, power_series
from plans.histories import zfc_field_warming
from plans.mapping import reference_map, stress_map
from plans.remnant import field_cool_remnant
from plans.settings import CoilCalibration
from plans.sweep import odmr
from plans.whole_load import whole_load

SITE_VARIABLE = "NVDAC_QUEUE_SITE"
"""Environment variable with the name of the site that is driven."""


@dataclass(frozen=True)
class QueueWorker:
    """What the startup file puts into the worker's namespace."""

    engine: SessionEngine
    """The RunEngine."""
    names: dict[str, Any]
    """Devices, plans and functions by name."""


def open_worker() -> QueueWorker:
    """Connect the devices of the site; they are let go of when the worker ends.

    Raises
    ------
    DeployError
        Where no such site runs or its devices do not connect.
    """
    site = find_site(os.environ.get(SITE_VARIABLE) or None, needs="monitor")
    rig_file = load_rig(Path(site.rig_file))
    enter_environment(site)
    session = open_session(site, rig_file, interactive=False)
    # A worker is a child of multiprocessing: it runs these, and not what `atexit` knows.
    multiprocessing.util.Finalize(None, session.close, exitpriority=10)
    return QueueWorker(session.engine, {**_devices(session), **queue_plans(session), "where": _where(session)})


def _devices(session: Session) -> dict[str, Any]:
    soft = ("analysis", "decision", "announcer", "camera")
    return {name: device for name, device in session.rig.present().items() if name not in soft}


def _where(session: Session) -> Callable[[], list[str]]:
    def where() -> list[str]:
        """Return one line per reading of every instrument."""
        return positions(session.rig)

    return where


def queue_plans(session: Session) -> dict[str, Any]:
    """Return the plans of a site, with the rig file's settings for all that is not an argument."""
    rig, rig_file = session.rig, session.rig_file

    def newest() -> CoilCalibration | None:
        found = newest_coil(Path(session.site.data_dir))
        return None if found is None else found.coil()

    def sweep(passes: int = 0) -> Any:
        """Take one sweep here and now; `passes` 0 takes those of the rig file."""
        settings = sweep_settings(rig_file)
        return (yield from odmr(rig, replace(settings, passes=passes or settings.passes), run_info(rig_file)))

    def history() -> Any:
        """Zero-field cool and field warming with its adaptive ladder."""
        return (yield from zfc_field_warming(rig, history_settings(rig_file, newest()), run_info(rig_file)))

    def load() -> Any:
        """Whole pressure point: stress map, warming, field cool and remnant."""
        return (yield from whole_load(rig, load_settings(rig_file, newest()), run_info(rig_file)))

    def stress() -> Any:
        """Stress map in the normal state at its set of fields."""
        return (yield from stress_map(rig, load_settings(rig_file).stress, run_info(rig_file)))

    def remnant() -> Any:
        """Zero-field map, field cool and remnant map."""
        whole = load_settings(rig_file, newest())
        about = replace(run_info(rig_file), analysis=whole.zero_field_analysis)
        return (yield from field_cool_remnant(rig, whole.remnant, about))

    def reference() -> Any:
        """Map the normal state at the present field, as a reference."""
        settings = history_settings(rig_file)
        return (yield from reference_map(rig, settings.sweep, run_info(rig_file), cooling=settings.cooling))

    def coil() -> Any:
        """Calibration of the coil in the normal state."""
        return (yield from calibrate_coil(rig, coil_settings(rig_file), run_info(rig_file)))

    def powers(microwave_dbm: list[float], laser_mw: list[float] = []) -> Any:  # noqa: B006 - read as a default
        """Sweep at rising powers of the microwave, then of the laser."""
        settings = PowerSettings(sweep_settings(rig_file), tuple(microwave_dbm), tuple(laser_mw))
        return (yield from power_series(rig, settings, run_info(rig_file)))

    def temperature(temperature_k: float) -> Any:
        """Go to a temperature and wait until stage and sample have come to rest, K."""
        return (yield from bps.mv(rig.cryostat, temperature_k))

    def magnetic_field(field_gauss: float) -> Any:
        """Ramp the field along the culet normal and wait until it stands, G."""
        return (yield from bps.mv(rig.magnet, field_gauss))

    plans = (sweep, history, load, stress, remnant, reference, coil, powers, temperature, magnetic_field)
    return {plan.__name__: plan for plan in plans}
