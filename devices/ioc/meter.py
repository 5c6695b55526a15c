"""What a transport meter measures. No EPICS."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Resistance:
    """One measured resistance."""

    ohm: float
    """Four-terminal resistance, ohm."""
    sigma_ohm: float
    """Its standard deviation, ohm."""
    phase_deg: float
    """Phase, degrees; 0 for direct current."""
    trouble: str = ""
    """What should not be, though the number is good; empty where all is well."""


class Meter(Protocol):
    """A transport meter: a lock-in amplifier, or a source and a nanovoltmeter in delta mode."""

    def identify(self) -> str:
        """Return who answers; refuse another instrument."""
        ...

    def current_ua(self) -> float:
        """Return the excitation, uA."""
        ...

    def set_current(self, ua: float) -> None:
        """Change the excitation, uA."""
        ...

    def measure(self) -> Generator[float, None, Resistance]:
        """Measure once: yields how long to wait before the next step, s, and returns the resistance."""
        ...


def heat_complaint(ohm: float, ua: float, limit_uw: float) -> str:
    """Return a complaint where the current heats the sample; empty where it does not."""
    heat_uw = ua * ua * abs(ohm) * 1e-6
    return f"{ua:g} uA heats the sample by {heat_uw:.3g} uW, above {limit_uw:g} uW" if heat_uw > limit_uw else ""
