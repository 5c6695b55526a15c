"""`nvdac status`: what runs, and whether it serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploy import processes
from deploy.processes import ALIVE
from deploy.site import Site, find_site, running_sites


def site_rows(name: str | None) -> list[dict[str, Any]]:
    """Return one row per running site with the state of each process."""
    sites = [find_site(name)] if name else running_sites()
    return [_row(site) for site in sites]


def _row(site: Site) -> dict[str, Any]:
    known = {state.name: state for state in processes.states(site)}
    rows: list[dict[str, Any]] = []
    for name in site.programs:
        state = known.get(name)
        ready = (Path(site.runtime_dir) / "ready" / name).exists()
        rows.append(
            {
                "name": name,
                "state": state.state if state else "UNKNOWN",
                "pid": state.pid if state else 0,
                "uptime_s": round(state.uptime_s, 1) if state else 0.0,
                "ready": ready,
                "serves": ready and state is not None and state.state in ALIVE,
                "detail": (state.description if state else "the process manager does not answer; try `nvdac down`")
                + ("" if ready else ", not serving yet"),
            }
        )
    return {"site": site.name, "url": site.web_url, "tiled": site.tiled_uri, "data": site.data_dir, "processes": rows}
