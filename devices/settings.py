"""Settings of the devices and of their processes: frozen dataclasses, one section of the rig file each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from devices.guard_settings import GuardDeviceSettings


@dataclass(frozen=True)
class TwinSettings:
    """Section `[twin]` of the rig file: which sample is simulated and how well it can be seen."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    sample: str = "S1"
    """Sample of the seed paper: S1, S2 or S3; BSCCO, the homogeneous one that it is checked with."""
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
    tilted_broadening: float = 1.6
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
    """Rise of the mean sigma_ZZ between 150 K and 20 K in the first thermal cycle, GPa."""
    pressure_cycle_gpa: float = 0.6
    """Standard deviation of what a thermal cycle to below 100 K and back above 250 K changes for good, GPa."""
    view_drift_um: float = 0.0
    """How far the view walks between 150 K and 20 K, um; the analysis then needs `registration`."""
    focus_drift: float = 0.0
    """How far the focus walks between 150 K and 20 K, in units of the optical blur, added in squares."""


@dataclass(frozen=True)
class LiveSettings:
    """Section `[camera.live]`: what a camera needs that sends by itself (`pva`, `dectris`)."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    acquire: str = ""
    """`pva`: PV that starts an acquisition with 1 and stops it with 0; empty where the camera runs by itself."""
    images: str = ""
    """`pva`: PV of the number of images of an acquisition; empty where it needs none."""
    height: int = 0
    """`dectris`: rows of an image."""
    width: int = 0
    """`dectris`: columns of an image."""
    dtype: str = "<u4"
    """`dectris`: what the frames are stored as: `<u2`, `<u4` or `<f4`."""
    channel: str = ""
    """`dectris`: threshold channel to take; empty takes the only one."""
    frame_timeout_s: float = 30.0
    """Longest wait for one frame, s; for the first one too."""
    buffer_mib: int = 256
    """Frames that may wait where the ring is full, MiB."""
    lost_frames: Literal["hole", "end"] = "hole"
    """A frame that the camera lost is a counted `hole` of the maps, or the `end` of the sweep."""
    temperature_k: float = 295.0
    """Temperature of the sample where the rig has no cryostat, K."""


@dataclass(frozen=True)
class CameraSettings:
    """Section `[camera]` of the rig file: where frames come from and how counts become electrons."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    kind: str = "twin"
    """`twin`, `file` (frames of an earlier run), `pva` (areaDetector over PVAccess) or `dectris` (Stream V2)."""
    source: str = ""
    """HDF5 file, PVAccess channel, or `tcp://host:31001` of the detector; empty for the twin."""
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
    live: LiveSettings = field(default_factory=LiveSettings)
    """What a camera needs that sends by itself."""


@dataclass(frozen=True)
class MicrowaveSettings:
    """Section `[devices.microwave]`: PVs (`{P}` is the prefix) and limits of the microwave source."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    power_dbm: str = "{P}MW:POWER_DBM"
    """Power set point, dBm."""
    power_dbm_rbv: str = "{P}MW:POWER_DBM_RBV"
    """Power, dBm."""
    enable: str = "{P}MW:ENABLE"
    """1 switches the output on."""
    enable_rbv: str = "{P}MW:ENABLE_RBV"
    """1 where the output is on."""
    list_mhz: str = "{P}MW:LIST_MHZ"
    """Frequency list, MHz (waveform)."""
    list_count: str = "{P}MW:LIST_COUNT_RBV"
    """Length of the list that the source took."""
    frequency_mhz: str = "{P}MW:FREQUENCY_MHZ_RBV"
    """Frequency now, MHz."""
    reason: str = "{P}MW:REASON"
    """Why a put was refused; empty where the source does not say."""
    limits_dbm: tuple[float, float] = (-60.0, 0.0)
    """Lowest and highest power, dBm."""
    limits_mhz: tuple[float, float] = (1.0, 6000.0)
    """Lowest and highest frequency, MHz."""


@dataclass(frozen=True)
class MagnetSettings:
    """Section `[devices.magnet]`: PVs and limits of the coils."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    field_z_gauss: str = "{P}MAG:FIELD_Z_GAUSS"
    """Set point along the culet normal, G."""
    field_z_gauss_rbv: str = "{P}MAG:FIELD_Z_GAUSS_RBV"
    """Field along the culet normal, G."""
    field_x_gauss: str = "{P}MAG:FIELD_X_GAUSS"
    """Set point of the transverse coil, G; empty without one."""
    field_x_gauss_rbv: str = "{P}MAG:FIELD_X_GAUSS_RBV"
    """Field of the transverse coil, G; empty without one."""
    rate_gauss_per_s: str = "{P}MAG:RATE_GAUSS_PER_S"
    """Ramp rate, G/s."""
    done: str = "{P}MAG:DONE"
    """1 at the set point, 0 while ramping."""
    current_a: str = "{P}MAG:CURRENT_A_RBV"
    """Coil current, A; empty where it is not read."""
    reason: str = "{P}MAG:REASON"
    """Why a put was refused; empty where the supply does not say."""
    limits_gauss: tuple[float, float] = (-210.0, 210.0)
    """Lowest and highest field, G."""
    tolerance_gauss: float = 0.05
    """Distance from the set point that counts as there, G."""
    timeout_s: float = 600.0
    """Longest ramp, s of wall time."""


@dataclass(frozen=True)
class CryostatSettings:
    """Section `[devices.cryostat]`: PVs and limits of the temperature controller."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    temperature_k: str = "{P}CRYO:TEMPERATURE_K"
    """Set point, K."""
    temperature_k_rbv: str = "{P}CRYO:TEMPERATURE_K_RBV"
    """Ramped set point, K."""
    stage_k: str = "{P}CRYO:STAGE_K_RBV"
    """Thermometer of the stage, K."""
    sample_k: str = "{P}CRYO:SAMPLE_K_RBV"
    """Thermometer at the sample, K."""
    rate_k_per_min: str = "{P}CRYO:RATE_K_PER_MIN"
    """Ramp rate, K/min."""
    drift_k_per_min: str = "{P}CRYO:DRIFT_K_PER_MIN_RBV"
    """Rate of change of the stage, K/min."""
    settled: str = "{P}CRYO:SETTLED"
    """1 where set point, stage and sample have come to rest."""
    reason: str = "{P}CRYO:REASON"
    """Why a put was refused; empty where the controller does not say."""
    limits_k: tuple[float, float] = (3.0, 310.0)
    """Lowest and highest set point, K."""
    tolerance_k: float = 0.2
    """Distance of the ramped set point that counts as there, K."""
    grace_s: float = 1.0
    """Wall time after which a set point that changed nothing in SETTLED counts as reached, s."""
    timeout_s: float = 43_200.0
    """Longest settling, s of wall time."""


@dataclass(frozen=True)
class TransportSettings:
    """Section `[devices.transport]`: PVs of the transport meter."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    measure: str = "{P}TRANSPORT:MEASURE"
    """1 starts a measurement; 0 when done."""
    resistance_ohm: str = "{P}TRANSPORT:RESISTANCE_OHM_RBV"
    """Four-terminal resistance, ohm."""
    sigma_ohm: str = "{P}TRANSPORT:SIGMA_OHM_RBV"
    """Standard deviation of the resistance, ohm."""
    phase_deg: str = "{P}TRANSPORT:PHASE_DEG_RBV"
    """Phase, degrees."""
    current_ua: str = "{P}TRANSPORT:CURRENT_UA"
    """Excitation set point, uA."""
    current_ua_rbv: str = "{P}TRANSPORT:CURRENT_UA_RBV"
    """Excitation, uA."""
    count: str = "{P}TRANSPORT:COUNT_RBV"
    """Measurements done."""
    mode: str = ""
    """How it is measured: 0 lock-in, 1 delta mode; empty where there is no choice."""
    check_contacts: str = ""
    """1 starts a two-terminal check of the contacts; empty where there is none."""
    contacts_ohm: str = ""
    """Resistance of each contact, ohm (waveform of 4), as the last check found it."""
    contacts_count: str = ""
    """Contact checks done."""
    reason: str = "{P}TRANSPORT:REASON"
    """Why a put was refused; empty where the meter does not say."""
    limits_ua: tuple[float, float] = (0.0, 1000.0)
    """Lowest and highest excitation, uA."""
    heating_limit_uw: float = 10.0
    """Highest power in sample and current contacts, uW: more warms the sample at base temperature."""
    contact_limit_ohm: float = 1000.0
    """Resistance from which a contact counts as bad."""
    quadrature_limit: float = 0.1
    """Largest |Y/X| of a lock-in reading that counts as resistive."""
    timeout_s: float = 120.0
    """Longest measurement, s."""


@dataclass(frozen=True)
class PressureSettings:
    """Section `[devices.pressure]`: PVs and limits of the membrane."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    membrane_bar: str = "{P}DAC:MEMBRANE_BAR"
    """Set point, bar."""
    membrane_bar_rbv: str = "{P}DAC:MEMBRANE_BAR_RBV"
    """Membrane pressure, bar."""
    load_index: str = "{P}DAC:LOAD_INDEX_RBV"
    """Number of the pressure point."""
    done: str = "{P}DAC:DONE"
    """1 at the set point."""
    reason: str = "{P}DAC:REASON"
    """Why a put was refused; empty where the controller does not say."""
    limits_bar: tuple[float, float] = (0.0, 200.0)
    """Lowest and highest membrane pressure, bar."""
    tolerance_bar: float = 0.05
    """Distance from the set point that counts as there, bar."""
    timeout_s: float = 3600.0
    """Longest ramp, s of wall time."""


@dataclass(frozen=True)
class RubySettings:
    """Section `[devices.ruby]`: PVs of the ruby spectrometer."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    acquire: str = "{P}RUBY:ACQUIRE"
    """1 starts an exposure."""
    wavelength_nm: str = "{P}RUBY:WAVELENGTH_NM"
    """Wavelength axis, nm (waveform)."""
    spectrum: str = "{P}RUBY:SPECTRUM"
    """Counts (waveform)."""
    r1_nm: str = "{P}RUBY:R1_NM_RBV"
    """Centre of R1, nm."""
    pressure_gpa: str = "{P}RUBY:PRESSURE_GPA_RBV"
    """Pressure, GPa; empty: what the fit of the spectrum says on the scale Ruby2020."""
    count: str = "{P}RUBY:COUNT_RBV"
    """Spectra taken."""
    temperature_k: str = ""
    """Thermometer next to the ruby, K, for the fit of the spectrum; empty: the fit gives no pressure."""
    r1_zero_nm: float = 694.25
    """R1 at zero pressure and 296 K on this spectrometer, nm."""
    timeout_s: float = 120.0
    """Longest exposure, s."""


@dataclass(frozen=True)
class LaserSettings:
    """Section `[devices.laser]`: PVs and limits of the laser."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    power_mw: str = "{P}LASER:POWER_MW"
    """Power set point, mW."""
    power_mw_rbv: str = "{P}LASER:POWER_MW_RBV"
    """Power, mW."""
    shutter: str = "{P}LASER:SHUTTER"
    """1 opens the shutter."""
    shutter_rbv: str = "{P}LASER:SHUTTER_RBV"
    """1 where the shutter is open."""
    reason: str = "{P}LASER:REASON"
    """Why a put was refused; empty where its IOC does not say."""
    limits_mw: tuple[float, float] = (0.0, 500.0)
    """Lowest and highest power, mW."""


@dataclass(frozen=True)
class CameraDeviceSettings:
    """Section `[devices.camera]`: how the plan waits for the camera process."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    answer_timeout_s: float = 5.0
    """How long the camera process may take to say what it is, s."""
    arm_timeout_s: float = 60.0
    """Longest arming, s: the twin computes the field of the frozen state in it."""
    ring_wait_s: float = 600.0
    """How long a full ring may hold a sweep before it fails, s."""
    sweep_timeout_s: float = 7200.0
    """Longest sweep, s."""


@dataclass(frozen=True)
class DevicesSettings:
    """Section `[devices]` of the rig file: which instruments are there; None where one is not."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    prefix: str = "NVDAC:"
    """Put for `{P}` in the PV names."""
    connect_timeout_s: float = 10.0
    """How long to wait for all PVs, s."""
    microwave: MicrowaveSettings | None = None
    """Microwave source."""
    magnet: MagnetSettings | None = None
    """Coils."""
    cryostat: CryostatSettings | None = None
    """Temperature controller."""
    transport: TransportSettings | None = None
    """Transport meter."""
    pressure: PressureSettings | None = None
    """Membrane."""
    ruby: RubySettings | None = None
    """Ruby spectrometer."""
    laser: LaserSettings | None = None
    """Laser and shutter."""
    camera: CameraDeviceSettings | None = None
    """Camera process of the stream."""
    guard: GuardDeviceSettings | None = None
    """The guard process: interlocks, lease and history ledger; None runs none."""


def all_devices(prefix: str = "NVDAC:") -> DevicesSettings:
    """Return the settings of a rig that has every instrument under the default PV names, as the twin does."""
    return DevicesSettings(
        prefix=prefix,
        microwave=MicrowaveSettings(),
        magnet=MagnetSettings(),
        cryostat=CryostatSettings(),
        transport=TransportSettings(),
        pressure=PressureSettings(),
        ruby=RubySettings(),
        laser=LaserSettings(),
        camera=CameraDeviceSettings(),
    )
