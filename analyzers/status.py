"""Reason codes: why a pixel, a line or a doublet is usable or not. Stored as u1 with every map."""

from __future__ import annotations

import enum


class StatusCode(enum.IntEnum):
    """What a value is worth; anything but `OK` means the value is NaN (or, for `chi2` statuses of maps, doubtful)."""

    OK = 0
    LOW_SNR = 1
    OVERLAP = 2
    OUT_OF_WINDOW = 3
    MISSING_LINE = 4
    CONTRAST_CROSSING = 5
    BAD_FRAME = 6
    NOT_CONVERGED = 7
    NOT_YET_MEASURED = 8
    OCCLUDED = 9
    POOR_FIT = 10
    NO_REFERENCE = 11
    MASKED = 12
    NOT_IDENTIFIABLE = 13


_DESCRIPTIONS: dict[StatusCode, str] = {
    StatusCode.OK: "resolved",
    StatusCode.LOW_SNR: "no line is significant above the noise",
    StatusCode.OVERLAP: "two lines overlap so much that their centres are not separable",
    StatusCode.OUT_OF_WINDOW: "a line lies at the edge of the measured frequencies, or its width at a bound",
    StatusCode.MISSING_LINE: "at least one line of the doublet is not significant",
    StatusCode.CONTRAST_CROSSING: "both lines of the doublet vanish where others are seen: the contrast crosses zero",
    StatusCode.BAD_FRAME: "NaN, dead or saturated pixel",
    StatusCode.NOT_CONVERGED: "the fit did not converge",
    StatusCode.NOT_YET_MEASURED: "too few frequencies so far",
    StatusCode.OCCLUDED: "covered by the ruby, a lead or a shadow",
    StatusCode.POOR_FIT: "chi2 far above the map's median",
    StatusCode.NO_REFERENCE: "no reference measurement for this pixel",
    StatusCode.MASKED: "left out by the user's mask",
    StatusCode.NOT_IDENTIFIABLE: "the measured fields do not determine this quantity",
}


def describe(code: int) -> str:
    """Return one sentence on what the code means."""
    return _DESCRIPTIONS[StatusCode(int(code))]


def names() -> dict[str, str]:
    """Return code number (as text) -> `NAME: description`, for file attributes."""
    return {str(int(code)): f"{code.name}: {text}" for code, text in _DESCRIPTIONS.items()}
