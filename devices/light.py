"""The light of a sweep: what must be on while frames are taken, and what is said where it went off."""

from __future__ import annotations

import time
from typing import Any

from ophyd import Component, Device, Kind, Signal

from devices.epics import DeviceError
from devices.waiting import ProgressStatus, Watch, fresh_value, refusal_of, run_in_thread

BACK_S = 10.0
"""How long a lease that was lost by mistake may take to be held again, s."""


class LightLostError(DeviceError):
    """A sweep went dark; its frames are no measurement.

    Parameters
    ----------
    sweep, frames_sent
        Which one, and how many of its frames had been sent when it was seen.
    reason
        Why, as far as anybody says.
    lease_lost
        Whether this session's lease has ended since the sweep began.
    """

    def __init__(self, sweep: int, frames_sent: int, reason: str, *, lease_lost: bool) -> None:
        super().__init__(f"sweep {sweep} went dark after {frames_sent} frames: {reason}; its map is dropped")
        self.sweep = sweep
        self.frames_sent = frames_sent
        self.reason = reason
        self.lease_lost = lease_lost


class SweepLight:
    """Looks after laser and microwave of one sweep, from its start.

    Parameters
    ----------
    laser, microwave, guard
        Devices of the rig; None where it has none.
    """

    def __init__(self, laser: Any, microwave: Any, guard: Any) -> None:
        self._lamps = [(laser, laser.shutter, "the shutter is closed")] if laser is not None else []
        if microwave is not None:
            self._lamps.append((microwave, microwave.enable, "the microwave is off"))
        self._guard = guard
        self._lost_before = self._leases_lost()
        self._loss: LightLostError | None = None

    def _leases_lost(self) -> int:
        return 0 if self._guard is None else int(fresh_value(self._guard.leases_lost))

    def check(self, sweep: int, frames_sent: int) -> None:
        """Fail where something is off, and ever after: light that comes back does not mend the frames.

        Raises
        ------
        LightLostError
            Naming what is off, and why.
        """
        if self._loss is not None:
            raise self._loss
        for device, lamp, what in self._lamps:
            # a monitor may still be on its way: only the instrument itself makes a sweep dark
            if int(lamp.get()) == 0 and int(fresh_value(lamp)) == 0:
                lost = self._leases_lost() > self._lost_before
                why = refusal_of(device) or ("the session's lease was lost" if lost else "nobody says why")
                self._loss = LightLostError(sweep, frames_sent, f"{what}: {why}", lease_lost=lost)
                raise self._loss


class LightLoss(Device):
    """What is recorded of a sweep that went dark, in the stream `light_loss`."""

    sweep = Component(Signal, value=-1, kind=Kind.normal)
    frames_sent = Component(Signal, value=0, kind=Kind.normal)
    reason = Component(Signal, value="", kind=Kind.normal)
    time_s = Component(Signal, value=0.0, kind=Kind.normal)

    def note(self, loss: LightLostError) -> None:
        """Keep it for the next reading."""
        self.sweep.put(loss.sweep)
        self.frames_sent.put(loss.frames_sent)
        self.reason.put(loss.reason)
        self.time_s.put(time.time())


class LeaseBack:
    """`trigger()` is done when the session holds its lease again; it fails where that takes too long.

    Parameters
    ----------
    guard
        The guard of the rig.
    """

    parent = None

    def __init__(self, guard: Any) -> None:
        self.name = f"{guard.name}_lease"
        self._guard = guard

    def trigger(self) -> ProgressStatus:
        """Wait for it."""
        return run_in_thread(ProgressStatus(self._guard, what="lease"), self._wait)

    def _wait(self, status: ProgressStatus) -> None:
        with Watch(held=self._guard.lease_held) as watch:
            if not watch.wait_for(lambda now: int(now["held"]) == 1, BACK_S, cancelled=status.cancelled):
                raise DeviceError("the session's lease was lost and does not come back; see `nvdac guard status`")
