"""Arguments of the plans: what a sweep takes, what a field history does, what a run is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from plans.frequencies import FrequencyLimits
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
    off_every: int = 0
    """A frame without microwave before every so many frequencies and after the last, against drift; 0 takes none."""
    alternate: bool = False
    """Go up and down the list by turns: a drift of the light in a pass then moves no line."""

    def __post_init__(self) -> None:
        """Refuse an empty sweep and frequencies that are not finite; 0 stands for a frame without microwave."""
        frequencies = np.asarray(self.frequency_mhz, dtype=np.float64)
        if frequencies.size == 0 or not np.isfinite(frequencies).all() or frequencies.min() < 0:
            raise ValueError("frequency_mhz must hold finite, positive frequencies in MHz")
        if self.passes < 1 or self.off_every < 0:
            raise ValueError(
                f"passes must be at least 1 and off_every not negative, not {self.passes}, {self.off_every}"
            )

    @property
    def listed_mhz(self) -> tuple[float, ...]:
        """The list as it is sent: with the frames without microwave, up and down where it alternates."""
        listed = self.frequency_mhz
        if self.off_every:
            starts = range(0, len(listed), self.off_every)
            parts = [(0.0, *listed[start : start + self.off_every]) for start in starts]
            listed = (*(value for part in parts for value in part), 0.0)
        return (*listed, *reversed(listed)) if self.alternate else listed

    def traversals(self, passes: int = 0) -> int:
        """Return how often the list as sent is gone through for a number of passes; 0 takes those of the settings."""
        wanted = passes or self.passes
        return (wanted + 1) // 2 if self.alternate else wanted


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
    agreeing_share: float = 1.0
    """Share of the pixels that it rests on."""


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
    averaging_max_s: float = inf
    """Longest averaging at one temperature, s: no further sweep begins after it."""
    transport_prior: bool = True
    """Let R(T) of the cool-down say where Tc are more likely; it never excludes any."""
    previous_tc_k: tuple[float, ...] = ()
    """Temperatures of `previous_density_per_k`, ascending, K; empty where no previous load is known."""
    previous_density_per_k: tuple[float, ...] = ()
    """How the Tc of the previous load were spread, per K."""
    warmings: int = 1
    """Warmings at most: a second one, after a new zero-field cool, where the first could not see ahead."""
    frequencies: FrequencyLimits | None = None
    """Choose the frequencies of the warming from the lines seen in the reference and at the base; None keeps them."""

    def __post_init__(self) -> None:
        """Refuse temperatures that do not make a zero-field cool."""
        if self.warmings not in (1, 2) or self.averaging_max_s <= 0:
            raise ValueError("warmings must be 1 or 2 and averaging_max_s positive")
        if len(self.previous_tc_k) != len(self.previous_density_per_k):
            raise ValueError("previous_density_per_k needs a value for each of previous_tc_k")
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
