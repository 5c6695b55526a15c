"""Start, watch and end the processes of a site through supervisord."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from deploy.environment import process_environment
from deploy.errors import DeployError
from deploy.signals import held
from deploy.site import Site

READY_POLL_S = 0.05
STARTS_TRIED = 3
"""A process that has ended more often before it was ready counts as one that does not start."""
ALIVE = ("RUNNING", "STARTING")
"""States of a process that is there; supervisord calls it STARTING for its first second, ready or not."""
ANSWER_S = 10.0
"""Longest time that the process manager may take for an answer, s."""
ALONE_S = 60.0
"""Longest time that others wait for a program that starts alone, s."""
LEAVE_S = 5.0
"""Time that processes without a manager have between SIGTERM and SIGKILL, s."""


@dataclass(frozen=True)
class Program:
    """One process to keep running."""

    name: str
    """Name, also of its ready file and its log."""
    command: tuple[str, ...]
    """Command line; `{python}` stands for the interpreter."""
    priority: int = 100
    """Lower starts first."""
    alone: bool = False
    """Starts before all others and has the machine to itself until it serves."""


@dataclass(frozen=True)
class ProcessState:
    """What the process manager says of one process."""

    name: str
    state: str
    pid: int
    uptime_s: float
    description: str


def python_program(name: str, module: str, settings_path: Path, priority: int = 100, *, alone: bool = False) -> Program:
    """Return the program that runs `python -m module settings`."""
    return Program(name, (sys.executable, "-m", module, str(settings_path)), priority, alone)


def start(site: Site, programs: Sequence[Program]) -> None:
    """Start supervisord with `programs` and leave it running in the background.

    Returns as soon as the programs that start alone serve; the others are on their way then.

    Raises
    ------
    DeployError
        Where supervisord or a program that starts alone does not start.
    """
    configuration = Path(site.runtime_dir) / "supervisord.conf"
    configuration.write_text(supervisor_configuration(site, programs))
    with held():  # a supervisord whose start was interrupted half-way would be found by nobody
        result = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
            env=process_environment(site),
            cwd=site.data_dir,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,  # Ctrl-C at the terminal is for the command alone
        )
    if result.returncode != 0:
        lines = (result.stderr.strip() or result.stdout.strip()).splitlines() or ["no reason given"]
        raise DeployError(f"the process manager did not start: {lines[-1]}")
    alone = [program.name for program in programs if program.alone]
    if alone:
        wait_ready(site, alone, ALONE_S)
        try:
            with _manager(site) as supervisor:
                supervisor.startAllProcesses(False)
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise DeployError(f"the process manager does not start the other processes: {error}") from error


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
    waiting = any(program.alone for program in programs)
    for program in programs:
        command = " ".join(f'"{part}"' for part in program.command).replace("%", "%%")
        text += f"""
[program:{program.name}]
command = {command}
priority = {program.priority}
autostart = {"false" if waiting and not program.alone else "true"}
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
    heard = time.monotonic()
    missing: list[str] = []
    pids: dict[str, set[int]] = {}
    while True:
        now_missing = [name for name in names if not (Path(site.runtime_dir) / "ready" / name).exists()]
        if report and now_missing != missing:
            report(now_missing)
        missing = now_missing
        if not missing:
            return
        rows = states(site)
        heard = time.monotonic() if rows else heard
        for state in rows:
            if state.name in missing:
                pids.setdefault(state.name, set()).add(state.pid)
                _refuse_failing(site, state, len(pids[state.name] - {0}))
        if time.monotonic() - heard > ANSWER_S:
            raise DeployError(f"the process manager of site {site.name!r} has gone; end the rest with `nvdac down`")
        if time.monotonic() > deadline:
            tail = log_tail(site, missing[0])
            raise DeployError(f"{', '.join(missing)} not ready after {timeout_s:.0f} s; log of {missing[0]}:\n{tail}")
        time.sleep(READY_POLL_S)


def _refuse_failing(site: Site, state: ProcessState, starts: int) -> None:
    """Raise where a process was started too often or has been given up."""
    if state.state == "FATAL" or starts > STARTS_TRIED:
        raise DeployError(f"{state.name} does not start; the end of its log:\n{log_tail(site, state.name)}")


def states(site: Site) -> list[ProcessState]:
    """Return the state of each process; an empty list where the process manager does not answer."""
    try:
        with _manager(site) as supervisor:
            rows = cast("list[dict[str, Any]]", supervisor.getAllProcessInfo())
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
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


def stop(site: Site, timeout_s: float = 20.0) -> None:
    """End every process of the site and remove its runtime folder; the data folder and the logs in it stay.

    Works on whatever is left of a site: also where its process manager was killed or hangs.

    Raises
    ------
    DeployError
        Where processes are still there after `timeout_s`.
    """
    with held():
        _shut_down(site, timeout_s)
        left = _end_processes(site)
        if left:
            raise DeployError(f"site {site.name!r}: processes {left} do not end; see {site.runtime_dir}/logs")
        _remove_runtime(site)


def _shut_down(site: Site, timeout_s: float) -> None:
    """Let supervisord end its processes, as far as it answers."""
    try:
        with _manager(site) as supervisor:
            supervisor.shutdown()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return
    deadline = time.monotonic() + timeout_s
    while processes_of(site) and time.monotonic() < deadline:
        time.sleep(READY_POLL_S)


def _end_processes(site: Site) -> list[int]:
    """End what a killed or hanging process manager left behind, and it first; return what does not end."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in processes_of(site):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + LEAVE_S
        while processes_of(site):
            if time.monotonic() > deadline:
                break
            time.sleep(READY_POLL_S)
    return processes_of(site)


def log_tail(site: Site, name: str, lines: int = 12) -> str:
    """Return the last lines of a process's log."""
    path = Path(site.runtime_dir) / "logs" / f"{name}.log"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"


def processes_of(site: Site) -> list[int]:
    """Return the ids of processes that run on the site's settings, its manager first, whoever started them."""
    runtime = site.runtime_dir
    marks = tuple(f"{runtime}/{place}".encode() for place in ("settings/", "tiled/", "supervisord.conf"))
    found: list[tuple[bool, int]] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                arguments = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it ended while we looked
                continue
            # only python programs: a person may read a settings file with an editor
            if b"python" in arguments[0] and any(part.startswith(marks) for part in arguments):
                found.append((marks[-1] not in arguments, int(folder.name)))
    return [pid for _, pid in sorted(found)]


def _remove_runtime(site: Site) -> None:
    """Keep the logs beside the data, remove sockets and ring."""
    runtime = Path(site.runtime_dir)
    logs = runtime / "logs"
    if logs.exists() and Path(site.data_dir).exists():
        shutil.copytree(logs, Path(site.data_dir) / "logs", dirs_exist_ok=True)
    shutil.rmtree(runtime, ignore_errors=True)


@contextlib.contextmanager
def _manager(site: Site) -> Generator[Any]:
    """Give supervisord's XML-RPC over its Unix socket; it answers in time or raises an OSError."""
    with xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(site.supervisor_socket)) as proxy:
        yield proxy.supervisor


class _UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket, with a time limit."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._made = _UnixConnection(path)

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """Return a connection to the socket, whatever the host is called."""
        return self._made

    def close(self) -> None:
        """Close the connection."""
        self._made.close()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket file."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_S)
        self.sock.connect(self._path)
