"""What a load has beside its warming: the trapped flux of its remnant map, and R(T) of its run's documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from analyzers.campaign.load_maps import CampaignError
from analyzers.campaign.parts import made_with
from analyzers.campaign.remnant import TrappedFlux, checked_transverse, trapped_flux
from analyzers.campaign.views import find_view, mirrored, seen_from
from analyzers.fitmap import Doublet, FitMap
from physics.constants import DEFAULT_STRESS_SET, stress_set
from stream.maps_file import read_maps
from stream.messages import FieldHistory, Json
from stream.stored_maps import read_some, run_documents

Array = NDArray[np.float64]

SAME_TEMPERATURE_K = 2.0
"""Maps whose temperatures differ by less have the same stress."""
FIELD_FREE_GAUSS = 1.0
"""Maps at less applied field are maps without field."""
TEMPERATURE, RESISTANCE = "cryostat_sample_k", "transport_resistance_ohm"


@dataclass(frozen=True)
class Remnant:
    """Trapped flux of a load."""

    flux: TrappedFlux
    """NaN everywhere where it was not measured."""
    same_state: bool
    """Whether E_perp is of the same temperature after a zero-field cool."""
    from_shear: NDArray[np.bool_]
    """(y, x) where E_perp is that of the shear: the map without field has other lines there."""
    made_with: Json
    """Uid of each run that it comes from -> version of its maps and constant set."""


def collect_remnant(
    remnant: str,
    zero_field: str,
    sample: str,
    load_index: int,
    shape: tuple[int, int],
    tau_gpa: Array | None = None,
    light: NDArray[Any] | None = None,
    moving: NDArray[np.bool_] | None = None,
) -> Remnant:
    """Return the trapped flux of a load.

    Parameters
    ----------
    remnant, zero_field
        Maps files of the remnant sweep and of the sweep without field; either empty: no trapped flux.
    sample, load_index, shape
        Of the load's warming.
    tau_gpa
        (y, x) its shear, which E_perp is held against; None: unknown.
    light, moving
        (y, x) its light off the lines, and where that changes by itself; None: the views are taken to be the same.

    Raises
    ------
    CampaignError
        Where a map is of another sample, load or grid, or was taken in a field.
    stream.maps_file.MapsFileError
        Where a file cannot be read.
    """
    if not remnant or not zero_field:
        nothing = np.full(shape, np.nan)
        nowhere = np.zeros(shape, np.bool_)
        return Remnant(TrappedFlux(nothing, nothing, nothing, nowhere), False, nowhere, {})
    left, left_facts = _doublet(remnant, "remnant map", sample, load_index, shape)
    bare, bare_facts = _doublet(zero_field, "zero-field map", sample, load_index, shape)
    states = [facts["sweep_start"]["state"] for facts in (left_facts, bare_facts)]
    apart = abs(float(states[0]["temperature_k"]) - float(states[1]["temperature_k"]))
    same = apart < SAME_TEMPERATURE_K and states[1].get("history") == FieldHistory.ZFC_FW
    made: Json = {}
    planes: list[Array] = []
    for path, doublet, facts in ((remnant, left, left_facts), (zero_field, bare, bare_facts)):
        pair = doublet.half_splitting_mhz.astype(np.float64), doublet.half_splitting_sigma_mhz.astype(np.float64)
        seen, about = onto(pair, light, Path(path), moving)
        planes += seen
        made[str(facts["run_uid"])] = {**made_with(facts), **about}
    transverse, error, wrong = planes[2], planes[3], np.zeros(shape, np.bool_)
    if tau_gpa is not None:
        coupling = 2.0 * stress_set(bare_facts["analysis"].get("stress_constants", DEFAULT_STRESS_SET)).transverse_shear
        transverse, error, wrong = checked_transverse(transverse, error, tau_gpa, coupling, _width(zero_field))
    flux = trapped_flux(planes[0], planes[1], transverse, error, same_state=same)
    return Remnant(flux, same, wrong, made)


def _width(path: str) -> float:
    """Return the median width of the lowest line of a map, MHz; 0 where it is not known."""
    widths = read_some(Path(path), ("fwhm_mhz",))[0].get("fwhm_mhz", np.zeros((1, 1, 1)))[0]
    return float(np.nanmedian(widths)) if np.isfinite(widths).any() else 0.0


def onto(
    planes: Sequence[Array],
    light: NDArray[Any] | None,
    path: Path,
    moving: NDArray[np.bool_] | None,
    bend: bool = False,
) -> tuple[list[Array], Json]:
    """Return a map and its sigma of another run on the pixels of a warming, and what is known of its view.

    Parameters
    ----------
    planes
        (y, x) values and standard deviations.
    light, moving
        (y, x) the warming's light and where that changes by itself; None: nothing is compared.
    path
        Maps file with the other run's light (`baseline`).

    Raises
    ------
    CampaignError
        Where the other run's picture is a mirrored one.
    """
    other = read_some(path, ("baseline",))[0].get("baseline")
    if light is None or moving is None or other is None or other.shape != light.shape:
        return list(planes), {}
    view = find_view(light, other, moving, bend)
    if view.kind == "unknown" and any(find_view(light, one, moving).kind != "unknown" for one in mirrored(other)):
        raise CampaignError(
            f"{path.parent.name}/{path.name} shows the sample mirrored; mend the flips of its camera, or flip the map"
        )
    return list(seen_from(planes[0], planes[1], view) if view.moved else planes), {"view": view.about()}


def _doublet(
    path: str, what: str, sample: str, load_index: int, shape: tuple[int, int]
) -> tuple[Doublet, dict[str, Any]]:
    """Return the [111] doublet of a map without field, and the map's facts."""
    planes, attributes = read_maps(path)
    facts = cast("dict[str, Any]", attributes)
    named = f"{what} of run {facts['run_uid']}"
    state = facts["sweep_start"]["state"]
    if str(facts.get("sample", "")) != sample or int(state["load_index"]) != load_index:
        theirs = f"sample {facts.get('sample', '')!r}, load {state['load_index']}"
        raise CampaignError(f"{named} is of {theirs}, the warming of {sample!r}, load {load_index}; leave it out")
    if abs(float(state["field_gauss"])) > FIELD_FREE_GAUSS:
        raise CampaignError(f"{named} was taken at {state['field_gauss']:g} G; a map without field is needed")
    pairs = facts["analysis"]["doublets"]
    if not pairs:
        raise CampaignError(f"{named} was fitted without doublets; fit it with the lines of [111] as the first pair")
    found = FitMap.from_planes(planes, pairs).doublet(0)
    if found.half_splitting_mhz.shape != shape:
        theirs = found.half_splitting_mhz.shape
        raise CampaignError(f"{named} has {theirs} pixels, the warming {shape}; register it onto that grid first")
    return found, facts


def collect_resistance(documents: str) -> tuple[Array, Array]:
    """Return temperatures (K) and resistances (Ohm) of a run's document log, in the order measured; empty without."""
    if not documents:
        return np.zeros(0), np.zeros(0)
    path = Path(documents)
    rows = [cast("Any", data) for _, _, data in run_documents(path.parent.parent, path.stem).events]
    measured = [(row[TEMPERATURE], row[RESISTANCE]) for row in rows if TEMPERATURE in row and RESISTANCE in row]
    columns = np.array(measured, np.float64).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]
