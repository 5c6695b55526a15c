"""Rig files: one TOML per set-up, read into the frozen settings of every folder; unknown keys are refused."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from analyzers.settings import AnalysisSettings
from deploy.errors import DeployError
from devices.guard_settings import GuardSettings
from devices.ioc.settings import BridgesSettings
from devices.settings import CameraSettings, DevicesSettings, TwinSettings
from stream.messages import Archive
from stream.settings import StreamSettings

FORBID = {"extra": "forbid"}
RIGS = Path(__file__).parent / "rigs"
MOST_WORKERS = 64
NORMAL_MARGIN_K = 20.0
"""Distance from the highest Tc at which a sample is surely normal, K."""
Point = tuple[float, float]


@dataclass(frozen=True)
class RigSection:
    """Section `[rig]`: what this set-up is."""

    __pydantic_config__ = FORBID

    name: str
    """Name, shown on every view."""
    workers: int = 2
    """Fitting workers on this host."""
    web_port: int = 0
    """Port of the live page; 0 takes a free one."""
    tiled_port: int = 0
    """Port of the Tiled server; 0 takes a free one."""

    def __post_init__(self) -> None:
        """Refuse what no site can start with."""
        if not 1 <= self.workers <= MOST_WORKERS:
            raise ValueError(f"workers = {self.workers}: allowed are 1 to {MOST_WORKERS}")
        for key, port in (("web_port", self.web_port), ("tiled_port", self.tiled_port)):
            if not 0 <= port < 65536:
                raise ValueError(f"{key} = {port}: allowed are 1 to 65535, and 0 for any free one")


@dataclass(frozen=True)
class StreamSection:
    """Section `[stream]`: how frames move; places are added when a site starts."""

    __pydantic_config__ = FORBID

    ring_mib: int = 256
    bands: int = 4
    heartbeat_s: float = 0.1
    dead_after_missed: int = 10
    slow_after_s: float = 10.0
    full_policy: typing.Literal["pause", "abandon", "spill"] = "pause"
    credit_bytes: int = 16_777_216
    archive: Archive = Archive.FRAMES
    """What a run leaves on disk: `frames`, `sums` (exact sums over the passes: same maps, less room), or `none`."""
    tcp_host: str = "127.0.0.1"
    """Numeric address for workers on other hosts; anything but loopback needs `curve`."""
    tcp_port: int = 0
    """Port of the frames, results have the next one; 0: workers on this host only."""
    curve: bool = False
    """Encrypt, and admit the hosts named by `nvdac keys allow` only."""


@dataclass(frozen=True)
class SampleSection:
    """Section `[sample]`: which sample, and where it lies in the picture."""

    __pydantic_config__ = FORBID

    name: str = ""
    """Name of the sample."""
    load_index: int = 0
    """Number of the pressure point."""
    outline_um: tuple[Point, ...] = ()
    """Corners of the sample's outline, um from the image centre (x right, y down)."""
    ruby_um: tuple[Point, ...] = ()
    """Corners of the ruby's outline, um."""
    points_um: dict[str, Point] = field(default_factory=dict[str, Point])
    """Marked points by name, um."""


@dataclass(frozen=True)
class SetupSection:
    """Section `[setup]`: what is in the cell and how it is seen, one file each (`deploy.setup_files`).

    Each is a path from the rig file's folder, or the name of a file that comes with nvdac.
    """

    __pydantic_config__ = FORBID

    cell: str = ""
    """Anvil, gasket, medium, wire, ruby."""
    sample: str = ""
    """The crystal and its leads."""
    load: str = ""
    """The pressure point."""
    optics: str = ""
    """Objective, pixel size, flips, filters, laser power."""


@dataclass(frozen=True)
class PlanSection:
    """Section `[plan]`: what a session does unless told otherwise."""

    __pydantic_config__ = FORBID

    frequency_windows_mhz: tuple[tuple[float, float, int], ...] = ()
    """Windows of the frequency list: first, last, number of points (both ends included)."""
    passes: int = 6
    """Traversals of the list per sweep; of the warming's sweeps the fewest where `passes_max` is set."""
    passes_max: int = 0
    """Most passes at one temperature of the warming, as its maps need them; 0 takes `passes` everywhere."""
    reference_passes: int = 0
    """Passes of the opening reference; 0 takes `passes`."""
    tc_goal_k: float = 0.5
    """Uncertainty of Tc that the averaging aims at, K; used where `passes_max` is set."""
    field_gauss: float = 97.0
    """Field along the culet normal, G."""
    base_temperature_k: float = 20.0
    """Lowest temperature, K."""
    top_temperature_k: float = 150.0
    """Highest temperature, in the normal state, K."""
    tc_max_k: float = 95.0
    """No sample here superconducts above this, K."""
    zero_field_windows_mhz: tuple[tuple[float, float, int], ...] = ()
    """Windows of the sweeps about zero field, of a whole load."""
    zero_field_passes: int = 12
    """Their passes: all lines overlap there."""
    zero_field_analysis: dict[str, Any] = field(default_factory=dict[str, Any])
    """Keys of `[analysis]` that have other values for them, such as lines and doublets."""
    across_windows_mhz: tuple[tuple[float, float, int], ...] = ()
    """Windows of the sweep with a transverse field, of a whole load."""
    across_gauss: float = 40.0
    """That field, G."""
    coil_windows_mhz: tuple[tuple[float, float, int], ...] = ()
    """Windows of the sweeps of a calibration of the coil: over the [111] pair at each of its fields."""
    coil_fields_gauss: tuple[float, ...] = (-48.0, -36.0, -24.0, 24.0, 36.0, 48.0)
    """Fields of a calibration of the coil, G: both signs, and large enough that the [111] lines lie outermost."""
    remnant_gauss: float = 150.0
    """Field of the field cool of a whole load, G."""


@dataclass(frozen=True)
class RigFile:
    """A whole rig file."""

    __pydantic_config__ = FORBID

    rig: RigSection
    camera: CameraSettings
    devices: DevicesSettings
    stream: StreamSection = field(default_factory=StreamSection)
    sample: SampleSection = field(default_factory=SampleSection)
    setup: SetupSection = field(default_factory=SetupSection)
    analysis: AnalysisSettings = field(default_factory=AnalysisSettings)
    plan: PlanSection = field(default_factory=PlanSection)
    guard: GuardSettings = field(default_factory=GuardSettings)
    twin: TwinSettings | None = None
    bridge: BridgesSettings = field(default_factory=BridgesSettings)

    def __post_init__(self) -> None:
        """Refuse bridges that nobody would use, or that the twin stands in for."""
        names = self.bridge.names()
        if names and self.twin is not None:
            raise ValueError("[twin] and [bridge.*] serve the same PVs: remove one of them")
        for name in names:
            if getattr(self.devices, name) is None:
                raise ValueError(f"there is a bridge to the {name}, and no [devices.{name}] that uses it: add it")

    def guard_settings(self) -> GuardSettings:
        """Return the guard's settings with the temperature above which the sample is normal."""
        above = self.guard.normal_above_k or self.plan.tc_max_k + NORMAL_MARGIN_K
        return dataclasses.replace(self.guard, normal_above_k=above)

    def stream_settings(self, runtime_dir: str, data_dir: str) -> StreamSettings:
        """Return the stream's settings with the places of a site."""
        return StreamSettings(runtime_dir=runtime_dir, data_dir=data_dir, **dataclasses.asdict(self.stream))


def find_rig(name_or_path: str) -> Path:
    """Return the rig file of that path, or of that name among those that come with nvdac.

    Raises
    ------
    DeployError
        Where there is no such file.
    """
    for path in (Path(name_or_path), RIGS / f"{name_or_path}.toml"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in RIGS.glob("*.toml")))
    raise DeployError(f"no rig file {name_or_path!r}; give a path, or one of: {known}")


def load_rig(path: Path, overrides: dict[str, dict[str, Any]] | None = None) -> RigFile:
    """Read a rig file.

    Parameters
    ----------
    overrides
        Section -> key -> value that replace those of the file.

    Raises
    ------
    DeployError
        Where the file is not TOML, a key is unknown (with the nearest valid name), missing or of the wrong type.
    """
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeployError(f"{path}: not readable as TOML: {error}") from error
    for section, pairs in (overrides or {}).items():
        values.setdefault(section, {}).update(pairs)
    try:
        return TypeAdapter(RigFile).validate_python(values)
    except ValidationError as error:
        example = RIGS / "twin-s1.toml"
        raise DeployError("\n".join(explain_key(path, row, RigFile, example) for row in error.errors()[:5])) from error


def explain_key(path: Path, row: Any, kind: Any, example: Path) -> str:
    """Return one line for one validation error of a file that holds a `kind`; `example` is a good one."""
    location = [str(part) for part in row["loc"]]
    where = ".".join(location)
    if row["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        valid = _keys_at(kind, location[:-1])
        near = difflib.get_close_matches(location[-1], valid, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"valid names: {', '.join(valid)}"
        return f"{path}: unknown key {where!r}; {hint}"
    if row["type"] in ("missing", "missing_argument"):
        return f"{path}: {where!r} is missing; add it (see {example.parent.name}/{example.name} for an example)"
    if row["type"] == "value_error":  # of a whole section: said by us, in full
        return f"{path}: {f'[{where}] ' if where else ''}{row['msg'].removeprefix('Value error, ')}"
    return f"{path}: {where!r}: {row['msg']} (it is {row['input']!r})"


def _keys_at(kind: Any, location: list[str]) -> list[str]:
    """Return the valid keys of the section at `location` below the dataclass `kind`."""
    if not dataclasses.is_dataclass(kind):
        return []
    hints = typing.get_type_hints(kind)
    if not location:
        return sorted(item.name for item in dataclasses.fields(kind))
    inner = hints.get(location[0])
    candidates = [inner, *typing.get_args(inner)]
    for candidate in candidates:
        if dataclasses.is_dataclass(candidate):
            return _keys_at(candidate, location[1:])
    return []
