"""Laws of the diamagnetic response near Tc: a family wide enough that none of them has to be the right one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

DEFINITION = "extrapolated onset of A[1-(T/Tc)^n]^m, n from 1 to 4, m from 0.6 to 1.5, rounding from 0.5 to 4 K"
"""Name of the Tc definition, stored with every map."""


@dataclass(frozen=True)
class OnsetForm:
    """One law A [1 - (T/Tc)^n]^m, Tc spread inside the pixel."""

    exponent: float
    """n: 1 is linear, 4 the two-fluid law."""
    power: float = 1.0
    """m: below 1 the response sets in steeply, above 1 softly, as in a critical state."""
    rounding_k: float = 1.5
    """Standard deviation of the spread of Tc inside one pixel, K."""
    weight: float = 1.0
    """How likely the form is beforehand, relative to the others."""


def _forms() -> tuple[OnsetForm, ...]:
    """Return the family: the plain law densely in n, sharper, rounder, steeper and softer ones coarsely."""
    dense = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0)
    coarse = (1.0, 1.6, 2.3, 3.1, 4.0)
    plain = [OnsetForm(n) for n in dense]
    rounded = [OnsetForm(n, 1.0, width, 0.3) for width in (0.5, 4.0) for n in coarse]
    others = [OnsetForm(n, m, 1.5, 0.2) for m in (0.6, 1.5) for n in (1.3, 2.8)]
    return (*plain, *rounded, *others)


FORMS = _forms()
"""The laws that are summed over."""


def response_table(temperature_k: ArrayLike, grid_k: ArrayLike, forms: Sequence[OnsetForm]) -> Array:
    """Return the response of unit amplitude, averaged over the spread of Tc.

    Parameters
    ----------
    temperature_k, grid_k
        (t,) temperatures, K; (k,) values of Tc, K.
    forms
        (e) laws.

    Returns
    -------
    (t, e, k) response between 0 and 1.
    """
    t = np.asarray(temperature_k, dtype=np.float64)[:, None]
    tc = np.asarray(grid_k, dtype=np.float64)
    offset = np.linspace(-3.0, 3.0, 25)
    weight = np.exp(-0.5 * offset**2)
    table = np.zeros((t.size, len(forms), tc.size))
    for number, form in enumerate(forms):
        for z, w in zip(offset, weight / weight.sum(), strict=True):
            ratio = t / np.maximum(tc + z * form.rounding_k, 0.5)
            table[:, number] += w * np.maximum(0.0, 1.0 - np.minimum(ratio, 1.0) ** form.exponent) ** form.power
    return table
