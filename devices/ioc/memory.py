"""What a guard must know after a restart, as the text of an event in the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from devices.ioc.interlocks import Fault


@dataclass(frozen=True)
class Memory:
    """Nothing restarts by itself, the guard's own restart included."""

    lease: bool = False
    """Whether a session holds the lease."""
    cool: bool = False
    """Whether a zero-field cool is under way."""
    latched: Mapping[str, Fault] = field(default_factory=dict[str, Fault])
    """Faults that wait for a person."""

    def to_text(self) -> str:
        """Return it as JSON."""
        latched = {name: asdict(fault) for name, fault in self.latched.items()}
        return json.dumps({"lease": self.lease, "cool": self.cool, "latched": latched}, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Memory:
        """Read it from JSON; an empty text is the memory of a guard that never ran."""
        if not text:
            return cls()
        row = json.loads(text)
        latched = {name: Fault(**fault) for name, fault in row["latched"].items()}
        return cls(bool(row["lease"]), bool(row["cool"]), latched)
