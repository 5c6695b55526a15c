"""A Kepco BOP 20-20 with a coil on it: the commands of its manual, and a current that lags behind its set point."""

from __future__ import annotations

from tests.devices.ioc.tcp_instrument import Lag, TcpInstrument


class SupplySimulator(TcpInstrument):
    """The set point is rounded as a BOP rounds it, the current lags by the coil's L/R."""

    largest_a = 20.0

    def __init__(self) -> None:
        self.set_a = 0.0
        self.output = False
        self.mode = "VOLT"
        self.coil = Lag(0.0, 0.02)
        self.open_coil = False
        self.errors: list[str] = []
        self.set_points: list[float] = []
        super().__init__()

    def switch_off(self) -> None:
        """Mains loss and return: output off, set point zero."""
        with self.lock:
            self.output, self.set_a, self.coil.target, self.coil.value = False, 0.0, 0.0, 0.0

    @property
    def current(self) -> float:
        return 0.0 if self.open_coil or not self.output else self.coil.value

    def answer(self, command: str) -> str | None:
        name, _, argument = command.partition(" ")
        match name:
            case "*IDN?":
                return "KEPCO,BOP 20-20 BIT 4886,H12345,1.9"
            case "SYST:ERR?":
                return self.errors.pop(0) if self.errors else '0,"No error"'
            case "CURR?":
                return f"{self.set_a:.4E}"
            case "MEAS:CURR?":
                return f"{self.current:.4E}"
            case "OUTP?":
                return str(int(self.output))
            case "CURR":
                self._set(float(argument))
            case "OUTP":
                self.output = argument in ("ON", "1")
                self.coil.target = self.set_a if self.output else 0.0
            case "FUNC:MODE":
                self.mode = argument
            case "VOLT":
                pass
            case _:
                self.errors.append('-113,"Undefined header"')
        return None

    def _set(self, ampere: float) -> None:
        if abs(ampere) > self.largest_a:
            self.errors.append('-222,"Data out of range"')
            return
        self.set_points.append(ampere)
        self.set_a = round(ampere / 5e-4) * 5e-4
        if self.output:
            self.coil.target = self.set_a
