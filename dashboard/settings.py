"""Settings of the web process: section `[dashboard]` of the rig file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stream.settings import StreamSettings


@dataclass(frozen=True)
class DashboardSettings:
    """Section `[dashboard]` of the rig file."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    port: int
    """TCP port of the page; 0 lets the system choose one, which the log names."""
    host: str = "127.0.0.1"
    """Address the page listens on; loopback unless the rig file says otherwise."""
    frames_per_s: float = 20.0
    """Most paints per second and viewer."""
    stuck_s: float = 20.0
    """Time that a browser has to take one message, s: a closed laptop takes none, and is let go."""
    tiled_uri: str = ""
    """Address of the Tiled server whose runs are listed; empty without one."""
    metrics_urls: Mapping[str, str] = field(default_factory=dict[str, str])
    """Process -> address of its numbers for Prometheus, which the page links to."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names a browser may use beside the loopback ones (a page asked for under any other name is refused)."""
    allow_control: bool = False
    """Whether a browser that has this start's token may pause, end and steer plans; without it the page only shows."""


@dataclass(frozen=True)
class DashboardProcess:
    """All that `python -m dashboard.server` is given."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    stream: StreamSettings
    """Where the state plane is."""
    dashboard: DashboardSettings
    """How the page is served."""
