"""Environment variables of the processes: EPICS on loopback, one thread per process, keys."""

from __future__ import annotations

import os

from deploy.site import Site
from devices.channel_access import loopback_variables, search_variables

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def process_environment(site: Site) -> dict[str, str]:
    """Return the whole environment of a site's processes."""
    environment = dict(os.environ)
    own = [*site.bridge_ports.values(), *([site.guard_port] if site.guard_port else [])]
    if site.ca_port:  # a laboratory's IOCs are found by its own variables
        environment.update(loopback_variables(site.ca_port, *own))
    elif own:
        environment.update(search_variables(own, environment))
    environment.update(dict.fromkeys(ONE_THREAD, "1"))
    environment["NVDAC_TILED_API_KEY"] = site.tiled_api_key
    environment["TILED_SINGLE_USER_API_KEY"] = site.tiled_api_key
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def enter_environment(site: Site) -> None:
    """Give this process the site's variables; before EPICS or Tiled is imported."""
    os.environ.update(process_environment(site))
