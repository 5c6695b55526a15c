"""What a whole run says: Tc, s against temperature, closure of the references, the stress of the opening reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.pipeline import MAP_DESCRIPTIONS, MAP_UNITS, RunMaps, SweepMaps
from analyzers.tc import TcMaps, ladder, tc_of
from stream.messages import Json, SweepRole

PRODUCT_UNITS: dict[str, str] = {
    "tc_k": "K",
    "tc_sigma_k": "K",
    "tc_amplitude": "1",
    "tc_exponent": "1",
    "tc_significance": "1",
    "tc_status": "code",
    "temperature_k": "K",
    "sweep": "1",
    "s": "1",
    "sigma_s": "1",
    "closure": "1",
    "closure_sigma": "1",
    **{name: MAP_UNITS[name] for name in ("sigma_zz_gpa", "sigma_zz_sigma_gpa", "in_plane_gpa", "sigma_zz_status")},
}
"""Unit of each plane of a run's products."""

PRODUCT_DESCRIPTIONS: dict[str, str] = {
    "tc_k": "onset of diamagnetism, its definition named in the attributes; NaN where tc_status is not OK (y, x)",
    "tc_sigma_k": "half of the central 68 % of tc_k (y, x)",
    "tc_amplitude": "s - 1 far below tc_k (y, x)",
    "tc_exponent": "mean exponent of the law that gives tc_k (y, x)",
    "tc_significance": "|tc_amplitude| over its standard deviation (y, x)",
    "tc_status": "why a pixel has no tc_k (y, x)",
    "temperature_k": "sample temperature of each map of s (n)",
    "sweep": "number of the sweep of each map of s (n)",
    "s": "field ratio at each temperature (n, y, x)",
    "sigma_s": "standard deviation of s, without what is common to all pixels (n, y, x)",
    "closure": "closing over opening reference: 1 where nothing drifted (y, x)",
    "closure_sigma": "standard deviation of closure (y, x)",
    "sigma_zz_gpa": "normal stress along [111] of the opening reference, compression positive (y, x)",
    "sigma_zz_sigma_gpa": MAP_DESCRIPTIONS["sigma_zz_sigma_gpa"],
    "in_plane_gpa": "mean in-plane stress of the opening reference (y, x)",
    "sigma_zz_status": MAP_DESCRIPTIONS["sigma_zz_status"],
}
"""One sentence on each plane of a run's products."""


@dataclass(frozen=True)
class Products:
    """Planes of `products.h5` and what they say about themselves."""

    planes: dict[str, NDArray[np.generic]]
    """Arrays by name; units in `PRODUCT_UNITS`, meanings in `PRODUCT_DESCRIPTIONS`."""
    attributes: Json
    """Facts about the whole file."""


def make_products(run: RunMaps) -> Products | None:
    """Return the products of a run from its final maps, or None where there is nothing beyond single maps."""
    points = ladder(run)
    opening = _last(run, SweepRole.OPENING_REFERENCE)
    if not points and opening is None:
        return None
    planes: dict[str, NDArray[np.generic]] = {}
    attributes: Json = {**run.run_attributes(), "sweeps": sorted(run.finals)}
    if points:
        planes |= _stack(points)
        attributes["off_sample_region"] = points[0].ratio.off_sample_name if points[0].ratio else "none"
    tc = tc_of(run)
    if tc is not None:
        planes |= _tc_planes(tc)
        attributes |= {"tc_definition": tc.definition, "tc_pixels": tc.density.superconducting}
    closing = _last(run, SweepRole.CLOSING_REFERENCE)
    if closing is not None and closing.ratio is not None:
        planes |= {"closure": closing.ratio.s, "closure_sigma": closing.ratio.sigma_s}
        attributes["closure_systematic"] = closure_systematic(closing, run.regions.judged)
    if opening is not None and opening.stress is not None:
        stress = opening.planes()
        planes |= {name: stress[name] for name in PRODUCT_UNITS if name in stress and name not in planes}
        attributes["sigma_zz_systematics_gpa"] = dict(opening.stress.systematics_gpa)
    return Products(planes, attributes)


def closure_systematic(closing: SweepMaps, judged: NDArray[np.bool_]) -> float:
    """Return how much closing and opening reference differ per pixel beyond their noise: a systematic of s, >= 0."""
    if closing.ratio is None:
        return 0.0
    usable = judged & np.isfinite(closing.ratio.s)
    if np.count_nonzero(usable) < 8:
        return 0.0
    deviation = closing.ratio.s[usable].astype(np.float64) - 1.0
    spread = 1.4826 * float(np.median(np.abs(deviation - np.median(deviation))))
    noise = float(np.median(closing.ratio.sigma_s[usable].astype(np.float64)))
    return float(np.sqrt(max(0.0, spread * spread - noise * noise) + float(np.median(deviation)) ** 2))


def _stack(points: list[SweepMaps]) -> dict[str, NDArray[np.generic]]:
    """Stack s over temperature, in the order of the sweeps."""
    ratios = [maps.ratio for maps in points if maps.ratio is not None]
    return {
        "temperature_k": np.array([maps.start.state.temperature_k for maps in points], dtype=np.float64),
        "sweep": np.array([maps.start.sweep for maps in points], dtype=np.int32),
        "s": np.stack([ratio.s for ratio in ratios]),
        "sigma_s": np.stack([ratio.sigma_s for ratio in ratios]),
    }


def _tc_planes(tc: TcMaps) -> dict[str, NDArray[np.generic]]:
    return {
        "tc_k": tc.tc_k,
        "tc_sigma_k": tc.tc_sigma_k,
        "tc_amplitude": tc.amplitude,
        "tc_exponent": tc.exponent,
        "tc_significance": tc.significance,
        "tc_status": tc.status,
    }


def _last(run: RunMaps, role: SweepRole) -> SweepMaps | None:
    """Return the newest final maps of a role, or None."""
    found = [maps for _, maps in sorted(run.finals.items()) if maps.start.role == role]
    return found[-1] if found else None
