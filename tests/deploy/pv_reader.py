"""Reads PVs for a test that must not load EPICS itself: names come on standard input, values go to standard output."""

from __future__ import annotations

import sys

from devices.channel_access import quiet_repeater


def main() -> None:
    """Answer each line with the value of the PV it names."""
    quiet_repeater()
    import epics

    for line in sys.stdin:
        value = epics.caget(line.strip(), timeout=10, connection_timeout=10)
        if getattr(value, "dtype", None) == "uint8":  # how EPICS keeps a text of more than 39 letters
            value = value.tobytes().decode().rstrip("\0")
        sys.stdout.write(f"{value!r}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
