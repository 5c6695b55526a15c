"""Zero-field splitting D(T) of the NV ground state without stress, by name of the published model.

Thermal and stress shifts are taken to add. There is no NV thermometry below about 80 K: dD/dT vanishes there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from physics.constants import BOLTZMANN_EV_PER_K

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ZeroFieldModel:
    """A published D(T)."""

    name: str
    """Name under which settings and maps refer to the model."""
    minimum_k: float
    """Lowest temperature it holds at, K."""
    maximum_k: float
    """Highest temperature it holds at, K."""
    reference: str
    """Where it was published."""
    evaluate: Callable[[Array], Array]
    """D in MHz of temperatures in K."""


def _chen(temperature_k: Array) -> Array:
    coefficients = (2877.71, -4.625e-3, 1.067e-4, -9.325e-7, 1.739e-9, -1.838e-12)
    return np.asarray(np.polynomial.polynomial.polyval(temperature_k, coefficients), dtype=np.float64)


def _occupation(energy_ev: float, temperature_k: Array) -> Array:
    # The cap keeps exp finite near 0 K, where the occupation is zero to all digits anyway.
    exponent = energy_ev / (BOLTZMANN_EV_PER_K.value * np.maximum(temperature_k, 1e-3))
    return 1.0 / np.expm1(np.minimum(exponent, 700.0))


def _cambria(temperature_k: Array) -> Array:
    return 2877.38 - 54.91 * _occupation(58.73e-3, temperature_k) - 249.6 * _occupation(145.5e-3, temperature_k)


_MODELS = {
    # Measured from 15 K; both modes are frozen out below, so D is constant down to 0 K.
    "cambria2023": ZeroFieldModel("cambria2023", 0.0, 500.0, "Cambria et al., PRB 108, L180102 (2023)", _cambria),
    "chen2011": ZeroFieldModel("chen2011", 0.0, 300.0, "Chen et al., APL 99, 161903 (2011)", _chen),
}

DEFAULT_ZERO_FIELD_MODEL = "cambria2023"
"""Name of the model used where settings name none."""


def zero_field_model(name: str = DEFAULT_ZERO_FIELD_MODEL) -> ZeroFieldModel:
    """Model of D(T) by name.

    Raises
    ------
    ValueError
        When no model has that name; the message lists those that exist.
    """
    try:
        return _MODELS[name]
    except KeyError:
        raise ValueError(f"unknown zero-field model {name!r}; known: {', '.join(sorted(_MODELS))}") from None


def zero_field_splitting_mhz(temperature_k: ArrayLike, name: str = DEFAULT_ZERO_FIELD_MODEL) -> Array:
    """Zero-field splitting at zero stress.

    Parameters
    ----------
    temperature_k
        Temperatures, K, any shape.
    name
        `cambria2023` (0-500 K) or `chen2011` (0-300 K).

    Returns
    -------
    D in MHz, the shape of `temperature_k`.

    Raises
    ------
    ValueError
        Unknown model, or a temperature outside the range in which it holds.
    """
    model = zero_field_model(name)
    temperature = np.asarray(temperature_k, dtype=np.float64)
    if not np.all((temperature >= model.minimum_k) & (temperature <= model.maximum_k)):
        raise ValueError(
            f"zero-field model {name} holds from {model.minimum_k:g} to {model.maximum_k:g} K; "
            f"got {np.min(temperature):g} to {np.max(temperature):g} K"
        )
    return np.asarray(model.evaluate(temperature), dtype=np.float64)
