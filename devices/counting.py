"""Instruments that take one reading when told to and count the readings they have taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from devices.epics import DeviceError
from devices.waiting import ProgressStatus, Watch, put_and_wait, refusal_of, run_in_thread


def take_reading(
    device: Any, *, start: Any, count: Any, what: str, timeout_s: float, then: Callable[[], None] | None = None
) -> ProgressStatus:
    """Put 1 to `start` and wait until `count` has risen: not every IOC tells that `start` is back at 0.

    Parameters
    ----------
    device
        The device that reads.
    start, count
        Its signals.
    what
        Name of the reading, for people.
    timeout_s
        Longest reading, s.
    then
        Judges what was read, before the status is done; what it raises fails the status.
    """

    def work(status: ProgressStatus) -> None:
        with Watch(count=count) as watch:
            before = int(watch.values["count"])
            put_and_wait(start, 1, timeout_s)
            watch.refresh()
            why = refusal_of(device) if int(watch.values["count"]) <= before else ""
            if why:
                raise DeviceError(f"{device.name}: no {what}: {why}")
            done = watch.wait_for(
                lambda values: int(values["count"]) > before,
                timeout_s,
                cancelled=status.cancelled,
            )
        if not done:
            raise DeviceError(
                f"{device.name}: no {what} within {timeout_s:g} s; check the instrument behind {count.pvname}"
            )
        if then is not None:
            then()

    return run_in_thread(ProgressStatus(device, what=what), work)
