"""`nvdac worker`: a fitting worker on another host than the camera's."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from pathlib import Path

from deploy.environment import ONE_THREAD
from deploy.errors import DeployError
from deploy.site import runtime_root
from stream.doors import TcpRefused, check_connect, is_loopback
from stream.keys import KeysError
from stream.settings import StreamSettings, dump_settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def become_worker(address: str, name: str | None) -> None:
    """Turn this process into a worker; returns only where it is refused.

    Parameters
    ----------
    address
        `tcp://HOST:PORT` of the frame server, see `[stream] tcp_port` of its rig file.
    name
        Name of the worker, unique on the rig; this host's name and the process id where it is None.

    Raises
    ------
    DeployError
        Where the address or the name is none, or keys are missing.
    """
    chosen = name or f"{socket.gethostname().split('.')[0][:40] or 'away'}-{os.getpid()}"
    if not _NAME.fullmatch(chosen) or chosen == "builder":
        raise DeployError(f"{chosen!r} is no name for a worker: letters, digits, dots, dashes and underscores")
    home = runtime_root() / f"worker-{chosen}"
    host = address.removeprefix("tcp://").rpartition(":")[0]
    settings = StreamSettings(str(home), str(home), connect=address, curve=not is_loopback(host) or _has_server_key())
    try:
        check_connect(settings)
    except (TcpRefused, KeysError) as error:
        raise DeployError(str(error)) from error
    home.mkdir(mode=0o700, exist_ok=True)
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    _work(settings, chosen, home)


def _has_server_key() -> bool:
    """Tell whether the camera's host is known by its key: then keys are used on loopback too (a tunnel)."""
    from stream.keys import server_key

    try:
        server_key()
    except KeysError:
        return False
    return True


def _work(settings: StreamSettings, name: str, home: Path) -> None:
    """Run the worker's program in a child, so that its folder goes when it ends."""
    import signal
    import subprocess

    from analyzers.settings import WorkerProcess

    file = home / "settings.json"
    dump_settings(WorkerProcess(settings, name), file)
    with subprocess.Popen([sys.executable, "-m", "analyzers.worker", str(file)]) as process:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: process.terminate())
        code = process.wait()
    shutil.rmtree(home, ignore_errors=True)
    if code:
        raise DeployError(f"the worker ended with code {code}", exit_code=1)
