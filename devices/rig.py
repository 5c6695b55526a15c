"""The rig: every connected instrument of a set-up; one that the rig file does not name is None."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, fields
from typing import Any

from devices.analysis import Analysis
from devices.announcer import Announcer
from devices.camera import Camera
from devices.channel_access import quiet_repeater
from devices.control import ControlRecord
from devices.cryostat import Cryostat
from devices.decision import DecisionRecord
from devices.epics import DeviceError, RigDevice, wait_connected
from devices.guard import GuardLink
from devices.laser import Laser
from devices.light import LightLoss
from devices.magnet import Magnet
from devices.microwave import MicrowaveSource
from devices.pressure import Membrane
from devices.ruby import RubySpectrometer
from devices.settings import DevicesSettings
from devices.transport import TransportMeter
from stream.settings import StreamSettings
from stream.state import StatePublisher

log = logging.getLogger(__name__)

KINDS: dict[str, type[RigDevice]] = {
    "microwave": MicrowaveSource,
    "magnet": Magnet,
    "cryostat": Cryostat,
    "transport": TransportMeter,
    "pressure": Membrane,
    "ruby": RubySpectrometer,
    "laser": Laser,
    "guard": GuardLink,
}
"""Section of the rig file -> device."""


@dataclass(frozen=True)
class Rig:
    """The connected devices of one set-up."""

    name: str
    """Name of the rig."""
    microwave: MicrowaveSource | None = None
    """Microwave source."""
    magnet: Magnet | None = None
    """Coils."""
    cryostat: Cryostat | None = None
    """Temperature controller."""
    transport: TransportMeter | None = None
    """Transport meter."""
    pressure: Membrane | None = None
    """Membrane."""
    ruby: RubySpectrometer | None = None
    """Ruby spectrometer."""
    laser: Laser | None = None
    """Laser and shutter."""
    guard: GuardLink | None = None
    """The guard process."""
    camera: Camera | None = None
    """Camera process."""
    analysis: Analysis | None = None
    """The builder's reports."""
    decision: DecisionRecord = field(default_factory=DecisionRecord)
    """What the plan decided."""
    announcer: Announcer = field(default_factory=Announcer)
    """What viewers are told."""
    light_loss: LightLoss = field(default_factory=lambda: LightLoss("", name="light_loss"))
    """What is recorded of a sweep that went dark."""
    control: ControlRecord = field(default_factory=ControlRecord)
    """What people ask of a running plan from outside."""

    def require(self, *names: str) -> None:
        """Refuse a plan that needs what this rig has not.

        Raises
        ------
        DeviceError
            Naming everything that is missing, in one line.
        """
        missing = [name for name in names if getattr(self, name) is None]
        if missing:
            what = " and ".join(missing)
            sections = ", ".join(f"[devices.{name}]" for name in missing)
            raise DeviceError(f"rig {self.name!r} has no {what}, which this plan needs; add {sections} to its rig file")

    def present(self) -> dict[str, Any]:
        """Return name -> device of everything that is there."""
        rows = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "name"}
        return {name: device for name, device in rows.items() if device is not None}

    def close(self) -> None:
        """Let go of every device; the instruments stay as they are."""
        for device in self.present().values():
            destroy = getattr(device, "destroy", None)
            if destroy is not None:
                try:
                    destroy()
                except Exception:
                    log.exception("%s could not be let go of", device.name)


def connect_rig(
    name: str, devices: DevicesSettings, stream: StreamSettings, *, publisher: StatePublisher | None = None
) -> Rig:
    """Connect every instrument that the rig file names.

    Parameters
    ----------
    name
        Name of the rig.
    devices
        Its section `[devices]`.
    stream
        Places of the camera process and the map builder.
    publisher
        The session's state publisher, for the views; None says nothing to anybody.

    Raises
    ------
    DeviceError
        One line, naming the PVs that do not answer and what to check.
    """
    quiet_repeater()
    instruments = {
        key: kind(devices.prefix, getattr(devices, key), name=key)
        for key, kind in KINDS.items()
        if getattr(devices, key) is not None
    }
    try:
        wait_connected(instruments, devices.connect_timeout_s)
    except DeviceError:
        for device in instruments.values():
            device.destroy()
        raise
    for device in instruments.values():
        device.guard = instruments.get("guard")
    soft: dict[str, Any] = {"announcer": Announcer(publisher)}
    if devices.camera is not None:
        camera = Camera(stream, devices.camera)
        camera.lamps = (instruments.get("laser"), instruments.get("microwave"), instruments.get("guard"))
        soft |= {"camera": camera, "analysis": Analysis(stream)}
    parts: dict[str, Any] = {**instruments, **soft}
    return Rig(name, **parts)
