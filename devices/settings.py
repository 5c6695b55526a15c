"""Settings of the devices and of their processes: frozen dataclasses, one section of the rig file each."""

from __future__ import annotations

from dataclasses import dataclass, field

from stream.settings import StreamSettings


@dataclass(frozen=True)
class TwinSettings:
    """Section `[twin]` of the rig file: which sample is simulated and how well it can be seen."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    sample: str = "S1"
    """Sample of the seed paper: S1, S2 or S3."""
    seed: int = 1
    """Draws the truth fields; another seed is another crystal of the same kind."""
    load_gpa: float = 21.0
    """Mean sigma_ZZ over the sample at start, GPa (10 to 28)."""
    height: int = 96
    """Camera rows."""
    width: int = 96
    """Camera columns."""
    pixel_size_um: float = 1.0
    """Edge of one pixel at the sample, um."""
    response: str = "granular"
    """`granular` (local, with a fraction of coherent screening) or `coherent` (London film)."""
    speed: float = 200.0
    """Simulated seconds per second: thermal, magnet and pressure time only."""
    start_temperature_k: float = 150.0
    """Stage temperature at start, K."""
    miscut_deg: float = 3.0
    """Angle between the culet normal and [111], degrees."""
    miscut_azimuth_deg: float = 20.0
    """Azimuth of the culet normal in the NV frame, degrees."""
    electrons_per_frame: float = 320_000.0
    """Photo-electrons per pixel and frame, mean over the view at 100 mW and 300 K PL."""
    contrast_111: float = 0.03
    """Contrast of a [111] line at full microwave saturation (about half of it at the default power)."""
    contrast_tilted: float = 0.012
    """The same for one line of one tilted group without transverse stress."""
    contrast_crossing_gpa: float = 8.0
    """Transverse stress at which the tilted contrast changes sign, GPa; about 4 makes whole regions unresolvable."""
    linewidth_mhz: float = 10.0
    """FWHM of the [111] lines without power broadening, MHz."""
    tilted_broadening: float = 1.4
    """FWHM of the tilted lines over that of the [111] lines: shear varies through the NV layer."""
    psf_fwhm_um: float = 0.6
    """FWHM of the optical blur, um."""
    stand_off_um: float = 0.5
    """Distance of the NV layer from the sample, um."""
    fringe_depth: float = 0.08
    """Relative depth of the interference fringes."""
    laser_noise: float = 2e-4
    """Relative common-mode noise per frame; correlated over all pixels, so no number of pixels averages it away."""
    ripple: float = 3e-4
    """Relative amplitude of the microwave transfer ripple in the baseline."""
    pressure_drift_gpa: float = 0.3
    """Rise of the mean sigma_ZZ between 150 K and 20 K, GPa."""


@dataclass(frozen=True)
class CameraSettings:
    """Section `[camera]` of the rig file: where frames come from and how counts become electrons."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    kind: str = "twin"
    """`twin`, `file` (frames of an earlier run) or `pva` (areaDetector over PVAccess)."""
    source: str = ""
    """HDF5 file or PVAccess channel; empty for the twin."""
    pixel_size_um: float = 1.0
    """Edge of one pixel at the sample, um, of a real camera; the twin's is that of `[twin]`."""
    frame_rate_hz: float = 300.0
    """Frames per second; 0 is as fast as possible."""
    electrons_per_count: float = 8.0
    """Photo-electrons per count."""
    offset_counts: float = 100.0
    """Counts of a dark frame."""
    read_noise_electrons: float = 20.0
    """Standard deviation of the read noise per frame, electrons."""


@dataclass(frozen=True)
class TwinProcess:
    """Settings file of `python -m devices.twin.ioc`."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    stream: StreamSettings
    """Places of sockets and files."""
    twin: TwinSettings = field(default_factory=TwinSettings)
    """The simulated rig."""
    prefix: str = "NVDAC:"
    """Prefix of every PV."""


@dataclass(frozen=True)
class CameraProcess:
    """Settings file of `python -m devices.camera_server`."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    stream: StreamSettings
    """Places of sockets and files."""
    camera: CameraSettings = field(default_factory=CameraSettings)
    """The camera."""
    prefix: str = "NVDAC:"
    """Prefix of the PVs of the twin's frozen state."""
    twin: TwinSettings | None = None
    """The simulated sample; None where the camera is real."""
