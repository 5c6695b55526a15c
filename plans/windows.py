"""The frequencies of a warming as its maps come in: the whole list until the lines are known, windows after that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from plans.frequencies import FrequencyLimits, FrequencyPlan, LineSeen, plan_frequencies, strays
from plans.settings import SweepSettings
from stream.messages import AnalysisReport

LOOKS = 2
"""Maps of the whole range before the windows are made: in the normal state and at the base after field-on."""


def lines_of(report: AnalysisReport) -> tuple[LineSeen, ...]:
    """Return the lines that a report's map shows over the sample."""
    centres, widths, dense = report.line_centre_mhz, report.line_fwhm_mhz, report.line_dense
    return tuple(
        LineSeen(tuple(float(value) for value in np.maximum.accumulate(row)), float(width), bool(flag))
        for row, width, flag in zip(centres, widths, dense, strict=False)
        if width > 0.0 and row.size > 1
    )


class Windows:
    """Which list the next sweep takes.

    Parameters
    ----------
    whole
        The sweep over the whole range.
    limits
        Range and densities of the chosen list; None keeps the whole list always.
    """

    def __init__(self, whole: SweepSettings, limits: FrequencyLimits | None) -> None:
        self._whole = whole
        self._limits = limits
        self._looks: list[LineSeen] = []
        self._seen = 0
        self._plan: FrequencyPlan | None = None

    @property
    def sweep(self) -> SweepSettings:
        """How the next sweep is taken."""
        return self._whole if self._plan is None else replace(self._whole, frequency_mhz=self._plan.frequency_mhz)

    def look(self, report: AnalysisReport, valid: bool) -> str:
        """Take the newest map; returns what changed, empty where nothing did.

        A line that leaves its window, or a map that says nothing, brings the whole list back for the next sweep; after
        it the windows are made anew.
        """
        if self._limits is None:
            return ""
        lines = lines_of(report) if valid else ()
        if self._plan is not None:
            lost = strays(lines, self._plan, self._limits)
            if lines and not lost and any(line.dense for line in lines):
                return ""
            where = ", ".join(f"{line.centre_mhz[0]:.0f} to {line.centre_mhz[-1]:.0f} MHz" for line in lost)
            self._plan, self._seen = None, LOOKS - 1
            return f"the whole list of frequencies again: {'lines at ' + where if lost else 'no lines seen'}"
        if not lines:
            return ""
        self._looks += lines
        self._seen += 1
        if self._seen < LOOKS:
            return ""
        self._plan = plan_frequencies(self._looks, self._limits)
        return self._plan.reason
