"""Settings of the bridges: section `[bridge]` of the rig file, one part per instrument, and their settings file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from stream.settings import StreamSettings


@dataclass(frozen=True)
class LinkSettings:
    """How an instrument is reached; part of every `[bridge.*]`."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    address: str
    """VISA address, such as `TCPIP::192.0.2.7::7777::SOCKET`, `GPIB0::8::INSTR` or `ASRL/dev/ttyUSB0::INSTR`."""
    timeout_s: float = 2.0
    """Longest wait for an answer, s."""
    retries: int = 2
    """How often a question is asked again, on a fresh connection."""
    termination: str = "\n"
    """End of a line, both ways."""
    pause_s: float = 0.0
    """Rest after each command, s: some serial ports need 0.05."""
    visa_library: str = "@py"
    """`@py` is PyVISA-py; empty takes the VISA of a vendor."""
    baud_rate: int = 0
    """Serial port: rate; 0 where it is none."""
    data_bits: int = 8
    """Serial port: bits of a character."""
    parity: Literal["none", "odd", "even"] = "none"
    """Serial port: parity."""
    poll_s: float = 0.2
    """Interval of the readings, s."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not self.address.strip():
            raise ValueError("address is empty; give the VISA address of the instrument")
        for key in ("timeout_s", "poll_s"):
            if not getattr(self, key) > 0:
                raise ValueError(f"{key} must be above 0")
        if self.retries < 0:
            raise ValueError("retries must be 0 or more")


@dataclass(frozen=True)
class SupplySettings(LinkSettings):
    """Section `[bridge.magnet]`: a bipolar SCPI current supply per coil (Kepco BOP and its kind)."""

    kind: Literal["kepco", "scpi"] = "scpi"
    """`kepco` also chooses the current mode (FUNC:MODE CURR)."""
    x_address: str = ""
    """VISA address of the supply of the transverse coil; empty without one."""
    gauss_per_ampere: float = 24.11
    """Coil constant along the culet normal, G/A, as calibrated."""
    x_gauss_per_ampere: float = 24.11
    """Coil constant of the transverse coil, G/A."""
    limit_a: float = 6.0
    """Largest current of each coil, A."""
    rate_a_per_s: float = 0.4
    """Ramp rate at start, A/s."""
    rate_limit_a_per_s: float = 1.0
    """Fastest ramp, A/s."""
    voltage_limit_v: float = 20.0
    """Compliance of the supply, V."""
    tolerance_a: float = 0.002
    """Distance of the measured current from its set point that counts as there, A."""
    follow_a: float = 0.2
    """How far the measured current may lag before the ramp waits for it, A."""
    follow_s: float = 5.0
    """How long it may lag before the coil counts as open or at its voltage limit, s."""

    def __post_init__(self) -> None:
        """Refuse limits that contradict each other."""
        super().__post_init__()
        if not 0 < self.rate_a_per_s <= self.rate_limit_a_per_s:
            raise ValueError("rate_a_per_s must be above 0 and at most rate_limit_a_per_s")
        if not (self.limit_a > 0 and self.gauss_per_ampere and self.x_gauss_per_ampere):
            raise ValueError("limit_a must be above 0, and no coil constant may be 0")


@dataclass(frozen=True)
class CryostatBridgeSettings(LinkSettings):
    """Section `[bridge.cryostat]`: a Lake Shore 336 or 350."""

    output: int = 1
    """Control output, 1 to 4."""
    stage_input: str = "A"
    """Input of the stage's thermometer, which the output controls."""
    sample_input: str = "B"
    """Input of the thermometer at the sample."""
    heater_range: int = 0
    """Range that a set point switches the heater to where it is off; 0 refuses the set point instead."""
    limits_k: tuple[float, float] = (3.0, 310.0)
    """Lowest and highest set point, K."""
    rate_k_per_min: float = 2.0
    """Ramp rate where the controller has none, K/min."""
    rate_limits_k_per_min: tuple[float, float] = (0.1, 5.0)
    """Slowest and fastest ramp, K/min: a cell with leads bears 1 to 3 K/min."""
    window_s: float = 60.0
    """How long the temperatures are looked at to call them at rest, s."""
    settled_k_per_min: float = 0.05
    """Drift of stage and sample below which they are, K/min."""
    settled_k: float = 0.05
    """Distance of the stage from the set point below which it is there, K."""

    def __post_init__(self) -> None:
        """Refuse limits that contradict each other."""
        super().__post_init__()
        low, high = self.rate_limits_k_per_min
        if not 0.1 <= low <= self.rate_k_per_min <= high <= 100.0:
            raise ValueError("rate_k_per_min must lie within rate_limits_k_per_min, and those within 0.1 to 100")
        if not 0 < self.limits_k[0] < self.limits_k[1]:
            raise ValueError("limits_k must be two ascending temperatures above 0")


@dataclass(frozen=True)
class MicrowaveBridgeSettings(LinkSettings):
    """Section `[bridge.microwave]`: an SRS SG382, SG384 or SG386."""

    limits_dbm: tuple[float, float] = (-60.0, 0.0)
    """Lowest and highest power, dBm: what the amplifier behind it bears."""
    limits_mhz: tuple[float, float] = (1.0, 6000.0)
    """Lowest and highest frequency, MHz; the model has limits of its own."""


@dataclass(frozen=True)
class PressureBridgeSettings(LinkSettings):
    """Section `[bridge.pressure]`: a PACE 5000 or 6000 that counts in bar."""

    limit_bar: float = 200.0
    """Highest membrane pressure, bar."""
    step_limit_bar: float = 10.0
    """Largest rise at once, bar."""
    rate_bar_per_s: float = 0.02
    """How fast the membrane is loaded, bar/s."""
    tolerance_bar: float = 0.05
    """Distance from the set point that counts as there, bar."""

    def __post_init__(self) -> None:
        """Refuse limits that cannot work."""
        super().__post_init__()
        for key in ("limit_bar", "step_limit_bar", "rate_bar_per_s", "tolerance_bar"):
            if not getattr(self, key) > 0:
                raise ValueError(f"{key} must be above 0")


@dataclass(frozen=True)
class MeterSettings(LinkSettings):
    """What both transport meters have in common."""

    poll_s: float = 1.0
    """Interval of the readings of the excitation, s."""
    limits_ua: tuple[float, float] = (0.0, 100.0)
    """Lowest and highest excitation, uA."""
    readings: int = 12
    """Readings of one measurement."""
    power_limit_uw: float = 10.0
    """Heat in the sample that is complained of, uW."""

    def __post_init__(self) -> None:
        """Refuse what gives no standard deviation."""
        super().__post_init__()
        if self.readings < 4:
            raise ValueError("readings must be 4 or more")


@dataclass(frozen=True)
class LockinSettings(MeterSettings):
    """Section `[bridge.lockin]`: an SRS lock-in amplifier that also drives the current, through a resistor."""

    model: Literal["sr830", "sr860"] = "sr830"
    """`sr830` (also SR810) or `sr860` (also SR865)."""
    series_ohm: float = 1e5
    """Resistor between the sine output and the sample, ohm; large against the sample."""

    def __post_init__(self) -> None:
        """Refuse a resistor that is none."""
        super().__post_init__()
        if not self.series_ohm > 0:
            raise ValueError("series_ohm must be above 0")


@dataclass(frozen=True)
class DeltaSettings(MeterSettings):
    """Section `[bridge.delta]`: a Keithley 6221 with a 2182A on its serial port, in delta mode."""

    compliance_v: float = 1.0
    """Largest voltage over the sample's leads, V."""
    delay_s: float = 0.002
    """Rest after each reversal of the current, s."""
    reading_s: float = 0.1
    """Time of one delta reading, s: what a measurement may take follows from it."""

    def __post_init__(self) -> None:
        """Refuse what the source does not take."""
        super().__post_init__()
        if not 0.1 <= self.compliance_v <= 105.0:
            raise ValueError("compliance_v must be 0.1 to 105")


PROCESSES = {
    "magnet": ("magnet",),
    "cryostat": ("cryostat",),
    "microwave": ("microwave",),
    "pressure": ("pressure",),
    "transport": ("lockin", "delta"),
}
"""Instrument -> the sections `[bridge.*]` that bring one."""


@dataclass(frozen=True)
class BridgesSettings:
    """Section `[bridge]` of the rig file: which instruments nvdac itself speaks to; None where it does not."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    magnet: SupplySettings | None = None
    """Current supply of the coils."""
    cryostat: CryostatBridgeSettings | None = None
    """Temperature controller."""
    microwave: MicrowaveBridgeSettings | None = None
    """Microwave source."""
    pressure: PressureBridgeSettings | None = None
    """Pressure controller of the membrane."""
    lockin: LockinSettings | None = None
    """Transport meter: a lock-in amplifier."""
    delta: DeltaSettings | None = None
    """Transport meter: delta mode."""

    def __post_init__(self) -> None:
        """Refuse two instruments behind the same PVs."""
        if self.lockin is not None and self.delta is not None:
            raise ValueError("lockin and delta both serve TRANSPORT: keep one")

    def names(self) -> tuple[str, ...]:
        """Return the instruments that have a bridge: names of the devices, and of the programs in `devices.ioc`."""
        there = {name for name, part in vars(self).items() if part is not None}
        return tuple(name for name, parts in PROCESSES.items() if there.intersection(parts))


@dataclass(frozen=True)
class BridgeProcess:
    """Settings file of a bridge, such as `python -m devices.ioc.magnet`."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    stream: StreamSettings
    """Places of sockets and files."""
    name: str
    """Name of the process, also of its ready mark."""
    ca_port: int
    """Port of its Channel Access server on loopback."""
    prefix: str = "NVDAC:"
    """Prefix of every PV."""
    bridges: BridgesSettings = field(default_factory=BridgesSettings)
    """The instruments; a process serves its own."""
    guard: bool = False
    """Whether a guard is asked before each put."""
    load_index: int = 0
    """Number of the pressure point at start, as in the rig file's `[sample]`."""
