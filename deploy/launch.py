"""From a rig file to running processes: which programs a site has and the settings file of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deploy import processes
from deploy.errors import DeployError
from deploy.places import require_folder, require_space
from deploy.processes import Program, python_program
from deploy.rig_file import RigFile
from deploy.site import Site, new_site, runtime_root, take_port, write_control_token
from stream.messages import Archive
from stream.settings import StreamSettings, dump_settings

READY_TIMEOUT_S = 600.0
"""A first start compiles the kernels, a minute on two free cores; on a busy machine it took more than four."""
DATA_FLOOR_MIB = 64.0
"""Free space without which no site starts: catalog, logs and a few maps, MiB."""
RUNTIME_FLOOR_MIB = 32.0
"""Room for logs and settings beside the ring, MiB."""


@dataclass(frozen=True)
class Parts:
    """Which processes a site runs."""

    web: bool = True
    tiled: bool = True
    instruments: bool = True
    camera: bool = True
    analyzers: bool = True


def make_site(name: str, rig_path: Path, rig: RigFile, data_dir: Path, parts: Parts) -> Site:
    """Choose ports and make the folders of a site for the rig.

    Raises
    ------
    DeployError
        Where a port is in use, there is no room, or the folders cannot be made; nothing is left then.
    """
    if parts.camera:
        _check_tcp(rig)
    ports = {
        "web": take_port(rig.rig.web_port, "the live page") if parts.web else 0,
        "tiled": take_port(rig.rig.tiled_port, "the Tiled server") if parts.tiled else 0,
        "ca": take_port(0, "Channel Access") if parts.instruments and rig.twin is not None else 0,
        "guard": take_port(0, "the guard") if parts.instruments and rig.devices.guard is not None else 0,
    }
    if parts.instruments:
        bridges = [f"bridge-{name}" for name in rig.bridge.names()]
        ports |= {name: take_port(0, f"the Channel Access of {name}") for name in bridges}
    require_folder(data_dir, "data folder")
    require_space(data_dir, DATA_FLOOR_MIB, "a site")
    if parts.camera:
        require_space(runtime_root(), rig.stream.ring_mib + RUNTIME_FLOOR_MIB, "the ring of frames")
    return new_site(name, rig_path, data_dir, ports)


def _check_tcp(rig: RigFile) -> None:
    """Refuse to listen for workers of other hosts where that is not safe, or not possible."""
    from stream.doors import TcpRefused, check_tcp
    from stream.keys import KeysError

    try:
        check_tcp(rig.stream_settings("", ""))
    except (TcpRefused, KeysError) as error:
        raise DeployError(str(error)) from error
    if rig.stream.tcp_port:
        for port in (rig.stream.tcp_port, rig.stream.tcp_port + 1):
            take_port(port, "workers on other hosts")


def launch(site: Site, rig: RigFile, parts: Parts, *, archive: bool = True, allow_control: bool = False) -> Site:
    """Write the settings files, start the processes and return the site with the names of its programs.

    Without `archive` no run is kept on disk: the frames of a replay are there already.
    With `allow_control` the live page may pause, end and steer plans for who has the token of this start.

    What fails or is interrupted here leaves nothing running.
    """
    try:
        stream = rig.stream_settings(site.runtime_dir, site.data_dir)
        if not archive:
            stream = replace(stream, archive=Archive.NONE)
        site = replace(site, metrics_ports=_metrics_ports(rig, parts), allow_control=allow_control)
        if allow_control:
            write_control_token(site)
        programs = _programs(site, rig, stream, parts)
        started = replace(site, programs=tuple(program.name for program in programs))
        started.save()
        processes.start(started, programs)
    except BaseException:
        processes.stop(site)
        raise
    return started


def wait_until_ready(
    site: Site, names: Sequence[str] | None = None, report: Callable[[list[str]], None] | None = None
) -> None:
    """Wait for the site's processes, or those named."""
    processes.wait_ready(site, list(names if names is not None else site.programs), READY_TIMEOUT_S, report)


def _programs(site: Site, rig: RigFile, stream: StreamSettings, parts: Parts) -> list[Program]:
    """Return the programs of the site, those a person waits for first."""
    programs: list[Program] = []
    if parts.web:
        programs.append(_web(site, stream))
    if parts.instruments and rig.twin is not None:
        programs.append(_twin(site, rig, stream))
    programs += [_bridge(site, rig, stream, name, port) for name, port in site.bridge_ports.items()]
    if parts.instruments and rig.devices.guard is not None:
        programs.append(_guard(site, rig, stream))
    if parts.camera:
        programs.append(_camera(site, rig, stream))
    if parts.analyzers:
        programs += _analyzers(site, rig, stream)
    if parts.tiled:
        programs.append(_tiled(site))
    if parts.instruments:
        programs.append(_monitor(site, rig, stream))
    return programs


def _metrics_ports(rig: RigFile, parts: Parts) -> dict[str, int]:
    """Return a free port for each process that serves metrics."""
    names = ["camera"] if parts.camera else []
    names += [*(f"worker-{number}" for number in range(rig.rig.workers)), "builder"] if parts.analyzers else []
    names += ["monitor"] if parts.instruments else []
    return {name: take_port(0, f"the metrics of {name}") for name in names}


def _write(site: Site, name: str, settings: Any) -> Path:
    """Write the settings file of a process, with its own port for metrics."""
    port = site.metrics_ports.get(name, 0)
    if port:
        settings = replace(settings, stream=replace(settings.stream, metrics_port=port))
    path = Path(site.runtime_dir) / "settings" / f"{name}.json"
    dump_settings(settings, path)
    return path


def _web(site: Site, stream: StreamSettings) -> Program:
    from dashboard.settings import DashboardProcess, DashboardSettings

    settings = DashboardProcess(
        stream,
        DashboardSettings(
            port=site.web_port,
            tiled_uri=site.tiled_uri,
            allow_control=site.allow_control,
            metrics_urls={name: f"http://127.0.0.1:{port}/metrics" for name, port in site.metrics_ports.items()},
        ),
    )
    return python_program("web", "dashboard.server", _write(site, "web", settings), priority=1, alone=True)


def _twin(site: Site, rig: RigFile, stream: StreamSettings) -> Program:
    from devices.processes import TwinProcess

    assert rig.twin is not None
    settings = TwinProcess(stream, rig.twin, rig.devices.prefix, guard=rig.devices.guard is not None)
    return python_program("ioc", "devices.twin.ioc", _write(site, "ioc", settings), priority=10)


def _bridge(site: Site, rig: RigFile, stream: StreamSettings, name: str, port: int) -> Program:
    from devices.ioc.settings import BridgeProcess

    settings = BridgeProcess(
        stream,
        name,
        port,
        rig.devices.prefix,
        rig.bridge,
        load_index=rig.sample.load_index,
        guard=rig.devices.guard is not None,
    )
    module = f"devices.ioc.{name.removeprefix('bridge-')}"
    return python_program(name, module, _write(site, name, settings), priority=10)


def _guard(site: Site, rig: RigFile, stream: StreamSettings) -> Program:
    from devices.processes import GuardProcess

    offset = rig.camera.offset_counts
    settings = GuardProcess(stream, rig.guard_settings(), rig.devices, rig.rig.name, site.guard_port, offset)
    return python_program("guard", "devices.ioc.guard", _write(site, "guard", settings), priority=10)


def _camera(site: Site, rig: RigFile, stream: StreamSettings) -> Program:
    from devices.processes import CameraProcess

    settings = CameraProcess(stream, rig.camera, rig.devices.prefix, rig.twin, rig.devices)
    return python_program("camera", "devices.camera_server", _write(site, "camera", settings), priority=20)


def _analyzers(site: Site, rig: RigFile, stream: StreamSettings) -> list[Program]:
    from analyzers.settings import BuilderProcess, WorkerProcess

    programs: list[Program] = []
    for number in range(rig.rig.workers):
        name = f"worker-{number}"
        programs.append(python_program(name, "analyzers.worker", _write(site, name, WorkerProcess(stream, name)), 30))
    builder = BuilderProcess(stream, site.tiled_uri, rig.rig.workers)
    programs.append(python_program("builder", "analyzers.builder", _write(site, "builder", builder), 30))
    return programs


def _monitor(site: Site, rig: RigFile, stream: StreamSettings) -> Program:
    from devices.processes import MonitorProcess

    settings = MonitorProcess(stream, rig.devices)
    return python_program("monitor", "devices.monitor", _write(site, "monitor", settings), priority=50)


def _tiled(site: Site) -> Program:
    from deploy.tiled_config import tiled_program

    return tiled_program(site)
