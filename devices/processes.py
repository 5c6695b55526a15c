"""Settings file of each process of `devices`: what `python -m devices.<process> FILE` reads."""

from __future__ import annotations

from dataclasses import dataclass, field

from devices.guard_settings import GuardSettings
from devices.settings import CameraSettings, DevicesSettings, TwinSettings
from stream.settings import StreamSettings


@dataclass(frozen=True)
class TwinProcess:
    """Settings file of `python -m devices.twin.ioc`."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    stream: StreamSettings
    """Places of sockets and files."""
    twin: TwinSettings = field(default_factory=TwinSettings)
    """The simulated rig."""
    prefix: str = "NVDAC:"
    """Prefix of every PV."""
    guard: bool = False
    """Whether a guard runs, whose permits are obeyed."""


@dataclass(frozen=True)
class GuardProcess:
    """Settings file of `python -m devices.ioc.guard`."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    stream: StreamSettings
    """Places of sockets and files."""
    guard: GuardSettings
    """What it does; `normal_above_k` is filled in."""
    devices: DevicesSettings
    """The instruments it guards."""
    rig: str = ""
    """Name of the rig, for those who are called."""
    ca_port: int = 0
    """Port on loopback where it serves its PVs."""
    offset_counts: float = 0.0
    """Counts of a dark frame of the camera."""


@dataclass(frozen=True)
class CameraProcess:
    """Settings file of `python -m devices.camera_server`."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    stream: StreamSettings
    """Places of sockets and files."""
    camera: CameraSettings = field(default_factory=CameraSettings)
    """The camera."""
    prefix: str = "NVDAC:"
    """Prefix of the PVs of the twin's frozen state."""
    twin: TwinSettings | None = None
    """The simulated sample; None where the camera is real."""
    devices: DevicesSettings = field(default_factory=DevicesSettings)
    """The instruments that a real camera's process asks where the sample is."""


@dataclass(frozen=True)
class MonitorProcess:
    """Settings file of `python -m devices.monitor`."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    stream: StreamSettings
    """Places of sockets and files."""
    devices: DevicesSettings = field(default_factory=DevicesSettings)
    """The instruments it watches."""
