"""`nvdac queue`: bluesky-queueserver for a running site. Needs the extra `queueserver` and a Redis server."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from deploy import processes
from deploy.environment import process_environment
from deploy.errors import DeployError
from deploy.foreground import driving
from deploy.signals import held
from deploy.site import Site, find_site

FOLDER = Path(__file__).parent / "queueserver"
SITE_VARIABLE = "NVDAC_QUEUE_SITE"
LEAVE_S = 60.0
"""Longest wait for a running plan to end safely, s."""
_REQUEST_MS = 2000
_POLL_S = 0.2


def queue_address(site: Site) -> str:
    """Return where the manager listens unless told otherwise: a socket that only its owner may reach."""
    return f"ipc://{site.runtime_dir}/queue.sock"


def serve_queue(site_name: str | None, redis: str, address: str) -> int:
    """Run the manager in the foreground until it ends; a plan that runs then is aborted, and the field holds.

    Parameters
    ----------
    site_name
        The running site; the newest one where None.
    redis
        HOST:PORT of the Redis server that keeps the queue.
    address
        ZeroMQ address of the manager; empty takes `queue_address`.

    Raises
    ------
    DeployError
        Where the extra is not installed, Redis does not answer, or the site is driven by somebody else.
    """
    _require(redis)
    site = find_site(site_name, needs="monitor")
    if not processes.states(site):
        raise DeployError(f"the processes of site {site.name!r} are gone; `nvdac down --site {site.name}`, `nvdac up`")
    chosen = address or queue_address(site)
    with driving(site, "nvdac queue"):
        sys.stdout.write(
            f"nvdac queue on {site.name}: QSERVER_ZMQ_CONTROL_ADDRESS={chosen}\n"
            "  qserver environment open, qserver queue add plan ..., qserver queue start; Ctrl-C ends it\n"
        )
        sys.stdout.flush()
        environment = {**process_environment(site), SITE_VARIABLE: site.name}
        manager = subprocess.Popen(_command(site, redis, chosen), env=environment, start_new_session=True)
        try:
            return manager.wait()
        finally:
            with held():
                _leave(manager, chosen)


def _require(redis: str) -> None:
    """Refuse where the extra or Redis is missing."""
    if importlib.util.find_spec("bluesky_queueserver") is None:
        raise DeployError(
            "nvdac queue needs bluesky-queueserver: .venv/bin/pip install -c constraints.txt -e '.[queueserver]'"
        )
    from redis import Redis
    from redis.exceptions import RedisError

    host, _, port = redis.partition(":")
    if not port.isdigit():
        raise DeployError(f"--redis {redis}: give HOST:PORT")
    with contextlib.closing(Redis(host=host, port=int(port), socket_connect_timeout=3.0)) as client:
        try:
            client.ping()
        except RedisError as error:
            raise DeployError(
                f"no Redis server answers at {redis}; start one (Debian: apt install redis-server) or name it: --redis"
            ) from error


def _command(site: Site, redis: str, address: str) -> list[str]:
    options = {
        "--startup-dir": FOLDER / "startup",
        "--user-group-permissions": FOLDER / "user_group_permissions.yaml",
        "--existing-plans-devices": Path(site.runtime_dir) / "queue_plans_and_devices.yaml",
        "--redis-addr": redis,
        "--redis-name-prefix": f"nvdac_{site.name}",
        "--zmq-control-addr": address,
    }
    rows = [str(part) for pair in options.items() for part in pair]
    start = "from bluesky_queueserver.manager.start_manager import start_manager; start_manager()"
    return [sys.executable, "-c", start, *rows]


def _leave(manager: subprocess.Popen[bytes], address: str) -> None:
    """Abort what runs, close the worker and end the manager."""
    if manager.poll() is None:
        deadline = time.monotonic() + LEAVE_S
        state = _abort(address, deadline)
        if state.get("worker_environment_exists"):
            _until(address, deadline, lambda now: now.get("manager_state") == "idle")
            _ask(address, "environment_close")
            _until(address, deadline, lambda now: not now.get("worker_environment_exists"))
        _ask(address, "manager_stop", option="safe_off")
        with contextlib.suppress(subprocess.TimeoutExpired):
            manager.wait(10.0)
    if manager.poll() is None:
        manager.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            manager.wait(10.0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(manager.pid, 9)


def _abort(address: str, deadline: float) -> dict[str, Any]:
    """Abort what runs: the manager hears late of the state of its engine, and its own says whether something does."""
    state = _ask(address, "status")
    while state.get("manager_state", "idle") != "idle" and time.monotonic() < deadline:
        if state.get("re_state") == "running":
            _ask(address, "re_pause", option="immediate")
        elif state.get("re_state") == "paused":
            _ask(address, "re_abort")
        time.sleep(_POLL_S)
        state = _ask(address, "status")
    return state


def _ask(address: str, method: str, **parameters: Any) -> dict[str, Any]:
    """Return the manager's answer; empty where there is none."""
    from bluesky_queueserver.manager.comms import zmq_single_request

    answer, _ = zmq_single_request(method, parameters, timeout=_REQUEST_MS, zmq_server_address=address)
    return dict(answer or {})


def _until(address: str, deadline: float, ready: Any) -> dict[str, Any]:
    state = _ask(address, "status")
    while not ready(state) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        state = _ask(address, "status")
    return state
