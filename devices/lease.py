"""Keeps the session's lease: a thread that moves the guard's counter, also while the plan is paused or idle."""

from __future__ import annotations

import threading
from typing import Any

import ophyd

from devices.epics import DeviceError
from devices.guard import GuardLink
from devices.waiting import Watch

BEAT_S = 0.2
"""Interval of the beats, s."""
TAKE_S = 10.0
"""Longest wait for the guard to see the first of them, s."""


class LeaseKeeper:
    """Holds the lease from `start` until `close`.

    Parameters
    ----------
    guard
        Whose counter is moved.
    """

    def __init__(self, guard: GuardLink) -> None:
        self._guard = guard
        self._stop = threading.Event()
        make_thread: Any = ophyd.get_cl().thread_class
        self._thread = make_thread(target=self._beat, name="lease", daemon=True)

    def start(self) -> None:
        """Take the lease.

        Raises
        ------
        DeviceError
            Where the guard does not see it.
        """
        self._thread.start()
        with Watch(held=self._guard.lease_held) as watch:
            held = watch.wait_for(lambda values: int(values["held"]) == 1, TAKE_S)
        if not held:
            raise DeviceError("the guard does not take this session's lease; see `nvdac status` and the guard's log")
        with Watch(faults=self._guard.faults) as watch:  # it may still be looking for instruments that just started
            watch.wait_for(lambda values: "does not answer" not in str(values["faults"]), TAKE_S)

    def close(self) -> None:
        """Give the lease back: laser and microwave go off, the field holds."""
        self._stop.set()
        self._thread.join(2.0)
        self._guard.lease.put(0, use_complete=False)

    def _beat(self) -> None:
        counter = 0
        while True:
            counter = counter % 1_000_000 + 1
            try:
                self._guard.lease.put(counter, use_complete=False)
            except Exception:  # noqa: BLE001 - the guard may be away for a moment; the next beat finds it
                self._guard.log.warning("the guard does not answer")
            if self._stop.wait(BEAT_S):
                return
