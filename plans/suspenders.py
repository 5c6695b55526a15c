"""Suspenders: what holds a running plan until it is well again, as Bluesky users install them.

`for suspender in rig_suspenders(rig): RE.install_suspender(suspender)`. The plan goes on by itself from the last
checkpoint when the condition has passed; a sweep under way runs on and is collected then. A plan closes its own shutter
and moves its own cryostat: only while the microwave is on, in a sweep, do those count as faults.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bluesky.suspenders import SuspendBoolHigh, SuspendCeil, SuspenderBase
from ophyd import Signal

from devices.rig import Rig
from devices.stream_watch import StreamWatch


@dataclass(frozen=True)
class SuspenderSettings:
    """When a plan is held."""

    temperature_band_k: float = 0.5
    """Distance of the stage from its set point in a sweep, K."""
    analysis_silent_s: float = 10.0
    """Silence of the map builder, s; below half of it the plan goes on."""
    ring_full: float = 0.95
    """Share of the ring that is taken; below three quarters of it the plan goes on."""
    calm_s: int = 1
    """How long a condition must have passed before the plan goes on, s."""


class Fault(Signal):
    """1 while `judge(values)` says that something is wrong, from the monitors of other signals.

    Parameters
    ----------
    name
        What it is called in messages.
    sources
        Name -> signal that is watched.
    judge
        Whether the latest values are a fault; called once all are known.
    """

    def __init__(self, name: str, sources: dict[str, Any], judge: Callable[[dict[str, float]], bool]) -> None:
        super().__init__(name=name, value=0)
        self._sources = sources
        self._judge = judge
        self._latest: dict[str, float] = {}
        self._watched = [(signal, signal.subscribe(self._taker(key))) for key, signal in sources.items()]

    def destroy(self) -> None:
        """Stop watching."""
        for signal, number in self._watched:
            signal.unsubscribe(number)
        super().destroy()

    def _taker(self, key: str) -> Callable[..., None]:
        def take(*, value: Any = None, **_: Any) -> None:
            self._latest[key] = float(value)
            if len(self._latest) == len(self._sources):
                self.put(int(self._judge(self._latest)))

        return take


def rig_suspenders(
    rig: Rig, watch: StreamWatch | None = None, settings: SuspenderSettings | None = None
) -> list[SuspenderBase]:
    """Return the suspenders of a rig: laser off, cryostat out of band and, with `watch`, analysis stale and ring full.

    Parameters
    ----------
    rig
        The connected rig; what it has not is not watched.
    watch
        The stream; a plan whose analysis is silent otherwise takes the fixed ladder.
    settings
        When a plan is held.
    """
    chosen = settings or SuspenderSettings()
    devices: Any = rig
    found: list[SuspenderBase] = []
    if rig.laser is not None and rig.microwave is not None:
        sources = {"shutter": devices.laser.shutter, "microwave": devices.microwave.enable}
        fault = Fault("laser_off", sources, lambda now: now["microwave"] == 1 and now["shutter"] == 0)
        found.append(SuspendBoolHigh(fault, sleep=chosen.calm_s, tripped_message="the shutter closed in a sweep"))
    if rig.cryostat is not None and rig.microwave is not None:
        band = chosen.temperature_band_k
        sources = {
            "stage": devices.cryostat.stage_k,
            "set": devices.cryostat.temperature_k_rbv,
            "microwave": devices.microwave.enable,
        }
        fault = Fault(
            "cryostat_out", sources, lambda now: now["microwave"] == 1 and abs(now["stage"] - now["set"]) > band
        )
        text = f"the stage left its set point by more than {band:g} K in a sweep"
        found.append(SuspendBoolHigh(fault, sleep=chosen.calm_s, tripped_message=text))
    if watch is not None:
        found += _of_stream(watch, chosen)
    return found


def _of_stream(watch: Any, chosen: SuspenderSettings) -> list[SuspenderBase]:
    silence, full = chosen.analysis_silent_s, chosen.ring_full
    return [
        SuspendCeil(
            watch.analysis_silence_s,
            silence,
            resume_thresh=0.5 * silence,
            sleep=chosen.calm_s,
            tripped_message=f"the analysis is silent for more than {silence:g} s",
        ),
        SuspendCeil(
            watch.ring_fill,
            full,
            resume_thresh=0.75 * full,
            sleep=chosen.calm_s,
            tripped_message="the ring is full: the fits do not keep up",
        ),
    ]
