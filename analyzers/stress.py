"""sigma_ZZ per pixel from two doublets at one field: the sum rule, corrected for the field by exact diagonalisation.

The closed-form sum rule holds at zero field. At 97 G along [111] the tilted centres rise by about 31 MHz, which the
closed form reads as +3.7 GPa. Here the stress (sigma_ZZ with an isotropic in-plane part) and |B| are iterated until the
exactly diagonalised centre of [111], the mean centre of the tilted groups and the half splitting of [111] equal the
measured ones. Shear is not determined by these three numbers; at 3 GPa it moves sigma_ZZ by less than 0.1 GPa.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analyzers.fitmap import Doublet
from analyzers.kernels.stress import invert_two_doublets
from analyzers.settings import AnalysisSettings
from analyzers.status import StatusCode
from physics.constants import DEFAULT_STRESS_SET, StressSet, stress_set
from physics.geometry import NV_FRAMES, culet_normal
from physics.stress import shift_matrix, sum_rule
from physics.zero_field import DEFAULT_ZERO_FIELD_MODEL, zero_field_splitting_mhz

Array = NDArray[np.float64]
Plane = NDArray[np.float32]

D0_SCATTER_MHZ = 0.3
"""Scatter of D between diamonds, MHz: a common-mode systematic of every stress map."""


@dataclass(frozen=True)
class StressSettings:
    """What the inversion takes as known."""

    constants: str = DEFAULT_STRESS_SET
    """Name of the stress-susceptibility set."""
    zero_field_splitting: str = DEFAULT_ZERO_FIELD_MODEL
    """Name of the D(T) model."""
    miscut_deg: float = 0.0
    """Angle between culet normal (the field's direction) and [111], degrees."""
    azimuth_deg: float = 0.0
    """Azimuth of the culet normal; it does not move the mean of the three tilted groups to first order."""

    @staticmethod
    def of(settings: AnalysisSettings) -> StressSettings:
        """Return the stress part of the analysis settings."""
        names = settings.stress_constants, settings.zero_field_splitting
        return StressSettings(*names, settings.miscut_deg, settings.miscut_azimuth_deg)


@dataclass(frozen=True)
class StressEstimate:
    """sigma_ZZ and what came with it, each the shape of the input; NaN where the input is not finite."""

    sigma_zz_gpa: Array
    """Normal stress along [111], GPa, compression positive."""
    sigma_zz_sigma_gpa: Array
    """Its standard deviation from the line centres and |B|, GPa; common-mode systematics are kept apart."""
    in_plane_gpa: Array
    """Mean in-plane stress (sigma_XX + sigma_YY)/2, GPa."""
    in_plane_sigma_gpa: Array
    """Its standard deviation, GPa."""
    field_gauss: Array
    """|B| that the [111] half splitting asks for, G."""
    half_tilt_residual_mhz: Array
    """Measured minus modelled half splitting of the tilted groups, MHz: shear and wrong lines show up here."""


@dataclass(frozen=True)
class StressMap:
    """sigma_ZZ of every pixel of one sweep."""

    sigma_zz_gpa: Plane
    """(y, x) normal stress along [111], GPa; NaN where `status` is not OK."""
    sigma_zz_sigma_gpa: Plane
    """(y, x) its standard deviation, GPa."""
    in_plane_gpa: Plane
    """(y, x) mean in-plane stress, GPa."""
    half_tilt_residual_mhz: Plane
    """(y, x) measured minus modelled tilted half splitting, MHz."""
    status: NDArray[np.uint8]
    """(y, x) why a pixel has no sigma_ZZ."""
    systematics_gpa: dict[str, float]
    """Systematics of sigma_ZZ at the map's median by source (`a1`, `a2`, `d0`), GPa; empty for an empty map."""
    constants: str
    """Label of the stress-susceptibility set, such as `barson2017/1`."""


def _model(constants: StressSet, settings: StressSettings) -> tuple[Array, Array]:
    """Return the sum rule (4,) and the per-group model (4, 3, 3) of the kernel."""
    rule = sum_rule(constants)
    matrix = shift_matrix(constants)
    normal = culet_normal(settings.miscut_deg, settings.azimuth_deg)
    model = np.stack([matrix[:, :, 0] + matrix[:, :, 1], matrix[:, :, 2], NV_FRAMES @ normal], axis=-1)
    numbers = [rule.zz_per_111, rule.zz_per_tilt, rule.in_plane_per_111, rule.in_plane_per_tilt]
    return np.array(numbers), np.ascontiguousarray(model)


def _flat(values: ArrayLike) -> Array:
    return np.ascontiguousarray(values, dtype=np.float64).reshape(-1)


def _invert(centre_111: Array, centre_tilt: Array, half_111: Array, d: float, rule: Array, model: Array) -> Array:
    out = np.empty((6, centre_111.size))
    invert_two_doublets(centre_111, centre_tilt, half_111, d, rule, model, out)
    return out


def sigma_zz_from_two_doublets(
    centre_111_mhz: ArrayLike,
    centre_tilt_mhz: ArrayLike,
    half_111_mhz: ArrayLike,
    half_tilt_mhz: ArrayLike,
    *,
    centre_111_sigma_mhz: ArrayLike,
    centre_tilt_sigma_mhz: ArrayLike,
    half_111_sigma_mhz: ArrayLike,
    temperature_k: float,
    settings: StressSettings | None = None,
) -> StressEstimate:
    """Return sigma_ZZ and the in-plane mean from the [111] doublet and the tilted doublet at one field.

    Parameters
    ----------
    centre_111_mhz, half_111_mhz
        Centre and half splitting of the [111] doublet, MHz; any shape, NaN where not resolved.
    centre_tilt_mhz, half_tilt_mhz
        Mean centre and half splitting of the three tilted groups, MHz.
    centre_111_sigma_mhz, centre_tilt_sigma_mhz, half_111_sigma_mhz
        Their standard deviations, MHz.
    temperature_k
        Sample temperature, K.
    settings
        Constants, D(T) and miscut.

    Raises
    ------
    ValueError
        Unknown constants or D(T), or a temperature outside its range.
    """
    chosen = StressSettings() if settings is None else settings
    d = float(zero_field_splitting_mhz(temperature_k, chosen.zero_field_splitting))
    rule, model = _model(stress_set(chosen.constants), chosen)
    shape = np.shape(centre_111_mhz)
    half = _flat(half_111_mhz)
    zz, in_plane, field, half_tilt, rise_111, rise_tilt = _invert(
        _flat(centre_111_mhz), _flat(centre_tilt_mhz), half, d, rule, model
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        # The rise by the field goes with B^2, so its slope along the half splitting is 2 rise / half.
        relative = np.where(half > 0.0, 2.0 * _flat(half_111_sigma_mhz) / half, 0.0)
    sigmas = _flat(centre_111_sigma_mhz), _flat(centre_tilt_sigma_mhz)

    def spread(per_111: float, per_tilt: float) -> Array:
        by_field = (per_111 * rise_111 + per_tilt * rise_tilt) * relative
        return np.sqrt((per_111 * sigmas[0]) ** 2 + (per_tilt * sigmas[1]) ** 2 + by_field**2).reshape(shape)

    return StressEstimate(
        sigma_zz_gpa=zz.reshape(shape),
        sigma_zz_sigma_gpa=np.where(np.isfinite(zz).reshape(shape), spread(rule[0], rule[1]), np.nan),
        in_plane_gpa=in_plane.reshape(shape),
        in_plane_sigma_gpa=np.where(np.isfinite(zz).reshape(shape), spread(rule[2], rule[3]), np.nan),
        field_gauss=field.reshape(shape),
        half_tilt_residual_mhz=(_flat(half_tilt_mhz) - half_tilt).reshape(shape),
    )


def systematics(
    centre_111_mhz: float, centre_tilt_mhz: float, half_111_mhz: float, temperature_k: float, settings: StressSettings
) -> dict[str, float]:
    """Return the shift of sigma_ZZ, GPa, when a1, a2 or D is off by its uncertainty; common to all pixels of a map."""
    d = float(zero_field_splitting_mhz(temperature_k, settings.zero_field_splitting))
    base = stress_set(settings.constants)
    lines = (np.array([centre_111_mhz]), np.array([centre_tilt_mhz]), np.array([half_111_mhz]))

    def solve(constants: StressSet, offset_mhz: float = 0.0) -> float:
        return float(_invert(*lines, d + offset_mhz, *_model(constants, settings))[0, 0])

    def moved(name: str) -> StressSet:
        constant = base.a1 if name == "a1" else base.a2
        return replace(base, **{name: replace(constant, value=constant.value + constant.uncertainty)})

    centre = solve(base)
    shifts = {name: solve(moved(name)) - centre for name in ("a1", "a2")}
    return {**shifts, "d0": solve(base, D0_SCATTER_MHZ) - centre}


def stress_map(
    along_111: Doublet,
    tilted: Doublet,
    temperature_k: float,
    settings: StressSettings,
    ruby: NDArray[np.bool_] | None = None,
) -> StressMap:
    """Return the sigma_ZZ map of one sweep from its two doublets, (y, x), NaN and a reason where it has none.

    Raises
    ------
    ValueError
        Unknown constants or D(T), or a temperature outside its range.
    """
    status = np.where(along_111.status != StatusCode.OK, along_111.status, tilted.status)
    if ruby is not None:
        status = np.where(ruby, StatusCode.OCCLUDED, status)
    usable = status == StatusCode.OK
    estimate = sigma_zz_from_two_doublets(
        np.where(usable, along_111.centre_mhz, np.nan),
        tilted.centre_mhz,
        along_111.half_splitting_mhz,
        tilted.half_splitting_mhz,
        centre_111_sigma_mhz=along_111.centre_mhz_sigma,
        centre_tilt_sigma_mhz=tilted.centre_mhz_sigma,
        half_111_sigma_mhz=along_111.half_splitting_sigma_mhz,
        temperature_k=temperature_k,
        settings=settings,
    )
    found = np.isfinite(estimate.sigma_zz_gpa)
    common = dict[str, float]()
    if found.any():
        planes = along_111.centre_mhz, tilted.centre_mhz, along_111.half_splitting_mhz
        c_111, c_tilt, h_111 = (float(np.median(plane[found].astype(np.float64))) for plane in planes)
        common = systematics(c_111, c_tilt, h_111, temperature_k, settings)
    return StressMap(
        sigma_zz_gpa=estimate.sigma_zz_gpa.astype(np.float32),
        sigma_zz_sigma_gpa=estimate.sigma_zz_sigma_gpa.astype(np.float32),
        in_plane_gpa=estimate.in_plane_gpa.astype(np.float32),
        half_tilt_residual_mhz=np.where(found, estimate.half_tilt_residual_mhz, np.nan).astype(np.float32),
        status=np.where(usable & ~found, StatusCode.NOT_CONVERGED, status).astype(np.uint8),
        systematics_gpa=common,
        constants=stress_set(settings.constants).label,
    )


def sigma_zz_from_111_shift(
    centre_111_mhz: ArrayLike,
    temperature_k: float,
    anchor: StressMap,
    anchor_centre_111_mhz: ArrayLike,
    anchor_temperature_k: float,
    settings: StressSettings,
) -> Array:
    """Return sigma_ZZ where the tilted lines do not resolve: a full map plus what the [111] centre has moved since.

    One line cannot tell normal from in-plane stress, so this assumes that each pixel keeps the ratio of the two that
    `anchor` found; a map made of it must say so.

    Parameters
    ----------
    centre_111_mhz, anchor_centre_111_mhz
        (y, x) centre of the [111] doublet now and in the anchor sweep, MHz, at the same field.
    temperature_k, anchor_temperature_k
        Sample temperatures of the two sweeps, K.
    anchor
        The full sigma_ZZ map, such as that of the opening reference.
    settings
        Constants and D(T), those of the anchor.

    Returns
    -------
    (y, x) sigma_ZZ, GPa; NaN where either centre or the anchor is, or where the ratio makes the line insensitive.

    Raises
    ------
    ValueError
        Unknown constants or D(T), or a temperature outside its range.
    """
    constants = stress_set(settings.constants)
    now, then = zero_field_splitting_mhz([temperature_k, anchor_temperature_k], settings.zero_field_splitting)
    moved = np.asarray(centre_111_mhz, dtype=np.float64) - np.asarray(anchor_centre_111_mhz, dtype=np.float64)
    zz = anchor.sigma_zz_gpa.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = 2.0 * constants.axial_in_plane * anchor.in_plane_gpa / zz + constants.axial_along
        # Below 2 MHz/GPa (an in-plane part of a quarter of sigma_ZZ) the line says next to nothing about sigma_ZZ.
        return np.where(np.abs(slope) > 2.0, zz + (moved - (now - then)) / slope, np.nan)
