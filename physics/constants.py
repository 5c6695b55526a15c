"""Constants of nature and of the sensor: each with value, uncertainty, unit and reference.

Stress-susceptibility sets are named, versioned data: the name of the set in use is stored with every stress map,
because the transverse couplings (b, c) carry a systematic of about 27 % between the published sets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Constant:
    """A number with what is known about it."""

    value: float
    """The number, in `unit`."""
    uncertainty: float
    """Standard uncertainty, in `unit`; 0 where exact."""
    unit: str
    """Unit, written out."""
    reference: str
    """Where the number comes from."""


BOLTZMANN_EV_PER_K = Constant(8.617333262e-5, 0.0, "eV/K", "CODATA 2018, exact")
GAMMA_MHZ_PER_GAUSS = Constant(2.8025, 0.0006, "MHz/G", "NV ground state, 28.025 GHz/T, the field's practice")
HYPERFINE_14N_PARALLEL_MHZ = Constant(-2.16, 0.02, "MHz", "14N hyperfine coupling along the NV axis, recalled")
HYPERFINE_15N_PARALLEL_MHZ = Constant(3.03, 0.03, "MHz", "15N hyperfine coupling along the NV axis, recalled")


@dataclass(frozen=True)
class StressSet:
    """How stress moves the NV levels: a1, a2, b, c of the crystal-frame form, compression positive."""

    name: str
    """Name under which settings and maps refer to the set."""
    version: str
    """Raised whenever a number of the set changes."""
    a1: Constant
    """Axial coupling to the trace."""
    a2: Constant
    """Axial coupling to the crystal-frame shear components."""
    b: Constant
    """Transverse coupling to the crystal-frame normal components."""
    c: Constant
    """Transverse coupling to the crystal-frame shear components."""

    @property
    def axial_in_plane(self) -> float:
        """Coupling of Pi_Z to s_XX + s_YY in the NV frame: a1 - a2, MHz/GPa."""
        return self.a1.value - self.a2.value

    @property
    def axial_along(self) -> float:
        """Coupling of Pi_Z to s_ZZ in the NV frame: a1 + 2 a2, MHz/GPa; negative."""
        return self.a1.value + 2.0 * self.a2.value

    @property
    def transverse_in_plane(self) -> float:
        """Coupling of (Pi_X, Pi_Y) to (s_YY - s_XX, 2 s_XY) in the NV frame: -(b + c), MHz/GPa."""
        return -(self.b.value + self.c.value)

    @property
    def transverse_shear(self) -> float:
        """Coupling of (Pi_X, Pi_Y) to (2 s_XZ, 2 s_YZ) in the NV frame: sqrt2 b - c/sqrt2, MHz/GPa."""
        return math.sqrt(2.0) * self.b.value - self.c.value / math.sqrt(2.0)

    @property
    def label(self) -> str:
        """Name and version as stored with every map, such as `barson2017/1`."""
        return f"{self.name}/{self.version}"


_BARSON = "Barson et al., Nano Lett. 17, 1496 (2017)"
_HSIEH = "Hsieh et al., Science 366, 1349 (2019), converted from its NV-frame couplings"

_STRESS_SETS = {
    "barson2017": StressSet(
        "barson2017",
        "1",
        a1=Constant(4.86, 0.02, "MHz/GPa", _BARSON),
        a2=Constant(-3.7, 0.2, "MHz/GPa", _BARSON),
        b=Constant(-2.3, 0.3, "MHz/GPa", _BARSON),
        c=Constant(3.5, 0.3, "MHz/GPa", _BARSON),
    ),
    # From alpha1 = 8.6(2), beta1 = -2.5(4), alpha2 = -1.95(9), beta2 = -4.50(8):
    # a1 = (2 alpha1 + beta1)/3, a2 = (beta1 - alpha1)/3; -(b + c) = alpha2 and sqrt2 b - c/sqrt2 = beta2.
    "hsieh2019": StressSet(
        "hsieh2019",
        "1",
        a1=Constant(4.9, 0.19, "MHz/GPa", _HSIEH),
        a2=Constant(-3.7, 0.15, "MHz/GPa", _HSIEH),
        b=Constant((1.95 - math.sqrt(2.0) * 4.50) / 3.0, 0.05, "MHz/GPa", _HSIEH),
        c=Constant(1.95 - (1.95 - math.sqrt(2.0) * 4.50) / 3.0, 0.10, "MHz/GPa", _HSIEH),
    ),
}

DEFAULT_STRESS_SET = "barson2017"
"""Name of the set used where settings name none."""


def stress_set_names() -> tuple[str, ...]:
    """Names of the stress sets known, sorted."""
    return tuple(sorted(_STRESS_SETS))


def stress_set(name: str = DEFAULT_STRESS_SET) -> StressSet:
    """Stress-susceptibility set by name.

    Raises
    ------
    ValueError
        When no set has that name; the message lists those that exist.
    """
    try:
        return _STRESS_SETS[name]
    except KeyError:
        raise ValueError(f"unknown stress set {name!r}; known: {', '.join(stress_set_names())}") from None
