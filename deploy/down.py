"""`nvdac down`: end sites, whoever drives them and whatever is left of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deploy import processes
from deploy.foreground import ask_to_leave
from deploy.site import Site, find_site, running_sites

LEAVE_S = 30.0
"""Time for a demo or a session to end its plan safely and leave, s."""


def end_sites(name: str | None) -> Iterator[Site]:
    """End every site, or the one named, and yield each that has ended; data stay.

    Raises
    ------
    DeployError
        Where there is none of that name, or processes do not end.
    """
    for site in [find_site(name)] if name else running_sites():
        ask_to_leave(site, LEAVE_S)
        if Path(site.runtime_dir).exists():  # a demo ends its processes itself
            processes.stop(site)
        yield site
