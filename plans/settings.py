"""Arguments of the plans: what a sweep takes, what a field history does, what a run is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from plans.ladder import TemperatureLimits
from stream.messages import Json


class PreconditionError(RuntimeError):
    """What a plan needs is not given; the message is one line for people."""


@dataclass(frozen=True)
class RunInfo:
    """What a run is about: goes into its start document, and to the camera and the analysis from there."""

    analysis: Json = field(default_factory=dict[str, object])
    """Analysis settings (JSON of `analyzers.settings.AnalysisSettings`)."""
    regions: Json = field(default_factory=dict[str, object])
    """Named polygons `sample`, `ruby`, `leads` and `points`, um from the image centre."""
    sample: str = ""
    """Name of the sample."""
    load_index: int = 0
    """Number of the pressure point, where the rig does not count it."""
    constants: str = ""
    """Name of the set of physical constants."""


@dataclass(frozen=True)
class SweepSettings:
    """How a sweep is taken."""

    frequency_mhz: tuple[float, ...]
    """Frequencies of one pass, MHz."""
    passes: int = 6
    """Traversals of the list."""
    microwave_power_dbm: float | None = None
    """Power of the source, dBm; None leaves it as it is."""
    laser_power_mw: float | None = None
    """Power of the laser, mW; None leaves it as it is."""
    analysis_timeout_s: float = 60.0
    """How long a final map may take before the analysis counts as silent, s."""
    collect_every_s: float = 1.0
    """How often the frames sent are told to the documents while a sweep runs, s."""

    def __post_init__(self) -> None:
        """Refuse an empty sweep and frequencies that are not finite and positive."""
        frequencies = np.asarray(self.frequency_mhz, dtype=np.float64)
        if frequencies.size == 0 or not np.isfinite(frequencies).all() or frequencies.min() <= 0:
            raise ValueError("frequency_mhz must hold finite, positive frequencies in MHz")
        if self.passes < 1:
            raise ValueError(f"passes must be at least 1, not {self.passes}")


@dataclass(frozen=True)
class CoilCalibration:
    """What `calibrate_coil` found: E^2 = E_perp^2 + gamma^2 (k H + b)^2 in the normal state."""

    remanence_gauss: float
    """Field b that is there without current, G."""
    remanence_sigma_gauss: float = 0.0
    """Its standard deviation, G."""
    scale: float = 1.0
    """k: field over set field."""
    scale_sigma: float = 0.0
    """Its standard deviation."""
    time_s: float = 0.0
    """When it was measured, seconds since the epoch; 0 where not known."""
    age_max_s: float = 7 * 86400.0
    """Age from which it no longer counts, s."""


@dataclass(frozen=True)
class CoolingSettings:
    """From the normal state to the base."""

    base_temperature_k: float = 20.0
    """Where it ends, K."""
    normal_temperature_k: float = 150.0
    """Where it begins, in the normal state, K."""
    tc_max_k: float = 95.0
    """No sample here superconducts above this, K."""
    margin_k: float = 20.0
    """Distance from `tc_max_k` at which a cool may begin, K."""
    remanence_gauss: float = 0.3
    """Largest field at which a zero-field cool may begin, G."""

    def __post_init__(self) -> None:
        """Refuse temperatures that do not make a cool from the normal state."""
        if not self.base_temperature_k < self.normal_temperature_k:
            raise ValueError("base_temperature_k must be below normal_temperature_k")
        if self.normal_temperature_k < self.normal_above_k:
            raise ValueError(f"a cool begins in the normal state, above {self.normal_above_k:g} K")

    @property
    def normal_above_k(self) -> float:
        """Sample temperature above which it is surely normal, K."""
        return self.tc_max_k + self.margin_k


@dataclass(frozen=True)
class ZfcSettings:
    """Zero-field cool and field warming."""

    sweep: SweepSettings
    """How each sweep is taken."""
    field_gauss: float = 97.0
    """Field along the culet normal, G."""
    base_temperature_k: float = 20.0
    """Where the field is switched on, K."""
    tc_max_k: float = 95.0
    """No sample here superconducts above this, K; a zero-field cool starts at least `margin_k` above it."""
    margin_k: float = 20.0
    """Distance from `tc_max_k` at which a zero-field cool may start, K."""
    remanence_gauss: float = 0.3
    """Largest field at which a zero-field cool may start, G."""
    reference_passes: int = 0
    """Passes of the opening reference, whose noise every temperature shares; 0 takes those of the sweep."""
    overshoot_k: float = 0.2
    """Overshoot from which a warming point is flagged, K."""
    zero_field_sweep: SweepSettings | None = None
    """Sweep of a map at the base before field-on (transverse splitting for a remnant map); None takes none."""
    coil: CoilCalibration | None = None
    """Newest calibration of the coil: a zero-field cool refuses a large remanence; None is not judged."""
    limits: TemperatureLimits = field(default_factory=TemperatureLimits)
    """What the adaptive ladder may do; its top is the temperature of both references."""

    def __post_init__(self) -> None:
        """Refuse temperatures that do not make a zero-field cool."""
        top = self.limits.top_k
        if not self.base_temperature_k < top:
            raise ValueError(f"base_temperature_k {self.base_temperature_k:g} K must be below the top, {top:g} K")
        if top < self.tc_max_k + self.margin_k:
            raise ValueError(
                f"the top, {top:g} K, must be at least tc_max_k + margin_k = {self.tc_max_k + self.margin_k:g} K: "
                "a zero-field cool starts in the normal state"
            )

    @property
    def cooling(self) -> CoolingSettings:
        """The zero-field cool of this history."""
        return CoolingSettings(
            self.base_temperature_k, self.limits.top_k, self.tc_max_k, self.margin_k, self.remanence_gauss
        )


def frequencies_from_windows(windows: Sequence[tuple[float, float, int]]) -> tuple[float, ...]:
    """Return an ascending frequency list from windows (first MHz, last MHz, number of points; both ends included).

    Raises
    ------
    ValueError
        Where a window is empty or turned round.
    """
    rows: set[float] = set()
    for first, last, points in windows:
        if points < 1 or last < first:
            raise ValueError(f"frequency window {first:g} to {last:g} MHz with {points} points is empty")
        rows.update(float(value) for value in np.round(np.linspace(first, last, points), 6))
    return tuple(sorted(rows))
