"""Waiting for instruments without blocking the RunEngine: procedures in a thread, watched signals, progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Condition, Event, Lock
from types import TracebackType
from typing import Any, Self

import ophyd
from ophyd import DeviceStatus
from ophyd.utils.epics_pvs import AlarmSeverity

from devices.epics import DeviceError

Progress = Callable[..., None]


class ProgressStatus(DeviceStatus):
    """A status that progress bars can watch and that knows when it was given up.

    Parameters
    ----------
    device
        The device that works.
    what
        What it does, shown at the progress bar.
    unit
        Unit of the progress.
    """

    def __init__(self, device: Any, *, what: str, unit: str = "", timeout_s: float | None = None) -> None:
        self.what = what
        self.unit = unit
        self.cancelled = Event()
        self._ended = Lock()
        self._watchers: list[Progress] = []
        self._start: float | None = None
        super().__init__(device, timeout=timeout_s)

    def end(self, error: Exception | None = None) -> None:
        """Finish, or fail with `error`; only the first call counts."""
        if not self._ended.acquire(blocking=False):
            return
        if error is None:
            self.set_finished()
        else:
            self.set_exception(error)

    def give_up(self, *, success: bool) -> None:
        """End the wait early: the work stops looking; `success` as the RunEngine asks for it (a pause is one)."""
        self.cancelled.set()
        self.end(None if success else DeviceError(f"{self.what}: stopped"))

    def watch(self, func: Progress) -> None:
        """Call `func(name=, current=, initial=, target=, unit=, ...)` at each step, as progress bars expect."""
        self._watchers.append(func)

    def progress(self, current: float, target: float) -> None:
        """Tell the watchers where the work is."""
        if self._start is None:
            self._start = current
        for watcher in self._watchers:
            watcher(name=self.what, current=current, initial=self._start, target=target, unit=self.unit, precision=3)


def run_in_thread(status: ProgressStatus, work: Callable[[ProgressStatus], object]) -> ProgressStatus:
    """Run `work(status)` in a thread with Channel Access; the status ends as the work does."""

    def body() -> None:
        try:
            work(status)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for the status
            status.end(error)
        else:
            status.end()

    thread = ophyd.get_cl().thread_class(target=body, name=f"{status.what}", daemon=True)
    thread.start()
    works = getattr(getattr(status.device, "root", None), "works", None)
    if works is not None:
        works.add(thread, status)
    return status


ASK_AFTER_S = 1.0
"""Interval at which a waiting watch reads its signals itself, s."""


class Watch:
    """The latest values of some signals, and waiting for what they should become.

    Parameters
    ----------
    signals
        Name -> ophyd signal of a scalar; monitored while the watch is open. `was_zero` names those that have been 0.
    """

    def __init__(self, **signals: Any) -> None:
        self.values: dict[str, Any] = {}
        self.was_zero: set[str] = set()
        self._signals: Mapping[str, Any] = signals
        self._changed = Condition()
        self._callbacks: dict[str, int] = {}

    def __enter__(self) -> Self:
        for name, signal in self._signals.items():
            self._callbacks[name] = signal.subscribe(self._receiver(name), run=False)
        self.refresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, signal in self._signals.items():
            signal.unsubscribe(self._callbacks[name])

    def refresh(self, *names: str) -> None:
        """Read the signals (all, or those named) from the instrument now."""
        for name in names or tuple(self._signals):
            fresh = fresh_value(self._signals[name])
            self._take(name, fresh)

    def wait_for(
        self,
        ready: Callable[[dict[str, Any]], bool],
        timeout_s: float,
        *,
        cancelled: Event | None = None,
        on_change: Callable[[dict[str, Any]], None] | None = None,
    ) -> bool:
        """Wait until `ready(values)`; False where the time ran out or the wait was cancelled.

        `ready` and `on_change` are called at each update, from the waiting thread. Where no update comes the instrument
        is asked: a monitor that was lost must not hold a plan for ever.
        """
        end = time.monotonic() + timeout_s
        ask = time.monotonic() + ASK_AFTER_S
        while True:
            if time.monotonic() >= ask:
                self.refresh()
                ask = time.monotonic() + ASK_AFTER_S
            with self._changed:
                values = dict(self.values)
            if on_change is not None:
                on_change(values)
            if ready(values):
                return True
            left = end - time.monotonic()
            if left <= 0 or (cancelled is not None and cancelled.is_set()):
                return False
            with self._changed:
                if values == self.values:
                    self._changed.wait(min(left, 0.2))

    def _receiver(self, name: str) -> Callable[..., None]:
        def receive(*, value: Any = None, **_: Any) -> None:
            self._take(name, value)

        return receive

    def _take(self, name: str, value: Any) -> None:
        with self._changed:
            self.values[name] = value
            if value == 0:
                self.was_zero.add(name)
            self._changed.notify_all()


def fresh_value(signal: Any) -> Any:
    """Return a signal's value as the instrument has it now, past any monitor still under way.

    Raises
    ------
    DeviceError
        Where the PV does not answer.
    """
    if not hasattr(signal, "pvname"):
        return signal.get()
    try:
        return signal.get(use_monitor=False)
    except TimeoutError as error:
        raise DeviceError(f"{signal.pvname} does not answer; check that its IOC runs") from error


class FreshReading:
    """One reading of a signal as the instrument has it now: `trigger()` takes it, `value` holds it.

    A monitor is behind on a busy machine, and a condition must not be judged on what was; nor on the last number of an
    instrument that has gone away: the status fails where the PV is INVALID.

    Parameters
    ----------
    signal
        Ophyd signal of a device.
    """

    parent = None

    def __init__(self, signal: Any) -> None:
        self.name = f"{signal.name}_now"
        self.root = getattr(signal, "root", None)
        self.value: Any = None
        self._signal = signal

    def trigger(self) -> ProgressStatus:
        """Ask the instrument."""
        return run_in_thread(ProgressStatus(self, what="reading"), self._read)

    def _read(self, _: ProgressStatus) -> None:
        self.value = fresh_value(self._signal)
        if getattr(self._signal, "alarm_severity", None) == AlarmSeverity.INVALID:
            raise DeviceError(f"{self._signal.pvname} is INVALID: its instrument does not answer, or not sensibly")


def put_and_wait(signal: Any, value: Any, timeout_s: float = 10.0) -> None:
    """Put a value and wait until the IOC has taken it.

    Raises
    ------
    DeviceError
        Where it does not confirm in time.
    """
    status = signal.set(value, timeout=timeout_s)
    try:
        status.wait(timeout_s)
    except DeviceError:
        raise  # refused, with a reason
    except Exception as error:
        name = getattr(signal, "setpoint_pvname", signal.name)
        raise DeviceError(f"{name} did not take {value!r} within {timeout_s:g} s: {error}") from error


def require_taken(device: Any, signal: Any, value: float, within: float) -> None:
    """Fail where a set point that was put is not what the instrument has now: it was refused.

    Parameters
    ----------
    device
        Whose put it was; its `guard`, where the rig has one, says why.
    signal
        The set point.
    within
        Distance that is rounding.

    Raises
    ------
    DeviceError
        Naming what was put, what is there and the reason.
    """
    _require_equal(device, device.name, float(fresh_value(signal)), value, within)


def _require_equal(device: Any, name: str, now: float, value: float, within: float) -> None:
    if abs(now - value) <= within:
        return
    why = refusal_of(device)
    raise DeviceError(f"{name}: {value:g} refused, it stays at {now:g}{f': {why}' if why else ''}")


ROUNDING = 1e-6
"""Distance of a set point from what was put that is rounding, as a share of it (and at least absolute)."""


def taken(signal: Any, value: float, put: Callable[[], Any]) -> ProgressStatus:
    """Put a number and fail, with the reason, where the IOC keeps another one."""
    device = signal.parent

    def work(_: ProgressStatus) -> None:
        put().wait(10.0)
        now = float(signal.get_setpoint(use_monitor=False))
        _require_equal(device, signal.name, now, value, ROUNDING * max(1.0, abs(value)))

    return run_in_thread(ProgressStatus(device, what=signal.name), work)


class Kept:
    """Follows a ramp: fails as soon as its set point is another one than was put, as where the guard stops it.

    Parameters
    ----------
    device, signal, value, within
        As for `require_taken`.
    """

    def __init__(self, device: Any, signal: Any, value: float, within: float) -> None:
        self._arguments = (device, signal, value, within)

    def __call__(self, put: Any) -> None:
        """Look at the set point as a monitor has it; the instrument itself is asked before the ramp fails."""
        _, _, value, within = self._arguments
        if abs(float(put) - value) > within:
            require_taken(*self._arguments)


SHOW_S = 3.0
"""Longest time after the put until a switch must show in its readback, s."""


def switched(signal: Any, value: int, put: Callable[[], Any]) -> ProgressStatus:
    """Put a switch and wait until its readback shows it; fails at once where the guard refuses it."""
    device = signal.parent
    status = ProgressStatus(device, what=signal.name)

    def work(_: ProgressStatus) -> None:
        put().wait(10.0)
        with Watch(shown=signal) as watch:
            refused = watch.wait_for(
                lambda now: int(now["shown"]) == value or bool(value and refusal_of(device)), SHOW_S
            )
            shown = int(fresh_value(signal))
        if shown != value:
            why = refusal_of(device) if refused else "its readback does not follow"
            raise DeviceError(f"{signal.name}: {value} refused, it stays at {shown}{f': {why}' if why else ''}")

    return run_in_thread(status, work)


def refusal_of(device: Any) -> str:
    """Return why an instrument refused: what it says itself, else what the guard says; empty where nobody does."""
    own, guard = getattr(device, "reason", None), getattr(device, "guard", None)
    why = "" if own is None else str(fresh_value(own)).strip()
    return why or ("" if guard is None else str(guard.why(device.name)))
