"""Who drives a site: the demo or a session, one at a time; `nvdac down` asks it to leave before it ends the processes.

The lock is the kernel's and goes with the process that holds it, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Generator
from pathlib import Path

from deploy.errors import DeployError
from deploy.site import Site

_POLL_S = 0.05


@contextlib.contextmanager
def driving(site: Site, what: str) -> Generator[None]:
    """Hold the site while instruments are moved.

    Parameters
    ----------
    what
        The command, for messages.

    Raises
    ------
    DeployError
        Where another process holds it.
    """
    try:
        handle = os.open(_lock(site), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DeployError(f"site {site.name!r} has gone; see `nvdac status`") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DeployError(
                f"site {site.name!r} is driven by {os.read(handle, 200).decode()}; leave that first: "
                "two sessions would move the same instruments"
            ) from error
        os.ftruncate(handle, 0)
        os.write(handle, f"{what} (process {os.getpid()})".encode())
        yield
    finally:
        os.close(handle)


def driver_pid(site: Site) -> int:
    """Return the id of the process that drives the site; 0 where none does."""
    return int(driver(site).rpartition(" ")[2].rstrip(")") or 0)


def driver(site: Site) -> str:
    """Return who drives the site, such as `nvdac session (process 1234)`; empty where nobody does."""
    try:
        handle = os.open(_lock(site), os.O_RDONLY)
    except OSError:
        return ""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(handle, 200).decode()
    finally:
        os.close(handle)
    return ""


def ask_to_leave(site: Site, timeout_s: float) -> None:
    """Terminate the process that drives the site, so that its plan ends safely, and wait until it let go."""
    pid = driver_pid(site)
    if not pid or pid == os.getpid():
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while driver_pid(site) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _lock(site: Site) -> Path:
    return Path(site.runtime_dir) / "driver"
