"""How much of a place is superfluid at a temperature: the curves that the twin draws from, none of them assumed.

A power law 1 - t^n of t = T/Tc, or the weak-coupling curve of a d-wave gap, which falls linearly from the start.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FORMS = ("power", "d-wave")
"""Names of the curves."""
D_WAVE_GAP = 2.14
"""Gap of the antinode at zero temperature over k Tc."""


def superfluid_fraction(form: str, ratio: Array, exponent: Array) -> Array:
    """Return the superfluid fraction at t = T/Tc; 0 where t is 1 or above.

    Parameters
    ----------
    form
        One of `FORMS`.
    ratio
        T/Tc, any shape.
    exponent
        n of the power law, of the same shape; not used by the d-wave curve.
    """
    if form == "d-wave":
        t, fraction = _d_wave_table()
        return np.interp(ratio, t, fraction)
    return np.maximum(0.0, 1.0 - np.minimum(ratio, 2.0) ** exponent)


@functools.cache
def _d_wave_table(points: int = 201) -> tuple[Array, Array]:
    """Return (t, superfluid fraction) of a clean d-wave superconductor with a cylindrical Fermi surface.

    rho(T) = 1 - (1/2T) < integral over e > 0 of cosh^-2(sqrt(e^2 + D^2 cos^2 2phi) / 2T) > over phi, with the gap
    D(t) = 2.14 tanh((pi/2.14) sqrt((4/3)(1/t - 1))) in units of k Tc (Prozorov and Giannetta 2006).
    """
    t: Array = np.linspace(0.0, 1.0, points)
    phi = (np.arange(64) + 0.5) * (math.pi / 64)
    # Energies in units of 2T: the integrand is below 1e-10 beyond 12.
    energy: Array = np.linspace(0.0, 12.0, 481)
    fraction = np.empty(points)
    fraction[0], fraction[-1] = 1.0, 0.0
    for n in range(1, points - 1):
        gap = D_WAVE_GAP * math.tanh(math.pi / D_WAVE_GAP * math.sqrt(4.0 / 3.0 * (1.0 / t[n] - 1.0)))
        nodal = gap * np.cos(2.0 * phi)[:, None] / (2.0 * t[n])
        inner = np.cosh(np.hypot(energy, nodal)) ** -2
        fraction[n] = max(0.0, 1.0 - float(np.trapezoid(inner, energy, axis=1).mean()))
    return t, fraction
