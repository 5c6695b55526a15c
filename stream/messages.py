"""Every message that travels between processes: frozen dataclasses, one sentence and a unit per field.

The wire form of each (kind, CBOR header, array parts) is given by `stream.codec` and documented in
`docs/reference/wire-protocol.md`. Arrays are numpy arrays here and raw little-endian parts on the wire.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

PROTOCOL = 1
"""Version of the message set; peers that speak another one are refused with a readable reason."""

Json = dict[str, object]
"""A JSON-serialisable mapping."""


class RunMode(enum.StrEnum):
    """Where the frames of a run come from."""

    LIVE = "LIVE"
    SIMULATED = "SIMULATED"
    REPLAY = "REPLAY"


class FieldHistory(enum.StrEnum):
    """How the sample got to its state point."""

    NORMAL_STATE = "NORMAL_STATE"
    ZFC_FW = "ZFC_FW"
    FC = "FC"
    FC_REMNANT = "FC_REMNANT"
    UNKNOWN = "UNKNOWN"


class SweepRole(enum.StrEnum):
    """What a sweep is for."""

    OPENING_REFERENCE = "OPENING_REFERENCE"
    WARMING = "WARMING"
    CLOSING_REFERENCE = "CLOSING_REFERENCE"
    SINGLE = "SINGLE"


class Archive(enum.StrEnum):
    """What the camera process keeps of a run on disk."""

    FRAMES = "frames"
    SUMS = "sums"
    NONE = "none"


class Severity(enum.StrEnum):
    """EPICS words for how serious an event or a value is."""

    NO_ALARM = "NO_ALARM"
    MINOR = "MINOR"
    MAJOR = "MAJOR"
    INVALID = "INVALID"


@dataclass(frozen=True)
class NoiseModel:
    """How counts become electrons: variance of a value = (counts - offset) / (gain accumulations) + read noise."""

    source: str
    """`gain` where a data sheet or calibration gave it, `estimated` from the spectra's second differences."""
    electrons_per_count: float
    """Photo-electrons per count (with `estimated`: the effective number that reproduces the scatter seen)."""
    offset_counts: float = 0.0
    """Counts of a dark frame."""
    read_noise_electrons: float = 0.0
    """Standard deviation of the read noise per exposure, electrons."""
    excess_noise_factor: float = 1.0
    """Variance factor of an electron multiplier (2 for EMCCD, else 1)."""
    accumulations: int = 1
    """Exposures averaged into one frame value."""


@dataclass(frozen=True)
class StatePoint:
    """Where the sample is."""

    temperature_k: float
    """Temperature at the sample, K."""
    stage_temperature_k: float
    """Temperature of the cryostat stage, K."""
    temperature_max_since_field_k: float
    """Highest sample temperature since the field was last changed, K."""
    field_gauss: float
    """Applied field along the culet normal Z, G."""
    history: FieldHistory = FieldHistory.UNKNOWN
    """How the sample got here."""
    load_index: int = 0
    """Number of the pressure point."""


@dataclass(frozen=True)
class RunStart:
    """A run opens: everything the analysis needs that does not change within it."""

    run_uid: str
    """The Bluesky run."""
    mode: RunMode
    """LIVE, SIMULATED or REPLAY: shown on every view."""
    height: int
    """Camera rows."""
    width: int
    """Camera columns."""
    dtype: str
    """Frame dtype: `<u2`, `<u4` or `<f4`."""
    noise: NoiseModel
    """The camera's gain, offset and read noise."""
    analysis: Json
    """Analysis settings (see `analyzers.settings.AnalysisSettings`), part of the version hash of every result."""
    regions: Json = field(default_factory=dict[str, object])
    """Polygons in um from the image centre, x right, y down: `sample`, `ruby`, `leads`; `points`: name to [x, y]."""
    pixel_size_um: float = 1.0
    """Edge of one pixel at the sample, um."""
    sample: str = ""
    """Name of the sample."""
    rig: str = ""
    """Name of the rig."""
    frames_path: str = ""
    """HDF5 file of the run on the camera's host; empty where nothing is archived."""
    time_s: float = 0.0
    """Start, seconds since the epoch."""
    archive: Archive = Archive.FRAMES
    """What `frames_path` holds: every frame, or the exact sums of the passes; `none` where it is empty."""


@dataclass(frozen=True)
class RunStop:
    """A run closes: no further sweep will come."""

    run_uid: str
    """The Bluesky run."""
    exit_status: str
    """`success`, `abort` or `fail`."""
    sweeps: int
    """Sweeps that were started."""
    frames_sent: int
    """Frames published in the whole run."""


@dataclass(frozen=True)
class SweepStart:
    """A sweep is armed: its frequency list, passes and state point. Complete when every frame of it was added."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep in the run, from 0."""
    role: SweepRole
    """What the sweep is for."""
    state: StatePoint
    """Where the sample is."""
    frequency_mhz: NDArray[np.float64]
    """(f,) microwave frequencies of one pass, MHz, in the order of the frame index; 0: microwaves off."""
    passes: int
    """Traversals of the frequency list."""
    source_state: Json = field(default_factory=dict[str, object])
    """Frozen state of the frame source (the twin's), enough to make every frame again; empty for a camera."""


@dataclass(frozen=True)
class Tile:
    """Result of one band: what a worker found, for the builder."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    y0: int
    """First camera row of the band."""
    y1: int
    """One past its last row."""
    lease: int
    """Lease under which the worker owned the band."""
    revision: int
    """Number of this result within the lease, rising."""
    final: bool
    """True when every frame of the sweep was added to the band exactly once, or is a counted hole of the camera."""
    frames_added: int
    """Frames added so far."""
    worker: str
    """Name of the worker."""
    planes: Mapping[str, NDArray[np.generic]]
    """Result planes, each (..., rows, x); names and units in `analyzers.fitting`."""
    spectra: Mapping[str, NDArray[np.generic]]
    """Integer (or f8) sums of counts over named regions within the band, each (f,), with `<name>_pixels` (1,); in a
    final tile also `unresolved_places` (n,) and `unresolved_sums` (f, n): pixels that the builder may try again."""
    frames_lost: int = 0
    """Frames that the camera itself lost, counted so far: a final has frames_added + frames_lost = all of the sweep."""


@dataclass(frozen=True)
class SpectrumRequest:
    """Ask for the spectrum of a pixel or a rectangle."""

    run_uid: str
    """The Bluesky run; empty for the current one."""
    sweep: int
    """Number of the sweep; -1 for the newest."""
    y0: int
    """First row."""
    y1: int
    """One past the last row."""
    x0: int
    """First column."""
    x1: int
    """One past the last column."""


@dataclass(frozen=True)
class SpectrumReply:
    """The spectrum of a pixel or a rectangle, its fit and what it means."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    y0: int
    """First row."""
    y1: int
    """One past the last row."""
    x0: int
    """First column."""
    x1: int
    """One past the last column."""
    frequency_mhz: NDArray[np.float64]
    """(f,) frequencies, MHz, ascending; those not yet measured are left out."""
    signal: NDArray[np.float32]
    """(f,) mean PL / baseline - 1."""
    sigma: NDArray[np.float32]
    """(f,) standard deviation of `signal`."""
    model: NDArray[np.float32]
    """(f,) fitted model on the same frequencies."""
    values: Json
    """Finite numbers by name: s, sigma_s, sigma_zz_gpa, chi2, temperature_k, ...; absent where unknown."""
    status: str
    """Name of the status code; for a refusal the reason, with empty arrays."""


@dataclass(frozen=True)
class AnalysisReport:
    """What the maps of one sweep say, for a plan to decide on. All numbers finite; `valid` says whether to use them."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    revision: int
    """Revision of the map."""
    final: bool
    """True for the final map: decisions use these only."""
    valid: bool
    """False where the numbers must not be used; `reason` says why."""
    reason: str
    """Why it is not valid; empty otherwise."""
    temperature_k: float
    """Sample temperature of the sweep, K."""
    field_gauss: float
    """Applied field, G."""
    fraction_changed: float
    """Fraction of the sample's resolution elements with s != 1 at a false-discovery rate of 1 %."""
    s_median: float
    """Median s over the sample."""
    s_low: float
    """1st percentile of s over the sample."""
    s_high: float
    """99th percentile of s over the sample."""
    sigma_s_median: float
    """Median standard deviation of s over the sample."""
    sigma_zz_mean_gpa: float
    """Mean sigma_ZZ over the sample, GPa (0 with `valid` false where not known)."""
    coverage: float
    """Fraction of the sample's pixels resolved."""
    frames_lost: int
    """Frames sent but not added exactly once by every band."""
    time_s: float
    """When the map was made, seconds since the epoch."""
    tc_sigma_median_k: float
    """Median uncertainty of Tc over the sample's superconducting pixels, K."""
    open_fraction: float
    """Fraction of the superconducting pixels whose Tc lies above the last temperature, or may and is uncertain."""
    candidate_temperature_k: NDArray[np.float64]
    """(m,) candidate temperatures above the present one, K."""
    tc_density_per_k: NDArray[np.float64]
    """(m,) expected share of the superconducting pixels with Tc at the candidate, per K."""
    expected_information_bits: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """(m,) what a sweep at the candidate is expected to say about Tc, bits per superconducting pixel."""
    line_centre_mhz: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    """(lines, q) quantiles of the fitted centres over the sample, from the lowest to the highest, MHz."""
    line_fwhm_mhz: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """(lines,) median widths, MHz."""
    line_dense: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """(lines,) 1 for the lines that s hangs on, else 0."""


@dataclass(frozen=True)
class StateUpdate:
    """One channel of the state plane: the newest value, numbered per publisher; latest wins."""

    source: str
    """Publisher: `builder`, `camera`, `monitor`, `session`."""
    epoch: str
    """Changes when the publisher restarts."""
    sequence: int
    """Number of the update within the epoch, rising by one."""
    channel: str
    """What it is, such as `map/s`; see docs/reference/state-channels.md."""
    time_s: float
    """When it was published, seconds since the epoch."""
    header: Json
    """Small values by name."""
    arrays: Mapping[str, NDArray[np.generic]]
    """Arrays by name."""


@dataclass(frozen=True)
class SweepRequest:
    """What the camera is asked for: one sweep."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep in the run, from 0."""
    role: SweepRole
    """What the sweep is for."""
    frequency_mhz: NDArray[np.float64]
    """(f,) microwave frequencies of one pass, MHz, in the order of the frame index; 0: microwaves off."""
    passes: int
    """Traversals of the frequency list."""
    load_index: int = 0
    """Number of the pressure point."""
    history: FieldHistory = FieldHistory.UNKNOWN
    """How the sample got here, as the plan knows it."""


@dataclass(frozen=True)
class SweepProgress:
    """How far the camera is with a sweep: counts, not a promise."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    frames_sent: int
    """Frames published so far."""
    frames_total: int
    """Frames the sweep will have."""
    aborted: bool = False
    """True when no more frames will come although fewer than the total were sent."""
    frames_lost: int = 0
    """Those of `frames_sent` that the camera itself lost: counted holes, in no file."""
    rows: int = 0
    """Rows that the sweep has, or will have, in the run's file: one per frame, or per frequency where sums are kept."""


@dataclass(frozen=True)
class SweepAbort:
    """A sweep ends early: its partial cubes are dropped, its frames stay on disk."""

    run_uid: str
    """The Bluesky run."""
    sweep: int
    """Number of the sweep."""
    frames_sent: int
    """Frames published before it ended."""


@dataclass(frozen=True)
class WorkerHealth:
    """How a fitting worker is, as the frame server sees it."""

    worker: str
    """Name of the worker."""
    alive: bool
    """False once it is dead, frozen or gone."""
    bands: int
    """Bands it owns in sweeps that are not final."""
    leases_lost: int
    """Bands taken from it since the frame server started."""
    last_seen_s: float
    """When it last spoke, seconds since the epoch."""
    frames_added: int
    """Frames it acknowledged since its last hello, counted per band."""
    stats: Json
    """Numbers the worker reports with its heartbeats: `fits_per_s`, `busy_fraction`, ..."""
