"""`nvdac doctor`: what is missing or misconfigured, and how to mend it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from deploy import processes
from deploy.doctor_camera import camera_findings
from deploy.doctor_guard import guard_findings
from deploy.errors import DeployError
from deploy.launch import RUNTIME_FLOOR_MIB
from deploy.places import existing, free_mib, require_folder, require_plain
from deploy.plan_arguments import HISTORY_NEEDS, history_settings
from deploy.rig_file import RigFile, find_rig, load_rig
from deploy.setup_files import load_setup
from deploy.site import LONGEST_RUNTIME_DIR, Site, running_sites, runtime_root, take_port
from deploy.up import default_data_dir

DISK_FLOOR_GIB = 2.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    topic: str
    """What was looked at."""
    ok: bool
    """Whether it is as it should be."""
    detail: str
    """What was found."""
    mend: str = ""
    """What to do where it is not."""

    def line(self) -> str:
        """Return the finding as one line."""
        return f"{'ok  ' if self.ok else 'BAD '} {self.topic:<22} {self.detail}" + (
            f"; {self.mend}" if self.mend else ""
        )

    def as_json(self) -> dict[str, Any]:
        """Return the finding as a JSON mapping."""
        return asdict(self)


def examine(rig_name: str, data: Path | None, *, warm: bool) -> list[Finding]:
    """Look at everything a session needs and return what was found, good and bad."""
    folder = data or default_data_dir()
    findings = [_python(), _runtime_folder(), _disk(folder), _swmr(folder), _key(), *_sites(), _browser()]
    try:
        rig = load_rig(find_rig(rig_name))
    except DeployError as error:
        mend = "mend the file" if _is_there(rig_name) else "name a file that is there with --rig"
        return [*findings, Finding("rig file", False, str(error).replace("\n", "; "), mend)]
    findings += [
        _rig(rig_name, rig),
        _setup(rig_name, rig),
        _ports(rig),
        _epics(rig),
        _ring(rig),
        _cores(rig),
        _other_hosts(rig),
    ]
    findings += _instruments(rig)
    findings += [Finding(*told) for told in (*camera_findings(rig), *guard_findings(rig))]
    if warm:
        findings.append(_warm(rig))
    return findings


def _is_there(rig_name: str) -> bool:
    try:
        return find_rig(rig_name).is_file()
    except DeployError:
        return False


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] <= (3, 14)
    return Finding("python", good, version, "" if good else "use Python 3.11 to 3.14: make PYTHON=python3.12 install")


def _runtime_folder() -> Finding:
    try:
        root = runtime_root()
        require_plain(root, "the folder")
    except (DeployError, OSError) as error:
        return Finding("sockets", False, str(error), "set XDG_RUNTIME_DIR to a private folder with a short path")
    if len(str(root / "demo-20261231-235959-1234567")) > LONGEST_RUNTIME_DIR:
        return Finding("sockets", False, f"{root} is too long", "set XDG_RUNTIME_DIR to a folder with a shorter path")
    return Finding("sockets", True, str(root))


def _disk(folder: Path) -> Finding:
    try:
        require_folder(folder, "data folder")
        require_plain(folder.resolve(), "data folder")
    except DeployError as error:
        return Finding("disk", False, str(error))
    free = free_mib(folder) / 1024
    good = free >= DISK_FLOOR_GIB
    mend = "" if good else f"free some space or use --data elsewhere: a run wants {DISK_FLOOR_GIB:g} GiB"
    return Finding("disk", good, f"{free:.1f} GiB free at {folder}", mend)


def _swmr(folder: Path) -> Finding:
    """Write and read one small file as frames are: one writer, and a reader while it writes."""
    import h5py
    import numpy as np

    try:
        with tempfile.TemporaryDirectory(dir=existing(folder)) as scratch:
            path = f"{scratch}/swmr.h5"
            with h5py.File(path, "w", libver="latest") as writer:
                data = writer.create_dataset("x", (1,), dtype="u2", maxshape=(None,), chunks=(1,))
                writer.swmr_mode = True
                with h5py.File(path, "r", swmr=True) as reader:
                    data[0] = 7
                    data.flush()
                    seen = cast("h5py.Dataset", reader["x"])
                    seen.refresh()
                    good = int(np.asarray(seen)[0]) == 7
    except OSError as error:
        return Finding("frame files (SWMR)", False, str(error), "use a local disk that you may write to, with --data")
    mend = "" if good else "use a local disk (not NFS) with --data"
    return Finding("frame files (SWMR)", good, f"{'work' if good else 'are not seen while written'} at {folder}", mend)


def _key() -> Finding:
    """Look at the key of the Tiled server, which takes letters and digits only."""
    key = os.environ.get("NVDAC_TILED_API_KEY", "")
    if key and not (key.isascii() and key.isalnum()):
        mend = "use letters and digits, for instance from `openssl rand -hex 24`, or unset it"
        return Finding("Tiled key", False, "NVDAC_TILED_API_KEY holds other characters than letters and digits", mend)
    return Finding("Tiled key", True, "from NVDAC_TILED_API_KEY" if key else "made anew for each site")


def _sites() -> list[Finding]:
    """Look at the sites that are there: a killed one leaves its ring behind."""
    try:
        sites = running_sites()
    except (DeployError, OSError) as error:
        return [Finding("sites", False, str(error))]
    findings: list[Finding] = []
    for site in sites:
        rows = processes.states(site)
        ill = [row.name for row in rows if row.state not in processes.ALIVE]
        topic = "site " + site.name
        if not rows:
            mend = f"remove it with `nvdac down --site {site.name}`"
            findings.append(Finding(topic, False, "its process manager is gone, its ring is stale", mend))
        elif ill:
            mend = f"see {site.runtime_dir}/logs and `nvdac status --site {site.name}`"
            findings.append(Finding(topic, False, f"{', '.join(ill)} not running", mend))
        else:
            findings.append(Finding(topic, True, "runs"))
    return findings


def _browser() -> Finding:
    found = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("firefox")
    return Finding("browser", True, found or "none here: open the page's address in any browser on this machine")


def _rig(rig_name: str, rig: RigFile) -> Finding:
    """Say what the rig cannot do for want of instruments; that is no mistake."""
    missing = [name for name in HISTORY_NEEDS if getattr(rig.devices, name) is None]
    try:
        history_settings(rig)
    except ValueError as error:
        return Finding("rig file", False, f"[plan]: {error}", "mend the section")
    without = f"; no {', '.join(missing)}: field histories are refused" if missing else ""
    return Finding("rig file", True, f"{rig_name}: every key known{without}")


def _setup(rig_name: str, rig: RigFile) -> Finding:
    """Say which cell, sample, load and optics a run would name."""
    try:
        files = load_setup(find_rig(rig_name), rig)
    except DeployError as error:
        return Finding("setup files", False, str(error).replace("\n", "; "), "see docs/reference/setup-files.md")
    said = [f"{name} {file.path.name} (version {file.values.version})" for name, file in files.items()]
    return Finding("setup files", True, ", ".join(said))


def _ports(rig: RigFile) -> Finding:
    wanted = {rig.rig.web_port: "the live page", rig.rig.tiled_port: "the Tiled server"}
    for port, what in wanted.items():
        holding = [site.name for site in _known_sites() if port and port in (site.web_port, site.tiled_port)]
        if holding and holding[0] == rig.rig.name:
            return Finding("ports", True, f"{port} is served by site {holding[0]}, which runs")
        if holding:
            mend = f"end it with `nvdac down --site {holding[0]}`, or change [rig] in the rig file (0: any free port)"
            return Finding("ports", False, f"port {port} for {what} is held by site {holding[0]}", mend)
        try:
            take_port(port, what)
        except DeployError as error:
            return Finding("ports", False, str(error), "change [rig] in the rig file")
    return Finding("ports", True, "free")


def _known_sites() -> list[Site]:
    """Return the sites that run; none where that cannot be told, which is a finding of its own."""
    try:
        return [site for site in running_sites() if processes.states(site)]
    except (DeployError, OSError):
        return []


def _epics(rig: RigFile) -> Finding:
    if rig.twin is not None:
        return Finding("EPICS", True, "the twin's IOC gets loopback and a port of its own")
    addresses = os.environ.get("EPICS_CA_ADDR_LIST", "").strip()
    if rig.bridge.names() and not addresses:
        return Finding("EPICS", True, "each bridge gets loopback and a port of its own; no other IOC is searched")
    automatic = os.environ.get("EPICS_CA_AUTO_ADDR_LIST", "YES").upper() != "NO"
    mend = "set EPICS_CA_ADDR_LIST to the addresses of your IOCs and EPICS_CA_AUTO_ADDR_LIST=NO"
    if not addresses:
        where = "searches every network of this machine" if automatic else "has no address to search"
        return Finding("EPICS", False, where, mend)
    return Finding("EPICS", True, f"searches {addresses}" + (" and every network" if automatic else ""))


def _instruments(rig: RigFile) -> list[Finding]:
    """Ask each instrument behind a bridge who it is, which moves nothing; not those that a site speaks to."""
    from devices.ioc.link import InstrumentError, VisaLink

    lines = [(name, part.address, part) for name, part in vars(rig.bridge).items() if part is not None]
    if rig.bridge.magnet is not None and rig.bridge.magnet.x_address:
        lines.append(("magnet", rig.bridge.magnet.x_address, rig.bridge.magnet))
    busy = [site.name for site in _known_sites() if site.bridge_ports]
    if lines and busy:
        return [Finding("instruments", True, f"not asked: site {busy[0]} speaks to instruments")]
    findings: list[Finding] = []
    for name, address, part in lines:
        link = VisaLink(replace(part, address=address))
        try:
            findings.append(Finding(f"bridge {name}", True, f"{address}: {link.ask('*IDN?')[:60]}"))
        except InstrumentError as error:
            mend = "" if "pip install" in str(error) else "check address and cable, and that it is switched on"
            findings.append(Finding(f"bridge {name}", False, str(error), mend))
        finally:
            link.close()
    return findings


def _ring(rig: RigFile) -> Finding:
    try:
        root = runtime_root()
    except (DeployError, OSError) as error:
        return Finding("ring", False, str(error))
    needed, free = rig.stream.ring_mib + RUNTIME_FLOOR_MIB, free_mib(root)
    mend = "" if free > needed else "make [stream] ring_mib smaller, or free space there"
    return Finding("ring", not mend, f"{rig.stream.ring_mib} MiB wanted, {free:.0f} MiB free at {root}", mend)


def _cores(rig: RigFile) -> Finding:
    cores = len(os.sched_getaffinity(0))
    good = rig.rig.workers <= cores
    mend = "" if good else f"set [rig] workers to {cores} or fewer"
    return Finding("cores", good, f"{rig.rig.workers} workers on {cores} cores", mend)


def _other_hosts(rig: RigFile) -> Finding:
    """Look at what lets workers on other hosts in."""
    from stream.doors import TcpRefused, check_tcp
    from stream.keys import KeysError, allowed

    if not rig.stream.tcp_port:
        return Finding("other hosts", True, "no workers there ([stream] tcp_port is not set)")
    try:
        check_tcp(rig.stream_settings("", ""))
        names = sorted(set(allowed().values()))
    except (TcpRefused, KeysError) as error:
        return Finding("other hosts", False, str(error))
    place = f"tcp://{rig.stream.tcp_host}:{rig.stream.tcp_port}"
    if not rig.stream.curve:
        return Finding("other hosts", True, f"{place}, this host alone, without keys")
    mend = "" if names else "admit one: nvdac keys allow NAME KEY"
    return Finding("other hosts", bool(names), f"{place}, admitted: {', '.join(names) or 'nobody'}", mend)


def _warm(rig: RigFile) -> Finding:
    """Compile, or load from the cache, everything that a run waits for: in workers, builder and twin."""
    import time

    from analyzers import builder, fitting

    begin = time.perf_counter()
    fitting.warm_up(rig.analysis)
    builder.warm_up()
    if rig.twin is not None:
        from devices.twin.camera import TwinCamera

        TwinCamera(rig.twin, rig.camera, dict)  # its constructor compiles; nobody asks the state
    return Finding("kernels", True, f"compiled and cached in {time.perf_counter() - begin:.1f} s")
