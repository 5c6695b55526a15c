"""A Lake Shore 336 on a cryostat: the commands of its manual, and temperatures that lag behind the ramp."""

from __future__ import annotations

import time

from devices.twin.thermal import Cryostat
from tests.devices.ioc.tcp_instrument import TcpInstrument


class LakeShoreSimulator(TcpInstrument):
    """Stage on input A, sample on B; with the ramp off a set point is there at once."""

    end = "\r\n"

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self.body = Cryostat.resting(150.0)
        self.ramp_on, self.heater_range = False, 0
        self.status = {"A": 0, "B": 0}
        self.heater_error = 0
        self.stuck = False
        self.events = 0
        self.highest_k = 350.0
        self._at = time.monotonic()
        super().__init__()

    def _advance(self) -> None:
        now = time.monotonic()
        left, self._at = (now - self._at) * self.speed, now
        while left > 0 and not self.stuck:
            self.body.advance(min(1.0, left))
            left -= 1.0

    def turn_knob(self, kelvin: float) -> None:
        """Change the set point at the front panel."""
        with self.lock:
            self._set(kelvin)

    def answer(self, command: str) -> str | None:
        self._advance()
        name, _, argument = command.partition(" ")
        body = self.body
        match name:
            case "*IDN?":
                return "LSCI,MODEL336,LSA12AB/1234567,2.9"
            case "*ESR?":
                events, self.events = self.events, 0
                return f"{events:03d}"
            case "KRDG?":
                return f"{body.stage_k if argument == 'A' else body.sample_k:+.4f}"
            case "RDGST?":
                return f"{self.status[argument]:03d}"
            case "SETP?":
                return f"{body.ramp_k:+.3f}"
            case "RAMP?":
                return f"{int(self.ramp_on)},{body.rate_k_per_min:+08.3f}"
            case "RAMPST?":
                return str(int(abs(body.ramp_k - body.target_k) > 1e-9))
            case "RANGE?":
                return str(self.heater_range)
            case "HTRST?":
                return str(self.heater_error)
            case "SETP":
                self._set(float(argument.split(",")[1]))
            case "RAMP":
                _, on, rate = argument.split(",")
                self.ramp_on, body.rate_k_per_min = on == "1", float(rate)
            case "RANGE":
                self.heater_range = int(argument.split(",")[1])
            case _:
                self.events |= 32
        return None

    def _set(self, kelvin: float) -> None:
        if kelvin > self.highest_k:
            self.events |= 16
            return
        self.body.target_k = kelvin
        if not self.ramp_on:
            self.body.ramp_k = kelvin
