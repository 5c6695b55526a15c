"""Suspects an anvil failure: the ruby falls, sigma_ZZ falls, or the light collapses while nobody changed anything.

Pure rules over readings; `listen` brings them what analysis and camera publish. Each says what it saw; what follows is
the interlock's business.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from devices.guard_settings import AnvilSettings
from stream.messages import StateUpdate
from stream.settings import StreamSettings
from stream.state import StateSubscriber

SUSTAINED_S = 1.0
"""How long the light must be gone: a frame may be older than the shutter that it was taken under."""
SAME_FIELD_GAUSS = 1.0
"""Distance of two fields whose stress maps may be compared, G."""
LEAST_COVERAGE = 0.1
"""Share of resolved pixels below which a mean stress says nothing."""
POLL_S = 0.2


@dataclass(frozen=True)
class Frame:
    """The light of one camera frame."""

    run_uid: str
    """Its run."""
    time_s: float
    """When it was taken, seconds since the epoch."""
    counts: float
    """Mean counts above those of a dark frame."""


class AnvilWatch:
    """What ruby, stress and light were, and what of it no working anvil explains.

    Parameters
    ----------
    rules
        How far is too far.
    """

    def __init__(self, rules: AnvilSettings) -> None:
        self._rules = rules
        self._ruby: tuple[float, float] | None = None
        self._stress: tuple[float, float] | None = None
        self._light: tuple[str, float, float] | None = None
        self._dark_since: float | None = None

    def ruby(self, count: float, gpa: float) -> str:
        """Take a ruby pressure, GPa, and the number of its spectrum; returns what is suspicious, else an empty text."""
        before = self._ruby
        if before is not None and before[0] == count:
            # pressure and number are heard one after the other: what was before stays until the number is a new one
            return ""
        self._ruby = (count, gpa)
        fall = 0.0 if before is None else before[1] - gpa
        if not self._rules.ruby_fall_gpa or fall <= self._rules.ruby_fall_gpa:
            return ""
        return f"the ruby fell by {fall:.1f} GPa to {gpa:.1f} GPa"

    def stress(self, field_gauss: float, gpa: float, coverage: float) -> str:
        """Take the mean sigma_ZZ of a final map, GPa; returns what is suspicious, else an empty text."""
        if not coverage >= LEAST_COVERAGE or not math.isfinite(gpa):
            return ""
        before, self._stress = self._stress, (field_gauss, gpa)
        if before is None or abs(before[0] - field_gauss) > SAME_FIELD_GAUSS:
            return ""
        fall = before[1] - gpa
        if not self._rules.sigma_zz_fall_gpa or fall <= self._rules.sigma_zz_fall_gpa:
            return ""
        return f"sigma_ZZ fell by {fall:.1f} GPa to {gpa:.1f} GPa"

    def light(self, frame: Frame, shutter: float, power_mw: float) -> str:
        """Take a frame with shutter and laser power of this moment; returns what is suspicious, else an empty text.

        The light is compared within one run at one laser power: exposure and optics may change between runs.
        """
        if shutter != 1.0:
            self._dark_since = None
            return ""
        now = (frame.run_uid, round(power_mw, 1), frame.counts)
        if self._light is None or self._light[:2] != now[:2]:
            self._light, self._dark_since = now, None
            return ""
        share = frame.counts / self._light[2] if self._light[2] > 0.0 else 1.0
        if not self._rules.light_share or share >= self._rules.light_share:
            self._light, self._dark_since = (*now[:2], max(self._light[2], frame.counts)), None
            return ""
        if self._dark_since is None:
            self._dark_since = frame.time_s
        if frame.time_s - self._dark_since < SUSTAINED_S:
            return ""
        self._light, self._dark_since = now, None
        return f"the light fell to {100 * share:.0f} %"


def listen(
    stream: StreamSettings,
    offset_counts: float,
    stopped: threading.Event,
    stress: Callable[[float, float, float], object],
    light: Callable[[Frame], object],
) -> threading.Thread:
    """Hand every final report and the frames that the camera shows to `stress` and `light`, from a thread.

    Parameters
    ----------
    offset_counts
        Counts of a dark frame.
    """

    def follow() -> None:
        run_uid = ""
        with StateSubscriber(stream, sources=("builder", "camera")) as subscriber:
            while not stopped.is_set():
                for update in subscriber.poll(POLL_S):
                    if update.channel == "analysis":
                        _report(update, stress)
                    elif update.channel == "camera":
                        run_uid = str(update.header.get("run_uid", ""))
                    elif update.channel == "frame":
                        light(_frame(update, run_uid, offset_counts))

    thread = threading.Thread(target=follow, name="anvil", daemon=True)
    thread.start()
    return thread


def _report(update: StateUpdate, stress: Callable[[float, float, float], object]) -> None:
    header: dict[str, Any] = dict(update.header)
    names = ("field_gauss", "sigma_zz_mean_gpa", "coverage")
    if header.get("final") and header.get("valid") and all(name in header for name in names):
        stress(*(float(header[name]) for name in names))


def _frame(update: StateUpdate, run_uid: str, offset_counts: float) -> Frame:
    value: Any = update.arrays["value"]
    time_s: Any = update.header.get("time_s", update.time_s)
    return Frame(run_uid, float(time_s), float(np.mean(value[::4, ::4])) - offset_counts)
