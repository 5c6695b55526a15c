"""`nvdac status`: what runs, and whether it serves."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

from deploy import processes
from deploy.foreground import driver
from deploy.processes import ALIVE
from deploy.site import Site, find_site, running_sites

METRICS_S = 2.0
"""Longest wait for the metrics of a process, s."""


def site_rows(name: str | None) -> list[dict[str, Any]]:
    """Return one row per running site with the state of each process."""
    sites = [find_site(name)] if name else running_sites()
    return [_row(site) for site in sites]


def read_metrics(url: str) -> dict[str, float]:
    """Return the numbers that a process serves, by name and label; empty where it does not answer."""
    from prometheus_client.parser import text_string_to_metric_families

    if not url:
        return {}
    try:
        with urllib.request.urlopen(url, timeout=METRICS_S) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = [value for label, value in sample.labels.items() if label != "process"]
            if sample.name.startswith("nvdac_"):
                found[".".join([sample.name.removeprefix("nvdac_"), *labels])] = sample.value
    return found


def _metrics_url(site: Site, name: str) -> str:
    port = site.metrics_ports.get(name, 0)
    return f"http://127.0.0.1:{port}/metrics" if port else ""


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
                "metrics_url": _metrics_url(site, name),
                "metrics": read_metrics(_metrics_url(site, name)) if ready else {},
                "serves": ready and state is not None and state.state in ALIVE,
                "detail": (state.description if state else "the process manager does not answer; try `nvdac down`")
                + ("" if ready else ", not serving yet"),
            }
        )
    return {
        "site": site.name,
        "url": site.web_url,
        "tiled": site.tiled_uri,
        "data": site.data_dir,
        "driver": driver(site),
        "processes": rows,
    }
