"""An SRS SG384: the commands of its manual, and a list that is stepped by trigger."""

from __future__ import annotations

from tests.devices.ioc.tcp_instrument import TcpInstrument


class SourceSimulator(TcpInstrument):
    """A signal generator; it is switched on at the front panel when the test begins."""

    end = "\r\n"

    def __init__(self) -> None:
        self.power_dbm, self.on, self.hertz = -30.0, True, 2.87e9
        self.states: list[str] = []
        self.list_on, self.index = False, 0
        self.room = 1000
        self.error = 0
        self.highest_dbm = 16.5
        super().__init__()

    def trigger(self) -> None:
        """A pulse at the trigger input: the next state of the list, round and round."""
        with self.lock:
            if self.list_on and self.states:
                self.hertz = float(self.states[self.index].split(",")[0])
                self.index = (self.index + 1) % len(self.states)

    def answer(self, command: str) -> str | None:
        name, _, argument = command.partition(" ")
        match name:
            case "*IDN?":
                return "Stanford Research Systems,SG384,s/n001234,ver1.25"
            case "AMPR?":
                return f"{self.power_dbm:.2f}"
            case "ENBR?":
                return str(int(self.on))
            case "FREQ?":
                return f"{self.hertz:.6f}"
            case "LSTS?":
                return str(len(self.states))
            case "LSTE?":
                return str(int(self.list_on))
            case "LSTP?":
                return self.states[int(argument)]
            case "LERR?":
                error, self.error = self.error, 0
                return str(error)
            case "LSTC?":
                size = int(argument)
                if size > self.room:
                    return "0"
                self.states = [""] * size
                return "1"
            case _:
                self._command(name, argument)
        return None

    def _command(self, name: str, argument: str) -> None:
        match name:
            case "AMPR":
                if float(argument) > self.highest_dbm:
                    self.error = 10
                else:
                    self.power_dbm = float(argument)
            case "ENBR":
                self.on = argument == "1"
            case "LSTD":
                self.states, self.list_on, self.index = [], False, 0
            case "LSTP":
                index, _, state = argument.partition(",")
                if state.count(",") == 14:
                    self.states[int(index)] = state
                else:
                    self.error = 116
            case "LSTE":
                self.list_on = argument == "1"
            case "LSTR":
                self.index = 0
            case _:
                self.error = 111
