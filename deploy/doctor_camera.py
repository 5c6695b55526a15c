"""What `nvdac doctor` says of the camera that the rig file names: which package it needs, and where it is searched."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from deploy.doctor_guard import Told
from deploy.rig_file import RigFile

NEEDS = {"pva": "p4p", "dectris": "hdf5plugin"}
"""Kind of camera -> package of the extra of that name."""
INSTALL = ".venv/bin/pip install -c constraints.txt -e"
"""How an extra is added, in the folder of nvdac."""


def camera_findings(rig: RigFile) -> list[Told]:
    """Return what there is to say of a rig's camera."""
    kind = rig.camera.kind
    if kind == "file":
        return [_frames_file(rig.camera.source)]
    if kind not in NEEDS:
        return [("camera", True, f"{kind}: needs nothing else", "")]
    package = NEEDS[kind]
    if find_spec(package) is None:
        why = "" if kind == "pva" else ", which images need that the detector compresses"
        return [("camera", False, f"{kind}: the package {package} is missing{why}", f"{INSTALL} '.[{kind}]'")]
    found = [("camera", True, f"{kind} at {rig.camera.source or '(no source)'}: {package} is there", "")]
    return [*found, _pvaccess(rig)] if kind == "pva" else found


def _frames_file(source: str) -> Told:
    """Look for the frames of an earlier run that the camera plays."""
    if Path(source).is_file():
        return "camera", True, f"file: plays {source}", ""
    mend = "set [camera] source to DATA/frames/UID.h5 of a run that is there"
    return "camera", False, f"file: there is no {source or 'source'}", mend


def _pvaccess(rig: RigFile) -> Told:
    """Say where the channel of an areaDetector is searched."""
    if rig.twin is not None:
        return "PVAccess", True, "the twin's site searches loopback alone", ""
    addresses = os.environ.get("EPICS_PVA_ADDR_LIST", "").strip()
    automatic = os.environ.get("EPICS_PVA_AUTO_ADDR_LIST", "YES").upper() != "NO"
    if addresses:
        also = " and every network of this machine" if automatic else ""
        return "PVAccess", True, f"searches {addresses}{also}", ""
    mend = "set EPICS_PVA_ADDR_LIST to the address of the camera's IOC and EPICS_PVA_AUTO_ADDR_LIST=NO"
    if rig.bridge.names():
        return "PVAccess", False, "searches loopback alone: beside bridges no other network is searched", mend
    where = "searches every network of this machine" if automatic else "has no address to search"
    return "PVAccess", False, where, mend
