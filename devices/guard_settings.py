"""Settings of the guard: what it watches and enforces, what happens when a session ends, whom it calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class HoldThenOff:
    """Hold for a while, then switch off."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    hold_then_off_s: float
    """How long it is held, s of wall time."""

    def __post_init__(self) -> None:
        """Refuse a time that has passed before it begins."""
        if not self.hold_then_off_s > 0:
            raise ValueError(f'hold_then_off_s = {self.hold_then_off_s:g}: must be above 0; use "off" for at once')


LeaseAction = Literal["off", "hold"] | HoldThenOff
"""What becomes of an instrument whose session has ended."""


@dataclass(frozen=True)
class LeaseLoss:
    """Section `[guard.lease_loss]`: what becomes of each instrument when the session's lease ends.

    `"off"`, `"hold"` (as it is, and nothing may change) or `{ hold_then_off_s = 43200 }`.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    laser: LeaseAction = "off"
    """Off closes the shutter."""
    microwave: LeaseAction = "off"
    """Off switches the output off."""
    magnet: LeaseAction = field(default_factory=lambda: HoldThenOff(43_200.0))
    """Off ramps the field to zero at its rate: below Tc that ends the history."""
    transport: LeaseAction = "hold"
    """Off takes the excitation away."""
    cryostat: Literal["hold"] = "hold"
    """The set point stays."""
    pressure: Literal["hold"] = "hold"
    """The membrane stays."""


@dataclass(frozen=True)
class GuardInputs:
    """Section `[guard.inputs]`: PVs of what the rig stands on; an empty name is not watched. `{P}` is the prefix."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    compressor_ok: str = ""
    """1 while the compressor runs."""
    vacuum_ok: str = ""
    """1 while the vacuum is good."""
    cryogen_ok: str = ""
    """1 while there is cryogen."""
    mains_ok: str = ""
    """1 while mains are there."""
    coil_lead_ok: str = ""
    """1 while the leads of the coil are closed."""
    door_ok: str = ""
    """1 while the laser enclosure and the cryostat are closed."""
    coil_k: str = ""
    """Temperature of the coil, K."""


@dataclass(frozen=True)
class AnvilSettings:
    """Section `[guard.anvil]`: what makes the guard suspect an anvil failure; 0 does not judge it."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    ruby_fall_gpa: float = 3.0
    """Fall of the ruby pressure from one spectrum to the next, GPa; a spectrum that is read without the temperature
    correction falls by 2.4 GPa on the way to 20 K."""
    sigma_zz_fall_gpa: float = 3.0
    """Fall of the mean sigma_ZZ from one map to the next at the same field, GPa."""
    light_share: float = 0.5
    """Share of the light of this run, at the same laser power, below which it has collapsed."""

    def __post_init__(self) -> None:
        """Refuse limits that every reading would cross."""
        if self.ruby_fall_gpa < 0 or self.sigma_zz_fall_gpa < 0 or not 0.0 <= self.light_share < 1.0:
            raise ValueError("falls must not be negative, and light_share at least 0 and below 1")


@dataclass(frozen=True)
class CallSettings:
    """Section `[guard.call]`: how a person is called for a critical alarm; nothing leaves the machine by default.

    Secrets come from the environment: NVDAC_ALARM_WEBHOOK (a whole address), NVDAC_SMTP_USER and NVDAC_SMTP_PASSWORD.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    webhook: bool = False
    """Post each critical alarm as JSON to the address in NVDAC_ALARM_WEBHOOK."""
    mail_to: tuple[str, ...] = ()
    """Addresses that get each critical alarm by mail; none by default."""
    mail_from: str = ""
    """Sender of these mails."""
    smtp_host: str = ""
    """Mail server."""
    smtp_port: int = 587
    """Its port."""
    smtp_tls: bool = True
    """Encrypt (STARTTLS)."""

    def __post_init__(self) -> None:
        """Refuse mails without a sender or a server."""
        if self.mail_to and not (self.mail_from and self.smtp_host):
            raise ValueError("mail_to needs mail_from and smtp_host")


@dataclass(frozen=True)
class GuardSettings:
    """Section `[guard]` of the rig file; the guard runs where there is a section `[devices.guard]`."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    lease_s: float = 1.6
    """How long a session may be silent before its lease ends, s of wall time."""
    lease_loss: LeaseLoss = field(default_factory=LeaseLoss)
    """What becomes of each instrument then."""
    restart_grace_s: float = 8.0
    """How long a guard that was restarted waits for the session that held the lease, s."""
    ledger_dir: str = ""
    """Folder of the history ledger; `ledger` in the data folder if not given."""
    normal_above_k: float = 0.0
    """Sample temperature above which it is surely normal, K; 0 takes [plan] tc_max_k and 20 K."""
    field_free_gauss: float = 0.3
    """Fields below count as none, G."""
    field_tolerance_gauss: float = 0.5
    """Changes of field below are noise of the readback, G."""
    gap_s: float = 10.0
    """Silence of the ledger after which the history is unknown, s."""
    field_rate_gauss_per_s: float = 24.0
    """Highest ramp rate of the coils, G/s."""
    cryostat_rate_k_per_min: float = 10.0
    """Highest ramp rate of the cryostat, K/min."""
    membrane_step_bar: float = 10.0
    """Largest rise of the membrane in one step, bar."""
    membrane_relief_bar: float = 0.0
    """Membrane pressure that is let off even though pressure never decreases, bar; 0: none."""
    thermometers_apart_k: float = 30.0
    """Distance of sample and stage from which one of them is wrong, K."""
    coil_highest_k: float = 350.0
    """Coil temperature at which the field is ramped down, K."""
    inputs: GuardInputs = field(default_factory=GuardInputs)
    """What the rig stands on."""
    obeying: tuple[str, ...] = ()
    """Instruments whose IOC obeys PERMIT (a bridge of nvdac); on a twin all of them do."""
    anvil: AnvilSettings = field(default_factory=AnvilSettings)
    """What it takes for an anvil failure."""
    call: CallSettings = field(default_factory=CallSettings)
    """Whom it calls."""

    def __post_init__(self) -> None:
        """Refuse a lease that no session can keep, and one that is no protection."""
        if not 0.5 <= self.lease_s <= 60.0:
            raise ValueError(f"lease_s = {self.lease_s:g}: allowed are 0.5 to 60 s")


@dataclass(frozen=True)
class GuardDeviceSettings:
    """Section `[devices.guard]`: PVs of the guard, as a session sees it."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    lease: str = "{P}GUARD:LEASE"
    """Counter that the session keeps moving."""
    lease_held: str = "{P}GUARD:LEASE_HELD"
    """1 while a session holds the lease."""
    leases_lost: str = "{P}GUARD:LEASES_LOST"
    """How often a lease has ended since the guard started."""
    ask: str = "{P}GUARD:ASK"
    """A put completes when the ledger is up to date."""
    zero_field_cool: str = "{P}GUARD:ZERO_FIELD_COOL"
    """1 while a zero-field cool is under way: no field then."""
    acknowledge: str = "{P}GUARD:ACKNOWLEDGE"
    """Lets go of a latched fault that has passed: JSON with `fault`, `by` and `reason`."""
    acknowledge_reason: str = "{P}GUARD:ACKNOWLEDGE_REASON"
    """Why the last one was refused; empty where it was not."""
    latched: str = "{P}GUARD:LATCHED"
    """Names of the faults that wait for a person, comma-separated."""
    history: str = "{P}GUARD:HISTORY"
    """Name of the history."""
    history_reason: str = "{P}GUARD:HISTORY_REASON"
    """Why it is called so."""
    field_max_gauss: str = "{P}GUARD:FIELD_MAX_GAUSS"
    """Largest |H| since the sample became cold, G."""
    temperature_max_k: str = "{P}GUARD:TEMPERATURE_MAX_K"
    """Highest sample temperature since the field last changed, K."""
    faults: str = "{P}GUARD:FAULTS"
    """What is wrong now, one after the other."""
    laser_reason: str = "{P}GUARD:LASER:REASON"
    """Why the laser may not be switched on."""
    microwave_reason: str = "{P}GUARD:MICROWAVE:REASON"
    """Why the microwave may not be switched on."""
    magnet_reason: str = "{P}GUARD:MAGNET:REASON"
    """Why the field may not be changed."""
    cryostat_reason: str = "{P}GUARD:CRYOSTAT:REASON"
    """Why the set point may not be changed."""
    pressure_reason: str = "{P}GUARD:PRESSURE:REASON"
    """Why the membrane may not be changed."""
    transport_reason: str = "{P}GUARD:TRANSPORT:REASON"
    """Why the excitation may not be changed."""
    ask_timeout_s: float = 10.0
    """Longest wait for the ledger, s."""
