"""Settings of the stream, and the one way settings are read: JSON of deploy, checked against a frozen dataclass."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from stream.messages import Archive

T = TypeVar("T")
_TCP_OFFSETS = {"frames": 0, "results": 1}


@dataclass(frozen=True)
class StreamSettings:
    """Section `[stream]` of the rig file, with the places that deploy adds."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    runtime_dir: str
    """Folder of the sockets and of the ring, mode 0700; short, since ipc paths end at 107 characters."""
    data_dir: str
    """Folder of frames, maps and documents."""
    ring_mib: int = 256
    """Size of the shared-memory ring, MiB."""
    bands: int = 4
    """Bands a frame is cut into: the unit of reassignment."""
    heartbeat_s: float = 0.1
    """Interval of heartbeats, s."""
    dead_after_missed: int = 10
    """Missed heartbeats after which a peer counts as dead."""
    slow_after_s: float = 10.0
    """How long a living worker's credits may be used up before a band of it moves to a faster one, s."""
    full_policy: str = "pause"
    """When the ring is full: `pause` the plan, `abandon` the oldest (counted), `spill` (frames are in HDF5)."""
    credit_bytes: int = 16_777_216
    """Bytes of frames in flight per worker."""
    metrics_port: int = 0
    """Port on loopback where this process serves its metrics; 0: none."""
    archive: Archive = Archive.FRAMES
    """What is kept of a run in HDF5: every frame (`frames`), after each frame the exact sums over the passes (`sums`: a
    sweep takes no more room than two passes of 4-byte pixels, however many it has), or nothing (`none`: replays)."""
    tcp_host: str = "127.0.0.1"
    """Address that workers on other hosts connect to; anything but loopback needs `curve`."""
    tcp_port: int = 0
    """Port of `frames` over TCP, `results` has the next one; 0: no workers on other hosts."""
    curve: bool = False
    """Encrypt and authenticate TCP with the keys of `stream.keys`."""
    connect: str = ""
    """Of a worker on another host: `tcp://host:port` of the frame server; empty on its own host."""

    def endpoint(self, name: str) -> str:
        """Return the ipc address of the socket `name`."""
        return f"ipc://{self.runtime_dir}/{name}"

    def tcp_endpoint(self, name: str) -> str:
        """Return the TCP address that `frames` or `results` is bound to; empty where workers are all on this host."""
        return f"tcp://{self.tcp_host}:{self.tcp_port + _TCP_OFFSETS[name]}" if self.tcp_port else ""

    def worker_endpoint(self, name: str) -> str:
        """Return the address that a worker connects to for `frames` or `results`."""
        if not self.connect:
            return self.endpoint(name)
        host, _, port = self.connect.rpartition(":")
        return f"{host}:{int(port) + _TCP_OFFSETS[name]}"


def load_settings(kind: type[T], path: str | Path) -> T:
    """Read a JSON file into the frozen dataclass `kind`.

    Raises
    ------
    pydantic.ValidationError
        Where a key is unknown, missing or of the wrong type.
    """
    return TypeAdapter(kind).validate_python(json.loads(Path(path).read_text()))


def dump_settings(settings: Any, path: str | Path) -> None:
    """Write a settings dataclass as JSON, readable by its owner alone."""
    target = Path(path)
    target.touch(mode=0o600)
    target.write_bytes(TypeAdapter(type(settings)).dump_json(settings, indent=2))
