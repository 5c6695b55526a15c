"""What the kernels share with Python: status codes, line-shape codes, kinds of arguments."""

from __future__ import annotations

from typing import Any, TypeAlias

Array: TypeAlias = Any
"""A numpy array; numba infers its dtype, the docstring says what it holds."""
Pack: TypeAlias = Any
"""A tuple of arguments that always travel together."""

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
