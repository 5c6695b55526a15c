"""Where diamagnetism appears: Tc per pixel from signed s - 1 against temperature, with its posterior.

Tc is the extrapolated onset of A [1 - (T/Tc)^n]^m_+ : the temperature at which the unrounded law reaches zero. A may
have either sign (suppressed pixels and enhanced rims count alike); n, m and the spread of Tc inside the pixel that
rounds the onset are summed over (`analyzers.onset_forms`); the noise of the pixel's reference, common to all its
temperatures, is a free offset of known width. So neither the law nor the shape near the onset is assumed, and the
uncertainty contains both.

The estimator takes whatever temperatures there are, from the first on; while a warming is under way the same posterior
says how the superconducting pixels' Tc are expected to be spread above the present temperature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analyzers.kernels.onset import onset_posteriors
from analyzers.onset_forms import DEFINITION, FORMS, OnsetForm, response_table
from analyzers.onset_information import expected_information_bits
from analyzers.status import StatusCode

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class OnsetSettings:
    """What the estimator takes as known."""

    forms: tuple[OnsetForm, ...] = FORMS
    """Laws that are summed over: nothing about the shape is assumed beyond them."""
    amplitude_sigma: float = 0.1
    """Standard deviation of the amplitude's prior, either sign; wider than any s - 1 seen."""
    below_first_k: float = 10.0
    """How far the Tc grid reaches below the first temperature, K."""
    tc_flat_k: float = 100.0
    """Every Tc up to here is equally likely beforehand, K."""
    tc_maximum_k: float = 130.0
    """End of the Tc grid, K; between `tc_flat_k` and here the prior falls by 1/e every 10 K."""
    step_k: float = 1.0
    """Step of the Tc grid, K."""
    significance: float = 4.0
    """Smallest |A|/sigma of an onset; above 3 because the best of many Tc is taken."""
    sigma_maximum_k: float = 10.0
    """Largest uncertainty of a resolved Tc, K."""


@dataclass(frozen=True)
class OnsetEstimate:
    """Tc per pixel; planes have the shape of one s map."""

    tc_k: Array
    """Median Tc, K, wherever there is data; use it where `status` is OK."""
    tc_sigma_k: Array
    """Half of the central 68 % of Tc, K."""
    amplitude: Array
    """A at the best form and Tc: s - 1 far below Tc."""
    amplitude_sigma: Array
    """Its standard deviation."""
    exponent: Array
    """Mean exponent n."""
    significance: Array
    """|A| over its sigma at the best form and Tc; NaN without data."""
    open_probability: Array
    """Probability that Tc lies above the last temperature."""
    chi2: Array
    """chi2 per point of the best form and Tc."""
    status: NDArray[np.uint8]
    """OK; LOW_SNR: no significant onset; NOT_YET_MEASURED: Tc above the last point; NOT_IDENTIFIABLE: too wide."""
    posterior: NDArray[np.float32]
    """(..., k) probability of each Tc of the grid, given that the pixel has an onset."""
    tc_grid_k: Array
    """(k,) Tc grid, K."""
    last_temperature_k: float
    """Highest temperature so far, K."""
    superconducting: Mask
    """True where the onset is significant."""
    point_sigma: Array
    """Median noise of one point, without what the reference shares: what the next point is expected to have."""
    definition: str = DEFINITION
    """Name of the Tc definition."""


@dataclass(frozen=True)
class TcDensity:
    """What the pixels say together: what a plan may decide on (the fields of `stream.messages.AnalysisReport`)."""

    candidate_temperature_k: Array
    """(m,) candidate temperatures above the present one, K."""
    tc_density_per_k: Array
    """(m,) expected share of the superconducting pixels with Tc at the candidate, per K."""
    open_fraction: float
    """Share of the superconducting pixels whose Tc lies above the last temperature, or may and is uncertain."""
    tc_sigma_median_k: float
    """Median uncertainty of Tc over the superconducting pixels, K; 0 without any."""
    superconducting: int
    """Number of superconducting pixels."""
    information_bits: Array
    """(m,) what a point at the candidate is expected to say about Tc, bits per superconducting pixel."""


def tc_grid_k(first_k: float, settings: OnsetSettings) -> Array:
    """Return the (k,) grid of Tc, K, for a ladder that starts at `first_k`."""
    start = max(settings.step_k, np.floor(first_k - settings.below_first_k))
    end = max(settings.tc_maximum_k, start + 2.0 * settings.below_first_k)  # never empty: a ladder may begin above
    return np.arange(start, end + 0.5 * settings.step_k, settings.step_k)


def _first_response(table: Array) -> NDArray[np.int64]:
    """Return (t,) the first index of Tc with any response; the grid's size where there is none."""
    silent = (table <= 0.0).all(axis=1)
    return np.count_nonzero(silent, axis=1).astype(np.int64)


def _log_prior(grid_k: Array, settings: OnsetSettings) -> Array:
    """Return the (e, k) log prior of form and Tc."""
    of_form = np.log([form.weight for form in settings.forms])
    return of_form[:, None] - np.maximum(0.0, grid_k - settings.tc_flat_k) / 10.0


def estimate_onset(
    temperature_k: ArrayLike,
    s: ArrayLike,
    sigma_s: ArrayLike,
    reference_sigma: ArrayLike = 0.0,
    settings: OnsetSettings | None = None,
) -> OnsetEstimate:
    """Return Tc of every pixel from the s maps so far.

    Parameters
    ----------
    temperature_k
        (t,) sample temperatures, K, any order; one is enough to start.
    s, sigma_s
        (t, ...) field ratio and its standard deviation (scalar: the same everywhere); NaN where unresolved.
    reference_sigma
        (...) or scalar: the part of `sigma_s` that comes from the pixel's reference and is common to all temperatures.
    settings
        Prior and thresholds.

    Raises
    ------
    ValueError
        Where there is no temperature, or the shapes do not agree.
    """
    chosen = OnsetSettings() if settings is None else settings
    temperature = np.asarray(temperature_k, dtype=np.float64).reshape(-1)
    values = np.asarray(s, dtype=np.float64)
    if temperature.size == 0 or values.shape[:1] != temperature.shape:
        raise ValueError(f"s has shape {values.shape}; expected one map for each of {temperature.size} temperatures")
    shape = values.shape[1:]
    grid = tc_grid_k(float(temperature.min()), chosen)
    table = response_table(temperature, grid, chosen.forms)
    count = int(np.prod(shape))
    planes = np.empty((8, count))
    posterior = np.empty((count, grid.size), dtype=np.float32)
    onset_posteriors(
        np.ascontiguousarray(values.reshape(temperature.size, count).T),
        np.ascontiguousarray(
            np.broadcast_to(sigma_s, values.shape).reshape(temperature.size, count).T, dtype=np.float64
        ),
        np.ascontiguousarray(np.broadcast_to(reference_sigma, shape), dtype=np.float64).reshape(count),
        table,
        _first_response(table),
        np.array([form.exponent for form in chosen.forms]),
        grid,
        _log_prior(grid, chosen),
        chosen.amplitude_sigma,
        float(temperature.max()),
        planes,
        posterior,
    )
    tc, sigma, amplitude, amplitude_sigma, exponent, significance, above, chi2 = planes.reshape(8, *shape)
    found = np.nan_to_num(significance) >= chosen.significance
    return OnsetEstimate(
        tc_k=tc,
        tc_sigma_k=sigma,
        amplitude=amplitude,
        amplitude_sigma=amplitude_sigma,
        exponent=exponent,
        significance=significance,
        open_probability=above,
        chi2=chi2,
        status=_status(found, above, sigma, chosen),
        posterior=posterior.reshape(*shape, grid.size),
        tc_grid_k=grid,
        last_temperature_k=float(temperature.max()),
        superconducting=found,
        point_sigma=_point_sigma(np.broadcast_to(sigma_s, values.shape), np.broadcast_to(reference_sigma, shape)),
    )


def _point_sigma(sigma: Array, reference: Array) -> Array:
    """Return the median over temperatures of a point's own noise; NaN without any."""
    own = np.sqrt(np.maximum(sigma**2 - np.nan_to_num(reference) ** 2, 0.25 * sigma**2))
    own = np.where(np.isfinite(own).any(axis=0), own, 0.0)
    middle = np.nanmedian(own, axis=0)
    return np.where(middle > 0, middle, np.nan)


def _status(found: Mask, above: Array, sigma: Array, settings: OnsetSettings) -> NDArray[np.uint8]:
    status = np.where(sigma > settings.sigma_maximum_k, StatusCode.NOT_IDENTIFIABLE, StatusCode.OK)
    status = np.where(above > 0.5, StatusCode.NOT_YET_MEASURED, status)
    return np.where(found, status, StatusCode.LOW_SNR).astype(np.uint8)


def tc_density(
    estimate: OnsetEstimate, judged: Mask | None = None, top_k: float | None = None, open_sigma_k: float = 2.0
) -> TcDensity:
    """Return how Tc of the superconducting pixels is expected to be spread above the present temperature.

    Parameters
    ----------
    estimate
        From `estimate_onset`.
    judged
        Pixels that count (the sample without the ruby), the shape of a map; all where None.
    top_k
        Highest candidate, K; the end of the Tc grid where None.
    open_sigma_k
        Uncertainty, K, above which a pixel whose Tc may lie above the last temperature (5 %) counts as open.
    """
    chosen = estimate.superconducting if judged is None else estimate.superconducting & judged
    grid = estimate.tc_grid_k
    step = float(grid[1] - grid[0])
    ahead = grid > estimate.last_temperature_k
    if top_k is not None:
        ahead &= grid <= top_k
    number = int(np.count_nonzero(chosen))
    if number == 0:
        return TcDensity(
            grid[ahead], np.zeros(int(np.count_nonzero(ahead))), 0.0, 0.0, 0, np.zeros(int(np.count_nonzero(ahead)))
        )
    share = estimate.posterior[chosen].mean(axis=0, dtype=np.float64)
    above, sigma = estimate.open_probability[chosen], estimate.tc_sigma_k[chosen]
    is_open = (above > 0.5) | ((above > 0.05) & (sigma > open_sigma_k))
    return TcDensity(
        candidate_temperature_k=grid[ahead],
        tc_density_per_k=share[ahead] / step,
        open_fraction=float(np.mean(is_open)),
        tc_sigma_median_k=float(np.median(sigma)),
        superconducting=number,
        information_bits=expected_information_bits(
            grid[ahead],
            grid,
            estimate.posterior[chosen],
            estimate.amplitude[chosen],
            estimate.amplitude_sigma[chosen],
            estimate.exponent[chosen],
            estimate.point_sigma[chosen],
        ),
    )
