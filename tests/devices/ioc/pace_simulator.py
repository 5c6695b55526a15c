"""A PACE 5000 on a membrane: the commands of its manual, with the question at the head of each answer."""

from __future__ import annotations

from tests.devices.ioc.tcp_instrument import Slew, TcpInstrument


class PaceSimulator(TcpInstrument):
    """It controls with a linear rate; when it only measures, the membrane is closed and keeps its pressure."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self.set_bar, self.control, self.unit = 0.0, False, "BAR"
        self.mode, self.overshoot, self.rate = "MAX", "1", 1.0
        self.membrane = Slew(20.0, 0.0)
        self.errors: list[str] = []
        self.set_points: list[float] = []
        self.highest_bar = 210.0
        super().__init__()

    def switch_off(self) -> None:
        """Mains loss and return: it measures, its set point is zero."""
        with self.lock:
            self.control, self.set_bar = False, 0.0
            self.membrane.rate_per_s = 0.0

    def answer(self, command: str) -> str | None:
        name, _, argument = command.partition(" ")
        if name == "*IDN?":
            return "*IDN GE,PACE5000 User Interface,10387,DK0367  v02.02.18"
        values = {
            ":SENS:PRES?": f"{self.membrane.value:.5f}",
            ":SOUR:PRES?": f"{self.set_bar:.5f}",
            ":SOUR:PRES:SLEW?": f"{self.rate:.5f}",
            ":SOUR:PRES:SLEW:MODE?": self.mode,
            ":SOUR:PRES:SLEW:OVER?": self.overshoot,
            ":OUTP:STAT?": str(int(self.control)),
            ":UNIT:PRES?": self.unit,
        }
        if name == ":SYST:ERR?":
            return ":SYST:ERR " + (self.errors.pop(0) if self.errors else '0,"No error"')
        if name in values:
            return f"{name.rstrip('?')} {values[name]}"
        self._command(name, argument)
        self.membrane.rate_per_s = self.speed * self.rate if self.control else 0.0
        self.membrane.target = self.set_bar
        return None

    def _command(self, name: str, argument: str) -> None:
        match name:
            case ":SOUR:PRES":
                if float(argument) > self.highest_bar:
                    self.errors.append('-222,"Data out of range"')
                else:
                    self.set_bar = float(argument)
                    self.set_points.append(self.set_bar)
            case ":SOUR:PRES:SLEW":
                self.rate = float(argument)
            case ":SOUR:PRES:SLEW:MODE":
                self.mode = argument
            case ":SOUR:PRES:SLEW:OVER":
                self.overshoot = argument
            case ":OUTP:STAT":
                self.control = argument == "1"
            case _:
                self.errors.append('-113,"Undefined header"')
