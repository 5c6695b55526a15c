"""An SR830 or SR860 that drives a sample through a resistor: the commands of their manuals."""

from __future__ import annotations

import random

from tests.devices.ioc.tcp_instrument import TcpInstrument


class LockinSimulator(TcpInstrument):
    """The two models differ in the query of X and Y, the status word and the range of the sine output."""

    def __init__(self, model: str, series_ohm: float) -> None:
        self.model = model
        self.series_ohm = series_ohm
        self.sample_ohm, self.noise_v, self.phase = 2.5, 1e-7, 0.02
        self.sine_v = 0.1
        self.time_constant = 4 if model == "SR830" else 6  # 1 ms
        self.status = 0
        self.random = random.Random(5)
        super().__init__()

    def answer(self, command: str) -> str | None:
        sr830 = self.model == "SR830"
        name, _, argument = command.partition(" ")
        match command:
            case "*IDN?":
                return f"Stanford_Research_Systems,{self.model},s/n00111,ver1.000"
            case "SNAP? 1,2" if sr830:
                return self._snap()
            case "SNAP? 0,1" if not sr830:
                return self._snap()
            case "SLVL?":
                return f"{self.sine_v:.6g}"
            case "OFLT?":
                return str(self.time_constant)
            case "LIAS?" if sr830:
                status, self.status = self.status, 0
                return str(status)
            case "CUROVLDSTAT?" if not sr830:
                return str(self.status)
        if name == "SLVL":
            low, high = (0.004, 5.0) if sr830 else (1e-9, 2.0)
            volt = float(argument)
            if low <= volt <= high:
                self.sine_v = round(volt / 0.002) * 0.002 if sr830 else volt
        return None

    def _snap(self) -> str:
        volt = self.sample_ohm * self.sine_v / self.series_ohm
        x, y = (volt * part + self.random.gauss(0.0, self.noise_v) for part in (1.0, self.phase))
        return f"{x:.6e},{y:.6e}"
