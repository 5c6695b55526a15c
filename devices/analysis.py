"""The analysis as a device: a plan triggers it, waits, reads numbers; a silent analyzer is a reading, not an error."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Condition, Event, Thread
from typing import Any, Final

import numpy as np
from ophyd import Component, Device, Kind, Signal

from devices.waiting import ProgressStatus, run_in_thread
from stream.messages import AnalysisReport, StateUpdate
from stream.settings import StreamSettings
from stream.state import StateSubscriber

CANDIDATES: Final = 160
"""Length of the candidate arrays in documents: longer ones are interpolated, shorter ones padded (density 0)."""
_POLL_S: Final = 0.2
_NO_ARRAY: Final = np.zeros(0)
SCALARS: Final = (
    "temperature_k",
    "field_gauss",
    "fraction_changed",
    "s_median",
    "s_low",
    "s_high",
    "sigma_s_median",
    "sigma_zz_mean_gpa",
    "coverage",
    "tc_sigma_median_k",
    "open_fraction",
)
"""Numbers of an `AnalysisReport` that go into the documents as they are."""
REPORT_ARRAYS: Final = (
    "candidate_temperature_k",
    "tc_density_per_k",
    "expected_information_bits",
    "line_centre_mhz",
    "line_fwhm_mhz",
    "line_dense",
)
"""Arrays of an `AnalysisReport`."""


@dataclass(frozen=True)
class Expectation:
    """Which answer the next trigger waits for."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    timeout_s: float = 60.0
    """How long to wait before the analysis counts as silent, s."""


class ReportListener:
    """Keeps the final reports of the builder as they come, from a thread of its own.

    Parameters
    ----------
    settings
        Where the builder publishes.
    """

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self._reports: dict[tuple[str, int], AnalysisReport] = {}
        self._news = Condition()
        self._stop = Event()
        self._thread = Thread(target=self._listen, name="analysis", daemon=True)
        self._thread.start()

    def wait_for(self, run_uid: str, sweep: int, timeout_s: float, cancelled: Event) -> AnalysisReport | None:
        """Return the final report of a sweep, or None where it does not come in time."""
        end = time.monotonic() + timeout_s
        with self._news:
            while (run_uid, sweep) not in self._reports:
                left = end - time.monotonic()
                if left <= 0 or cancelled.is_set():
                    return None
                self._news.wait(min(left, _POLL_S))
            return self._reports[run_uid, sweep]

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        self._thread.join(timeout=5.0)

    def _listen(self) -> None:
        with StateSubscriber(self._settings, sources=("builder",)) as subscriber:
            while not self._stop.is_set():
                for update in subscriber.poll(_POLL_S):
                    report = report_of(update) if update.channel == "analysis" else None
                    if report is not None and report.final:
                        with self._news:
                            self._reports[report.run_uid, report.sweep] = report
                            self._news.notify_all()


def report_of(update: StateUpdate) -> AnalysisReport | None:
    """Return the report of an update of the channel `analysis`; None where it is not one."""
    values: dict[str, Any] = dict(update.header)
    for key in REPORT_ARRAYS:
        values[key] = np.asarray(update.arrays.get(key, _NO_ARRAY), dtype=np.float64)
    try:
        return AnalysisReport(**values)
    except TypeError:
        return None


def silent(run_uid: str, sweep: int, reason: str) -> AnalysisReport:
    """Return the report that stands in where none came: nothing in it may be used."""
    numbers = dict.fromkeys(SCALARS, 0.0)
    return AnalysisReport(
        run_uid=run_uid,
        sweep=sweep,
        revision=0,
        final=False,
        valid=False,
        reason=reason,
        frames_lost=0,
        time_s=time.time(),
        candidate_temperature_k=_NO_ARRAY,
        tc_density_per_k=_NO_ARRAY,
        **numbers,
    )


class Analysis(Device):
    """What the maps say, read like any instrument.

    `prepare(Expectation)` names the sweep, `trigger()` is done when its final report is there or the time is up (then
    `valid` reads 0 and `reason` says so), `read()` gives finite numbers. `answer` is the whole report, for the plan.
    """

    valid = Component(Signal, value=0, kind=Kind.normal)
    reason = Component(Signal, value="", kind=Kind.normal)
    sweep = Component(Signal, value=-1, kind=Kind.normal)
    revision = Component(Signal, value=0, kind=Kind.normal)
    frames_lost = Component(Signal, value=0, kind=Kind.normal)
    age_s = Component(Signal, value=0.0, kind=Kind.normal)
    temperature_k = Component(Signal, value=0.0, kind=Kind.normal)
    field_gauss = Component(Signal, value=0.0, kind=Kind.normal)
    fraction_changed = Component(Signal, value=0.0, kind=Kind.hinted)
    s_median = Component(Signal, value=1.0, kind=Kind.normal)
    s_low = Component(Signal, value=1.0, kind=Kind.hinted)
    s_high = Component(Signal, value=1.0, kind=Kind.hinted)
    sigma_s_median = Component(Signal, value=0.0, kind=Kind.normal)
    sigma_zz_mean_gpa = Component(Signal, value=0.0, kind=Kind.normal)
    coverage = Component(Signal, value=0.0, kind=Kind.normal)
    tc_sigma_median_k = Component(Signal, value=0.0, kind=Kind.normal)
    open_fraction = Component(Signal, value=0.0, kind=Kind.hinted)
    candidate_temperature_k = Component(Signal, value=np.zeros(CANDIDATES), kind=Kind.normal)
    tc_density_per_k = Component(Signal, value=np.zeros(CANDIDATES), kind=Kind.normal)
    expected_information_bits = Component(Signal, value=np.zeros(CANDIDATES), kind=Kind.normal)

    def __init__(self, settings: StreamSettings, *, name: str = "analysis", **kwargs: Any) -> None:
        super().__init__("", name=name, **kwargs)
        self._listener = ReportListener(settings)
        self._expected: Expectation | None = None
        self.answer: AnalysisReport = silent("", -1, "not asked yet")

    def prepare(self, expected: Expectation) -> ProgressStatus:
        """Name the sweep whose report the next trigger waits for."""
        self._expected = expected
        status = ProgressStatus(self, what="analysis")
        status.end()
        return status

    def trigger(self) -> ProgressStatus:
        """Wait for the final report of the expected sweep; never fails, a time-out is a report that is not valid."""
        return run_in_thread(ProgressStatus(self, what="analysis"), self._answer)

    def destroy(self) -> None:
        """Stop listening and let go of the signals."""
        self._listener.close()
        super().destroy()

    def _answer(self, status: ProgressStatus) -> None:
        expected = self._expected
        if expected is None:
            self._show(silent("", -1, "no sweep was named"))
            return
        report = self._listener.wait_for(expected.run_uid, expected.sweep, expected.timeout_s, status.cancelled)
        if report is None:
            text = f"analysis silent: no final map of sweep {expected.sweep} within {expected.timeout_s:g} s"
            report = silent(expected.run_uid, expected.sweep, text)
        self._show(report)

    def _show(self, report: AnalysisReport) -> None:
        """Put a report into the signals: finite numbers, arrays of fixed length."""
        self.answer = report
        finite = all(np.isfinite(float(getattr(report, key))) for key in SCALARS)
        for key in SCALARS:
            getattr(self, key).put(float(np.nan_to_num(float(getattr(report, key)))))
        candidates, density = fixed_length(report.candidate_temperature_k, report.tc_density_per_k)
        self.candidate_temperature_k.put(candidates)
        self.tc_density_per_k.put(density)
        self.expected_information_bits.put(
            fixed_length(report.candidate_temperature_k, report.expected_information_bits)[1]
        )
        self.valid.put(int(report.valid and finite))
        self.reason.put(report.reason if finite or not report.valid else "the report holds numbers that are not finite")
        self.sweep.put(report.sweep)
        self.revision.put(report.revision)
        self.frames_lost.put(report.frames_lost)
        self.age_s.put(max(0.0, time.time() - report.time_s))


def fixed_length(candidates: Any, density: Any) -> tuple[Any, Any]:
    """Return both arrays with `CANDIDATES` finite values: interpolated where longer, padded where shorter."""
    x, y = np.asarray(candidates, dtype=np.float64), np.nan_to_num(np.asarray(density, dtype=np.float64))
    if x.size == 0 or x.size != y.size:
        return np.zeros(CANDIDATES), np.zeros(CANDIDATES)
    if x.size > CANDIDATES:
        grid = np.linspace(x[0], x[-1], CANDIDATES)
        return grid, np.interp(grid, x, y)
    room = CANDIDATES - x.size
    return np.pad(x, (0, room), mode="edge"), np.pad(y, (0, room))
