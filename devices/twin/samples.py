"""The crystals of the twin: what is drawn once per seed, as functions of the place in um, whatever the pixel grid.

Places are um from the image centre, x right, y down; the culet frame's X and Y run along them, its Z along the
culet normal. Stress is compressive positive, GPa.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Field = Callable[[Array, Array], Array]
"""A quantity as a function of x and y in um."""

REFERENCE_LOAD_GPA = 21.0
"""Load at which shear and response are drawn."""
TAU_CRITICAL_GPA = 2.0
"""Shear above which superconductivity is gone."""
TC_MAXIMUM_K = 80.0
"""Top of the dome over sigma_ZZ."""
OPTIMUM_GPA = 21.0
"""sigma_ZZ at the top of the dome."""
DOME_LOW_GPA = 4.62
"""Half width of the dome below the optimum: 20 K at 17 GPa."""
DOME_HIGH_GPA = 9.24
"""Half width of the dome above the optimum: 65 K at 25 GPa."""
RATIO_OPTIMUM = 1.5
"""La:Ni ratio of the superconducting phase."""
RATIO_WIDTH = 0.1
"""Standard deviation of the La:Ni window."""
D_WAVE_SHARE = 1.0 / 3.0
"""Share of the seeds with a d-wave curve; the others follow a power law with an exponent between 1 and 4."""
PINNING_STREAM = 23
"""Number of the random stream of curve and pinning: with it, seed 1 of S1 has the plateau that the seed paper shows."""
SATURATION_GAUSS = (160.0, 320.0)
"""Range of `Crystal.saturation_gauss`: flux trapped at 150 G and base is not yet limited, that near Tc is."""


@dataclass(frozen=True)
class SampleKind:
    """What distinguishes S1, S2, S3 and the homogeneous BSCCO."""

    name: str
    """Name of the sample."""
    semi_axes_um: tuple[float, float]
    """Semi-axes of its outline."""
    thickness_um: float
    """Mean thickness."""
    suppression: float
    """How deep s goes at 21 GPa and 20 K: 1 - s at the 5th percentile of the superconducting part."""
    quality: tuple[float, float]
    """Range of the factor on Tc that stress and chemistry do not explain."""
    stripes: bool
    """Whether two nickel-rich stripes cut it."""
    tc_k: float = 0.0
    """Tc of a homogeneous sample whatever its stress and chemistry, K; 0: that of the dome."""


KINDS = {
    kind.name: kind
    for kind in (
        SampleKind("S1", (30.0, 22.5), 2.5, 0.060, (0.97, 1.0), stripes=False),
        SampleKind("S2", (22.0, 15.0), 8.0, 0.022, (0.70, 1.0), stripes=False),
        SampleKind("S3", (30.0, 22.5), 10.0, 0.020, (0.70, 0.80), stripes=True),
        SampleKind("BSCCO", (30.0, 22.5), 5.0, 0.060, (1.0, 1.0), stripes=False, tc_k=85.0),
    )
}
"""The samples of the seed paper by name, its benchmark among them: one of known Tc everywhere."""


def _smooth_field(rng: np.random.Generator, wavelength_um: float, waves: int = 12) -> Field:
    """Draw a random smooth field of zero mean and unit variance from plane waves around one wavelength."""
    angle = rng.uniform(0.0, 2.0 * math.pi, waves)
    k = 2.0 * math.pi / (wavelength_um * rng.uniform(0.7, 1.6, waves))
    phase = rng.uniform(0.0, 2.0 * math.pi, waves)

    def value(x: Array, y: Array) -> Array:
        total = np.zeros(np.broadcast(x, y).shape)
        for kx, ky, p in zip(k * np.cos(angle), k * np.sin(angle), phase, strict=True):
            total += np.cos(kx * x + ky * y + p)
        return total * math.sqrt(2.0 / waves)

    return value


def _squash(field: Field, low: float, high: float) -> Field:
    """Turn a unit-variance field into one between `low` and `high`."""
    return lambda x, y: low + (high - low) * 0.5 * (1.0 + np.tanh(field(x, y)))


@dataclass(frozen=True)
class Crystal:
    """One crystal in its cell: the load-independent draw of a seed."""

    kind: SampleKind
    """Which sample."""
    edge: Callable[[Array], Array]
    """Radius of the outline over that of the ellipse, as a function of the azimuth."""
    stress_shape: Field
    """sigma_ZZ minus its mean over the sample, GPa."""
    shear_size: Field
    """Shear at 21 GPa, GPa."""
    shear_azimuth: Field
    """Direction of the shear vector, radians."""
    in_plane: tuple[Field, Field]
    """sigma_XX and sigma_YY over sigma_ZZ."""
    in_plane_shear_gpa: Field
    """sigma_XY, GPa."""
    quality: Field
    """Factor on Tc that nothing mapped explains."""
    la_ni: Field
    """La:Ni ratio."""
    thickness: Field
    """Thickness over its mean."""
    exponent: Field
    """n of the order parameter 1 - (T/Tc)^n."""
    tc_spread_k: float
    """Half width of the spread of Tc inside one pixel, K."""
    form: str
    """Curve of the superfluid fraction against T/Tc, one of `devices.twin.order.FORMS`."""
    saturation_gauss: float
    """Change of field at which the pinned currents of the grains reach their limit at T = 0, G (critical state)."""

    def radius(self, x: Array, y: Array) -> Array:
        """Distance from the sample's centre in units of its outline: 1 on the edge."""
        a, b = self.kind.semi_axes_um
        return np.hypot(x / a, y / b) / self.edge(np.arctan2(y / b, x / a))

    def outline_um(self, points: int = 64) -> list[list[float]]:
        """Polygon of the outline, um."""
        azimuth = np.linspace(0.0, 2.0 * math.pi, points, endpoint=False)
        a, b = self.kind.semi_axes_um
        radius = self.edge(azimuth)
        pairs = zip(a * radius * np.cos(azimuth), b * radius * np.sin(azimuth), strict=True)
        return [[round(float(x), 3), round(float(y), 3)] for x, y in pairs]

    def stress_gpa(self, load_gpa: float, x: Array, y: Array) -> Array:
        """(..., 6) XX, YY, ZZ, YZ, XZ, XY in the culet frame at 150 K, GPa, at a mean sigma_ZZ over the sample."""
        zz = load_gpa + self.stress_shape(x, y) * min(1.0, load_gpa / 16.0)
        # The medium carries little shear: it falls off outside the sample.
        inside = np.where(self.radius(x, y) <= 1.0, 1.0, 0.4)
        shear = self.shear_size(x, y) * (load_gpa / REFERENCE_LOAD_GPA) ** 1.5 * inside
        azimuth = self.shear_azimuth(x, y)
        in_plane_shear = self.in_plane_shear_gpa(x, y) * load_gpa / REFERENCE_LOAD_GPA
        parts = (
            self.in_plane[0](x, y) * zz,
            self.in_plane[1](x, y) * zz,
            zz,
            shear * np.sin(azimuth),
            shear * np.cos(azimuth),
            in_plane_shear,
        )
        return np.stack(parts, axis=-1)

    def tc_local_k(self, sigma_zz_gpa: Array, tau_gpa: Array, x: Array, y: Array) -> Array:
        """Local critical temperature, K, of the stress at a place; 0 where it never superconducts."""
        if self.kind.tc_k > 0.0:
            return np.full(np.broadcast(sigma_zz_gpa, x).shape, self.kind.tc_k)
        width = np.where(sigma_zz_gpa < OPTIMUM_GPA, DOME_LOW_GPA, DOME_HIGH_GPA)
        dome = np.maximum(0.0, 1.0 - ((sigma_zz_gpa - OPTIMUM_GPA) / width) ** 2)
        shear = np.sqrt(np.maximum(0.0, 1.0 - (tau_gpa / TAU_CRITICAL_GPA) ** 2))
        chemistry = np.exp(-((self.la_ni(x, y) - RATIO_OPTIMUM) ** 2) / (2.0 * RATIO_WIDTH**2))
        return TC_MAXIMUM_K * dome * shear * chemistry * self.quality(x, y)


def _outline(rng: np.random.Generator) -> Callable[[Array], Array]:
    order = np.arange(2, 6)
    size = rng.normal(0.0, 0.02, order.size)
    phase = rng.uniform(0.0, 2.0 * math.pi, order.size)

    def edge(azimuth: Array) -> Array:
        waves = size * np.cos(order * azimuth[..., None] + phase)
        return 1.0 + waves.sum(axis=-1)

    return edge


def _stress_shape(rng: np.random.Generator, kind: SampleKind) -> Field:
    """sigma_ZZ minus its mean: smooth, between about -3 and +2 GPa over the sample (13-18 GPa at a mean of 16)."""
    a, b = kind.semi_axes_um
    angle = rng.uniform(0.0, 2.0 * math.pi)
    bumps = _smooth_field(rng, 55.0)

    def raw(x: Array, y: Array) -> Array:
        tilt = (x * math.cos(angle) + y * math.sin(angle)) / a
        return tilt - 0.7 * (x / a) ** 2 - 0.7 * (y / b) ** 2 + 0.45 * bumps(x, y)

    gx, gy = np.meshgrid(np.linspace(-a, a, 81), np.linspace(-b, b, 81))
    inside = np.hypot(gx / a, gy / b) <= 1.0
    values = raw(gx[inside], gy[inside])
    mean, low, high = float(values.mean()), float(values.min()), float(values.max())

    def limited(x: Array, y: Array) -> Array:
        centred = raw(x, y) - mean
        # The limits hold outside the sample too, so that every resonance stays inside one frequency list.
        scaled = np.where(centred < 0.0, 3.0 * centred / (mean - low), 2.0 * centred / (high - mean))
        return 1.15 * np.where(scaled < 0.0, 3.0 * np.tanh(scaled / 3.0), 2.0 * np.tanh(scaled / 2.0))

    offset = float(limited(gx[inside], gy[inside]).mean())
    return lambda x, y: limited(x, y) - offset


def _shear(rng: np.random.Generator, kind: SampleKind) -> tuple[Field, Field]:
    """Size and direction of the shear: a maximum of about 2.5 GPa inside the sample, whose core kills the order."""
    a, b = kind.semi_axes_um
    cx, cy = rng.uniform(-0.12, 0.12, 2) * (a, b)
    wobble, turn = _smooth_field(rng, 40.0), _smooth_field(rng, 90.0)
    start = rng.uniform(0.0, 2.0 * math.pi)

    def size(x: Array, y: Array) -> Array:
        distance2 = ((x - cx) / (0.46 * a)) ** 2 + ((y - cy) / (0.46 * b)) ** 2
        return np.maximum(0.0, 0.35 + 2.2 * np.exp(-distance2) + 0.07 * wobble(x, y))

    return size, lambda x, y: start + 0.5 * turn(x, y)


def _chemistry(rng: np.random.Generator, kind: SampleKind) -> Field:
    noise = _smooth_field(rng, 30.0)
    a, b = kind.semi_axes_um
    centres = (-0.32 * a + rng.uniform(-1, 1), 0.36 * a + rng.uniform(-1, 1))
    slant = rng.uniform(-0.15, 0.15) * a / b

    def ratio(x: Array, y: Array) -> Array:
        value = 1.5 + 0.01 * noise(x, y)
        if kind.stripes:
            for centre in centres:
                value = value - 0.45 * np.exp(-(((x - centre - slant * y) / 4.5) ** 4))
        return value

    return ratio


def draw_crystal(sample: str, seed: int) -> Crystal:
    """Draw the crystal of a sample and a seed.

    Raises
    ------
    ValueError
        When no sample has that name.
    """
    if sample not in KINDS:
        raise ValueError(f"unknown sample {sample!r}; known: {', '.join(KINDS)}")
    kind = KINDS[sample]
    rng = np.random.default_rng([seed, *sample.encode()])
    size, azimuth = _shear(rng, kind)
    order = rng.uniform(1.5, 3.5)
    # A stream of its own: what is drawn here leaves every other draw of the seed as it was.
    pinning = np.random.default_rng([seed, *sample.encode(), PINNING_STREAM])
    return Crystal(
        kind=kind,
        edge=_outline(rng),
        stress_shape=_stress_shape(rng, kind),
        shear_size=size,
        shear_azimuth=azimuth,
        in_plane=(_squash(_smooth_field(rng, 70.0), 0.83, 0.87), _squash(_smooth_field(rng, 70.0), 0.83, 0.87)),
        in_plane_shear_gpa=_squash(_smooth_field(rng, 50.0), -0.3, 0.3),
        quality=_squash(_smooth_field(rng, 20.0), *kind.quality),
        la_ni=_chemistry(rng, kind),
        thickness=_squash(_smooth_field(rng, 45.0), *((1.0, 1.0) if kind.tc_k > 0.0 else (0.9, 1.1))),
        exponent=_squash(_smooth_field(rng, 40.0), order - 0.5, order + 0.5),
        tc_spread_k=float(rng.uniform(0.8, 2.0)),
        form="d-wave" if pinning.random() < D_WAVE_SHARE else "power",
        saturation_gauss=float(pinning.uniform(*SATURATION_GAUSS)),
    )
