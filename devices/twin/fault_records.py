"""PVs that bring a fault about, `TWIN:FAULT:...`: put it, see what the system does, take it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

from softioc import builder

from devices.twin.rig import TwinRig

LIMITS: dict[str, tuple[int, int]] = {
    "dropped_frame": (-1, 100_000),
    "frequency_slip": (-1, 100_000),
    "hot_pixels": (0, 1_000_000),
}
"""What a fault may be put to that is more than there or not."""
OPEN_LEAD_LIMITS = (0, 4)
"""What the open lead of the transport meter may be put to: its number, 0 for none."""


def fault_records(prefix: str, rig: TwinRig, catch_up: Callable[[], None], show: Callable[[], None]) -> None:
    """Make a settable record for each fault of a rig, and one for an open lead.

    Parameters
    ----------
    prefix
        Prefix of the PVs.
    rig
        Whose faults they are.
    catch_up
        Brings the simulated clock to now, before a fault begins or ends.
    show
        Brings the readbacks up to date.
    """
    for name in [field.name for field in fields(rig.faults)]:
        start = int(getattr(rig.faults, name))
        _record(f"{prefix}TWIN:FAULT:{name.upper()}", start, LIMITS.get(name, (0, 1)), rig.faults, name, catch_up, show)
    _record(f"{prefix}TWIN:FAULT:OPEN_LEAD", 0, OPEN_LEAD_LIMITS, rig.meter, "open_lead", catch_up, show)


def _record(
    pv: str,
    start: int,
    limits: tuple[int, int],
    owner: object,
    attribute: str,
    catch_up: Callable[[], None],
    show: Callable[[], None],
) -> None:
    def put(asked: int) -> None:
        catch_up()
        setattr(owner, attribute, asked)
        # A moment without mains or anvil counts, however short it is.
        catch_up()
        show()

    low, high = limits
    builder.longOut(pv, initial_value=start, on_update=put, always_update=True, blocking=True, DRVL=low, DRVH=high)
