"""A Keithley 6221 with a 2182A on its serial port, in delta mode: the commands of its manual."""

from __future__ import annotations

import random

from tests.devices.ioc.tcp_instrument import TcpInstrument


class DeltaSimulator(TcpInstrument):
    """Each delta reading is made of three voltages of alternating current on a drifting thermal voltage."""

    def __init__(self) -> None:
        self.sample_ohm, self.noise_v, self.drift_v = 0.5, 2e-9, 1e-7
        self.ampere, self.count, self.nanovoltmeter, self.armed = 1e-5, 1, True, False
        self.compliance_v, self.lead_open = 0.1, False
        self.readings: list[float] = []
        self.taken = 0
        self.errors: list[str] = []
        self.random = random.Random(7)
        super().__init__()

    def answer(self, command: str) -> str | None:
        match command:
            case "*IDN?":
                return "KEITHLEY INSTRUMENTS INC.,MODEL 6221,1234567,A01  /700x"
            case "SYST:ERR?":
                return self.errors.pop(0) if self.errors else '0,"No error"'
            case "SOUR:DELT:NVPR?":
                return str(int(self.nanovoltmeter))
            case "SOUR:DELT:HIGH?":
                return f"{self.ampere:.6E}"
            case "SOUR:DELT:ARM?":
                return str(int(self.armed))
            case "TRAC:POIN:ACT?":
                self.taken = min(self.taken + 8, len(self.readings))
                return str(self.taken)
            case "TRAC:DATA?":
                return ",".join(f"{value:.6E}" for value in self.readings[: self.taken])
        name, _, argument = command.partition(" ")
        self._command(name, argument)
        return None

    def _command(self, name: str, argument: str) -> None:
        match name:
            case "SOUR:DELT:HIGH":
                if float(argument) > 0.105:
                    self.errors.append('-222,"Parameter data out of range"')
                else:
                    self.ampere = float(argument)
            case "SOUR:DELT:COUN":
                self.count = int(argument)
            case "SOUR:CURR:COMP":
                self.compliance_v = float(argument)
            case "SOUR:DELT:ARM":
                self.armed = self.nanovoltmeter
            case "INIT:IMM":
                self._sequence()
            case "SOUR:SWE:ABOR":
                self.armed = False
            case "TRAC:CLE":
                self.readings, self.taken = [], 0
            case "FORM:ELEM" | "UNIT" | "SOUR:DELT:DEL" | "SOUR:DELT:CAB" | "TRAC:POIN":
                pass
            case _:
                self.errors.append('-113,"Undefined header"')

    def _sequence(self) -> None:
        if not self.armed:
            self.errors.append('-221,"Settings conflict"')
            return
        sign = 1.0
        volts: list[float] = []
        for index in range(self.count + 2):
            thermal = 3e-6 + self.drift_v * index
            noise = self.random.gauss(0.0, self.noise_v)
            volts.append(sign * self.ampere * self.sample_ohm + thermal + noise)
            sign = -sign
        for index in range(0 if self.lead_open else self.count):
            first, second, third = volts[index : index + 3]
            self.readings.append((-1) ** index * (first - 2.0 * second + third) / 4.0)
