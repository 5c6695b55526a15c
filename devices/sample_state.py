"""Where the sample is when a real camera is armed, read from the instruments over Channel Access."""

from __future__ import annotations

import logging
import math
import threading
from typing import Any

from devices.epics import DeviceError
from devices.settings import DevicesSettings
from stream.messages import Json, StatePoint, SweepRequest

_log = logging.getLogger(__name__)


class WarmestSinceField:
    """Highest sample temperature since the field last changed, from whatever values come in.

    Parameters
    ----------
    tolerance_gauss
        A field within this of the last is the same field, G.
    """

    def __init__(self, tolerance_gauss: float) -> None:
        self._tolerance = tolerance_gauss
        self._field: float | None = None
        self._temperature = math.nan
        self._highest = -math.inf
        self.changed = False
        self._lock = threading.Lock()

    def field(self, gauss: float) -> None:
        """Take a value of the field, G."""
        with self._lock:
            if self._field is None:
                self._field = gauss
            elif abs(gauss - self._field) > self._tolerance:
                self._field, self.changed = gauss, True
                self._highest = self._temperature if math.isfinite(self._temperature) else -math.inf

    def temperature(self, kelvin: float) -> None:
        """Take a value of the temperature, K."""
        with self._lock:
            self._temperature = kelvin
            self._highest = max(self._highest, kelvin)

    def highest_k(self, now_k: float) -> float:
        """Return the highest temperature, K, the present one included."""
        with self._lock:
            return max(self._highest, now_k)


class InstrumentState:
    """Callable that says where the sample is.

    Two instruments are watched from the start, so that the warmest temperature since the last change of field is known
    as far back as this process. A rig without a thermometer has the temperature of its rig file, one without a magnet
    no field; the source state says which.

    Parameters
    ----------
    devices
        The instruments.
    temperature_k
        Where there is no cryostat, K.
    timeout_s
        Longest wait for an answer.
    """

    def __init__(self, devices: DevicesSettings, temperature_k: float, timeout_s: float = 5.0) -> None:
        self._timeout = timeout_s
        self._temperature_k = temperature_k
        cryostat, magnet = devices.cryostat, devices.magnet
        names = {
            "sample": cryostat.sample_k if cryostat else "",
            "stage": cryostat.stage_k if cryostat else "",
            "field": magnet.field_z_gauss_rbv if magnet else "",
        }
        self._warmest = WarmestSinceField(magnet.tolerance_gauss if magnet else 0.0)
        hear = {"sample": self._warmest.temperature, "field": self._warmest.field}
        self._pvs: dict[str, Any] = {
            key: _watch(name.replace("{P}", devices.prefix), hear.get(key)) for key, name in names.items() if name
        }

    def __call__(self, request: SweepRequest) -> tuple[StatePoint, Json]:
        """Read the instruments now.

        Raises
        ------
        DeviceError
            Naming the PV that does not answer.
        """
        stage_k = self._read("stage", self._temperature_k)
        sample_k = self._read("sample", stage_k)
        gauss = self._read("field", 0.0)
        highest_k = self._warmest.highest_k(sample_k)
        point = StatePoint(
            temperature_k=sample_k,
            stage_temperature_k=stage_k,
            temperature_max_since_field_k=highest_k,
            field_gauss=gauss,
            history=request.history,
            load_index=request.load_index,
        )
        read = [self._pvs[key].pvname for key in self._pvs]
        since = "the last change of field" if self._warmest.changed else "the start of the camera process"
        return point, {"read": read, "temperature_max_since": since}

    def _read(self, key: str, absent: float) -> float:
        if key not in self._pvs:
            return absent
        import epics

        pv = self._pvs[key]
        if epics.ca.current_context() is None:
            epics.ca.use_initial_context()
        connected = pv.wait_for_connection(timeout=self._timeout)
        value = pv.get(use_monitor=False, timeout=self._timeout) if connected else None
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise DeviceError(f"{pv.pvname} does not answer within {self._timeout:g} s; check that its IOC runs")
        return float(value)


def _watch(name: str, hear: Any) -> Any:
    # loaded late: only this process of those that import the module may talk Channel Access
    import epics

    def on_value(value: object = None, **_others: object) -> None:
        if isinstance(value, int | float) and math.isfinite(value):
            hear(float(value))

    return epics.PV(name, auto_monitor=hear is not None, callback=on_value if hear is not None else None)


class AcquireSwitch:
    """Starts and stops acquisitions of an areaDetector over Channel Access.

    Parameters
    ----------
    acquire
        PV that starts with 1 and stops with 0.
    images
        PV of the number of images; empty where it needs none.
    timeout_s
        Longest wait for the IOC.
    """

    def __init__(self, acquire: str, images: str = "", timeout_s: float = 5.0) -> None:
        import epics

        self._timeout = timeout_s
        self._acquire: Any = epics.PV(acquire, auto_monitor=False)
        self._images: Any = epics.PV(images, auto_monitor=False) if images else None

    def check(self) -> None:
        """Return once the IOC answers.

        Raises
        ------
        DeviceError
            Where it does not.
        """
        import epics

        if epics.ca.current_context() is None:
            epics.ca.use_initial_context()
        for pv in (self._acquire, self._images):
            if pv is not None and not pv.wait_for_connection(timeout=self._timeout):
                raise DeviceError(f"{pv.pvname} does not answer within {self._timeout:g} s; check that its IOC runs")

    def __call__(self, count: int) -> None:
        """Start an acquisition of `count` frames; 0 stops it.

        Raises
        ------
        DeviceError
            Where the IOC does not answer.
        """
        self.check()
        if count and self._images is not None:
            self._put(self._images, count, wait=True)
        # not waited for: an acquisition confirms when it has ended
        self._put(self._acquire, int(count > 0), wait=False)

    def _put(self, pv: Any, value: int, *, wait: bool) -> None:
        if pv.put(value, wait=wait, timeout=self._timeout) in (None, -1):
            raise DeviceError(f"{pv.pvname} did not take {value} within {self._timeout:g} s")
