"""The maps of one load of one sample on one pixel grid: what every estimator of a campaign takes.

One object per (sample, load): s against temperature, the stress at each temperature, shear, chemistry and Tc, each with
its standard deviation. It is stored as one maps file, so that a campaign is a pure function of such files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from stream.messages import Json

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

UNITS: dict[str, str] = {
    "temperature_k": "K",
    "s": "1",
    "sigma_s": "1",
    "sigma_s_reference": "1",
    "s_common_sigma": "1",
    "sigma_zz_gpa": "GPa",
    "sigma_zz_sigma_gpa": "GPa",
    "tau_gpa": "GPa",
    "tau_sigma_gpa": "GPa",
    "la_ni": "1",
    "la_ni_sigma": "1",
    "tc_k": "K",
    "tc_sigma_k": "K",
    "tc_status": "code",
    "trapped_gauss": "G",
    "trapped_sigma_gauss": "G",
    "trapped_limit_gauss": "G",
    "transport_temperature_k": "K",
    "resistance_ohm": "Ohm",
    "cut_frequency_mhz": "MHz",
    "cut_x_um": "um",
    "cut_signal": "1",
    "judged": "1",
}
"""Unit of each plane."""

DESCRIPTIONS: dict[str, str] = {
    "temperature_k": "sample temperature of each map (n)",
    "s": "field ratio (n, y, x); NaN where unresolved",
    "sigma_s": "standard deviation of s, without what all pixels share (n, y, x)",
    "sigma_s_reference": "the part of sigma_s that is the same error of a pixel at every temperature (y, x)",
    "s_common_sigma": "standard deviation of what all pixels of a map share: the off-sample ratio (n)",
    "sigma_zz_gpa": "normal stress at each temperature, compression positive (n, y, x)",
    "sigma_zz_sigma_gpa": "standard deviation of sigma_zz_gpa (y, x)",
    "tau_gpa": "shear stress in the normal state (y, x); NaN where not measured",
    "tau_sigma_gpa": "standard deviation of tau_gpa (y, x)",
    "la_ni": "La:Ni ratio of atoms, registered (y, x); NaN where not measured",
    "la_ni_sigma": "standard deviation of la_ni, the error of the registration included (y, x)",
    "tc_k": "onset of diamagnetism (y, x); NaN where tc_status is not OK",
    "tc_sigma_k": "half of the central 68 % of tc_k (y, x)",
    "tc_status": "why a pixel has no tc_k (y, x)",
    "trapped_gauss": "size of the trapped field along [111] after a field cool (y, x); NaN where not resolved",
    "trapped_sigma_gauss": "standard deviation of trapped_gauss (y, x)",
    "trapped_limit_gauss": "95 % upper limit of the trapped field (y, x); NaN where nothing was measured",
    "transport_temperature_k": "sample temperature of each resistance (m), in the order measured; empty without any",
    "resistance_ohm": "resistance between the leads (m)",
    "cut_frequency_mhz": "frequencies of the spectra along a line at the lowest temperature (f); empty without frames",
    "cut_x_um": "their places, um from the image centre (k)",
    "cut_signal": "light over that off the lines (k, f)",
    "judged": "1 on the sample outside ruby and leads (y, x)",
}
"""One sentence on each plane."""


class CampaignError(ValueError):
    """Inputs of a campaign do not fit together; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class LoadMaps:
    """One load of one sample; all planes share the grid (y, x)."""

    sample: str
    """Name of the sample."""
    load_index: int
    """Number of the pressure point."""
    pixel_size_um: float
    """Edge of a pixel, um."""
    run_uids: tuple[str, ...]
    """Runs that the maps are made of, the warming first."""
    temperature_k: Array
    """(n,) ascending, K."""
    s: Array
    """(n, y, x)."""
    sigma_s: Array
    """(n, y, x)."""
    sigma_s_reference: Array
    """(y, x)."""
    s_common_sigma: Array
    """(n,)."""
    sigma_zz_gpa: Array
    """(n, y, x), GPa."""
    sigma_zz_sigma_gpa: Array
    """(y, x), GPa."""
    tau_gpa: Array
    """(y, x), GPa."""
    tau_sigma_gpa: Array
    """(y, x), GPa."""
    la_ni: Array
    """(y, x)."""
    la_ni_sigma: Array
    """(y, x)."""
    tc_k: Array
    """(y, x), K."""
    tc_sigma_k: Array
    """(y, x), K."""
    tc_status: NDArray[np.uint8]
    """(y, x) `analyzers.status.StatusCode`."""
    trapped_gauss: Array
    """(y, x), G."""
    trapped_sigma_gauss: Array
    """(y, x), G."""
    trapped_limit_gauss: Array
    """(y, x), G."""
    transport_temperature_k: Array
    """(m,), K."""
    resistance_ohm: Array
    """(m,), Ohm."""
    judged: Mask
    """(y, x) True where the sample is seen."""
    cut_frequency_mhz: Array = field(default_factory=lambda: np.zeros(0))
    """(f,) MHz."""
    cut_x_um: Array = field(default_factory=lambda: np.zeros(0))
    """(k,) um."""
    cut_signal: Array = field(default_factory=lambda: np.zeros((0, 0)))
    """(k, f)."""
    zero_field_same_state: bool = False
    """Whether E_perp behind the trapped field is of the same temperature after a zero-field cool."""
    transverse_from_shear: int = 0
    """Judged pixels whose E_perp is that of the shear, since the map without field has other lines there."""
    chemistry_view: Json = field(default_factory=dict[str, object])
    """How the view differs from that of the run that the chemistry is registered on; empty: not compared."""
    made_with: Json = field(default_factory=dict[str, object])
    """Run uid -> version of its maps, constant set and, of other runs than the warming, how their view differs."""

    def __post_init__(self) -> None:
        """Refuse planes of different grids, and maps without a temperature.

        Raises
        ------
        CampaignError
            With the plane and the shapes.
        """
        grid, count = self.judged.shape, self.temperature_k.size
        expected = {
            "temperature_k": (count,),
            "s_common_sigma": (count,),
            "s": (count, *grid),
            "sigma_s": (count, *grid),
            "sigma_zz_gpa": (count, *grid),
            "transport_temperature_k": (self.transport_temperature_k.size,),
            "resistance_ohm": (self.transport_temperature_k.size,),
            "cut_frequency_mhz": (self.cut_frequency_mhz.size,),
            "cut_x_um": (self.cut_x_um.size,),
            "cut_signal": (self.cut_x_um.size, self.cut_frequency_mhz.size),
        }
        for name in UNITS:
            plane, shape = getattr(self, name), expected.get(name, grid)
            if plane.shape != shape:
                raise CampaignError(
                    f"{self.label}: {name} has shape {plane.shape}, expected {shape}; "
                    "register all maps of a load onto one grid first"
                )
        if count == 0 or not np.isfinite(self.temperature_k).all():
            raise CampaignError(f"{self.label}: a map has no temperature; leave its run out or mend its metadata")

    @property
    def label(self) -> str:
        """Name for people."""
        return f"sample {self.sample or '?'}, load {self.load_index}"

    @property
    def mean_sigma_zz_gpa(self) -> float:
        """Mean normal stress over the judged pixels in the normal state: the pressure label, GPa; NaN without any."""
        values = self.sigma_zz_gpa[-1][self.judged]
        values = values[np.isfinite(values)]
        return float(values.mean()) if values.size else float("nan")

    @property
    def coldest(self) -> int:
        """Index of the lowest temperature."""
        return int(np.argmin(self.temperature_k))

    def planes(self) -> dict[str, NDArray[Any]]:
        """Return every plane by name; units and meanings in this module."""
        return {name: np.asarray(getattr(self, name)) for name in UNITS}

    def attributes(self) -> Json:
        """Return the facts that are no planes."""
        return {
            "sample": self.sample,
            "load_index": self.load_index,
            "pixel_size_um": self.pixel_size_um,
            "run_uids": list(self.run_uids),
            "zero_field_same_state": self.zero_field_same_state,
            "transverse_from_shear": self.transverse_from_shear,
            "chemistry_view": self.chemistry_view,
            "made_with": self.made_with,
        }


def load_maps_of(planes: Mapping[str, NDArray[Any]], attributes: Json) -> LoadMaps:
    """Return the load that `LoadMaps.planes` and `LoadMaps.attributes` describe.

    Raises
    ------
    CampaignError
        Where a plane or a fact is missing.
    """
    lacking = [one.name for one in fields(LoadMaps) if one.name not in planes and one.name not in attributes]
    if lacking:
        raise CampaignError(f"maps of a load lack {', '.join(lacking)}; make them again with `nvdac campaign`")
    facts = cast("dict[str, Any]", attributes)
    arrays: dict[str, Any] = {name: np.asarray(planes[name], dtype=np.float64) for name in UNITS}
    arrays["judged"] = np.asarray(planes["judged"]).astype(np.bool_)
    arrays["tc_status"] = np.asarray(planes["tc_status"]).astype(np.uint8)
    return LoadMaps(
        sample=str(facts["sample"]),
        load_index=int(facts["load_index"]),
        pixel_size_um=float(facts["pixel_size_um"]),
        run_uids=tuple(str(uid) for uid in facts["run_uids"]),
        zero_field_same_state=bool(facts["zero_field_same_state"]),
        transverse_from_shear=int(facts["transverse_from_shear"]),
        chemistry_view=dict(facts["chemistry_view"]),
        made_with=dict(facts["made_with"]),
        **arrays,
    )
