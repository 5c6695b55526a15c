"""Numbers the kernels share with Python: status codes and line-shape codes."""

from __future__ import annotations

OK = 0
LOW_SNR = 1
OVERLAP = 2
OUT_OF_WINDOW = 3
MISSING_LINE = 4
CONTRAST_CROSSING = 5
BAD_FRAME = 6
NOT_CONVERGED = 7
NOT_YET_MEASURED = 8

LORENTZIAN = 0
GAUSSIAN = 1
PSEUDO_VOIGT = 2

MAX_LINES = 8
"""Largest number of lines one spectrum may have."""
