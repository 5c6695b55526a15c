"""What a whole run says: Tc, s against temperature, closure of the references, the stress of the opening reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.closure import Reference, closure_spread, combine, opening_only, ratio_to
from analyzers.map_planes import MAP_DESCRIPTIONS, MAP_UNITS
from analyzers.maps import FieldRatioMap
from analyzers.outlook import onset_outlook
from analyzers.pipeline import RunMaps, SweepMaps
from analyzers.protocol import history_flags
from analyzers.tc import TcMaps, ladder, tc_of_points
from stream.messages import Json, SweepRole

PRODUCT_UNITS: dict[str, str] = {
    "tc_k": "K",
    "tc_sigma_k": "K",
    "tc_amplitude": "1",
    "tc_exponent": "1",
    "tc_significance": "1",
    "tc_status": "code",
    "onset_candidate_k": "K",
    "onset_information_bits": "bit",
    "onset_tc_density_per_k": "1/K",
    "temperature_k": "K",
    "sweep": "1",
    "s": "1",
    "sigma_s": "1",
    "sigma_s_reference": "1",
    "sigma_s_systematic": "1",
    "s_reference": "code",
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
    "onset_candidate_k": "candidate temperatures of a further point (m)",
    "onset_information_bits": "what a point there was expected to say about Tc after each point, bits per "
    "superconducting pixel; NaN at and below the last temperature (n, m)",
    "onset_tc_density_per_k": "expected share of the superconducting pixels with Tc there (n, m)",
    "temperature_k": "sample temperature of each map of s (n)",
    "sweep": "number of the sweep of each map of s (n)",
    "s": "field ratio at each temperature; of a closing reference against the opening one alone (n, y, x)",
    "sigma_s": "standard deviation of s, the references' closure included, without what all pixels share (n, y, x)",
    "sigma_s_reference": "the part of sigma_s that comes from the references: a pixel's same error at all n (n, y, x)",
    "sigma_s_systematic": "the part of it that is no noise: how much the references differ, relative to s (y, x)",
    "s_reference": "what a pixel's s is divided by: 1 opening reference, 2 closing one, 3 both, 0 none (y, x)",
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


@dataclass(frozen=True)
class FinalLadder:
    """The warming as it stands in the end: s of every sweep against both references."""

    sweeps: list[SweepMaps]
    """Warming and closing sweeps, in order."""
    ratios: list[FieldRatioMap]
    """Their s; that of a closing reference stays the closure: against the opening one alone."""
    reference: Reference
    """What the warming sweeps were divided by."""

    @property
    def points(self) -> list[tuple[float, FieldRatioMap]]:
        """(temperature in K, s) of the sweeps that say something about Tc: no reference is compared with itself."""
        return [
            (maps.start.state.temperature_k, ratio)
            for maps, ratio in zip(self.sweeps, self.ratios, strict=True)
            if not self.reference.closed or maps.start.role != SweepRole.CLOSING_REFERENCE
        ]

    def why(self) -> str:
        """Return one sentence on the reference."""
        if self.reference.closed:
            return "opening and closing reference, weighted; half of their spread is systematic"
        return "opening reference alone: the run has no closing one, so drift is not known"


def final_ladder(run: RunMaps) -> FinalLadder | None:
    """Return the newest warming with its final s, or None where no sweep has one."""
    sweeps = ladder(run)
    if not sweeps:
        return None
    compared_with = run.other_reference or run.finals[sweeps[-1].reference_sweep]
    opening = compared_with.fit.doublet(0)
    closing = [maps for maps in sweeps if maps.start.role == SweepRole.CLOSING_REFERENCE]
    reference = combine(opening, closing[-1].compared, run.regions) if closing else opening_only(opening)
    ratios = [
        maps.ratio
        if maps.ratio is not None and maps.start.role == SweepRole.CLOSING_REFERENCE
        else ratio_to(maps.compared, reference, run.regions)
        for maps in sweeps
    ]
    return FinalLadder(sweeps, ratios, reference)


def make_products(run: RunMaps) -> Products | None:
    """Return the products of a run from its final maps, or None where there is nothing beyond single maps."""
    warming = final_ladder(run)
    opening = _last(run, SweepRole.OPENING_REFERENCE)
    if warming is None and opening is None:
        return None
    planes: dict[str, NDArray[np.generic]] = {}
    attributes: Json = {**run.run_attributes(), "sweeps": sorted(run.finals), "history_flags": flagged(run)}
    attributes["reference_run"] = run.reference_run
    if warming is not None:
        planes |= _stack(warming)
        attributes |= _about_reference(warming)
        tc = tc_of_points(warming.points, run.regions.judged)
        if tc is not None:
            planes |= _tc_planes(tc) | onset_outlook(warming.points, run.regions.judged)
            attributes |= {"tc_definition": tc.definition, "tc_pixels": tc.density.superconducting}
    closing = _last(run, SweepRole.CLOSING_REFERENCE)
    if closing is not None and closing.ratio is not None:
        planes |= {"closure": closing.ratio.s, "closure_sigma": closing.ratio.sigma_s}
        attributes["closure_systematic"] = closure_spread(closing.ratio, run.regions.judged)
    if opening is not None and opening.stress is not None:
        stress = opening.planes()
        planes |= {name: stress[name] for name in PRODUCT_UNITS if name in stress and name not in planes}
        attributes["sigma_zz_systematics_gpa"] = dict(opening.stress.systematics_gpa)
    return Products(planes, attributes)


def flagged(run: RunMaps) -> Json:
    """Return what is wrong with the order of the sweeps, by number of the sweep; empty where all is well."""
    rows = {str(number): list(history_flags(maps.start)) for number, maps in sorted(run.finals.items())}
    return {number: flags for number, flags in rows.items() if flags}


def _about_reference(warming: FinalLadder) -> Json:
    """Return what s was divided by, in words and numbers; fallbacks are named."""
    return {
        "reference": warming.why(),
        "reference_sweep": warming.sweeps[-1].reference_sweep,
        "shifts_px": [list(maps.drift.shift_px) if maps.drift else [0.0, 0.0] for maps in warming.sweeps],
        "reference_pixels": warming.reference.counts,
        "off_sample_region": warming.ratios[0].off_sample_name,
        "off_sample_ratio": [ratio.off_sample_ratio for ratio in warming.ratios],
        "off_sample_ratio_sigma": [ratio.off_sample_sigma for ratio in warming.ratios],
    }


def _stack(warming: FinalLadder) -> dict[str, NDArray[np.generic]]:
    """Stack s over temperature, in the order of the sweeps."""
    ratios, reference = warming.ratios, warming.reference
    return {
        "temperature_k": np.array([maps.start.state.temperature_k for maps in warming.sweeps], dtype=np.float64),
        "sweep": np.array([maps.start.sweep for maps in warming.sweeps], dtype=np.int32),
        "s": np.stack([ratio.s for ratio in ratios]),
        "sigma_s": np.stack([ratio.sigma_s for ratio in ratios]),
        "sigma_s_reference": np.stack([ratio.sigma_s_reference for ratio in ratios]),
        "sigma_s_systematic": reference.systematic,
        "s_reference": reference.kind,
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
