"""From raw joint fits to maps: values, uncertainties, and why a pixel has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analyzers.joint_problem import PARAMETERS, Problem
from analyzers.joint_raw import FITTED, NO_DATA, Fits
from analyzers.status import StatusCode
from physics.constants import Constant

Array = NDArray[np.float64]
Plane = NDArray[np.float32]
Codes = NDArray[np.uint8]
Refit = Callable[[Problem, int], Fits]

D0_SCATTER_MHZ = 0.3
"""Scatter of D between diamonds, MHz."""
WORST_GPA = 1.0
"""sigma_ZZ is not reported with a standard deviation above this."""
WORST_TAU_GPA = 0.3
"""tau is not reported with a standard deviation above this: then the prior speaks, not the data."""
WORST_AZIMUTH_DEG = 30.0
"""The azimuth of tau is not reported with a standard deviation above this."""
LEAST_MARGIN = 9.0
"""chi2 by which another solution must be worse, for the pixel and what is around it, to be ruled out."""
TILTED = 2.5
"""Depth that the tilted lines need over that of the [111] lines, in standard deviations: six lines of free depth,
searched for over hundreds of MHz, find a ripple of the baseline more easily than two do."""
TORN = 2.0
"""Standard deviations from which another solution that is not ruled out says something else."""
STRANGE = 3.0
"""In-plane difference over what was expected from which a solution is taken for a wrong one."""
POOR = 3.0
"""chi2 over the map's median from which a fit counts as poor."""

UNITS: dict[str, str] = {
    "joint_sigma_zz_gpa": "GPa",
    "joint_sigma_zz_sigma_gpa": "GPa",
    "joint_in_plane_gpa": "GPa",
    "joint_in_plane_sigma_gpa": "GPa",
    "joint_tau_gpa": "GPa",
    "joint_tau_sigma_gpa": "GPa",
    "joint_tau_azimuth_deg": "deg",
    "joint_tau_azimuth_sigma_deg": "deg",
    "joint_field_ratio": "1",
    "joint_field_ratio_sigma": "1",
    "joint_contrast_111": "1",
    "joint_contrast_tilted": "1",
    "joint_chi2": "1",
    "joint_consistency": "1",
    "joint_status": "code",
    "joint_tau_status": "code",
    "joint_tau_azimuth_status": "code",
    "joint_field_ratio_status": "code",
}
"""Unit of each plane."""

DESCRIPTIONS: dict[str, str] = {
    "joint_sigma_zz_gpa": "normal stress on the culet, compression positive, from the spectra of all fields (y, x)",
    "joint_sigma_zz_sigma_gpa": "standard deviation of joint_sigma_zz_gpa, without the common systematics (y, x)",
    "joint_in_plane_gpa": "mean stress in the plane of the culet (y, x)",
    "joint_in_plane_sigma_gpa": "standard deviation of joint_in_plane_gpa (y, x)",
    "joint_tau_gpa": "shear stress on the culet, length of (XZ, YZ) (y, x)",
    "joint_tau_sigma_gpa": "standard deviation of joint_tau_gpa (y, x)",
    "joint_tau_azimuth_deg": "direction of the shear, from the projection of a tilted NV axis (y, x)",
    "joint_tau_azimuth_sigma_deg": "standard deviation of joint_tau_azimuth_deg (y, x)",
    "joint_field_ratio": "local over applied field; in the normal state 1 but for the coil's calibration (y, x)",
    "joint_field_ratio_sigma": "standard deviation of joint_field_ratio (y, x)",
    "joint_contrast_111": "mean contrast of the [111] lines: a dip is negative (y, x)",
    "joint_contrast_tilted": "mean contrast of the tilted lines: a dip is negative (y, x)",
    "joint_chi2": "chi2 of the spectra of all fields per degree of freedom (y, x)",
    "joint_consistency": "fall of chi2 if every line were free, over what noise gives: 1 where the lines lie "
    "as the Hamiltonian has them (y, x)",
    "joint_status": "why a pixel has no joint_sigma_zz_gpa and no joint_in_plane_gpa (y, x)",
    "joint_tau_status": "why a pixel has no joint_tau_gpa (y, x)",
    "joint_tau_azimuth_status": "why a pixel has no joint_tau_azimuth_deg (y, x)",
    "joint_field_ratio_status": "why a pixel has no joint_field_ratio (y, x)",
}
"""One sentence on each plane."""


@dataclass(frozen=True)
class JointMap:
    """Stress of every pixel from the spectra of several fields."""

    planes: dict[str, NDArray[np.generic]]
    """Planes (y, x) by name; units in `UNITS`, meanings in `DESCRIPTIONS`."""
    systematics_gpa: dict[str, dict[str, float]]
    """Shift of each quantity at the map's middle, GPa, when a1, a2, b, c or D (`d0`) is off by its uncertainty."""
    constants: str
    """Label of the stress-susceptibility set, such as `barson2017/1`."""
    fields_gauss: tuple[tuple[float, float, float], ...]
    """Applied fields, G."""
    no_tau_because: str
    """Why the map has no tau anywhere; empty where it has."""

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        """Return a plane; `joint_` may be left out."""
        return self.planes[name if name in self.planes else f"joint_{name}"]


@dataclass(frozen=True)
class _Quantity:
    value: Array
    sigma: Array


def found_map(fits: Fits, problem: Problem, hidden: NDArray[np.bool_], refit: Refit) -> JointMap:
    """Judge raw fits and lay them out as planes; `refit` fits one pixel again with another problem."""
    freedom = np.maximum(problem.points - fits.determined, 1.0)
    chi2 = fits.chi2 / freedom
    scale = np.sqrt(np.maximum(1.0, chi2))
    quantities = _quantities(fits, scale)
    status = _status(fits, problem, chi2, hidden.ravel(), quantities["sigma_zz"])
    tau_reason = _no_tau(problem)
    statuses = {
        "": status,
        "tau_": _tau_status(fits, status, quantities["tau"], tau_reason),
        "field_ratio_": _ratio_status(fits, status, quantities["field_ratio"]),
    }
    statuses["tau_azimuth_"] = _azimuth_status(fits, statuses["tau_"], quantities["tau_azimuth"])
    owner = {
        "sigma_zz": "",
        "in_plane": "",
        "tau": "tau_",
        "tau_azimuth": "tau_azimuth_",
        "field_ratio": "field_ratio_",
    }
    flat: dict[str, NDArray[np.generic]] = {}
    for name, quantity in quantities.items():
        usable = statuses[owner[name]] == StatusCode.OK
        unit = "" if name == "field_ratio" else "_deg" if name == "tau_azimuth" else "_gpa"
        for part, values in (("", quantity.value), ("_sigma", quantity.sigma)):
            flat[f"joint_{name}{part}{unit}"] = np.where(usable, values, np.nan).astype(np.float32)
    seen = fits.codes == FITTED
    for name, values in (
        ("contrast_111", -fits.depth(tilted=False)),
        ("contrast_tilted", -fits.depth(tilted=True)),
        ("chi2", chi2),
        ("consistency", fits.consistency),
    ):
        flat[f"joint_{name}"] = np.where(seen, values, np.nan).astype(np.float32)
    flat |= {f"joint_{prefix}status": codes for prefix, codes in statuses.items()}
    return JointMap(
        planes={name: flat[name].reshape(hidden.shape) for name in UNITS},
        systematics_gpa=_systematics(fits, status == StatusCode.OK, quantities["sigma_zz"].value, problem, refit),
        constants=problem.constants.label,
        fields_gauss=tuple(one.field_gauss for one in problem.lists),
        no_tau_because=tau_reason,
    )


def _quantities(fits: Fits, scale: Array) -> dict[str, _Quantity]:
    """Return what maps show, with standard deviations times `scale`."""
    covariance = fits.covariance()
    sigma = scale[:, None] * np.sqrt(np.einsum("paa->pa", covariance))
    place = {name: number for number, name in enumerate(PARAMETERS)}
    shared = fits.shared
    yz, xz = shared[:, place["yz"]], shared[:, place["xz"]]
    tau = np.hypot(yz, xz)
    pair = covariance[:, [place["yz"], place["xz"]]][:, :, [place["yz"], place["xz"]]]
    with np.errstate(invalid="ignore", divide="ignore"):
        along = np.stack([yz, xz], axis=1) / tau[:, None]
        across = np.stack([along[:, 1], -along[:, 0]], axis=1)
        along_sigma = np.sqrt(np.einsum("pa,pab,pb->p", along, pair, along))
        across_sigma = np.sqrt(np.einsum("pa,pab,pb->p", across, pair, across))
        # a length near zero knows no direction: its spread is that of the worse one
        short = np.hypot(along_sigma, across_sigma)
        tau_sigma = scale * np.where(tau > 2.0 * across_sigma, along_sigma, short)
        azimuth_sigma = np.degrees(scale * across_sigma / tau)
    return {
        "sigma_zz": _Quantity(shared[:, place["zz"]], sigma[:, place["zz"]]),
        "in_plane": _Quantity(shared[:, place["in_plane"]], sigma[:, place["in_plane"]]),
        "tau": _Quantity(tau, tau_sigma),
        "tau_azimuth": _Quantity(np.degrees(np.arctan2(yz, xz)), azimuth_sigma),
        "field_ratio": _Quantity(shared[:, 6], sigma[:, 6]),
    }


def _first(*reasons: tuple[NDArray[np.bool_], StatusCode]) -> Codes:
    """Return the first reason that holds in each pixel, OK where none does."""
    return np.select([where for where, _ in reasons], [int(code) for _, code in reasons], 0).astype(np.uint8)


def _status(fits: Fits, problem: Problem, chi2: Array, hidden: NDArray[np.bool_], zz: _Quantity) -> Codes:
    """Return why pixels have no sigma_ZZ."""
    fitted = fits.codes == FITTED
    typical = float(np.median(chi2[fitted & ~hidden])) if (fitted & ~hidden).any() else 1.0
    limit = problem.settings.significance * np.sqrt(np.maximum(1.0, chi2))
    with np.errstate(invalid="ignore"):
        return _first(
            (hidden, StatusCode.OCCLUDED),
            (fits.codes == NO_DATA, StatusCode.BAD_FRAME),
            (fits.codes != FITTED, StatusCode.NOT_CONVERGED),
            (~(fits.significance(tilted=False) >= limit), StatusCode.LOW_SNR),
            (~(fits.significance(tilted=True) >= TILTED * limit), StatusCode.CONTRAST_CROSSING),
            (chi2 > POOR * max(1.0, typical), StatusCode.POOR_FIT),
            (~(zz.sigma <= WORST_GPA), StatusCode.NOT_IDENTIFIABLE),
            (_strange(fits, problem), StatusCode.NOT_IDENTIFIABLE),
            (_torn(fits, fits.apart[:, :, 2], zz.sigma), StatusCode.NOT_IDENTIFIABLE),
        )


def _strange(fits: Fits, problem: Problem) -> NDArray[np.bool_]:
    """Return where the stress in the plane is far less alike in all directions than expected: a wrong solution."""
    return np.hypot(fits.shared[:, 1], fits.shared[:, 5]) > STRANGE * problem.settings.in_plane_prior_gpa


def _torn(fits: Fits, apart: Array, sigma: Array) -> NDArray[np.bool_]:
    """Return where another solution that is not ruled out says something else; `apart` (pixels, solutions)."""
    with np.errstate(invalid="ignore"):
        other = (fits.costs < LEAST_MARGIN) & (np.abs(apart) > TORN * sigma[:, None])
    return np.asarray(other.any(axis=1), dtype=np.bool_)


def _no_tau(problem: Problem) -> str:
    """Return why these fields cannot give tau, or an empty text."""
    if problem.fields > 1:
        return ""
    gauss = float(np.linalg.norm(problem.lists[0].field_gauss))
    return f"one field ({gauss:.0f} G) does not determine the shear: add a sweep near zero field"


def _tau_status(fits: Fits, status: Codes, tau: _Quantity, reason: str) -> Codes:
    yz, xz = (fits.shared[:, c, None] + fits.apart[:, :, c] for c in (3, 4))
    torn = _torn(fits, np.hypot(yz, xz) - tau.value[:, None], tau.sigma)
    vague = torn | ~(tau.sigma <= WORST_TAU_GPA) | np.bool_(reason)
    return _first((status != 0, StatusCode.OK), (vague, StatusCode.NOT_IDENTIFIABLE)) + status


def _azimuth_status(fits: Fits, status: Codes, azimuth: _Quantity) -> Codes:
    yz, xz = (fits.shared[:, c, None] + fits.apart[:, :, c] for c in (3, 4))
    turned = (np.degrees(np.arctan2(yz, xz)) - azimuth.value[:, None] + 180.0) % 360.0 - 180.0
    vague = _torn(fits, turned, azimuth.sigma) | ~(azimuth.sigma <= WORST_AZIMUTH_DEG)
    return _first((status != 0, StatusCode.OK), (vague, StatusCode.NOT_IDENTIFIABLE)) + status


def _ratio_status(fits: Fits, status: Codes, ratio: _Quantity) -> Codes:
    """Return why pixels have no field ratio: the [111] lines alone give it."""
    keep = np.isin(status, [StatusCode.CONTRAST_CROSSING, StatusCode.NOT_IDENTIFIABLE])
    own = np.where(keep, StatusCode.OK, status).astype(np.uint8)
    return np.where((own == 0) & ~(ratio.sigma < 0.05), StatusCode.NOT_IDENTIFIABLE, own).astype(np.uint8)


def _systematics(
    fits: Fits, usable: NDArray[np.bool_], zz: Array, problem: Problem, refit: Refit
) -> dict[str, dict[str, float]]:
    """Fit the pixel in the middle of the map's sigma_ZZ again with each constant moved by its uncertainty."""
    which = np.flatnonzero(usable)
    if not len(which):
        return {}
    pixel = int(which[np.argsort(zz[which], kind="stable")[len(which) // 2]])

    def solve(moved: Problem) -> Array:
        shared = refit(moved, pixel).shared[pixel]
        return np.array([shared[2], shared[0], np.hypot(shared[3], shared[4])])

    def raised(name: str) -> Problem:
        constant: Constant = getattr(problem.constants, name)
        other = replace(constant, value=constant.value + constant.uncertainty)
        return problem.moved(replace(problem.constants, **{name: other}))

    base = solve(problem)
    shifts = {name: solve(raised(name)) - base for name in ("a1", "a2", "b", "c")}
    shifts["d0"] = solve(problem.moved(d_offset_mhz=D0_SCATTER_MHZ)) - base
    names = "sigma_zz", "in_plane", "tau"
    return {name: {source: float(shift[n]) for source, shift in shifts.items()} for n, name in enumerate(names)}
