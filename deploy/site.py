"""A site: one set of running processes with its own ports, sockets and data folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deploy.errors import DeployError
from deploy.output import write_whole
from deploy.places import require_folder, require_plain
from deploy.signals import held
from stream.paths import control_token_path

SITE_FILE = "site.json"
LONGEST_RUNTIME_DIR = 107 - len("/supervisor.sock.1234567")
"""Characters that a site's runtime folder may have: the path of a socket ends at 107."""


@dataclass(frozen=True)
class Site:
    """Where the processes of one site are and how to reach them."""

    name: str
    """Name of the site, such as `demo-1` or the rig's name."""
    rig_file: str
    """Rig file it was started from."""
    runtime_dir: str
    """Folder of sockets, ring, logs and settings (0700)."""
    data_dir: str
    """Folder of frames, maps, documents and the Tiled catalog."""
    web_port: int
    """Port of the live page on loopback; 0 without one."""
    tiled_port: int
    """Port of the Tiled server on loopback; 0 without one."""
    ca_port: int
    """Channel Access server port on loopback; 0 without a twin IOC."""
    tiled_api_key: str
    """Key of this site's Tiled server: from the environment, else made for this site and kept in the 0700 folder."""
    programs: tuple[str, ...] = ()
    """Names of the supervised processes."""
    metrics_ports: Mapping[str, int] = field(default_factory=dict[str, int])
    """Process -> port on loopback where it serves its metrics."""
    bridge_ports: Mapping[str, int] = field(default_factory=dict[str, int])
    """Bridge -> its Channel Access server port on loopback."""
    allow_control: bool = False
    """Whether people at the live page may pause, end and steer plans, with the token of this start."""
    guard_port: int = 0
    """Channel Access server port of the guard on loopback; 0 without one."""

    @property
    def web_url(self) -> str:
        """Address of the live page; empty without one."""
        return f"http://127.0.0.1:{self.web_port}/" if self.web_port else ""

    @property
    def control_url(self) -> str:
        """Address of the live page with the token of this start; empty where it shows only.

        The token is behind a `#`: a browser sends that part to nobody, so it is in no log.
        """
        path = control_token_path(self.runtime_dir)
        return f"{self.web_url}#token={path.read_text()}" if self.allow_control and path.is_file() else ""

    @property
    def tiled_uri(self) -> str:
        """Address of the Tiled server; empty without one."""
        return f"http://127.0.0.1:{self.tiled_port}" if self.tiled_port else ""

    @property
    def supervisor_socket(self) -> str:
        """Unix socket of the process manager."""
        return f"{self.runtime_dir}/supervisor.sock"

    def save(self) -> None:
        """Write the site's file, readable by its owner alone; who reads it meanwhile meets the old or the new one."""
        path = Path(self.runtime_dir) / SITE_FILE
        write_whole(path, json.dumps(asdict(self), indent=2))
        path.chmod(0o600)


def write_control_token(site: Site) -> None:
    """Make the token of this start, readable by its owner alone."""
    path = control_token_path(site.runtime_dir)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(24))


def runtime_root() -> Path:
    """Return the folder that holds one folder per running site, 0700 and ours."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    root = (
        Path(base) / "nvdac" if base and Path(base).is_dir() else Path(tempfile.gettempdir()) / f"nvdac-{os.getuid()}"
    )
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = root.stat()
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        message = f"{root} is not private to this user; remove it or set XDG_RUNTIME_DIR to a folder of yours"
        raise DeployError(message)
    return root


def running_sites() -> list[Site]:
    """Return the sites whose files are there, oldest first (their processes may have died: see `nvdac status`)."""
    rows: list[tuple[float, Site]] = []
    for path in runtime_root().glob(f"*/{SITE_FILE}"):
        with contextlib.suppress(FileNotFoundError):  # it ended while we looked
            rows.append((path.stat().st_mtime, _read(path)))
    return [site for _, site in sorted(rows, key=lambda row: row[0])]


def find_site(name: str | None, needs: str = "") -> Site:
    """Return the site `name`, or the newest one.

    Parameters
    ----------
    needs
        A process that it must have; others are passed over where no name is given.

    Raises
    ------
    DeployError
        Where there is none, or none of that name.
    """
    every = running_sites()
    sites = [site for site in every if site.name == name] if name else every
    if not sites:
        known = f"; there is {', '.join(site.name for site in every)}" if every else ""
        wanted = f"no running site named {name!r}{known}" if name else "nothing is running"
        raise DeployError(f"{wanted}; start one with `nvdac up` or `nvdac demo`, list them with `nvdac status`")
    fitting = [site for site in sites if not needs or needs in site.programs]
    if not fitting:
        raise DeployError(
            f"site {sites[-1].name!r} has no {needs} process; start a rig with `nvdac up` or `nvdac demo`"
        )
    return fitting[-1]


def free_port() -> int:
    """Return a port that is free on loopback now, for TCP and for UDP."""
    while True:
        with socket.socket() as probe, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            with contextlib.suppress(OSError):
                datagrams.bind(("127.0.0.1", port))
                return port


def take_port(wanted: int, what: str) -> int:
    """Return `wanted` where it is free, a free one for 0.

    Raises
    ------
    DeployError
        Where the port is in use or needs rights that we have not.
    """
    if wanted == 0:
        return free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except PermissionError as error:
            message = f"port {wanted} for {what} is for the system; choose one from 1024 on, or 0 for any free one"
            raise DeployError(message) from error
        except OSError as error:
            message = f"port {wanted} for {what} is in use; choose another, or 0 for any free one"
            raise DeployError(message) from error
    return wanted


def new_site(name: str, rig_file: Path, data_dir: Path, ports: Mapping[str, int]) -> Site:
    """Make the folders of a new site and return it.

    Raises
    ------
    DeployError
        Where a site of that name runs, another one serves the same data folder, or a folder cannot be made;
        nothing is left of the site then.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", name) or name.startswith("."):
        raise DeployError(f"site name {name!r}: use at most 40 letters, digits, '.', '_' or '-', first a letter")
    root = runtime_root()
    if len(str(root / name)) > LONGEST_RUNTIME_DIR:
        raise DeployError(f"{root / name} is too long for sockets; set XDG_RUNTIME_DIR to a shorter folder")
    require_folder(data_dir, "data folder")
    require_plain(data_dir.resolve(), "data folder")
    require_plain(root, "XDG_RUNTIME_DIR gives")
    require_plain(Path(sys.executable), "nvdac is installed at")
    site = Site(
        name=name,
        rig_file=str(rig_file.absolute()),
        runtime_dir=str(root / name),
        data_dir=str(data_dir.resolve()),
        web_port=ports.get("web", 0),
        tiled_port=ports.get("tiled", 0),
        ca_port=ports.get("ca", 0),
        guard_port=ports.get("guard", 0),
        tiled_api_key=os.environ.get("NVDAC_TILED_API_KEY") or secrets.token_hex(24),
        bridge_ports={name: port for name, port in ports.items() if name.startswith("bridge-")},
    )
    with held(), _one_at_a_time(root):
        _refuse_second(site)
        _make_folders(site)
    return site


def _refuse_second(site: Site) -> None:
    """Refuse a name that is taken, and a second Tiled server over one data folder."""
    if (Path(site.runtime_dir) / SITE_FILE).exists():
        raise DeployError(
            f"a site named {site.name!r} is there already; end it with `nvdac down --site {site.name}`, "
            "or choose another name"
        )
    for other in running_sites():
        if other.data_dir == site.data_dir and other.tiled_port and site.tiled_port:
            raise DeployError(
                f"site {other.name!r} serves the data folder {site.data_dir}; end it with "
                f"`nvdac down --site {other.name}`, wait for it, or choose another folder with --data"
            )


def _make_folders(site: Site) -> None:
    """Make the data folder and the runtime folder with its site file, all or nothing of the latter."""
    runtime = Path(site.runtime_dir)
    shutil.rmtree(runtime, ignore_errors=True)  # without its file it was left by a start that was killed
    try:
        Path(site.data_dir).mkdir(parents=True, exist_ok=True)
        for folder in (runtime, runtime / "ready", runtime / "logs", runtime / "settings"):
            folder.mkdir(mode=0o700)
        site.save()
    except OSError as error:
        shutil.rmtree(runtime, ignore_errors=True)
        raise DeployError(
            f"cannot make the folders of site {site.name!r}: {error}; choose another with --data"
        ) from error


@contextlib.contextmanager
def _one_at_a_time(root: Path) -> Generator[None]:
    """Let one command at a time make a site."""
    handle = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _read(path: Path) -> Site:
    try:
        values = json.loads(path.read_text())
        values["programs"] = tuple(values["programs"])
        return Site(**values)
    except (ValueError, TypeError, KeyError) as error:
        raise DeployError(f"{path} is not readable ({error}); remove {path.parent} once nothing of it runs") from error
