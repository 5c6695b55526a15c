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
class BridgesSettings:
    """Section `[bridge]` of the rig file: which instruments nvdac itself speaks to; None where it does not."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    magnet: SupplySettings | None = None
    """Current supply of the coils."""
    cryostat: CryostatBridgeSettings | None = None
    """Temperature controller."""

    def names(self) -> tuple[str, ...]:
        """Return the names of the bridges that are there."""
        return tuple(name for name, part in vars(self).items() if part is not None)


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
