"""Dialogue with a Lake Shore 336 or 350 temperature controller, and when it has come to rest. No EPICS.

Commands of the manuals: KRDG?, RDGST?, SETP, RAMP, RAMPST?, RANGE, HTRST?, *ESR?. While it ramps, SETP? tells the
ramped set point, and the end of the ramp cannot be read.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from devices.ioc.link import Link, RefusedError
from devices.ioc.replies import identity, integer, number
from devices.ioc.settings import CryostatBridgeSettings

READABLE_K = (0.05, 500.0)
"""What a thermometer of these controllers can tell, K."""
RESOLUTION_K = 0.005
"""How far a set point that is told may be from the one that was given, K."""
STATUS_BITS = {
    1: "invalid reading",
    16: "temperature under range",
    32: "temperature over range",
    64: "sensor reads zero",
    128: "sensor over range",
}
"""RDGST?: bit -> what is wrong."""
HEATER_ERRORS = {1: "heater open", 2: "heater short", 3: "heater at its compliance"}
"""HTRST?: code -> what is wrong."""
EVENT_ERRORS = 16 + 32
"""*ESR?: execution error, command error."""


@dataclass(frozen=True)
class Reading:
    """What the controller says of the cryostat."""

    stage_k: float
    """Thermometer of the stage, K."""
    sample_k: float
    """Thermometer at the sample, K."""
    ramp_k: float
    """Set point as ramped so far, K."""
    ramping: bool
    """Whether the ramp is under way."""
    trouble: str
    """What is wrong with the heater; empty where all is well."""


class LakeShore:
    """A temperature controller with one control loop.

    Parameters
    ----------
    link
        The line to it.
    settings
        Which output and inputs, and the limits.
    """

    def __init__(self, link: Link, settings: CryostatBridgeSettings) -> None:
        self._link = link
        self._settings = settings
        self._output = settings.output

    def identify(self) -> str:
        """Return who answers; refuse another instrument."""
        return self._link.retry(lambda: identity(self._link, "MODEL336", "MODEL350"))

    def read(self) -> Reading:
        """Read both thermometers and the loop."""
        return self._link.retry(self._read)

    def _read(self) -> Reading:
        stage, sample = self._thermometer(self._settings.stage_input), self._thermometer(self._settings.sample_input)
        ramping = bool(integer(self._link.ask(f"RAMPST? {self._output}"), "ramp status", 0, 1))
        return Reading(stage, sample, self._set_point(), ramping, self._heater_trouble())

    def _thermometer(self, name: str) -> float:
        status = integer(self._link.ask(f"RDGST? {name}"), f"status of input {name}", 0, 255)
        if status:
            what = ", ".join(text for bit, text in STATUS_BITS.items() if status & bit) or f"status {status}"
            raise RefusedError(f"thermometer {name}: {what}")
        return number(self._link.ask(f"KRDG? {name}"), f"thermometer {name}, K", *READABLE_K)

    def _set_point(self) -> float:
        return number(self._link.ask(f"SETP? {self._output}"), "set point, K", 0.0, READABLE_K[1])

    def _heater_trouble(self) -> str:
        code = integer(self._link.ask(f"HTRST? {self._output}"), "heater status", 0, 255)
        return HEATER_ERRORS.get(code, f"heater error {code}") if code else ""

    def rate_k_per_min(self) -> float:
        """Return the ramp rate, K/min; 0 where set points are not ramped."""
        return self._link.retry(self._rate)

    def _rate(self) -> float:
        on, _, rate = self._link.ask(f"RAMP? {self._output}").partition(",")
        return number(rate, "ramp rate, K/min", 0.0, 100.0) if integer(on, "ramp", 0, 1) else 0.0

    def set_rate(self, rate_k_per_min: float) -> None:
        """Switch ramping on with a rate, K/min; refused outside the rig's limits."""
        low, high = self._settings.rate_limits_k_per_min
        if not low <= rate_k_per_min <= high:
            raise RefusedError(f"{rate_k_per_min:g} K/min is outside {low:g} to {high:g} K/min")
        self._link.retry(lambda: self._set_rate(rate_k_per_min))

    def _set_rate(self, rate: float) -> None:
        self._link.tell(f"RAMP {self._output},1,{rate:.2f}")
        taken = self._rate()
        if abs(taken - rate) > 0.01:
            raise RefusedError(f"the controller took a ramp rate of {taken:g} K/min instead of {rate:g} K/min")

    def set_target(self, kelvin: float, rate_k_per_min: float) -> None:
        """Ramp to a set point.

        Raises
        ------
        RefusedError
            Where it is outside the limits, the controller does not take it, or its heater is off.
        """
        low, high = self._settings.limits_k
        if not low <= kelvin <= high:
            raise RefusedError(f"{kelvin:g} K is outside {low:g} to {high:g} K")
        self.set_rate(rate_k_per_min)  # first: without a ramp the set point would jump
        self._link.retry(self._heater_on)
        self._link.retry(lambda: self._set_target(kelvin))

    def _heater_on(self) -> None:
        wanted = self._settings.heater_range
        if integer(self._link.ask(f"RANGE? {self._output}"), "heater range", 0, 5):
            return
        if not wanted:
            raise RefusedError(f"the heater of output {self._output} is off; switch it on, or set heater_range")
        self._link.tell(f"RANGE {self._output},{wanted}")
        if integer(self._link.ask(f"RANGE? {self._output}"), "heater range", 0, 5) != wanted:
            raise RefusedError(f"the controller does not switch its heater to range {wanted}")

    def _set_target(self, kelvin: float) -> None:
        self._link.ask("*ESR?")  # reading clears what was there before
        self._link.tell(f"SETP {self._output},{kelvin:.3f}")
        events = integer(self._link.ask("*ESR?"), "event status", 0, 255)
        ramping = integer(self._link.ask(f"RAMPST? {self._output}"), "ramp status", 0, 1)
        if events & EVENT_ERRORS or not (ramping or abs(self._set_point() - kelvin) <= RESOLUTION_K):
            raise RefusedError(f"the controller did not take a set point of {kelvin:g} K")


class Settling:
    """Whether temperatures have come to rest, judged on the last readings.

    Parameters
    ----------
    window_s
        How long they are looked at, s.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._rows: deque[tuple[float, float, float]] = deque()

    def restart(self) -> None:
        """Forget the readings: something has been changed."""
        self._rows.clear()

    def add(self, time_s: float, stage_k: float, sample_k: float) -> None:
        """Take a reading."""
        self._rows.append((time_s, stage_k, sample_k))
        while len(self._rows) > 3 and time_s - self._rows[1][0] >= self._window_s:
            self._rows.popleft()

    @property
    def full(self) -> bool:
        """True where the readings span the window."""
        return len(self._rows) > 2 and self._rows[-1][0] - self._rows[0][0] >= self._window_s

    def drifts_k_per_min(self) -> tuple[float, float]:
        """Return the slopes of stage and sample, least squares, K/min; 0 with fewer than three readings."""
        if len(self._rows) < 3:
            return 0.0, 0.0
        rows = np.asarray(self._rows)
        time = rows[:, 0] - rows[:, 0].mean()
        slopes = 60.0 * (time @ (rows[:, 1:] - rows[:, 1:].mean(axis=0))) / (time @ time)
        return float(slopes[0]), float(slopes[1])


class Cryostat:
    """A controller with a target: how far it is, and when stage and sample are at rest.

    Parameters
    ----------
    controller
        The controller.
    settings
        What counts as rest.
    """

    def __init__(self, controller: LakeShore, settings: CryostatBridgeSettings) -> None:
        self.rate_k_per_min = settings.rate_k_per_min
        self.target_k: float | None = None
        self.reading: Reading | None = None
        self.trouble = ""
        self.drift_k_per_min = 0.0
        self.settled = False
        self._controller = controller
        self._settings = settings
        self._settling = Settling(settings.window_s)

    def adopt(self) -> None:
        """Take over what the controller does; nothing moves."""
        self._controller.identify()
        low, high = self._settings.rate_limits_k_per_min
        rate = self._controller.rate_k_per_min()
        if low <= rate <= high:
            self.rate_k_per_min = rate
        self._settling.restart()

    def ask_for(self, kelvin: float) -> str:
        """Ramp to a temperature; return why not, empty where it does."""
        self._controller.set_target(kelvin, self.rate_k_per_min)
        self.trouble = ""
        if self.target_k is None or abs(kelvin - self.target_k) > RESOLUTION_K:
            self.settled = False
            self._settling.restart()
        self.target_k = round(kelvin, 3)
        return ""

    def ask_rate(self, rate_k_per_min: float) -> str:
        """Change the ramp rate, also of a ramp under way; return why not."""
        self._controller.set_rate(rate_k_per_min)
        self.rate_k_per_min = rate_k_per_min
        return ""

    def read(self, time_s: float) -> Reading:
        """Read everything and judge it."""
        reading = self._controller.read()
        self.reading = reading
        self.trouble = reading.trouble or self.trouble
        if not reading.ramping:
            self._find_target(reading.ramp_k)
        self._settling.add(time_s, reading.stage_k, reading.sample_k)
        drifts = self._settling.drifts_k_per_min()
        self.drift_k_per_min = drifts[0]
        self.settled = (
            not reading.ramping
            and self.target_k is not None
            and abs(reading.stage_k - self.target_k) <= self._settings.settled_k
            and self._settling.full
            and max(map(abs, drifts)) < self._settings.settled_k_per_min
        )
        return reading

    def _find_target(self, set_point_k: float) -> None:
        """Take over the set point of a controller that does not ramp; say so where it is not ours."""
        if self.target_k is not None and abs(set_point_k - self.target_k) > RESOLUTION_K:
            self.trouble = f"the set point was changed at the controller, from {self.target_k:g} to {set_point_k:g} K"
            self._settling.restart()
        elif self.target_k is not None:
            return
        self.target_k = set_point_k
