"""The frozen state of the twin: what the IOC publishes and the camera makes frames from, as JSON and as a dataclass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from devices.twin.history import FieldStep
from stream.messages import FieldHistory, Json, StatePoint


class TwinStateError(ValueError):
    """The twin's state is missing, malformed or that of another sample."""


@dataclass(frozen=True)
class TwinState:
    """Everything that a frame depends on besides the sample, the request and the frame's number."""

    sample: str
    """Name of the sample."""
    seed: int
    """Seed of the truth."""
    load_index: int
    """Number of the pressure point."""
    load_gpa: float
    """Mean sigma_ZZ over the sample at 150 K, GPa."""
    sample_temperature_k: float
    """Temperature at the sample, K."""
    stage_temperature_k: float
    """Temperature of the stage, K."""
    temperature_max_since_field_k: float
    """Highest sample temperature since the field last changed, K."""
    field_xyz_gauss: tuple[float, float, float]
    """Applied field in the culet frame, G."""
    history: FieldHistory
    """How the sample got here."""
    field_steps: tuple[FieldStep, ...]
    """Changes of field that the sample answers."""
    microwave_power_dbm: float
    """Power at the source, dBm."""
    microwave_enable: int
    """1 where the output is on."""
    laser_power_mw: float
    """Laser power, mW."""
    shutter: int
    """1 where the shutter is open."""
    clock_s: float = 0.0
    """Simulated time since the start, s."""
    pressure_drift_gpa: float | None = None
    """Rise of the mean sigma_ZZ between 150 K and 20 K in this thermal cycle, GPa; that of the settings where None."""
    dropped_frame: int = -1
    """Index of a frame that is not delivered; -1: none."""
    frequency_slip: int = -1
    """Index from which frames show the frequency before their own; -1: none."""
    hot_pixels: int = 0
    """Number of hot pixels."""
    anvil_failed: int = 0
    """1 where an anvil broke."""

    def point(self) -> StatePoint:
        """Return the state point that goes into the sweep's messages."""
        return StatePoint(
            temperature_k=self.sample_temperature_k,
            stage_temperature_k=self.stage_temperature_k,
            temperature_max_since_field_k=self.temperature_max_since_field_k,
            field_gauss=self.field_xyz_gauss[2],
            history=self.history,
            load_index=self.load_index,
        )

    def to_json(self) -> Json:
        """Return the state as JSON values."""
        values = asdict(self)
        values["history"] = self.history.value
        values["field_xyz_gauss"] = list(self.field_xyz_gauss)
        values["field_steps"] = [[step.gauss, step.temperature_max_k] for step in self.field_steps]
        return values

    def to_text(self) -> str:
        """Return the state as the JSON text of the state PV."""
        return json.dumps(self.to_json())


def parse_state(values: Mapping[str, object]) -> TwinState:
    """Read a state from JSON values.

    Raises
    ------
    TwinStateError
        Where a value is missing or of the wrong kind.
    """
    known: dict[str, Any] = {name: values[name] for name in TwinState.__dataclass_fields__ if name in values}
    try:
        known["history"] = FieldHistory(known["history"])
        x, y, z = (float(v) for v in known["field_xyz_gauss"])
        known["field_xyz_gauss"] = (x, y, z)
        known["field_steps"] = tuple(FieldStep(float(g), float(t)) for g, t in known["field_steps"])
        return TwinState(**known)
    except (KeyError, TypeError, ValueError) as error:
        raise TwinStateError(f"the twin's state cannot be read: {error!r}") from error


def state_from_text(text: str) -> TwinState:
    """Read a state from the JSON text of the state PV.

    Raises
    ------
    TwinStateError
        Where the text is no JSON object or not a state.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise TwinStateError(f"the twin's state is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise TwinStateError("the twin's state is not a JSON object")
    return parse_state(cast("dict[str, object]", values))
