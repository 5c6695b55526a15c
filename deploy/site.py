"""A site: one set of running processes with its own ports, sockets and data folder."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.errors import DeployError

SITE_FILE = "site.json"


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

    @property
    def web_url(self) -> str:
        """Address of the live page."""
        return f"http://127.0.0.1:{self.web_port}/"

    @property
    def tiled_uri(self) -> str:
        """Address of the Tiled server; empty without one."""
        return f"http://127.0.0.1:{self.tiled_port}" if self.tiled_port else ""

    @property
    def supervisor_socket(self) -> str:
        """Unix socket of the process manager."""
        return f"{self.runtime_dir}/supervisor.sock"

    def save(self) -> None:
        """Write the site's file, readable by its owner alone."""
        path = Path(self.runtime_dir) / SITE_FILE
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self), indent=2))


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
    files = sorted(runtime_root().glob(f"*/{SITE_FILE}"), key=lambda path: path.stat().st_mtime)
    return [_read(path) for path in files]


def find_site(name: str | None) -> Site:
    """Return the site `name`, or the newest one.

    Raises
    ------
    DeployError
        Where there is none, or none of that name.
    """
    sites = running_sites()
    if name is not None:
        sites = [site for site in sites if site.name == name]
    if not sites:
        wanted = f"no running site named {name!r}" if name else "nothing is running"
        raise DeployError(f"{wanted}; start one with `nvdac up` or `nvdac demo`, list them with `nvdac status`")
    return sites[-1]


def free_port() -> int:
    """Return a TCP port that is free on loopback now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def take_port(wanted: int, what: str) -> int:
    """Return `wanted` where it is free, a free one for 0.

    Raises
    ------
    DeployError
        Where the port is in use.
    """
    if wanted == 0:
        return free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            message = f"port {wanted} for {what} is in use; choose another, or 0 for any free one"
            raise DeployError(message) from error
    return wanted


def new_site(name: str, rig_file: Path, data_dir: Path, ports: dict[str, int]) -> Site:
    """Make the folders of a new site and return it.

    Raises
    ------
    DeployError
        Where a site of that name runs or a folder cannot be made.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", name):
        raise DeployError(f"site name {name!r}: use at most 40 letters, digits, '.', '_' or '-'")
    runtime = runtime_root() / name
    if (runtime / SITE_FILE).exists():
        raise DeployError(
            f"a site named {name!r} is there already; end it with `nvdac down --site {name}` or choose another"
        )
    try:
        for folder in (runtime, runtime / "ready", runtime / "logs", runtime / "settings"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeployError(f"cannot make the folders of site {name!r}: {error}; choose another with --data") from error
    if len(str(runtime)) > 80:
        raise DeployError(
            f"{runtime} is too long for sockets (107 characters at most); set XDG_RUNTIME_DIR to a shorter folder"
        )
    return Site(
        name=name,
        rig_file=str(rig_file),
        runtime_dir=str(runtime),
        data_dir=str(data_dir.resolve()),
        web_port=ports.get("web", 0),
        tiled_port=ports.get("tiled", 0),
        ca_port=ports.get("ca", 0),
        tiled_api_key=os.environ.get("NVDAC_TILED_API_KEY") or secrets.token_hex(24),
    )


def _read(path: Path) -> Site:
    values = json.loads(path.read_text())
    values["programs"] = tuple(values["programs"])
    return Site(**values)
