"""What one more point of the ladder would say about Tc: the expected information at each candidate temperature.

A point at T sees A r(T/Tc) with the noise of one point. Over the posterior of Tc that signal varies with Tc, and the
share of the variance of Tc that the best linear guess from the signal takes away is rho^2; -1/2 log2(1 - rho^2) is the
information of two normal variables of that correlation. What A itself is uncertain by counts as noise. So a candidate
is worth nothing where no Tc is expected near or above it, and little where the response does not depend on Tc.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analyzers.onset_forms import OnsetForm, response_table

Array = NDArray[np.float64]

MOST_PIXELS = 512
"""Pixels that are averaged over, evenly chosen: their mean does not change beyond a per cent with more."""
EXPONENTS = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
"""Laws whose responses are tabulated; a pixel takes the one nearest to its mean exponent."""


def expected_information_bits(
    candidate_k: Array,
    grid_k: Array,
    posterior: NDArray[np.floating],
    amplitude: Array,
    amplitude_sigma: Array,
    exponent: Array,
    point_sigma: Array,
) -> Array:
    """Return the information on Tc that a point at each candidate is expected to give, bits per pixel.

    Parameters
    ----------
    candidate_k, grid_k
        (m,) candidate temperatures and (k,) values of Tc, K.
    posterior
        (n, k) probability of each Tc, pixel by pixel.
    amplitude, amplitude_sigma, exponent
        (n,) response far below Tc, its standard deviation, and the mean exponent.
    point_sigma
        (n,) standard deviation of one point's s; a pixel without one is left out.

    Returns
    -------
    (m,) mean over the pixels; zeros without any.
    """
    usable = np.flatnonzero(np.isfinite(point_sigma) & (point_sigma > 0) & np.isfinite(amplitude))
    if usable.size == 0 or candidate_k.size == 0:
        return np.zeros(candidate_k.size)
    picked = usable[np.unique(np.linspace(0, usable.size - 1, MOST_PIXELS).astype(np.int64))]
    table = response_table(candidate_k, grid_k, [OnsetForm(n) for n in EXPONENTS])
    law = np.abs(np.subtract.outer(exponent[picked], EXPONENTS)).argmin(axis=1)
    chance = posterior[picked].astype(np.float64)
    tc_mean = chance @ grid_k
    away = grid_k - tc_mean[:, None]
    tc_variance = (chance * away**2).sum(axis=1)
    total = np.zeros(candidate_k.size)
    for m in range(candidate_k.size):
        response = table[m, law]
        mean = (chance * response).sum(axis=1)
        square = (chance * response**2).sum(axis=1)
        seen = amplitude[picked] ** 2 * np.maximum(square - mean**2, 0.0)
        noise = point_sigma[picked] ** 2 + amplitude_sigma[picked] ** 2 * square
        together = amplitude[picked] * (chance * away * response).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            shared = np.nan_to_num(together**2 / (tc_variance * (seen + noise)))
        total[m] = -0.5 * float(np.log2(1.0 - np.minimum(shared, 1.0 - 1e-9)).mean())
    return total
