"""Settings of the analysis and of its processes: frozen dataclasses, checked when read, hashed into every result."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter

from stream.settings import StreamSettings

SHAPES = ("lorentzian", "gaussian", "pseudo_voigt")
BASELINES = ("constant", "linear")
HYPERFINE = ("none", "n14", "n15")
SHARED = ("none", "doublet", "all")


@dataclass(frozen=True)
class AnalysisSettings:
    """What a spectrum is fitted with and judged by. Part of the version hash of every result."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    lines: int = 4
    """Resonances per spectrum, 1 to 8."""
    doublets: tuple[tuple[int, int], ...] = ((0, 3), (1, 2))
    """Pairs of line numbers (sorted by centre): the first is the [111] group, the second the tilted groups."""
    shape: str = "lorentzian"
    """Line shape: lorentzian, gaussian or pseudo_voigt."""
    mixing: float = 0.5
    """Lorentzian share of a pseudo-Voigt line, 0 to 1."""
    hyperfine: str = "none"
    """Hyperfine structure folded into each line: none, n14 (three lines) or n15 (two lines)."""
    shared_fwhm: str = "none"
    """Lines that have one width in the fit: none, the two of each doublet, or all."""
    shared_contrast: str = "none"
    """Lines that have one depth in the fit: none, the two of each doublet, or all of a sign."""
    baseline: str = "linear"
    """Baseline: constant or linear in frequency."""
    start_mhz: tuple[float, ...] = ()
    """Optional common guesses of the line centres, MHz, ascending; as many as lines, or none."""
    fwhm_start_mhz: float = 14.0
    """Width guess, MHz."""
    fwhm_min_mhz: float = 1.0
    """Smallest width accepted, MHz."""
    fwhm_max_mhz: float = 100.0
    """Largest width accepted, MHz: three tilted groups under shear blend to one line far wider than each."""
    fwhm_spread: float = 0.5
    """Standard deviation of ln(fwhm / guess) expected: clear lines take any width, weak ones not that of a spike."""
    significance: float = 0.0
    """Smallest |contrast| / sigma (centre and width held) of a resolved line; 0: as `false_alarm` asks for."""
    false_alarm: float = 0.006
    """Chance that noise passes for a line somewhere in a spectrum: sets how strong lines must be."""
    tolerance: float = 1e-3
    """Stop a final fit when the predicted decrease of chi2 is below this share of chi2 per degree of freedom."""
    live_tolerance: float = 1e-2
    """The same for provisional fits."""
    saturation_counts: float = 0.0
    """Mean counts at or above which a pixel counts as saturated; 0: not tested."""
    bin_px: int = 1
    """Edge of the square of camera pixels whose counts are summed to one before they are fitted, 1 to 16."""
    find_bad_pixels: bool = True
    """Look for hot and dead pixels among their neighbours; saturated ones and NaN are always left out."""
    mask_pixels: tuple[tuple[int, int], ...] = ()
    """(row, column) of camera pixels to leave out."""
    registration: bool = False
    """Undo the drift of the view against the reference sweep, found in the light, on the maps that are compared."""
    rescue: bool = True
    """Try unresolved pixels of a final map again, from their neighbours' solution."""
    stress_constants: str = "barson2017"
    """Name of the stress-susceptibility set in `physics.constants`."""
    zero_field_splitting: str = "cambria2023"
    """Name of the D(T) law in `physics.zero_field`."""
    miscut_deg: float = 3.0
    """Angle between culet normal and [111], degrees."""
    miscut_azimuth_deg: float = 0.0
    """Azimuth of the culet normal from the projection of a tilted NV axis, degrees."""

    def __post_init__(self) -> None:
        """Check every value.

        Raises
        ------
        ValueError
            With the name of the setting, what is wrong and what is allowed.
        """
        _check_choice("shape", self.shape, SHAPES)
        _check_choice("baseline", self.baseline, BASELINES)
        _check_choice("shared_fwhm", self.shared_fwhm, SHARED)
        _check_choice("shared_contrast", self.shared_contrast, SHARED)
        _check_choice("hyperfine", self.hyperfine, HYPERFINE)
        _check(1 <= self.lines <= 8, f"lines = {self.lines}: allowed are 1 to 8")
        _check(0.0 <= self.mixing <= 1.0, f"mixing = {self.mixing}: allowed is 0 to 1")
        bounds = self.fwhm_min_mhz, self.fwhm_start_mhz, self.fwhm_max_mhz
        _check(0 < bounds[0] < bounds[1] < bounds[2], f"fwhm_min/start/max_mhz = {bounds}: must be positive and rising")
        _check(1 <= self.bin_px <= 16, f"bin_px = {self.bin_px}: allowed are 1 to 16")
        _check(self.fwhm_spread > 0, f"fwhm_spread = {self.fwhm_spread}: must be positive")
        _check(self.significance >= 0, f"significance = {self.significance}: must be positive, or 0")
        _check(0 < self.false_alarm < 0.5, f"false_alarm = {self.false_alarm}: allowed is 0 to 0.5")
        _check(0 < self.tolerance <= 1 and 0 < self.live_tolerance <= 1, "tolerance: allowed is 0 to 1")
        _check(len(self.start_mhz) in (0, self.lines), f"start_mhz: give {self.lines} values or none")
        _check(list(self.start_mhz) == sorted(self.start_mhz), "start_mhz: must be ascending")
        used = [line for pair in self.doublets for line in pair]
        _check(len(set(used)) == len(used), "doublets: a line may belong to one doublet only")
        _check(all(0 <= line < self.lines for line in used), f"doublets: line numbers are 0 to {self.lines - 1}")
        _check(all(low < high for low, high in self.doublets), "doublets: give the lower line first")

    @staticmethod
    def from_json(values: Mapping[str, object]) -> AnalysisSettings:
        """Read settings from a JSON mapping (such as `RunStart.analysis`).

        Raises
        ------
        pydantic.ValidationError
            Where a key is unknown or a value is of the wrong type or out of range.
        """
        return TypeAdapter(AnalysisSettings).validate_python(dict(values))

    def to_json(self) -> dict[str, object]:
        """Return a JSON-serialisable mapping that `from_json` reads back."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def version_json(self) -> str:
        """Return the canonical JSON (sorted keys, no blanks): equal settings give equal text."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


@dataclass(frozen=True)
class WorkerProcess:
    """Settings of one fitting worker."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    stream: StreamSettings
    """Sockets and folders."""
    worker: str
    """Name of the worker, such as `worker-0`."""


@dataclass(frozen=True)
class BuilderProcess:
    """Settings of the map builder."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    stream: StreamSettings
    """Sockets and folders."""
    tiled_uri: str = ""
    """Tiled server (API key from the environment, NVDAC_TILED_API_KEY); empty: files only."""
    workers: int = 2
    """Workers expected, for the status display."""


def _check(condition: bool, message: str) -> None:
    """Raise ValueError with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise ValueError unless the value is one of those allowed."""
    _check(value in allowed, f"{name} = {value!r}: allowed are {', '.join(allowed)}")
