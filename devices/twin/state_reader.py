"""Reads the twin's frozen state over Channel Access, from whatever thread the camera arms in."""

from __future__ import annotations

from typing import Any

from devices.twin.state import TwinStateError, state_from_text


class StateReader:
    """Callable that returns the present state of the twin IOC.

    Channel Access is loaded at the first call: the process must have set its EPICS environment before.

    Parameters
    ----------
    prefix
        Prefix of the PVs.
    timeout_s
        Longest wait for the IOC.
    """

    def __init__(self, prefix: str, timeout_s: float = 5.0) -> None:
        self.pv_name = f"{prefix}TWIN:STATE"
        self._timeout = timeout_s
        self._pv: Any = None

    def __call__(self) -> dict[str, object]:
        """Ask the IOC.

        Raises
        ------
        TwinStateError
            Where it does not answer in time or the answer is no state.
        """
        # Loaded late: only this process of those that import the module may talk Channel Access.
        import epics

        if self._pv is None:
            self._pv = epics.PV(self.pv_name, auto_monitor=False)
        else:
            epics.ca.use_initial_context()
        if not self._pv.wait_for_connection(timeout=self._timeout):
            raise TwinStateError(f"{self.pv_name} does not answer within {self._timeout:g} s; does the twin IOC run?")
        text = self._pv.get(as_string=True, use_monitor=False, timeout=self._timeout)
        if not text:
            raise TwinStateError(f"{self.pv_name} holds no state")
        return state_from_text(str(text)).to_json()
