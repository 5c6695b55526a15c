"""A session's process: takes the lease, does what it is told, and stays. DEVICES.json device=value ..."""

from __future__ import annotations

import sys

from devices.channel_access import quiet_repeater
from devices.settings import DevicesSettings
from stream.settings import StreamSettings, load_settings

quiet_repeater()

from devices.lease import LeaseKeeper  # noqa: E402
from devices.rig import connect_rig  # noqa: E402


def signal_of(rig, name):
    device, _, part = name.partition(".")
    found = getattr(rig, device)
    return getattr(found, part) if part else found


def main() -> None:
    rig = connect_rig("test", load_settings(DevicesSettings, sys.argv[1]), StreamSettings("", ""))
    keeper = LeaseKeeper(rig.guard)
    keeper.start()
    for command in sys.argv[2:]:
        name, _, value = command.partition("=")
        signal_of(rig, name).set(float(value)).wait(120)
    print("ready", flush=True)
    for line in sys.stdin:
        name, _, value = line.strip().partition("=")
        if name == "leave":
            keeper.close()
            print("left", flush=True)
            return
        try:
            signal_of(rig, name).set(float(value)).wait(120)
            print("done", flush=True)
        except Exception as error:  # noqa: BLE001 - told to the test
            print(f"failed: {error}", flush=True)


main()
