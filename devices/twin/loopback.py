"""EPICS on loopback only: set before any EPICS library is loaded, since Channel Access reads its environment once."""

from __future__ import annotations

import os

LOOPBACK = {
    "PVXS_QSRV_ENABLE": "NO",
    "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
    "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
    "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
    "EPICS_CA_AUTO_ADDR_LIST": "NO",
    "EPICS_CA_ADDR_LIST": "127.0.0.1",
}
"""What keeps servers and clients on this machine."""


def keep_to_loopback() -> None:
    """Set what the environment does not set already."""
    for name, value in LOOPBACK.items():
        os.environ.setdefault(name, value)
