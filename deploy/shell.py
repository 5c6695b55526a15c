"""`nvdac session`: IPython with the RunEngine, the devices, the plans and the Tiled client of a running site."""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from deploy import processes
from deploy.environment import enter_environment
from deploy.errors import DeployError
from deploy.foreground import driving
from deploy.rig_file import RigFile, load_rig
from deploy.signals import TERMINATIONS
from deploy.site import Site, find_site

BANNER = """nvdac session on {name}: live page {url}
  RE(history())      zero-field cool and field warming of the rig file, with its adaptive ladder
  RE(load())         whole pressure point: stress map, warming, field cool and remnant
  RE(sweep())        one ODMR sweep here and now
  suspend()          hold plans while laser, cryostat, analysis or ring are not well
  where()            every position; rig, plans, catalog are there too
  Ctrl-C             once: pause at the next checkpoint, twice: pause now; then RE.resume() or RE.abort()
"""


def open_shell(site_name: str | None) -> None:
    """Open the prompt; returns when it is left.

    Raises
    ------
    DeployError
        Where no site runs, somebody else drives it, or its devices do not connect.
    """
    site = find_site(site_name, needs="monitor")
    if not processes.states(site):
        raise DeployError(
            f"the processes of site {site.name!r} are gone; `nvdac down --site {site.name}`, then `nvdac up`"
        )
    rig_file = load_rig(Path(site.rig_file))
    enter_environment(site)  # before EPICS is imported, which reads it once
    with driving(site, "nvdac session"):
        _prompt(site, rig_file)


def _prompt(site: Site, rig_file: RigFile) -> None:
    """Connect the devices and run IPython on them."""
    from bluesky.utils import RunEngineInterrupted
    from IPython.terminal.ipapp import TerminalIPythonApp

    from deploy.engine import FOR_PEOPLE, Terminated
    from deploy.session import open_session

    with open_session(site, rig_file, interactive=True) as session:
        application = TerminalIPythonApp.instance(user_ns=shell_names(session))
        application.initialize(["--no-banner"])
        shell: Any = application.shell
        shell.set_custom_exc((*FOR_PEOPLE, RunEngineInterrupted, Terminated), _say_error)
        session.engine.leave = shell.ask_exit
        _leave_when_terminated(session.engine, shell)
        sys.stdout.write(BANNER.format(name=site.name, url=site.web_url))
        sys.stdout.flush()
        with contextlib.suppress(Terminated):
            application.start()
    if session.engine.termination:
        sys.stderr.write("nvdac: the session was terminated\n")
        raise SystemExit(128 + session.engine.termination)


def _leave_when_terminated(engine: Any, shell: Any) -> None:
    """End the prompt where the process is terminated while no plan runs; a plan is paused and aborted by the engine."""
    from deploy.engine import Terminated

    def leave(number: int, _frame: FrameType | None) -> None:
        if not engine.termination:
            engine.termination = number
            shell.ask_exit()
            raise Terminated

    for number in TERMINATIONS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, leave)


def _say_error(_shell: Any, _kind: Any, error: BaseException, _trace: Any, **_options: Any) -> None:
    """Show what an instrument or a plan refuses, or that it is paused, without a traceback; `%tb` has the rest."""
    from deploy.engine import Terminated, for_people

    if not isinstance(error, Terminated):
        sys.stderr.write(f"{for_people(error)}\n")


def shell_names(session: Any) -> dict[str, Any]:
    """Return what is at hand at the prompt."""
    from bluesky import plan_stubs, plans

    from deploy.calibrate import newest_coil
    from deploy.plan_arguments import coil_settings, history_settings, load_settings, run_info, sweep_settings
    from devices.stream_watch import StreamWatch
    from plans.calibration_runs import calibrate_camera, calibrate_direction, calibrate_ruby, calibrate_thermometer
    from plans.calibrations import calibrate_coil, power_series
    from plans.histories import zfc_field_warming
    from plans.loading import pressure_ladder
    from plans.mapping import linecut, reference_map, stress_map
    from plans.remnant import field_cool_remnant
    from plans.suspenders import rig_suspenders
    from plans.sweep import odmr
    from plans.whole_load import whole_load
    from stream.catalog import open_catalog

    rig_file, rig = session.rig_file, session.rig

    def calibrate() -> Any:
        """Calibration of the coil as the rig file describes it; then `nvdac calibrate` with the run's uid."""
        return calibrate_coil(rig, coil_settings(rig_file), run_info(rig_file))

    def coil() -> Any:
        """Return the newest calibration of the coil on record; None where there is none."""
        found = newest_coil(Path(session.site.data_dir))
        return None if found is None else found.coil()

    def history(**md: Any) -> Any:
        """Zero-field cool and field warming as the rig file describes it."""
        return zfc_field_warming(rig, history_settings(rig_file, coil()), run_info(rig_file), md=md)

    def sweep(**md: Any) -> Any:
        """One ODMR sweep at the present state point."""
        return odmr(rig, sweep_settings(rig_file), run_info(rig_file), md=md)

    def load(**md: Any) -> Any:
        """Whole pressure point as the rig file describes it: stress map, warming, remnant."""
        return whole_load(rig, load_settings(rig_file, coil()), run_info(rig_file), md=md)

    def suspend() -> None:
        """Hold plans while the laser is off, the cryostat out of band, the analysis stale or the ring full."""
        stream = rig_file.stream_settings(session.site.runtime_dir, session.site.data_dir)
        for suspender in rig_suspenders(rig, StreamWatch(stream)):
            session.engine.install_suspender(suspender)

    def where() -> None:
        """Print every position with its unit."""
        sys.stdout.write("\n".join(positions(rig)) + "\n")

    def catalog() -> Any:
        """Return the Tiled client: raw runs and processed maps."""
        return open_catalog(session.site.tiled_uri, session.site.tiled_api_key)

    return {
        "RE": session.engine,
        "rig": rig,
        "history": history,
        "load": load,
        "calibrate": calibrate,
        "sweep": sweep,
        "where": where,
        "catalog": catalog,
        "bp": plans,
        "bps": plan_stubs,
        "suspend": suspend,
        "zfc_field_warming": zfc_field_warming,
        "field_cool_remnant": field_cool_remnant,
        "stress_map": stress_map,
        "reference_map": reference_map,
        "linecut": linecut,
        "calibrate_coil": calibrate_coil,
        "calibrate_camera": calibrate_camera,
        "calibrate_direction": calibrate_direction,
        "calibrate_ruby": calibrate_ruby,
        "calibrate_thermometer": calibrate_thermometer,
        "power_series": power_series,
        "whole_load": whole_load,
        "pressure_ladder": pressure_ladder,
        "odmr": odmr,
    }


def positions(rig: Any) -> list[str]:
    """Return one line per reading of every connected instrument."""
    rows: list[str] = []
    for name, device in rig.present().items():
        read = getattr(device, "read", None)
        describe = getattr(device, "describe", None)
        if read is None or describe is None or name in ("camera", "analysis", "decision", "announcer", "control"):
            continue
        facts = describe()
        for key, reading in read().items():
            value, unit = reading["value"], facts[key].get("units") or ""
            shown = f"{value:.6g}" if isinstance(value, float) else str(value)
            rows.append(f"{key:<36} {shown:>14} {unit}")
    return rows
