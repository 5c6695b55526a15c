"""EPICS for our devices: PVs by configured name, and one clear connection error."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ophyd import Device, EpicsSignal, EpicsSignalRO, FormattedComponent, Kind, Signal

from devices.works import Works


class DeviceError(RuntimeError):
    """An instrument is missing, does not answer or refuses; the message is one line for people."""


class PV(FormattedComponent[Any]):
    """A component whose PV name comes from the device's settings; an empty name makes a soft signal in its place."""

    def create_component(self, instance: Any) -> Any:
        """Return the EPICS signal, or a soft one where the rig has no such PV."""
        if self.maybe_add_prefix(instance, "suffix", str(self.suffix)):
            return super().create_component(instance)
        kind = instance._component_kinds[self.attr]
        text = bool(self.kwargs.get("string"))
        name = f"{instance.name}{instance._child_name_separator}{self.attr}"
        return Signal(name=name, parent=instance, kind=kind, attr_name=str(self.attr), value="" if text else 0.0)


def readback(name: str, *, kind: Kind = Kind.normal, string: bool = False) -> Any:
    """Return a component for a monitored, read-only PV; `name` is the field of the device's settings."""
    return PV(EpicsSignalRO, f"{{pvs[{name}]}}", auto_monitor=True, kind=kind, string=string)


def setting(name: str, *, read: str = "", kind: Kind = Kind.normal, string: bool = False) -> Any:
    """Return a component for a PV that is put with completion and read back from `read` (or from itself)."""
    keywords: dict[str, Any] = {"add_prefix": ("suffix", "write_pv"), "auto_monitor": True, "put_complete": True}
    keywords["string"] = string
    if read:
        keywords["write_pv"] = f"{{pvs[{name}]}}"
    return PV(EpicsSignal, f"{{pvs[{read or name}]}}", kind=kind, **keywords)


class SwitchSignal(EpicsSignal):
    """A switch with a readback: switching on fails where it stays off, with the guard's reason."""

    def set(self, value: Any, **kwargs: Any) -> Any:
        """Put 0 or 1; the status fails where the readback is another one once the put is done."""
        from devices.waiting import switched

        return switched(self, int(value), lambda: super(SwitchSignal, self).set(value, **kwargs))


class SettingSignal(EpicsSignal):
    """A setting that may be refused: its status fails where the IOC keeps another value, with the reason."""

    def set(self, value: Any, **kwargs: Any) -> Any:
        """Put a number; the status fails where it is not the set point once the put is done."""
        from devices.waiting import taken

        return taken(self, float(value), lambda: super(SettingSignal, self).set(value, **kwargs))


def refusable(name: str, *, read: str = "", kind: Kind = Kind.normal) -> Any:
    """Return a component as `setting` does, for a number whose refusal fails the status of `set`."""
    keywords: dict[str, Any] = {"add_prefix": ("suffix", "write_pv"), "auto_monitor": True, "put_complete": True}
    if read:
        keywords["write_pv"] = f"{{pvs[{name}]}}"
    return PV(SettingSignal, f"{{pvs[{read or name}]}}", kind=kind, **keywords)


def switch(name: str, *, read: str) -> Any:
    """Return a component for a 0 or 1 that is put with completion and must show in its readback."""
    keywords: dict[str, Any] = {"add_prefix": ("suffix", "write_pv"), "auto_monitor": True, "put_complete": True}
    return PV(SwitchSignal, f"{{pvs[{read}]}}", write_pv=f"{{pvs[{name}]}}", kind=Kind.normal, **keywords)


class RigDevice(Device):
    """A device whose PV names are the text fields of a settings dataclass, `{P}` standing for the prefix.

    Parameters
    ----------
    prefix
        Prefix of the PVs.
    settings
        The instrument's section of the rig file.
    name
        Name in documents.
    """

    guard: Any = None
    """The guard of the rig, which says why something was refused; None without one."""
    reason: Any = None
    """Signal with the instrument's own reason of its last refusal; None where the device has none."""

    def __init__(self, prefix: str, settings: Any, *, name: str, **kwargs: Any) -> None:
        self.settings = settings
        self.pvs = pv_names(prefix, settings)
        self.works = Works()
        super().__init__(prefix, name=name, **kwargs)

    def destroy(self) -> None:
        """Stop what is under way, then let go of the PVs: libca does not survive a read of a PV that is gone."""
        self.works.end()
        super().destroy()

    def missing_pvs(self) -> list[str]:
        """Return the names of the PVs that do not answer."""
        signals = [walk.item for walk in self.walk_signals(include_lazy=True)]
        missing: list[str] = []
        for signal in signals:
            states: Mapping[str, bool] = getattr(signal, "_connection_states", {})
            missing += [pv for pv, connected in states.items() if not connected]
        return sorted(set(missing))


def pv_names(prefix: str, settings: Any) -> dict[str, str]:
    """Return field -> PV name of a settings dataclass."""
    return {key: value.replace("{P}", prefix) for key, value in vars(settings).items() if isinstance(value, str)}


def wait_connected(devices: Mapping[str, RigDevice], timeout_s: float) -> None:
    """Wait until every PV of every device answers.

    Raises
    ------
    DeviceError
        Naming the first silent PV of each device and what to check.
    """
    end = time.monotonic() + timeout_s
    for device in devices.values():
        with suppress(TimeoutError):
            device.wait_for_connection(all_signals=True, timeout=max(0.05, end - time.monotonic()))
    silent = {name: device.missing_pvs() for name, device in devices.items() if not device.connected}
    if silent:
        raise DeviceError(_silence(silent, timeout_s))


def _silence(silent: Mapping[str, list[str]], timeout_s: float) -> str:
    lists = "; ".join(f"{name}: {pvs[0]}{_more(pvs)}" for name, pvs in silent.items() if pvs)
    where = os.environ.get("EPICS_CA_ADDR_LIST", "(not set)")
    port = os.environ.get("EPICS_CA_SERVER_PORT", "5064")
    return (
        f"no answer within {timeout_s:g} s from {lists}; check that the IOC runs, the PV names and prefix in the rig "
        f"file, and the address searched (EPICS_CA_ADDR_LIST={where}, EPICS_CA_SERVER_PORT={port})"
    )


def _more(pvs: list[str]) -> str:
    return f" and {len(pvs) - 1} more" if len(pvs) > 1 else ""
