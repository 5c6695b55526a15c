"""Environment variables of the processes: EPICS on loopback, one thread per process, keys."""

from __future__ import annotations

import os

from deploy.site import Site

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def epics_environment(ca_port: int) -> dict[str, str]:
    """Return the variables that keep Channel Access on loopback and on the site's own port.

    Without them an IOC listens on every interface and the PVAccess server starts beside it.
    """
    if ca_port == 0:
        return {}
    return {
        "PVXS_QSRV_ENABLE": "NO",
        "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        # With the port: libca takes EPICS_CA_SERVER_PORT as early as `import ophyd`, the address list at the first PV.
        "EPICS_CA_ADDR_LIST": f"127.0.0.1:{ca_port}",
        "EPICS_CA_SERVER_PORT": str(ca_port),
        "EPICS_CAS_SERVER_PORT": str(ca_port),
        "EPICS_CA_MAX_ARRAY_BYTES": "1000000",
    }


def process_environment(site: Site) -> dict[str, str]:
    """Return the whole environment of a site's processes."""
    environment = dict(os.environ)
    environment.update(epics_environment(site.ca_port))
    environment.update(dict.fromkeys(ONE_THREAD, "1"))
    environment["NVDAC_TILED_API_KEY"] = site.tiled_api_key
    environment["TILED_SINGLE_USER_API_KEY"] = site.tiled_api_key
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def enter_environment(site: Site) -> None:
    """Give this process the site's variables; before EPICS or Tiled is imported."""
    os.environ.update(process_environment(site))
