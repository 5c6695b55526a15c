"""`nvdac doctor`: what is missing or misconfigured, and how to mend it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy import processes
from deploy.errors import DeployError
from deploy.rig_file import RigFile, find_rig, load_rig
from deploy.site import running_sites, runtime_root
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
    findings = [_python(), _runtime_folder(), _disk(folder), _swmr(folder), *_stale_sites(), _browser()]
    try:
        rig = load_rig(find_rig(rig_name))
    except DeployError as error:
        return [*findings, Finding("rig file", False, str(error), "mend the file")]
    findings += [
        Finding("rig file", True, f"{rig_name}: every key known"),
        _ports(rig),
        _epics(rig),
        _shared_memory(rig),
    ]
    if warm:
        findings.append(_warm(rig))
    return findings


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] <= (3, 14)
    return Finding("python", good, version, "" if good else "use Python 3.11 to 3.14: make PYTHON=python3.12 install")


def _runtime_folder() -> Finding:
    try:
        return Finding("sockets", True, str(runtime_root()))
    except (DeployError, OSError) as error:
        return Finding("sockets", False, str(error), "set XDG_RUNTIME_DIR to a private folder with a short path")


def _disk(folder: Path) -> Finding:
    place = _existing(folder)
    free = shutil.disk_usage(place).free / 2**30
    good = free >= DISK_FLOOR_GIB
    return Finding(
        "disk", good, f"{free:.0f} GiB free at {folder}", "" if good else "free some space or use --data elsewhere"
    )


def _swmr(folder: Path) -> Finding:
    """Write and read one small file as frames are: memory-mapped locks, single writer and many readers."""
    import h5py

    try:
        with tempfile.TemporaryDirectory(dir=_existing(folder)) as scratch:
            path = f"{scratch}/swmr.h5"
            with h5py.File(path, "w", libver="latest") as writer:
                data = writer.create_dataset("x", (1,), maxshape=(None,), chunks=(1,))
                writer.swmr_mode = True
                with h5py.File(path, "r", swmr=True) as reader:
                    data[0] = 1
                    data.flush()
                    good = "x" in reader
        return Finding("frame files (SWMR)", good, f"work at {folder}")
    except OSError as error:
        return Finding("frame files (SWMR)", False, str(error), "use a local disk (not NFS) with --data")


def _stale_sites() -> list[Finding]:
    findings: list[Finding] = []
    for site in running_sites():
        alive = bool(processes.states(site))
        mend = "" if alive else f"remove it with `nvdac down --site {site.name}`"
        findings.append(
            Finding("site " + site.name, alive, "runs" if alive else "its processes are gone, its ring is stale", mend)
        )
    return findings


def _browser() -> Finding:
    found = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("firefox")
    return Finding("browser", True, found or "none here: open the page's address in any browser on this machine")


def _ports(rig: RigFile) -> Finding:
    from deploy.site import take_port

    try:
        take_port(rig.rig.web_port, "the live page")
        take_port(rig.rig.tiled_port, "the Tiled server")
    except DeployError as error:
        return Finding("ports", False, str(error), "change [rig] in the rig file")
    return Finding("ports", True, "free")


def _epics(rig: RigFile) -> Finding:
    if rig.twin is not None:
        return Finding("EPICS", True, "the twin's IOC gets loopback and a port of its own")
    addresses = os.environ.get("EPICS_CA_ADDR_LIST", "")
    automatic = os.environ.get("EPICS_CA_AUTO_ADDR_LIST", "YES").upper() != "NO"
    if not addresses and automatic:
        return Finding(
            "EPICS", False, "searches every network", "set EPICS_CA_ADDR_LIST to your IOCs, EPICS_CA_AUTO_ADDR_LIST=NO"
        )
    return Finding("EPICS", True, f"searches {addresses or 'nothing'}")


def _shared_memory(rig: RigFile) -> Finding:
    free = shutil.disk_usage(runtime_root()).free / 2**20
    good = free > 2 * rig.stream.ring_mib
    mend = "" if good else "make [stream] ring_mib smaller, or free space there"
    return Finding("ring", good, f"{rig.stream.ring_mib} MiB of {free:.0f} MiB free at {runtime_root()}", mend)


def _warm(rig: RigFile) -> Finding:
    import time

    from analyzers.fitting import warm_up

    begin = time.perf_counter()
    warm_up(rig.analysis)
    return Finding("kernels", True, f"compiled and cached in {time.perf_counter() - begin:.1f} s")


def _existing(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    return place
