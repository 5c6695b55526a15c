"""The environment of EPICS: loopback only, and no complaint about a missing repeater. Imports no EPICS.

Channel Access reads its environment when it is first used; the server port is read as early as `import ophyd`.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterable, Mapping
from typing import Final

_REPEATER_PORT: Final = "EPICS_CA_REPEATER_PORT"
_CONFIRM: Final = struct.pack(">HHHHI", 17, 0, 0, 0, 0)
_held: list[socket.socket] = []


def server_variables(ca_port: int) -> dict[str, str]:
    """Return the variables that keep the Channel Access server of a process on 127.0.0.1 and `ca_port`.

    Without them an IOC listens on every interface and the PVAccess server starts beside it.
    """
    return {
        "PVXS_QSRV_ENABLE": "NO",
        "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_CAS_SERVER_PORT": str(ca_port),
        "EPICS_CA_MAX_ARRAY_BYTES": "1000000",
    }


def loopback_variables(ca_port: int, *other_ports: int) -> dict[str, str]:
    """Return the variables that keep server and clients of a process on 127.0.0.1 and `ca_port`, PVAccess too.

    Clients search `other_ports` too.
    """
    return {
        **server_variables(ca_port),
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        # With the port: libca takes EPICS_CA_SERVER_PORT as early as `import ophyd`, the address list at the first PV.
        "EPICS_CA_ADDR_LIST": " ".join(f"127.0.0.1:{port}" for port in (ca_port, *other_ports)),
        "EPICS_CA_SERVER_PORT": str(ca_port),
        "EPICS_PVA_ADDR_LIST": "127.0.0.1",
        "EPICS_PVA_AUTO_ADDR_LIST": "NO",
        "EPICS_PVAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
    }


def search_variables(ca_ports: Iterable[int], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with which a client finds the IOCs on these ports of 127.0.0.1, and those it found before.

    Parameters
    ----------
    ca_ports
        Ports of the IOCs on this machine.
    environment
        The variables so far: what a laboratory's own EPICS_CA_ADDR_LIST names is searched first. Over PVAccess, which
        none of ours speaks, its EPICS_PVA_ADDR_LIST alone is searched.
    """
    before = environment.get("EPICS_CA_ADDR_LIST", "").split()
    found = {"EPICS_CA_ADDR_LIST": " ".join(dict.fromkeys([*before, *(f"127.0.0.1:{port}" for port in ca_ports)]))}
    # Who has named no address has no other IOC: searching every network would only find a stranger's.
    if not environment.get("EPICS_PVA_ADDR_LIST", "").strip():
        found |= {"EPICS_PVA_ADDR_LIST": "127.0.0.1", "EPICS_PVA_AUTO_ADDR_LIST": "NO"}
    return found if before else {**found, "EPICS_CA_AUTO_ADDR_LIST": "NO"}


def use_loopback(ca_port: int) -> None:
    """Keep Channel Access of this process on 127.0.0.1 and `ca_port`; before EPICS is imported."""
    os.environ.update(loopback_variables(ca_port))


def quiet_repeater() -> None:
    """Answer libca where it looks for the `caRepeater` program, which wheels do not bring, so that it stays quiet.

    The repeater only passes beacons of IOCs on, which nobody here needs: it is enough to confirm its clients.
    """
    if _held:
        return
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    holder.bind(("127.0.0.1", 0))
    _held.append(holder)
    os.environ[_REPEATER_PORT] = str(holder.getsockname()[1])
    threading.Thread(target=_confirm, args=(holder,), name="ca-repeater", daemon=True).start()


def _confirm(holder: socket.socket) -> None:
    while True:
        try:
            _, client = holder.recvfrom(1024)
            holder.sendto(_CONFIRM + socket.inet_aton("127.0.0.1"), client)
        except OSError:
            return
