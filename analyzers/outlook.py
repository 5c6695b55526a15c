"""What was known of the onset after each point of a warming: what a plan could decide on, kept with the products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analyzers.maps import FieldRatioMap
from analyzers.onset import OnsetSettings, estimate_onset, tc_density, tc_grid_k

MOST_PIXELS = 512
"""Sample pixels that stand for all of them, evenly chosen: after every point the onset is estimated anew."""


def onset_outlook(
    points: Sequence[tuple[float, FieldRatioMap]], judged: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    """Return the expected information and the density of Tc as they were after each point.

    Parameters
    ----------
    points
        Sample temperature (K) and s of each sweep, in order.
    judged
        (y, x) pixels that count.

    Returns
    -------
    `onset_candidate_k` (m,), `onset_information_bits`, `onset_tc_density_per_k` (n, m), NaN at and below the last
    temperature; empty where no sweep is cold enough for an onset.
    """
    settings = OnsetSettings()
    places = np.flatnonzero(judged)
    coldest = min((temperature for temperature, _ in points), default=np.inf)
    if not places.size or coldest > settings.tc_flat_k:
        return {}
    picked = places[np.unique(np.linspace(0, places.size - 1, MOST_PIXELS).astype(np.int64))]
    temperature = np.array([point[0] for point in points])
    s, sigma, reference = (
        np.stack([getattr(ratio, name).ravel()[picked] for _, ratio in points])
        for name in ("s", "sigma_s", "sigma_s_reference")
    )
    common = np.nan_to_num(np.fmax.reduce(reference, axis=0))
    candidates = tc_grid_k(float(coldest), settings)
    information, density = np.full((2, len(points), candidates.size), np.nan)
    for last in range(len(points)):
        seen = slice(0, last + 1)
        outlook = tc_density(estimate_onset(temperature[seen], s[seen], sigma[seen], common))
        where = np.searchsorted(candidates, outlook.candidate_temperature_k)
        inside = where < candidates.size
        information[last, where[inside]] = outlook.information_bits[inside]
        density[last, where[inside]] = outlook.tc_density_per_k[inside]
    return {
        "onset_candidate_k": candidates,
        "onset_information_bits": information,
        "onset_tc_density_per_k": density,
    }
