"""Start, watch and end the processes of a site through supervisord."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from deploy.environment import process_environment
from deploy.errors import DeployError
from deploy.site import Site

READY_POLL_S = 0.05
STARTS_TRIED = 3
"""A process that has ended more often before it was ready counts as one that does not start."""


@dataclass(frozen=True)
class Program:
    """One process to keep running."""

    name: str
    """Name, also of its ready file and its log."""
    command: tuple[str, ...]
    """Command line; `{python}` stands for the interpreter."""
    priority: int = 100
    """Lower starts first."""


@dataclass(frozen=True)
class ProcessState:
    """What the process manager says of one process."""

    name: str
    state: str
    pid: int
    uptime_s: float
    description: str


def python_program(name: str, module: str, settings_path: Path, priority: int = 100) -> Program:
    """Return the program that runs `python -m module settings`."""
    return Program(name, (sys.executable, "-m", module, str(settings_path)), priority)


def start(site: Site, programs: Sequence[Program]) -> None:
    """Start supervisord with `programs` and leave it running in the background.

    Raises
    ------
    DeployError
        Where supervisord does not answer.
    """
    configuration = Path(site.runtime_dir) / "supervisord.conf"
    configuration.write_text(supervisor_configuration(site, programs))
    result = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
        env=process_environment(site),
        cwd=site.data_dir,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise DeployError(f"the process manager did not start: {result.stderr.strip() or result.stdout.strip()}")


def supervisor_configuration(site: Site, programs: Sequence[Program]) -> str:
    """Return the text of supervisord's configuration."""
    logs = f"{site.runtime_dir}/logs"
    text = f"""[unix_http_server]
file = {site.supervisor_socket}
chmod = 0700

[supervisord]
logfile = {logs}/supervisord.log
logfile_maxbytes = 1MB
pidfile = {site.runtime_dir}/supervisord.pid
identifier = nvdac-{site.name}
umask = 077
silent = true

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl = unix://{site.supervisor_socket}
"""
    for program in programs:
        command = " ".join(f'"{part}"' for part in program.command).replace("%", "%%")
        text += f"""
[program:{program.name}]
command = {command}
priority = {program.priority}
autorestart = true
startsecs = 1
startretries = 5
stopsignal = TERM
stopwaitsecs = 5
killasgroup = true
stopasgroup = false
redirect_stderr = true
stdout_logfile = {logs}/{program.name}.log
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 2
"""
    return text


def wait_ready(
    site: Site, names: Sequence[str], timeout_s: float, report: Callable[[list[str]], None] | None = None
) -> None:
    """Wait until each of `names` says that it serves.

    Parameters
    ----------
    report
        Called with the names still missing, each time they change.

    Raises
    ------
    DeployError
        Where a process ended for good or the time is up; the end of its log is in the message.
    """
    deadline = time.monotonic() + timeout_s
    missing: list[str] = []
    pids: dict[str, set[int]] = {}
    while True:
        now_missing = [name for name in names if not (Path(site.runtime_dir) / "ready" / name).exists()]
        if report and now_missing != missing:
            report(now_missing)
        missing = now_missing
        if not missing:
            return
        for state in states(site):
            if state.name not in missing:
                continue
            pids.setdefault(state.name, set()).add(state.pid)
            if state.state == "FATAL" or len(pids[state.name] - {0}) > STARTS_TRIED:
                raise DeployError(f"{state.name} does not start ({state.state}):\n{log_tail(site, state.name)}")
        if time.monotonic() > deadline:
            tail = log_tail(site, missing[0])
            raise DeployError(f"{', '.join(missing)} not ready after {timeout_s:.0f} s; log of {missing[0]}:\n{tail}")
        time.sleep(READY_POLL_S)


def states(site: Site) -> list[ProcessState]:
    """Return the state of each process; an empty list where the process manager does not answer."""
    try:
        rows = cast("list[dict[str, Any]]", _proxy(site).supervisor.getAllProcessInfo())
    except (OSError, xmlrpc.client.Error):
        return []
    return [
        ProcessState(
            row["name"],
            row["statename"],
            int(row["pid"]),
            float(row["now"] - row["start"]) if row["statename"] == "RUNNING" else 0.0,
            row.get("description", ""),
        )
        for row in rows
    ]


def restart(site: Site, name: str) -> None:
    """Restart one process."""
    supervisor = _proxy(site).supervisor
    supervisor.stopProcess(name)
    supervisor.startProcess(name)


def stop(site: Site, timeout_s: float = 20.0) -> None:
    """End every process of the site and remove its runtime folder; the data folder stays.

    Raises
    ------
    DeployError
        Where processes are still there after `timeout_s`.
    """
    try:
        _proxy(site).supervisor.shutdown()
    except (OSError, xmlrpc.client.Error):
        _end_orphans(site)
        _remove_runtime(site)
        return
    deadline = time.monotonic() + timeout_s
    while Path(site.runtime_dir, "supervisord.pid").exists():
        if time.monotonic() > deadline:
            raise DeployError(
                f"site {site.name!r}: processes still there after {timeout_s:.0f} s; see {site.runtime_dir}/logs"
            )
        time.sleep(READY_POLL_S)
    _remove_runtime(site)


def log_tail(site: Site, name: str, lines: int = 12) -> str:
    """Return the last lines of a process's log."""
    path = Path(site.runtime_dir) / "logs" / f"{name}.log"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"


def orphans(site: Site) -> list[int]:
    """Return the ids of processes that run on the site's settings, whoever started them."""
    marks = (f"{site.runtime_dir}/settings/".encode(), f"{site.runtime_dir}/tiled/".encode())
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes()
            except OSError:  # it ended while we looked
                continue
            if any(mark in command for mark in marks):
                found.append(int(folder.name))
    return found


def _end_orphans(site: Site) -> None:
    """End what a killed process manager left behind."""
    for pid in orphans(site):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _remove_runtime(site: Site) -> None:
    """Keep the logs beside the data, remove sockets and ring."""
    runtime = Path(site.runtime_dir)
    logs = runtime / "logs"
    if logs.exists() and Path(site.data_dir).exists():
        shutil.copytree(logs, Path(site.data_dir) / "logs", dirs_exist_ok=True)
    shutil.rmtree(runtime, ignore_errors=True)


def _proxy(site: Site) -> Any:
    from supervisor.xmlrpc import SupervisorTransport

    transport = SupervisorTransport(None, None, f"unix://{site.supervisor_socket}")
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=cast("xmlrpc.client.Transport", transport))
