"""From the stored maps of runs to the maps of one load: what belongs together, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from analyzers.campaign.collect_remnant import collect_remnant, collect_resistance, onto
from analyzers.campaign.line_cut import NO_CUT, line_cut
from analyzers.campaign.load_maps import CampaignError, LoadMaps
from analyzers.campaign.parts import made_with
from analyzers.regions import Regions, make_regions
from analyzers.status import StatusCode
from analyzers.sweep_files import sweep_name
from stream.maps_file import read_maps
from stream.messages import Json, SweepRole
from stream.stored_maps import read_some

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LoadFiles:
    """Files that the maps of one load are made of."""

    warming: str
    """Folder `processed/<run uid>/<version>` of the field warming."""
    stress: str = ""
    """`joint.h5` of the load's stress map; empty: no shear."""
    chemistry: str = ""
    """Maps file of the registered La:Ni (`la_ni`, `la_ni_sigma`); empty: none."""
    remnant: str = ""
    """Maps file of the remnant sweep; empty: no trapped flux."""
    zero_field: str = ""
    """Maps file of the sweep without field that it is compared with; empty: no trapped flux."""
    documents: str = ""
    """Document log of the warming's run, with R(T); empty: none."""
    frames: str = ""
    """Frames file of the warming's run; empty: no spectra along a line."""

    def inputs(self) -> list[Path]:
        """Return every file that is read, sorted: what the result depends on."""
        files = [*sorted(Path(self.warming).glob("sweep_*.h5")), Path(self.warming) / "products.h5"]
        more = self.stress, self.chemistry, self.remnant, self.zero_field, self.documents
        return [*files, *(Path(name) for name in more if name)]

    def roles(self) -> list[bool]:
        """Return which of the optional files there are, in the order of `inputs`."""
        return [bool(name) for name in (self.stress, self.chemistry, self.remnant, self.zero_field, self.documents)]


@dataclass
class _Sweep:
    """What is needed of one sweep of the warming."""

    role: SweepRole
    temperature_k: float
    load_index: int
    planes: dict[str, NDArray[Any]] = field(default_factory=dict[str, NDArray[Any]])


def collect_load(files: LoadFiles) -> LoadMaps:
    """Return the maps of one load.

    Raises
    ------
    CampaignError
        Where the run has no warming, runs of different samples, loads or grids are joined, or a temperature is missing.
    stream.maps_file.MapsFileError
        Where a file cannot be read.
    """
    folder = Path(files.warming)
    products, attributes = read_maps(folder / "products.h5")
    facts = cast("dict[str, Any]", attributes)
    uid = str(facts["run_uid"])
    if "s" not in products or not products["s"].size:
        raise CampaignError(f"run {uid} has no s map against temperature; leave it out, it is no field warming")
    sweeps = _sweeps(folder)
    numbers = [int(number) for number in products["sweep"]]
    lacking = [number for number in numbers if number not in sweeps]
    if lacking:
        raise CampaignError(f"run {uid}: maps of sweeps {lacking} are missing in {folder.name}; fit the run again")
    kept = [place for place, n in enumerate(numbers) if sweeps[n].role != SweepRole.CLOSING_REFERENCE]
    kept.sort(key=lambda place: sweeps[numbers[place]].temperature_k)
    chosen = [sweeps[numbers[place]] for place in kept]
    loads = {sweep.load_index for sweep in chosen}
    if len(loads) != 1:
        raise CampaignError(f"run {uid} spans loads {sorted(loads)}; give runs of one load each")
    shape = cast("tuple[int, int]", products["s"].shape[1:])
    temperature = np.array([sweep.temperature_k for sweep in chosen])
    if not np.isfinite(temperature).all() or (temperature <= 0).any():
        raise CampaignError(f"run {uid}: a sweep has no temperature; leave the run out or mend its state point")
    common = np.nan_to_num(np.asarray(facts.get("off_sample_ratio_sigma", np.zeros(len(numbers))), dtype=np.float64))
    light, regions = _light(folder, numbers), _regions(facts, shape)
    tau, tau_sigma, stress = _shear(files.stress, shape, facts, loads, light, regions.sample)
    la_ni, la_ni_sigma, chemistry = _chemistry(files.chemistry, shape, facts, light, regions.sample)
    sample = str(facts.get("sample", ""))
    found = files.remnant, files.zero_field, sample, min(loads), shape
    left = collect_remnant(*found, tau_gpa=tau if files.stress else None, light=light, moving=regions.sample)
    made: Json = {uid: made_with(attributes), **stress, **left.made_with}
    transport = collect_resistance(files.documents)
    coldest = numbers[kept[int(np.argmin(temperature))]]
    pixel = float(facts["pixel_size_um"])
    cut = line_cut(files.frames, coldest, regions.sample, pixel) if files.frames else NO_CUT
    return LoadMaps(
        sample=sample,
        load_index=loads.pop(),
        pixel_size_um=pixel,
        run_uids=tuple(made),
        temperature_k=temperature,
        s=products["s"][kept].astype(np.float64),
        sigma_s=products["sigma_s"][kept].astype(np.float64),
        sigma_s_reference=np.asarray(products["sigma_s_reference"][kept].astype(np.float64).mean(axis=0)),
        s_common_sigma=common[kept],
        sigma_zz_gpa=np.stack([_stress_at(sweep, products, shape) for sweep in chosen]),
        sigma_zz_sigma_gpa=_plane(products, "sigma_zz_sigma_gpa", shape),
        tau_gpa=tau,
        tau_sigma_gpa=tau_sigma,
        la_ni=la_ni,
        la_ni_sigma=la_ni_sigma,
        tc_k=_plane(products, "tc_k", shape),
        tc_sigma_k=_plane(products, "tc_sigma_k", shape),
        tc_status=products.get("tc_status", np.full(shape, StatusCode.NOT_YET_MEASURED, np.uint8)),
        trapped_gauss=left.flux.b_gauss,
        trapped_sigma_gauss=left.flux.b_sigma_gauss,
        trapped_limit_gauss=left.flux.limit_gauss,
        transport_temperature_k=transport[0],
        resistance_ohm=transport[1],
        cut_frequency_mhz=cut.frequency_mhz,
        cut_x_um=cut.x_um,
        cut_signal=cut.signal,
        judged=_judged(facts, regions, shape),
        zero_field_same_state=left.same_state,
        transverse_from_shear=int(np.count_nonzero(left.from_shear & _judged(facts, regions, shape))),
        chemistry_view=chemistry,
        made_with=made,
    )


def _sweeps(folder: Path) -> dict[int, _Sweep]:
    found: dict[int, _Sweep] = {}
    for path in sorted(folder.glob("sweep_*.h5")):
        planes, attributes = read_maps(path)
        start = cast("dict[str, Any]", attributes["sweep_start"])
        state = start["state"]
        wanted = ("sigma_zz_gpa", "sigma_zz_carried_gpa")
        found[int(start["sweep"])] = _Sweep(
            SweepRole(str(start["role"])),
            float(state.get("temperature_k", np.nan)),
            int(state["load_index"]),
            {name: planes[name] for name in wanted if name in planes},
        )
    return found


def _stress_at(sweep: _Sweep, products: dict[str, NDArray[Any]], shape: tuple[int, int]) -> Array:
    """Return sigma_ZZ at the sweep's temperature: its own, where unresolved the one carried along, else the first."""
    own, carried = (_plane(sweep.planes, name, shape) for name in ("sigma_zz_gpa", "sigma_zz_carried_gpa"))
    moved = np.where(np.isfinite(carried), carried, _plane(products, "sigma_zz_gpa", shape))
    return np.where(np.isfinite(own), own, moved)


def _light(folder: Path, numbers: list[int]) -> NDArray[Any] | None:
    """Return the light off the lines of the warming's first sweep; None where its maps lack it."""
    return read_some(folder / f"{sweep_name(min(numbers))}.h5", ("baseline",))[0].get("baseline")


def _plane(planes: dict[str, NDArray[Any]], name: str, shape: tuple[int, int]) -> Array:
    return planes[name].astype(np.float64) if name in planes else np.full(shape, np.nan)


def _shear(
    path: str,
    shape: tuple[int, int],
    warming: dict[str, Any],
    loads: set[int],
    light: NDArray[Any] | None,
    moving: NDArray[np.bool_],
) -> tuple[Array, Array, Json]:
    """Return tau, its sigma and what the run it is from was made with; NaN without a stress map."""
    if not path:
        return np.full(shape, np.nan), np.full(shape, np.nan), {}
    planes, attributes = read_maps(path)
    facts = cast("dict[str, Any]", attributes)
    uid = str(facts["run_uid"])
    _same_sample(facts, warming, f"stress map {uid}")
    load = facts.get("load_index")
    if load is not None and int(load) not in loads:
        raise CampaignError(f"stress map {uid} is of load {load}, the warming of load {sorted(loads)[0]}")
    tau = _plane(planes, "joint_tau_gpa", shape)
    _same_grid(tau, shape, f"stress map {uid}")
    pair, about = [tau, _plane(planes, "joint_tau_sigma_gpa", shape)], {}
    first = Path(path).parent / f"{sweep_name(int(facts.get('joint_sweeps', [0])[0]))}.h5"
    if first.exists():
        pair, about = onto(pair, light, first, moving)
    return pair[0], pair[1], {uid: {**made_with(attributes), **about}}


def _chemistry(
    path: str,
    shape: tuple[int, int],
    warming: dict[str, Any],
    light: NDArray[Any] | None,
    moving: NDArray[np.bool_],
) -> tuple[Array, Array, Json]:
    """Return La:Ni and its sigma, followed from the run that it was registered on, and what is known of that view."""
    if not path:
        return np.full(shape, np.nan), np.full(shape, np.nan), {}
    planes, attributes = read_maps(path)
    _same_sample(cast("dict[str, Any]", attributes), warming, f"chemistry map {Path(path).name}")
    la_ni, sigma = (_plane(planes, name, shape) for name in ("la_ni", "la_ni_sigma"))
    _same_grid(la_ni, shape, f"chemistry map {Path(path).name}")
    (la_ni, sigma), about = onto((la_ni, sigma), light, Path(path), moving, bend=True)
    return la_ni, sigma, about


def _same_sample(facts: dict[str, Any], warming: dict[str, Any], what: str) -> None:
    ours, theirs = str(warming.get("sample", "")), str(facts.get("sample", ""))
    if ours != theirs:
        raise CampaignError(f"{what} is of sample {theirs!r}, the warming of {ours!r}; give the one of {ours!r}")


def _same_grid(plane: Array, shape: tuple[int, int], what: str) -> None:
    if plane.shape != shape:
        raise CampaignError(f"{what} has {plane.shape} pixels, the warming {shape}; register it onto that grid first")


def _regions(facts: dict[str, Any], shape: tuple[int, int]) -> Regions:
    """Return the masks of the warming's view."""
    regions = cast("Json", facts.get("regions", {}))
    if not regions.get("sample"):
        raise CampaignError(f"run {facts['run_uid']} names no outline of its sample; add the polygon `sample`")
    return make_regions(regions, float(facts["pixel_size_um"]), *shape)


def _judged(facts: dict[str, Any], masks: Regions, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the sample's pixels outside ruby and leads."""
    leads = make_regions({"sample": facts["regions"].get("leads", [])}, float(facts["pixel_size_um"]), *shape)
    return masks.judged & ~leads.sample if leads.has_outline else masks.judged
